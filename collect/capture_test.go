package collect_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
)

// exchange is one line of a capture: what a real SDK sent.
type exchange struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

func capture(tb testing.TB, name string) []exchange {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", "captures", name+".jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []exchange
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var x exchange
		if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
			tb.Fatal(err)
		}
		out = append(out, x)
	}
	if err := sc.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

func (x *exchange) hasBody() bool { return len(x.Body) > 0 && x.Body[0] == '{' }

// header returns a header whatever case the SDK wrote it in.
func (x *exchange) header(name string) string {
	for k, v := range x.Headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// replay sends the exchange as the SDK did, and returns the answer.
func (w *world) replay(x *exchange) *httptest.ResponseRecorder {
	w.t.Helper()
	var body []byte
	if x.hasBody() {
		body = x.Body
		if x.header("Content-Encoding") == "gzip" {
			body = zipped(w.t, body)
		}
	}
	r := httptest.NewRequest(x.Method, x.URL, bytes.NewReader(body))
	for k, v := range x.Headers {
		if strings.EqualFold(k, "Host") {
			r.Host = v
		} else if !strings.EqualFold(k, "Content-Length") {
			r.Header.Set(k, v)
		}
	}
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	return rec
}

func zipped(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// TestCaptures replays what real SDKs sent and compares what is journaled with
// a file a person can read.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".jsonl")
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now = attune.Millis(1_795_221_000_000) // after every capture
			for _, x := range capture(t, name) {
				res := w.replay(&x)
				b, _ := io.ReadAll(res.Body)
				if res.Code/100 != 2 {
					t.Fatalf("%s %s: %d %s", x.Method, x.URL, res.Code, b)
				}
			}
			golden(t, filepath.Join("testdata", name+".golden"), journaled(w))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (UPDATE=1 writes it)\ngot\n%s\nwant\n%s", file, got, want)
	}
}

// journaled writes every record as a line, events with what was settled.
func journaled(w *world) string {
	var b strings.Builder
	events := w.j.events(w.t)
	for _, line := range w.j.kinds() {
		fmt.Fprintln(&b, line)
		if !strings.HasPrefix(line, "event ") {
			continue
		}
		e := events[0]
		events = events[1:]
		fmt.Fprintf(&b, "  %s %q source=%s rank=%d flags=%s user=%q anon=%q prev=%q group=%q\n",
			e.Type, e.Name, e.Source, e.Rank, flags(e.Flags), e.UserID, e.AnonymousID, e.PreviousID, e.GroupID)
		fmt.Fprintf(&b, "  message=%s before=%s time=%s original=%s\n", e.MessageID,
			(e.ReceivedAt - e.Time).Time().Format("15:04:05.000"), e.Time, e.Original)
		fmt.Fprintf(&b, "  properties=%s traits=%s context=%d bytes\n  enriched=%s\n",
			e.Properties, e.Traits, len(e.Context), e.Enriched)
	}
	return b.String()
}

func flags(f attune.Flag) string {
	var out []string
	for _, n := range []struct {
		f    attune.Flag
		name string
	}{{attune.Device, "device"}, {attune.Bot, "bot"}, {attune.Denied, "denied"}, {attune.Verified, "verified"}, {attune.Granted, "granted"}} {
		if f&n.f != 0 {
			out = append(out, n.name)
		}
	}
	return strings.Join(out, "+")
}

// TestCapturePreflights answers every preflight a browser made so that the
// browser goes on: each asked header is allowed, those of retries too.
func TestCapturePreflights(t *testing.T) {
	w := newWorld(t)
	n := 0
	for _, name := range []string{"rs-bundled.mini", "rs.batch", "rs.beacon", "rs.f429", "rs.unload", "seg.mini", "seg.batching", "seg.unload"} {
		for _, x := range capture(t, name) {
			if x.Method != http.MethodOptions {
				continue
			}
			n++
			res := w.replay(&x)
			equal(t, x.URL+" status", res.Code, http.StatusNoContent)
			h := res.Header()
			equal(t, "origin", h.Get("Access-Control-Allow-Origin"), x.header("Origin"))
			equal(t, "credentials", h.Get("Access-Control-Allow-Credentials"), "true")
			equal(t, "methods", h.Get("Access-Control-Allow-Methods"), "GET, POST, OPTIONS")
			equal(t, "age", h.Get("Access-Control-Max-Age"), "900")
			for asked := range strings.SplitSeq(x.header("Access-Control-Request-Headers"), ",") {
				if !strings.Contains(","+h.Get("Access-Control-Allow-Headers")+",", ","+asked+",") {
					t.Errorf("%s: asked %s, allowed %s", x.URL, asked, h.Get("Access-Control-Allow-Headers"))
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("%d preflights, want those of all captures", n)
	}
}

// TestStartUp: what the browser SDKs fetch before they send names this server
// and no other.
func TestStartUp(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.TrustProxy = true })
	got := decoded(t, w.do("GET", "/v1/projects/"+key+"/settings", ""), 200)
	b, _ := json.Marshal(got)
	equal(t, "segment", string(b), `{"integrations":{"Segment.io":{"apiHost":"attune.test/v1","apiKey":"WRITEKEY1","protocol":"http"}}}`)

	got = decoded(t, w.do("GET", "/v1/projects/"+key+"/settings", "", "X-Forwarded-Proto: https", "X-Forwarded-Host: t.shop.example"), 200)
	b, _ = json.Marshal(got)
	equal(t, "behind a proxy", string(b), `{"integrations":{"Segment.io":{"apiHost":"t.shop.example/v1","apiKey":"WRITEKEY1","protocol":"https"}}}`)

	plain := newWorld(t)
	got = decoded(t, plain.do("GET", "/v1/projects/"+key+"/settings", "", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"), 200)
	b, _ = json.Marshal(got)
	equal(t, "an untrusted proxy", string(b), `{"integrations":{"Segment.io":{"apiHost":"attune.test/v1","apiKey":"WRITEKEY1","protocol":"http"}}}`)

	want := `{"source":{"config":{},"destinations":[],"enabled":true,"id":"web","name":"Web","workspaceId":"attune","writeKey":"WRITEKEY1"}}`
	for _, path := range []string{"/sourceConfig/?p=npm&writeKey=" + key, "/sourceConfig?writeKey=" + key} {
		b, _ = json.Marshal(decoded(t, w.do("GET", path, "", basic(key)), 200))
		equal(t, path, string(b), want)
	}
	b, _ = json.Marshal(decoded(t, w.do("GET", "/sourceConfig/", "", basic(key)), 200))
	equal(t, "by Basic", string(b), want)
	got = decoded(t, w.do("GET", "/sourceConfig/?writeKey=OFF", ""), 200)
	source, _ := got["source"].(map[string]any)
	equal(t, "enabled", source["enabled"], any(false))
	decoded(t, w.do("GET", "/sourceConfig/?writeKey=nobody", ""), 401)
	equal(t, "analytics.js", w.do("GET", "/analytics.js/v1/"+key+"/analytics.min.js", "").Code, 404)
	decoded(t, w.do("GET", "/v1/projects/nobody/settings", ""), 401)
}
