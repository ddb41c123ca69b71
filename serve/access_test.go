package serve_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune/serve"
)

// TestMatrix walks every route with every kind of caller.
func TestMatrix(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	type who struct {
		name  string
		creds []credential
		may   func(serve.Need) bool
		code  int // when she may not
	}
	callers := []who{
		{"none", []credential{none}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"wrong", []credential{func(r *http.Request) { r.SetBasicAuth("wrong", "") }}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"user token without a key", []credential{header("X-Attune-User", w.userToken("u1"))}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"visitor token without a key", []credential{header("X-Attune-Visitor", w.visitorToken())}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"secret in the address", []credential{func(r *http.Request) { r.URL.RawQuery = "writeKey=" + secretKey }}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"secret as write key", []credential{header("X-Write-Key", secretKey)}, func(n serve.Need) bool { return n == serve.Open }, 401},
		{"browser", []credential{browser}, func(n serve.Need) bool { return n <= serve.AnyKey }, 403},
		{"visitor", []credential{browser, header("X-Attune-Visitor", w.visitorToken())}, func(n serve.Need) bool { return n <= serve.AnyKey }, 403},
		{"another user", []credential{browser, header("X-Attune-User", w.userToken("u2"))}, func(n serve.Need) bool { return n <= serve.AnyKey }, 403},
		{"forged user", []credential{browser, header("X-Attune-User", w.userToken("u1")+"x")}, func(n serve.Need) bool { return n <= serve.AnyKey }, 403},
		{"the user", []credential{browser, header("X-Attune-User", w.userToken("u1"))}, func(n serve.Need) bool { return n <= serve.Own }, 403},
		{"server", []credential{server}, func(serve.Need) bool { return true }, 0},
		{"server by bearer", []credential{header("Authorization", "Bearer "+secretKey)}, func(serve.Need) bool { return true }, 0},
	}
	path := strings.NewReplacer("{placement}", "popular", "{id}", "spade", "{key}", "u:u1")
	for _, route := range serve.Routes() {
		if route.Path == "/v1/stream" {
			continue // it does not end by itself; see TestStreamAsksForAKey
		}
		for _, c := range callers {
			body := ""
			if route.Method == http.MethodPost || route.Method == http.MethodPut {
				body = `{"placements":[{"id":"popular"}],"items":["pan"]}`
			}
			code, answer, h := w.call(route.Method, path.Replace(route.Path), body, c.creds...)
			denied := code == 401 || code == 403
			if want := c.may(route.Need); denied == want {
				t.Errorf("%s %s as %s: %d %s, may %v", route.Method, route.Path, c.name, code, answer, want)
			}
			if denied && code != c.code {
				t.Errorf("%s %s as %s: %d, want %d", route.Method, route.Path, c.name, code, c.code)
			}
			if denied && !strings.HasPrefix(string(answer), `{"error":{"code":`) {
				t.Errorf("%s %s as %s: %s, want a JSON error", route.Method, route.Path, c.name, answer)
			}
			if code == 401 && h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s: 401 without WWW-Authenticate", route.Method, route.Path)
			}
		}
	}
}

func TestStreamAsksForAKey(t *testing.T) {
	w := newWorld(t, nil)
	if code, _, _ := w.call("GET", "/v1/stream?placement=popular", ""); code != 401 {
		t.Errorf("got %d, want 401", code)
	}
}

// TestWhoReadsWhat asks for the pan that u1 viewed, and the spade that the
// device viewed, with every kind of proof.
func TestWhoReadsWhat(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"), w.track("", device, "Product Viewed", "spade"))
	const other = "11111111-2222-4333-8444-555555555555"
	visitor := header("X-Attune-Visitor", w.visitorToken())
	cookie := header("Cookie", "attune_visitor="+w.visitorToken())
	for _, tc := range []struct {
		name   string
		body   string
		creds  []credential
		want   string // the first of recently-viewed; "" is a cold answer
		notice string
	}{
		{"write key alone", `{"anonymous_id":"` + device + `"`, []credential{browser}, "", "anonymous_id not read"},
		{"nobody", `{"explain":false`, []credential{browser}, "", ""},
		{"write key with a user id", `{"user_id":"u1"`, []credential{browser}, "", "user_id ignored"},
		{"visitor", `{"anonymous_id":"` + device + `"`, []credential{browser, visitor}, "spade", ""},
		{"visitor fills the id", `{"explain":false`, []credential{browser, visitor}, "spade", ""},
		{"visitor by cookie", `{"explain":false`, []credential{browser, cookie}, "spade", ""},
		{"visitor of another device", `{"anonymous_id":"` + other + `"`, []credential{browser, visitor}, "", "another device's"},
		{"visitor with a user id", `{"user_id":"u1","anonymous_id":"` + device + `"`, []credential{browser, visitor}, "spade", "user_id ignored"},
		{"forged visitor", `{"explain":false`, []credential{browser, header("X-Attune-Visitor", w.visitorToken()+"A")}, "", "not one of ours"},
		{"user token", `{"user_id":"u1"`, []credential{browser, header("X-Attune-User", w.userToken("u1"))}, "pan", ""},
		{"user token in the body", `{"user_id":"u1","user_token":"` + w.userToken("u1") + `"`, []credential{browser}, "pan", ""},
		{"user token fills the id", `{"explain":false`, []credential{browser, header("X-Attune-User", w.userToken("u1"))}, "pan", ""},
		{"user token of another", `{"user_id":"u1"`, []credential{browser, header("X-Attune-User", w.userToken("u2"))}, "", "user_id ignored"},
		{"server with the user", `{"user_id":"u1"`, []credential{server}, "pan", ""},
		{"server with the device", `{"anonymous_id":"` + device + `"`, []credential{server}, "spade", ""},
		{"server with junk", `{"user_id":"null"`, []credential{server}, "", "nobody's"},
	} {
		d, h := w.decide(tc.body+`,"placements":[{"id":"recently-viewed"}]}`, tc.creds...)
		a := d.Placements["recently-viewed"]
		got := ""
		if a.Fallback == "" {
			got = strings.Join(ids(a), " ")
		}
		if got != tc.want {
			t.Errorf("%s: got %q (fallback %q), want %q", tc.name, got, a.Fallback, tc.want)
		}
		if tc.want == "" && (a.Fallback == "" || d.ProfileVersion != 0) {
			t.Errorf("%s: fallback %q version %d, want a cold answer", tc.name, a.Fallback, d.ProfileVersion)
		}
		if notice := h.Get("X-Attune-Notice"); (notice == "") != (tc.notice == "") || !strings.Contains(notice, tc.notice) {
			t.Errorf("%s: notice %q, want %q", tc.name, notice, tc.notice)
		}
	}
}

