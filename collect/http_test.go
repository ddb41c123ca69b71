package collect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/identity"
)

const view = `{"event":"Product Viewed","userId":"u1","messageId":"m1","properties":{"product_id":"p1"}}`

// TestAuthentication is the table of COLLECT: every way to show a key, and
// what is said when it does not fit.
func TestAuthentication(t *testing.T) {
	for _, c := range []struct {
		name    string
		path    string
		body    string
		headers []string
		status  int
		text    string // of the error
		source  string
		rank    attune.Rank
	}{
		{name: "basic", headers: []string{basic(key)}, status: 200, source: "web"},
		{name: "query", path: "/v1/track?writeKey=" + key, status: 200, source: "web"},
		{name: "header", headers: []string{"X-Write-Key: " + key}, status: 200, source: "web"},
		{name: "body", body: `{"event":"x","userId":"u1","writeKey":"WRITEKEY1"}`, status: 200, source: "web"},
		{name: "body of a batch", path: "/v1/batch", body: `{"batch":[` + view + `],"writeKey":"WRITEKEY1"}`, status: 200, source: "web"},
		{name: "bearer secret", headers: []string{"Authorization: Bearer " + secret}, status: 200, source: "server", rank: attune.Server},
		{name: "basic secret", headers: []string{basic(secret)}, status: 200, source: "server", rank: attune.Server},
		{name: "secret for a source", headers: []string{basic(secret), "X-Write-Key: " + key}, status: 200, source: "web", rank: attune.Server},
		{name: "secret for a source in the body", body: `{"event":"x","userId":"u1","writeKey":"WRITEKEY1"}`, headers: []string{basic(secret)}, status: 200, source: "web", rank: attune.Server},
		{name: "nothing", status: 401, text: "failed to read writekey from header"},
		{name: "empty basic", headers: []string{basic("")}, status: 401, text: "failed to read writekey from header"},
		{name: "broken basic", headers: []string{"Authorization: Basic %%%"}, status: 401, text: "failed to read writekey from header"},
		{name: "another scheme", headers: []string{"Authorization: Digest abc"}, status: 401, text: "failed to read writekey from header"},
		{name: "wrong", headers: []string{basic("nobody")}, status: 401, text: "invalid write key"},
		{name: "wrong in body", body: `{"event":"x","userId":"u1","writeKey":"nobody"}`, status: 401, text: "invalid write key"},
		{name: "wrong secret", headers: []string{"Authorization: Bearer wrong"}, status: 401, text: "invalid server secret"},
		{name: "a write key is no secret", headers: []string{"Authorization: Bearer " + key}, status: 401, text: "invalid server secret"},
		{name: "a secret is no write key", path: "/v1/track?writeKey=" + secret, status: 401, text: "invalid write key"},
		{name: "disabled", headers: []string{basic("OFF")}, status: 404, text: "source is disabled"},
		{name: "another site", headers: []string{basic("STRICT"), "Origin: https://evil.example"}, status: 403, text: `origin "https://evil.example" may not send to source strict; add it to the source's origins`},
		{name: "its own site", headers: []string{basic("STRICT"), "Origin: https://www.shop.example"}, status: 200, source: "strict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.path == "" {
				c.path = "/v1/track"
			}
			if c.body == "" {
				c.body = view
			}
			got := decoded(t, w.do("POST", c.path, c.body, c.headers...), c.status)
			if c.status != 200 {
				equal(t, "error", said(got), c.text)
				equal(t, "events", len(w.j.events(t)), 0)
				return
			}
			e := w.last()
			equal(t, "source", e.Source, c.source)
			equal(t, "rank", e.Rank, c.rank)
			equal(t, "verified", e.Has(attune.Verified), c.rank == attune.Server)
		})
	}
}

