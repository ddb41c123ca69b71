package collect_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
)

// FuzzBody: whatever is posted, the answer is one of those that are documented,
// what is accepted reads back from the journal, and nothing bad is kept beside
// it.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		view, `{"batch":[` + view + `,1,{}]}`, `{}`, `[]`, ``, "\x1f\x8b", `{"batch":[` + view + `],"context":{"a":1},"integrations":{"b":2}}`,
		`{"type":"alias","userId":"u1","previousId":"` + uuid1 + `","user_token":"x","user_token":"y","visitor_token":["z"]}`,
		device(web + `,"userId":"u1","timestamp":1e300,"sentAt":-1,"messageId":{"a":1}`),
		`{"event":"Order Completed","userId":"u1","properties":{"order_id":"o1","products":[{"sku":"p1"},{"product_id":1e9}]}}`,
		`{"event":"x","userId":"u","context":{"page":{"url":"://?utm_source=%zz","referrer":1},"campaign":[],"consent":3,"consentManagement":{"allowedConsentIds":{}},"userAgent":"(((;;;"}}`,
		`{"event":"x","userId":"u","properties":null,"context":{},"traits":{}}`,
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	w := newWorld(f, func(o *collect.Options) { o.Items = shelf{"p1": {"a", "b"}} })
	f.Fuzz(func(t *testing.T, body []byte, route uint8) {
		w.t = t
		w.j.clear()
		path := [...]string{"/v1/track", "/v1/batch", "/v1/webhook", "/v1/alias", "/v1/visitor"}[route%5]
		r := httptest.NewRequest(http.MethodPost, path+"?writeKey="+key, strings.NewReader(string(body)))
		r.Header.Set("Origin", "http://attune.test")
		rec := httptest.NewRecorder()
		w.mux.ServeHTTP(rec, r)
		if rec.Code != 200 && rec.Code != 400 && rec.Code != 413 && rec.Code != 409 {
			b, _ := io.ReadAll(rec.Body)
			t.Fatalf("status %d %s", rec.Code, b)
		}
		if rec.Code == 200 && route%5 < 4 && len(w.j.kind(attune.KindEvent)) == 0 {
			t.Fatal("accepted nothing")
		}
		for _, e := range w.j.events(t) {
			if e.UserID == "" && e.AnonymousID == "" || e.MessageID == "" || e.Time <= 0 || e.Time > e.ReceivedAt || e.Type == attune.Unknown {
				t.Fatalf("unsound event %+v", e)
			}
		}
	})
}

// FuzzAccept: the Go call takes anything.
func FuzzAccept(f *testing.F) {
	f.Add([]byte(view), []byte(`{"library":{"name":"analytics.js"}}`), "Mozilla/5.0")
	f.Add([]byte(` {"a":1} `), []byte(`{}`), "")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, raw, shared []byte, agent string) {
		w.j.clear()
		b := &collect.Batch{Source: "s", Type: attune.Track, Agent: agent, Events: [][]byte{raw, []byte(view)}}
		if len(shared) < 1000 && json.Valid(shared) && shared[0] == '{' && json.Valid(raw) {
			b.Context, b.Integrations = shared, []byte(`{"All":true}`)
		}
		res, err := w.c.Accept(context.Background(), b)
		if err != nil || res.Accepted+len(res.Rejected) != 2 || res.Accepted < 1 {
			t.Fatalf("%+v, %v", res, err)
		}
		for _, e := range w.j.events(t) {
			if !json.Valid(e.Raw) || e.Enriched != nil && !json.Valid(e.Enriched) || e.Context != nil && !json.Valid(e.Context) {
				t.Fatalf("no JSON: %s %s", e.Raw, e.Enriched)
			}
		}
	})
}

// FuzzPixel: any query makes an event or a refusal.
func FuzzPixel(f *testing.F) {
	f.Add("userId=u1&event=x&properties.a.b=1&properties.a=2&data=e30")
	f.Add("a.0.1000000000=x&...=&data=W10&data=bnVsbA")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, query string) {
		w.t = t
		r := httptest.NewRequest(http.MethodGet, "/pixel/v1/track", nil)
		r.URL = &url.URL{Path: "/pixel/v1/track", RawQuery: "writeKey=" + key + "&" + query}
		rec := httptest.NewRecorder()
		w.mux.ServeHTTP(rec, r)
		if rec.Code != 200 {
			t.Fatalf("status %d", rec.Code)
		}
	})
}
