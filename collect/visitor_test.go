package collect_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/identity"
)

func TestVisitor(t *testing.T) {
	devices := known{
		"fresh":  {first: noon - minute/2},
		"old":    {first: noon - 2*minute},
		"issued": {first: noon - minute, issued: true},
	}
	w := newWorld(t, func(o *collect.Options) { o.Devices = devices })
	ask := func(want int, body string, headers ...string) map[string]any {
		t.Helper()
		return w.post(want, "/v1/visitor", body, headers...)
	}

	got := ask(200, "")
	id, _ := got["anonymous_id"].(string)
	if !identity.IsUUID(id) {
		t.Errorf("anonymous_id %q, want a UUID", id)
	}
	equal(t, "record", w.j.kinds()[0], "visitor a:"+id)
	token, _ := got["visitor_token"].(string)
	proven, issued, err := identity.Signer{Secret: []byte("ours")}.ParseVisitor(token)
	if err != nil || proven != id || issued != noon {
		t.Errorf("token proves %q at %d: %v", proven, issued, err)
	}

	again := ask(200, `{"anonymous_id":"`+id+`"}`, "X-Attune-Visitor: "+token)
	equal(t, "again", again["visitor_token"], any(token))
	again = ask(200, `{"anonymous_id":"`+id+`"}`, "Cookie: attune_visitor="+token)
	equal(t, "by cookie", again["visitor_token"], any(token))
	refused := ask(409, `{"anonymous_id":"`+id+`"}`)
	if next, _ := refused["next"].(string); !strings.Contains(next, "POST /v1/visitor") {
		t.Errorf("a refusal without a way on: %v", refused)
	}
	equal(t, "records", len(w.j.kinds()), 1)

	ask(200, `{"anonymous_id":"new"}`)
	ask(200, `{"anonymous_id":"fresh"}`)
	ask(409, `{"anonymous_id":"fresh"}`)
	ask(409, `{"anonymous_id":"old"}`)
	ask(409, `{"anonymous_id":"issued"}`)
	ask(409, `{"anonymous_id":"old"}`, "X-Attune-Visitor: "+token) // of another device
	ask(400, `{"anonymous_id":"null"}`)
	ask(400, `nonsense`)
	decoded(t, w.do("POST", "/v1/visitor", ""), 401)
	equal(t, "records", len(w.j.kinds()), 3)

	res := w.do("POST", "/v1/visitor", `{"writeKey":"WRITEKEY1"}`)
	cookie := res.Header().Get("Set-Cookie")
	for _, part := range []string{"attune_visitor=a1.", "HttpOnly", "SameSite=Lax", "Max-Age=31536000", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("cookie %q has no %s", cookie, part)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("cookie %q is secure on http", cookie)
	}
	secure := newWorld(t, func(o *collect.Options) { o.TrustProxy = true })
	if c := secure.do("POST", "/v1/visitor", "", basic(key), "X-Forwarded-Proto: https").Header().Get("Set-Cookie"); !strings.Contains(c, "Secure") {
		t.Errorf("cookie %q is not secure on https", c)
	}

	none := newWorld(t, func(o *collect.Options) { o.Signer = nil })
	none.post(404, "/v1/visitor", "")
}

// TestVisitorDurable: a token is answered only when its record is durable, and
// one that failed can be asked for again.
func TestVisitorDurable(t *testing.T) {
	w := newWorld(t)
	w.j.fail = errors.New("no")
	w.post(500, "/v1/visitor", `{"anonymous_id":"d1"}`)
	w.j.fail = attune.ErrBusy
	w.post(503, "/v1/visitor", `{"anonymous_id":"d1"}`)
	w.j.fail = nil
	w.post(200, "/v1/visitor", `{"anonymous_id":"d1"}`)
}

// TestVisitorRace: of many who ask for one id, exactly one gets a token.
func TestVisitorRace(t *testing.T) {
	w := newWorld(t)
	for round := range 20 {
		body := `{"anonymous_id":"d` + string(rune('a'+round)) + `"}`
		event := `{"event":"x","anonymousId":"d` + string(rune('a'+round)) + `","context":{"library":{"name":"analytics.js"}}}`
		var wg sync.WaitGroup
		won := make(chan string, 16)
		for i := range 8 {
			wg.Go(func() {
				path, send := "/v1/visitor", body
				if i%2 == 1 { // first contact competes too
					path, send = "/v1/track", event
				}
				res := w.do(http.MethodPost, path, send, basic(key), "Origin: http://attune.test")
				if v := res.Header().Get("X-Attune-Visitor"); v != "" {
					won <- v
				}
			})
		}
		wg.Wait()
		close(won)
		equal(t, "winners", len(won), 1)
		equal(t, "records", len(w.j.kind(attune.KindVisitor)), round+1)
	}
}

// TestFirstContact: a page of this very site gets its token along with its
// first event.
func TestFirstContact(t *testing.T) {
	devices := known{uuid2: {first: noon - minute}}
	w := newWorld(t, func(o *collect.Options) { o.Devices = devices })
	event := func(id, library string) string {
		return `{"event":"x","anonymousId":"` + id + `","context":{"library":{"name":"` + library + `"}}}`
	}
	send := func(body string, headers ...string) string {
		t.Helper()
		res := w.do("POST", "/v1/track", body, append(headers, basic(key))...)
		equal(t, "status", res.Code, 200)
		v := res.Header().Get("X-Attune-Visitor")
		equal(t, "cookie", res.Header().Get("Set-Cookie") != "", v != "")
		return v
	}
	const here = "Origin: http://attune.test"
	equal(t, "our own SDK asks by itself", send(event("d9", "attune.js"), here), "")
	equal(t, "a server", send(event("d9", "analytics.js")), "")
	equal(t, "another site", send(event("d9", "analytics.js"), "Origin: https://shop.example"), "")
	equal(t, "no device", send(event("d9", "analytics-node"), here), "")
	equal(t, "seen before", send(event(uuid2, "analytics.js"), here), "")

	token := send(event(uuid1, "analytics.js"), here)
	if id, _, err := (identity.Signer{Secret: []byte("ours")}).ParseVisitor(token); err != nil || id != uuid1 {
		t.Errorf("token %q proves %q: %v", token, id, err)
	}
	equal(t, "a second time", send(event(uuid1, "analytics.js"), here), "")
	equal(t, "with its token", send(event(uuid1, "analytics.js"), here, "Cookie: attune_visitor="+token), "")
	equal(t, "verified", w.last().Has(attune.Verified), true)
	equal(t, "records", len(w.j.kind(attune.KindVisitor)), 1)

	w.j.fail = attune.ErrBusy
	res := w.do("POST", "/v1/track", event("d7", "analytics.js"), here, basic(key))
	equal(t, "busy", res.Code, 503)
	equal(t, "no token for what is not durable", res.Header().Get("X-Attune-Visitor"), "")
	w.j.fail = nil
	if send(event("d7", "analytics.js"), here) == "" {
		t.Error("no token on the retry")
	}
}