// TestBodies is the table of COLLECT: sizes, shapes and what is said.
func TestBodies(t *testing.T) {
	small := func(o *collect.Options) {
		o.Limits = collect.Limits{RequestBytes: 4000, EventBytes: 1000, BatchEvents: 3}
	}
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		text             string
	}{
		{name: "empty", body: "", status: 400, text: "invalid json"},
		{name: "no json", body: "hello", status: 400, text: "invalid json"},
		{name: "cut", body: view[:20], status: 400, text: "invalid json"},
		{name: "two", body: view + view, status: 400, text: "invalid json"},
		{name: "array", body: "[]", status: 400, text: "invalid json: want an object, got an array"},
		{name: "no ids", body: `{"event":"x"}`, status: 400, text: "request neither has anonymousId nor userId"},
		{name: "empty ids", body: `{"event":"x","userId":"","anonymousId":null}`, status: 400, text: "request neither has anonymousId nor userId"},
		{name: "junk id", body: `{"event":"x","userId":"undefined"}`, status: 400, text: `request neither has anonymousId nor userId: userId: id "undefined" stands for a missing id; send the real one or leave it out`},
		{name: "id of another kind", body: `{"event":"x","userId":{"a":1}}`, status: 400, text: "request neither has anonymousId nor userId"},
		{name: "no event name", body: `{"userId":"u1"}`, status: 400, text: "a track without an event name"},
		{name: "event of another kind", body: `{"userId":"u1","event":["x"]}`, status: 400, text: "event is not a string; a track names its event"},
		{name: "properties of another kind", body: `{"userId":"u1","event":"x","properties":[1]}`, status: 400, text: "properties is an array, want an object"},
		{name: "context of another kind", body: `{"userId":"u1","event":"x","context":"x"}`, status: 400, text: "context is a string, want an object"},
		{name: "deep", body: `{"userId":"u1","event":"x","properties":` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70) + "}", status: 400, text: "the event nests deeper than 64 levels"},
		{name: "a large event", body: `{"userId":"u1","event":"` + long + `"}`, status: 413, text: "the event has 2026 bytes, the limit is 1000 (limits.event_bytes)"},
		{name: "a large request", body: strings.Repeat("x", 4001), status: 413, text: "the request has more than 4000 bytes (limits.request_bytes); send smaller batches"},
		{name: "empty batch", path: "/v1/batch", body: `{"batch":[]}`, status: 400, text: "empty batch payload"},
		{name: "no batch", path: "/v1/batch", body: `{}`, status: 400, text: "empty batch payload"},
		{name: "batch of another kind", path: "/v1/batch", body: `{"batch":{"a":1}}`, status: 400, text: "empty batch payload"},
		{name: "a long batch", path: "/v1/batch", body: `{"batch":[1,2,3,4]}`, status: 413, text: "the batch has more than 3 events; send smaller batches"},
		{name: "a batch of nothing good", path: "/v1/batch", body: `{"batch":[1,{"type":"track","event":"x"}]}`, status: 400, text: "none of the 2 events was accepted; see rejected"},
		{name: "a batch of one fault", path: "/v1/batch", body: `{"batch":[{"type":"track","event":"x"},{"type":"track","event":"x"}]}`, status: 400, text: "request neither has anonymousId nor userId"},
		{name: "a type nobody knows", path: "/v1/batch", body: `{"batch":[{"type":"dance","userId":"u1"}]}`, status: 400, text: `unknown event type "dance"; want track, identify, page, screen, group or alias`},
		{name: "corrupt gzip", body: "\x1f\x8bnot gzip at all", headers: []string{"Content-Encoding: gzip"}, status: 400, text: "corrupt gzip body: it does not begin as gzip does"},
		{name: "cut gzip", body: string(zipped(t, []byte(view))[:40]), headers: []string{"Content-Encoding: gzip"}, status: 400, text: "corrupt gzip body: it ends too early"},
		{name: "a type with marks of HTML", path: "/v1/batch", body: `{"batch":[{"type":"<&>","userId":"u1"}]}`, status: 400, text: `unknown event type "<&>"; want track, identify, page, screen, group or alias`},
		{name: "gzip that is none", body: view, headers: []string{"Content-Encoding: gzip"}, status: 400, text: "corrupt gzip body: it does not begin as gzip does"},
		{name: "another encoding", body: view, headers: []string{"Content-Encoding: br"}, status: 415, text: `content encoding "br" is not read; send gzip or none`},
		{name: "shared context", path: "/v1/batch", body: `{"context":{"a":"` + long[:1900] + long[:1100] + `"},"batch":[` + `{"a":1},{"a":1},{"a":1}]}`, status: 413, text: "the batch's context and integrations have 3008 bytes for each of 3 events; send smaller batches"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, small)
			if c.path == "" {
				c.path = "/v1/track"
			}
			got := w.post(c.status, c.path, c.body, c.headers...)
			equal(t, "error", said(got), c.text)
			equal(t, "records", len(w.j.kinds()), 0)
			if dead := w.c.DeadLetters(10); len(dead) == 0 && c.text != "" {
				t.Error("not in the dead-letter list")
			}
		})
	}
}