func TestExpiredUserToken(t *testing.T) {
	w := newWorld(t, nil)
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	token := w.userToken("u1")
	w.now.Add(2 * 3_600_000)
	d, h := w.decide(`{"user_id":"u1","placements":[{"id":"popular"}]}`, browser, header("X-Attune-User", token))
	if d.ProfileVersion != 0 || !strings.Contains(h.Get("X-Attune-Notice"), "expired") {
		t.Errorf("version %d notice %q, want a cold answer that says expired", d.ProfileVersion, h.Get("X-Attune-Notice"))
	}
}

func TestKeysAreReplaced(t *testing.T) {
	w := newWorld(t, nil)
	w.server.SetKeys(serve.Keys{Secrets: []string{"other"}})
	if code, _, _ := w.call("GET", "/v1/items", "", server); code != 401 {
		t.Errorf("old secret: got %d, want 401", code)
	}
	if code, _, _ := w.call("GET", "/v1/items", "", header("Authorization", "Bearer other")); code != 200 {
		t.Errorf("new secret: got %d, want 200", code)
	}
}

// TestDocument holds openapi.json against the routes.
func TestDocument(t *testing.T) {
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Access    string                `json:"x-access"`
			Room      string                `json:"x-room"`
			Security  []map[string][]string `json:"security"`
			Responses map[string]any        `json:"responses"`
		} `json:"paths"`
	}
	check(t, json.Unmarshal(serve.OpenAPI(), &doc))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("openapi %q, want 3.1", doc.OpenAPI)
	}
	registered := map[string]bool{}
	for _, r := range serve.Routes() {
		registered[r.Method+" "+r.Path] = true
		op, ok := doc.Paths[r.Path][strings.ToLower(r.Method)]
		if !ok {
			t.Errorf("%s %s is not in the document", r.Method, r.Path)
			continue
		}
		if op.Access != r.Need.String() {
			t.Errorf("%s %s: the document says %q, the code %q", r.Method, r.Path, op.Access, r.Need)
		}
		if (len(op.Security) == 0) != (r.Need == serve.Open) || op.Responses == nil {
			t.Errorf("%s %s: security %v does not fit %s", r.Method, r.Path, op.Security, r.Need)
		}
		secret := slices.ContainsFunc(op.Security, func(s map[string][]string) bool { _, ok := s["secretBasic"]; return ok })
		if r.Need != serve.Open && !secret {
			t.Errorf("%s %s: the server secret is not in the document", r.Method, r.Path)
		}
	}
	w := newWorld(t, nil)
	mux := http.NewServeMux()
	w.server.Register(mux)
	w.collector.Register(mux) // panics when two routes are the same
	for path, ops := range doc.Paths {
		for method, op := range ops {
			name := strings.ToUpper(method) + " " + path
			if op.Room == "" && !registered[name] {
				t.Errorf("%s is in the document, and not registered", name)
			}
			r, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), strings.ReplaceAll(strings.ReplaceAll(path, "{", ""), "}", ""), nil)
			check(t, err)
			if op.Room == "node" {
				continue // its own test walks the running process
			}
			if _, pattern := mux.Handler(r); pattern == "" {
				t.Errorf("%s is in the document, and nobody serves it", name)
			}
		}
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Keys.Origins = []string{"https://shop.example", "https://*.shop.example"} })
	for origin, want := range map[string]bool{
		"https://shop.example": true, "https://www.shop.example": true,
		"https://evil.example": false, "https://evilshop.example": false, "http://shop.example": false,
	} {
		code, _, h := w.call("OPTIONS", "/v1/decide", "", header("Origin", origin), header("Access-Control-Request-Headers", "x-retry-count"))
		if got := h.Get("Access-Control-Allow-Origin") == origin; code != 204 || got != want {
			t.Errorf("%s: %d allowed %v, want %v", origin, code, got, want)
		}
		if want && (h.Get("Access-Control-Allow-Headers") != "x-retry-count" || h.Get("Access-Control-Allow-Credentials") != "true") {
			t.Errorf("%s: headers %v, want the asked ones and credentials", origin, h)
		}
	}
	_, _, h := w.call("GET", "/v1/recommend/popular", "", browser, header("Origin", "https://shop.example"))
	if !strings.Contains(h.Get("Access-Control-Expose-Headers"), "X-Attune-Token") || h.Get("Vary") != "Origin" {
		t.Errorf("headers %v, want the token exposed and Vary: Origin", h)
	}
}