// TestContentType: what the SDKs send as text, form or json is JSON all the same.
func TestContentType(t *testing.T) {
	w := newWorld(t)
	for _, ct := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"} {
		w.post(200, "/v1/track", view, "Content-Type: "+ct)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/track?writeKey="+key, bytes.NewReader(zipped(t, []byte(view)))) // no header says gzip
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	decoded(t, rec, 200)
	w.post(200, "/v1/track", "\ufeff\n "+view+"\n")
	equal(t, "events", len(w.j.events(t)), 7)
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/v1/track": "POST, OPTIONS", "/v1/b": "POST, OPTIONS", "/beacon/v1/batch": "POST, OPTIONS",
		"/pixel/v1/track": "GET, POST, OPTIONS", "/health": "GET, HEAD, OPTIONS",
	} {
		res := w.do("DELETE", path, "")
		equal(t, path, res.Code, http.StatusMethodNotAllowed)
		equal(t, path, res.Header().Get("Allow"), want)
		if got := said(decoded(t, res, 405)); got == "" {
			t.Errorf("%s: no error in the body", path)
		}
	}
	equal(t, "get", w.do("GET", "/v1/track", "").Code, 405)
	equal(t, "options", w.do("OPTIONS", "/v1/track", "").Code, 204)
	equal(t, "health", w.do("GET", "/health", "").Code, 200)
	equal(t, "metrics", w.do("POST", "/v1/m", "{}").Code, 200)
}

func TestRoutes(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		paths []string
		kind  attune.Type
	}{
		{[]string{"identify", "i"}, attune.Identify},
		{[]string{"track", "t"}, attune.Track},
		{[]string{"page", "p"}, attune.Page},
		{[]string{"screen", "s"}, attune.Screen},
		{[]string{"group", "g"}, attune.Group},
		{[]string{"alias", "a", "merge"}, attune.Alias},
	} {
		for _, p := range c.paths {
			for _, prefix := range []string{"/v1/", "/beacon/v1/"} {
				w.post(200, prefix+p, `{"event":"x","userId":"u1","type":"nonsense"}`)
				equal(t, prefix+p, w.last().Type, c.kind)
			}
		}
	}
	for _, p := range []string{"/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"} {
		got := w.post(200, p+"?writeKey="+key, `{"batch":[{"type":"page","userId":"u1","name":"Home"},{"type":"merge","userId":"u1"}]}`)
		equal(t, p, got["accepted"], any(2.0))
		equal(t, p, got["ok"], any(true))
		equal(t, p, w.last().Type, attune.Alias)
	}
}

// TestCORS: pages of allowed sites get their origin back, others nothing.
func TestCORS(t *testing.T) {
	keys, err := collect.NewKeys([]collect.Source{{ID: "s", WriteKey: "STRICT", Enabled: true, Origins: []string{"https://shop.example", "https://*.shop.example"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *collect.Options) { o.Keys = keys })
	for origin, want := range map[string]bool{
		"https://shop.example": true, "https://a.shop.example": true, "https://a.b.shop.example": true,
		"http://shop.example": false, "https://evilshop.example": false, "https://.shop.example": false, "null": false,
		"https://shop.example.evil.example": false,
	} {
		for _, method := range []string{"OPTIONS", "POST"} {
			res := w.do(method, "/v1/track", view, basic("STRICT"), "Origin: "+origin)
			got := res.Header().Get("Access-Control-Allow-Origin")
			if (got == origin) != want || !want && got != "" {
				t.Errorf("%s from %s: allowed %q, want %v", method, origin, got, want)
			}
			equal(t, "vary", res.Header().Get("Vary"), "Origin")
		}
	}
	res := w.do("OPTIONS", "/v1/track", "", "Origin: https://shop.example")
	for h := range strings.FieldsSeq("authorization content-type anonymousid sentat x-write-key x-retry-count rsa-retry-attempt rsa-retry-reason rsa-since-first-attempt rsa-since-last-attempt") {
		if !strings.Contains(res.Header().Get("Access-Control-Allow-Headers"), h) {
			t.Errorf("%s is not allowed", h)
		}
	}
	res = w.do("POST", "/v1/track", view, basic("STRICT"), "Origin: https://shop.example")
	for _, h := range []string{"Retry-After", "X-Attune-Token"} {
		if !strings.Contains(res.Header().Get("Access-Control-Expose-Headers"), h) {
			t.Errorf("%s is not exposed", h)
		}
	}
}

// TestBomb: a small body that inflates to much costs the limit and no more.
func TestBomb(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.Limits.RequestBytes = 1 << 20 })
	cut := zipped(t, []byte(view))
	w.post(400, "/v1/track", string(cut[:len(cut)-9]), "Content-Encoding: gzip")
	bomb := zipped(t, make([]byte, 300<<20))
	r := httptest.NewRequest(http.MethodPost, "/v1/batch?writeKey="+key, bytes.NewReader(bomb))
	r.Header.Set("Content-Encoding", "gzip")
	rec := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.mux.ServeHTTP(rec, r)
	runtime.ReadMemStats(&after)
	equal(t, "status", rec.Code, 413)
	if got := after.TotalAlloc - before.TotalAlloc; got > 6<<20 {
		t.Errorf("a bomb of 300 MB allocates %d bytes under a limit of 1 MiB", got)
	}
}

// said is the message of an error's answer, "" when it has no code beside it.
func said(answer map[string]any) string {
	e, _ := answer["error"].(map[string]any)
	if code, _ := e["code"].(string); code == "" {
		return ""
	}
	message, _ := e["message"].(string)
	return message
}

// TestDeepBomb: brackets without end must not use up the stack.
func TestDeepBomb(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		strings.Repeat("[", 4<<20-1), `{"batch":` + strings.Repeat(`{"a":`, 800_000),
	} {
		got := w.post(400, "/v1/batch", body)
		equal(t, "error", said(got), "invalid json: nests too deeply")
	}
}

// TestBackPressure: what is to be sent again later says when.
func TestBackPressure(t *testing.T) {
	behind := false
	w := newWorld(t, func(o *collect.Options) {
		o.Lag = func() bool { return behind }
		o.Limits.Rate, o.Limits.Burst = 2, 4
	})
	behind = true
	res := w.do("POST", "/v1/track", view, basic(key))
	equal(t, "lag", res.Code, 503)
	equal(t, "after", res.Header().Get("Retry-After"), "5")
	equal(t, "health", w.do("GET", "/health", "").Code, 503)
	behind = false

	w.j.fail = fmt.Errorf("append: %w", attune.ErrBusy)
	res = w.do("POST", "/v1/track", view, basic(key))
	equal(t, "busy", res.Code, 503)
	equal(t, "after", res.Header().Get("Retry-After"), "1")
	w.j.fail = errors.New("disk on fire at /secret/path")
	res = w.do("POST", "/v1/track", view, basic(key))
	equal(t, "broken", res.Code, 500)
	if b, _ := io.ReadAll(res.Body); strings.Contains(string(b), "secret") {
		t.Errorf("the answer tells of the inside: %s", b)
	}
	w.j.fail = nil

	batch := `{"batch":[` + strings.TrimSuffix(strings.Repeat(`{"type":"track","event":"x","userId":"u1"},`, 2), ",") + `]}`
	w.post(200, "/v1/batch", batch) // four of four are used up with the two above
	res = w.do("POST", "/v1/batch", batch, basic(key))
	equal(t, "rate", res.Code, 429)
	equal(t, "after", res.Header().Get("Retry-After"), "1")
	equal(t, "the server", w.do("POST", "/v1/batch", batch, basic(secret)).Code, 200)
	w.now += 1000
	w.post(200, "/v1/batch", batch)
}

// TestInFlight: bodies of all requests together are bounded.
func TestInFlight(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.Limits.InFlightBytes = 1000 })
	res := w.do("POST", "/v1/track", `{"event":"`+strings.Repeat("x", 5000), basic(key))
	equal(t, "status", res.Code, 503)
	equal(t, "after", res.Header().Get("Retry-After"), "1")
	w.post(200, "/v1/track", view) // and what was held is free again
}

// TestBadAmongGood sends ten thousand events with one in a hundred bad, in
// every way: the good are stored, the bad are in the list with their reasons.
func TestBadAmongGood(t *testing.T) {
	bad := []struct{ raw, code string }{
		{`1`, collect.CodeJSON},
		{`{"type":"track","event":"x","messageId":"bad"}`, collect.CodeNoID},
		{`{"type":"track","event":"x","userId":"null","anonymousId":"[object Object]"}`, collect.CodeJunkID},
		{`{"type":"waltz","userId":"u1"}`, collect.CodeType},
		{`{"userId":"u1"}`, collect.CodeType},
		{`{"type":"track","userId":"u1"}`, collect.CodeName},
		{`{"type":"track","userId":"u1","event":"` + strings.Repeat("x", 600) + `"}`, collect.CodeName},
		{`{"type":"identify","userId":"u1","traits":"x"}`, collect.CodeShape},
		{`{"type":"track","userId":"u1","event":"x","properties":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, collect.CodeDeep},
		{`{"type":"track","userId":"u1","event":"x","properties":{"a":"` + strings.Repeat("x", 70_000) + `"}}`, collect.CodeTooBig},
	}
	w := newWorld(t, func(o *collect.Options) { o.Limits.RequestBytes = 32 << 20 })
	rnd := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString(`{"batch":[`)
	codes := map[int]string{}
	for i := range 10_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		if i%100 == 7 {
			x := bad[(i/100)%len(bad)]
			codes[i] = x.code
			b.WriteString(x.raw)
			continue
		}
		fmt.Fprintf(&b, `{"type":"track","event":"Product Viewed","userId":"u%d","messageId":"m%d","properties":{"product_id":"p%d"}}`, rnd.IntN(500), i, rnd.IntN(50))
	}
	b.WriteString(`]}`)
	got := w.post(200, "/v1/batch", b.String())
	equal(t, "accepted", got["accepted"], any(9900.0))
	rejected, _ := got["rejected"].([]any)
	equal(t, "rejected", len(rejected), 100)
	first, _ := rejected[1].(map[string]any)
	equal(t, "messageId", first["messageId"], any("bad"))
	equal(t, "index", first["index"], any(107.0))
	equal(t, "events", len(w.j.events(t)), 9900)
	dead := w.c.DeadLetters(1000)
	equal(t, "dead", len(dead), 100)
	for _, d := range dead {
		if d.Code != codes[d.Index] || d.Reason == "" || d.Source != "web" || d.Time != w.now || d.Raw == "" || len(d.Raw) > 4096 {
			t.Errorf("dead letter %d: %s %q (%d bytes of raw), want %s", d.Index, d.Code, d.Reason, len(d.Raw), codes[d.Index])
		}
	}
}

// TestDeadLetterBounds: the list forgets the oldest, by number and by bytes.
func TestDeadLetterBounds(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) {
		o.Limits.DeadLetters, o.Limits.DeadRaw, o.Limits.DeadBytes = 100, 64, 1<<20
	})
	for i := range 250 {
		w.post(400, "/v1/track", fmt.Sprintf(`{"messageId":"m%d","x":"%s"}`, i, strings.Repeat("é", 100)))
	}
	dead := w.c.DeadLetters(1000)
	equal(t, "kept", len(dead), 100)
	equal(t, "newest", dead[0].MessageID, "m249")
	equal(t, "oldest", dead[99].MessageID, "m150")
	if len(dead[0].Raw) > 64 {
		t.Errorf("%d bytes of raw, want at most 64", len(dead[0].Raw))
	}
	res := w.do("GET", "/v1/dead-letters?limit=3", "", basic(secret))
	got := decoded(t, res, 200)
	list, _ := got["dead_letters"].([]any)
	equal(t, "listed", len(list), 3)
	equal(t, "total", got["total"], any(250.0))
	first, _ := list[0].(map[string]any)
	equal(t, "time", first["time"], any(w.now.String()))
	decoded(t, w.do("GET", "/v1/dead-letters", "", basic(key)), 403)
	decoded(t, w.do("GET", "/v1/dead-letters", ""), 401)

	few := newWorld(t, func(o *collect.Options) { o.Limits.DeadBytes = 2000 })
	for range 100 {
		few.post(400, "/v1/track", `{"x":"`+strings.Repeat("x", 500)+`"}`)
	}
	if n := len(few.c.DeadLetters(100)); n < 1 || n > 3 {
		t.Errorf("%d dead letters in 2,000 bytes", n)
	}
}

func TestPixel(t *testing.T) {
	w := newWorld(t)
	gif := func(path string) {
		t.Helper()
		res := w.do("GET", path, "", "User-Agent: "+chrome)
		b, _ := io.ReadAll(res.Body)
		equal(t, path, res.Code, 200)
		equal(t, path, res.Header().Get("Content-Type"), "image/gif")
		if !bytes.HasPrefix(b, []byte("GIF89a")) {
			t.Errorf("%s: no GIF", path)
		}
	}
	gif("/pixel/v1/track?writeKey=" + key + "&userId=u1&event=Mail+Opened&properties.campaign=may&properties.a.b=1&context.traits.email=a%40b.co")
	e := w.last()
	equal(t, "name", e.Name, "Mail Opened")
	equal(t, "properties", string(e.Properties), `{"a":{"b":"1"},"campaign":"may"}`)
	equal(t, "context", string(e.Context), `{"traits":{"email":"a@b.co"}}`)
	if !strings.Contains(string(e.Enriched), `"browser":"Chrome"`) {
		t.Errorf("enriched %s", e.Enriched)
	}
	gif("/pixel/v1/page?writeKey=" + key + "&anonymousId=a1&name=Home")
	equal(t, "page", w.last().Name, "Home")
	gif("/pixel/v1/track?writeKey=nobody&userId=u1&event=x")
	gif("/pixel/v1/track?userId=u1&event=x")
	gif("/pixel/v1/track?writeKey=" + key)
	gif("/pixel/v1/track?writeKey=" + key + "&userId=u1&event=x&properties=1&properties.a=2&data=%%%")
	equal(t, "events", len(w.j.events(t)), 2)
	equal(t, "dead", len(w.c.DeadLetters(9)), 1)
}

func TestWebhook(t *testing.T) {
	w := newWorld(t)
	hook := `{"order":7,"user_id":"u7","total":3.5}`
	w.post(200, "/v1/webhook?writeKey="+key+"&event=Order+Paid", hook)
	w.post(200, "/v1/webhook?writeKey="+key+"&event=Order+Paid", hook)
	es := w.j.events(t)
	equal(t, "name", es[0].Name, "Order Paid")
	equal(t, "user", es[0].UserID, "u7")
	equal(t, "properties", string(es[0].Properties), hook)
	equal(t, "the same again", es[0].MessageID, es[1].MessageID)
	if !strings.HasPrefix(es[0].MessageID, "webhook-") {
		t.Errorf("messageId %s", es[0].MessageID)
	}
	w.post(200, "/v1/webhook", `{"type":"identify","userId":"u8","traits":{"a":1}}`)
	equal(t, "an event", w.last().Type, attune.Identify)
	w.post(200, "/v1/webhook", `{"batch":[{"type":"page","userId":"u9"}]}`)
	equal(t, "a batch", w.last().Type, attune.Page)
	decoded(t, w.do("GET", "/v1/webhook?writeKey="+key+"&event=Called&userId=u1&properties.x=1", ""), 200)
	equal(t, "get", w.last().Name, "Called")
	w.post(400, "/v1/webhook", `{"a":1}`)
	w.post(400, "/v1/webhook", `nonsense`)
	decoded(t, w.do("POST", "/v1/webhook", hook), 401)
}

// TestAnswer: an ack names its token, and tokens name every partition.
func TestAnswer(t *testing.T) {
	w := newWorld(t)
	res := w.do("POST", "/v1/track", view, basic(key))
	if res.Header().Get("X-Attune-Token") == "" {
		t.Error("no token")
	}
	b, _ := io.ReadAll(res.Body)
	equal(t, "body", string(b), `{"ok":true,"accepted":1,"rejected":[]}`+"\n")
	res = w.do("POST", "/v1/track", `{}`, basic(key))
	equal(t, "token of nothing", res.Header().Get("X-Attune-Token"), "")
}

// TestUserTokens: a token in a body proves, and is not kept.
func TestUserTokens(t *testing.T) {
	w := newWorld(t)
	good := identity.UserToken(userSecret, "u1", noon+minute)
	body := func(tok string) string {
		b, _ := json.Marshal(map[string]any{"event": "x", "userId": "u1", "user_token": tok, "properties": map[string]any{"a": 1}})
		return string(b)
	}
	w.post(200, "/v1/track", body(good))
	e := w.last()
	equal(t, "verified", e.Has(attune.Verified), true)
	if strings.Contains(string(e.Raw), "user_token") || string(e.Properties) != `{"a":1}` {
		t.Errorf("kept %s", e.Raw)
	}
	w.post(200, "/v1/track", body(identity.UserToken(userSecret, "u2", noon+minute)))
	equal(t, "of another", w.last().Has(attune.Verified), false)
	w.post(200, "/v1/track", body(identity.UserToken(userSecret, "u1", noon-minute)))
	equal(t, "expired", w.last().Has(attune.Verified), false)
	w.post(200, "/v1/track", view, "X-Attune-User: "+good)
	equal(t, "header", w.last().Has(attune.Verified), true)
	equal(t, "rank", w.last().Rank, attune.Public)
}
