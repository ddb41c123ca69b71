package node_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/serve"
)

// operation is one path and method of the OpenAPI document.
type operation struct {
	path, method string

	Access    string                `json:"x-access"`
	Room      string                `json:"x-room"`
	Security  []map[string][]string `json:"security"`
	Request   *body                 `json:"requestBody"`
	Responses map[string]body       `json:"responses"`
}

func (o *operation) String() string { return o.method + " " + o.path }

// events reports whether the operation takes events in whatever their route.
func (o *operation) takesEvents() bool {
	return o.Access == "key" && o.Room == "collect" && o.path != "/v1/visitor"
}

// operations returns what the document at address says, in order.
func (r *running) operations() []operation {
	r.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if status, _ := r.call(http.MethodGet, "/openapi.json", "", nil, &doc); status != http.StatusOK {
		r.t.Fatalf("the document answered %d", status)
	}
	var out []operation
	for path, ops := range doc.Paths {
		for method, raw := range ops {
			if method == "parameters" {
				continue
			}
			o := operation{path: path, method: strings.ToUpper(method)}
			if err := json.Unmarshal(raw, &o); err != nil {
				r.t.Fatalf("%s %s in the document: %v", method, path, err)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(out) < len(serve.Routes()) {
		r.t.Fatalf("the document has %d operations, serve alone has %d routes", len(out), len(serve.Routes()))
	}
	return out
}

// TestDocumentSaysWhoMay: every operation says who may call it, twice and the
// same.
func TestDocumentSaysWhoMay(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	for _, o := range r.operations() {
		if o.Security == nil {
			t.Errorf("%s: no security; say [] for a route that is open", &o)
			continue
		}
		alone, secret := false, false
		for _, s := range o.Security {
			_, visitor := s["visitorToken"]
			_, user := s["userToken"]
			_, byKey := s["writeKeyBasic"]
			alone = alone || byKey && !visitor && !user
			_, bySecret := s["secretBasic"]
			secret = secret || bySecret
		}
		var want string
		switch {
		case len(o.Security) == 0:
			want = "open"
		case alone:
			want = "key"
		case len(o.Security) == 2 && secret:
			want = "secret"
		default:
			want = "own"
		}
		if o.Access != want {
			t.Errorf("%s: x-access %q, its security means %q", &o, o.Access, want)
		}
		if want != "open" && o.Responses["401"].Description == "" && o.Responses["200"].Content["image/gif"] == nil {
			t.Errorf("%s: needs a key and has no answer 401", &o)
		}
		if (want == "secret" || want == "own") && o.Responses["403"].Description == "" {
			t.Errorf("%s: a write key is not enough, and it has no answer 403", &o)
		}
	}
}

// TestEveryRouteIsInTheDocument: what is registered is documented, and what is
// documented is registered, and not hidden behind a wider pattern.
func TestEveryRouteIsInTheDocument(t *testing.T) {
	var mux *http.ServeMux
	r := start(t, testConfig(t.TempDir()), node.Options{Mount: func(_ *node.Node, m *http.ServeMux) error { mux = m; return nil }})
	documented := map[string]bool{}
	for _, o := range r.operations() {
		documented[o.String()] = true
		req, err := http.NewRequest(o.method, "http://x"+filled(o.path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_, pattern := mux.Handler(req)
		if got := strings.TrimSuffix(pattern[strings.IndexByte(pattern, '/')+1:], "{$}"); "/"+got != o.path {
			t.Errorf("%s is in the document, and %q serves it", &o, pattern)
		}
	}
	known := func(method, path string) {
		if name := method + " " + strings.TrimSuffix(path, "{$}"); !documented[name] {
			t.Errorf("%s is registered, and not in the document", name)
		}
	}
	for _, route := range serve.Routes() {
		known(route.Method, route.Path)
	}
	for _, route := range collectRoutes(t) {
		if route.Method != http.MethodHead { // GET's
			known(route.Method, route.Path)
		}
	}
	for _, pattern := range patterns(t, ".", "admin") {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			path, method = pattern, http.MethodGet
		}
		// The console is pages and their own calls; TestConsoleIsClosed walks it.
		if !strings.HasPrefix(path, "/console") {
			known(method, path)
		}
	}
}

// filled returns path with values for what is in braces.
func filled(path string) string {
	return strings.NewReplacer(
		"{placement}", "popular", "{key}", "u:u1", "{id}", "pan", "{writeKey}", config.DevWriteKey, "{destination}", "crm", "{segment}", "vip", "{scope}", "item",
	).Replace(path)
}

func collectRoutes(t *testing.T) []collect.Route {
	t.Helper()
	keys, err := collect.NewKeys(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := collect.New(collect.Options{Journal: fixed{}, Keys: keys, Now: func() attune.Millis { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	return c.Routes()
}

// fixed is a journal of which only the status is asked.
type fixed struct{ collect.Journal }

func (fixed) Status() journal.Status {
	return journal.Status{ID: "x", First: make([]uint64, 1), Last: make([]uint64, 1)}
}

// patterns returns the patterns that the source files of dir register by name,
// but for those in the function skip.
func patterns(t *testing.T, dir, skip string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source files in %s: %v", dir, err)
	}
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == skip {
				return false
			}
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return true
			}
			_, path, spaced := strings.Cut(text, " ")
			method := slices.Contains([]string{"GET", "POST", "PUT", "DELETE", "PATCH"}, strings.Split(text, " ")[0])
			if spaced && method && strings.HasPrefix(path, "/") {
				out = append(out, text)
			}
			return true
		})
	}
	return out
}

// credential is one way to call, and the schemes of the document it satisfies.
type credential struct {
	name    string
	schemes []string
	headers []string
	query   string
	known   bool // the key is one of ours: what is denied is forbidden, not unauthorized
}

// credentials are all the ways. The disabled source's key opens nothing.
func credentials(visitor string, now attune.Millis) []credential {
	user := func(id string) string {
		return identity.UserToken([]byte(config.DevServerSecret), id, now.Add(time.Hour))
	}
	write, secret := basic(config.DevWriteKey), basic(config.DevServerSecret)
	with := func(h []string, more ...string) []string { return append(slices.Clone(h), more...) }
	key := []string{"writeKeyBasic", "writeKeyHeader", "writeKeyQuery"} // a route takes all of them or none
	return []credential{
		{name: "none"},
		{name: "wrong key", headers: basic("wrong")},
		{name: "wrong secret", headers: []string{"Authorization", "Bearer wrong"}},
		{name: "nonsense", headers: []string{"Authorization", "Basic %%%"}},
		{name: "disabled source", headers: basic("write-disabled")},
		{name: "disabled source in the query", query: "writeKey=write-disabled"},
		{name: "user token alone", headers: []string{"X-Attune-User", user("u1")}},
		{name: "visitor token alone", headers: []string{"X-Attune-Visitor", visitor}},
		{name: "secret in the address", query: "writeKey=" + config.DevServerSecret},
		{name: "secret as write key", headers: []string{"X-Write-Key", config.DevServerSecret}},
		{name: "write key", schemes: key, headers: write, known: true},
		{name: "write key in its header", schemes: key, headers: []string{"X-Write-Key", config.DevWriteKey}, known: true},
		{name: "write key in the query", schemes: key, query: "writeKey=" + config.DevWriteKey, known: true},
		{name: "visitor", schemes: append(key, "visitorToken"), headers: with(write, "X-Attune-Visitor", visitor), known: true},
		{name: "the user", schemes: append(key, "userToken"), headers: with(write, "X-Attune-User", user("u1")), known: true},
		{name: "another user", schemes: key, headers: with(write, "X-Attune-User", user("u2")), known: true},
		{name: "forged user", schemes: key, headers: with(write, "X-Attune-User", user("u1")+"A"), known: true},
		{name: "expired user", schemes: key, known: true, headers: with(write, "X-Attune-User", identity.UserToken([]byte(config.DevServerSecret), "u1", now-1000))},
		{name: "server", schemes: []string{"secretBasic"}, headers: secret, known: true},
		{name: "server by bearer", schemes: []string{"secretBearer"}, headers: []string{"Authorization", "Bearer " + config.DevServerSecret}, known: true},
	}
}

// may reports whether the document lets c call o.
func (o *operation) may(c *credential) bool {
	if len(o.Security) == 0 {
		return true
	}
	return slices.ContainsFunc(o.Security, func(all map[string][]string) bool {
		for scheme := range all {
			if !slices.Contains(c.schemes, scheme) {
				return false
			}
		}
		return true
	})
}

// accessConfig is a configuration with a source that is disabled.
func accessConfig(t *testing.T) config.Config {
	t.Helper()
	cfg, off := testConfig(t.TempDir()), false
	cfg.Keys.Sources = []config.Source{{ID: "off", Name: "off", WriteKey: "write-disabled", Enabled: &off}}
	cfg.Features = append(cfg.Features, feature.Definition{Name: "views", Kind: feature.KindCount, On: []string{"Product Viewed"}, Scope: feature.ScopeItem})
	hooked(&cfg, "http://127.0.0.1:9") // nobody listens there, and nobody enters a segment
	return cfg
}

// example returns a request that is fine for o: a path with its query, and a
// body. n makes the ids of events new.
func (o *operation) example(n int, decision string) (path, body string) {
	path = filled(o.path)
	if o.path == "/v1/decisions/{id}" {
		path = "/v1/decisions/" + decision
	}
	if o.path == "/v1/stream" {
		return path + "?placement=popular", ""
	}
	event := fmt.Sprintf(`{"type":"track","event":"X","name":"X","userId":"seen-%d","previousId":"old","groupId":"g","anonymousId":%q}`, n, device(n))
	switch {
	case strings.HasPrefix(o.path, "/pixel/") || o.path == "/v1/webhook" && o.method == http.MethodGet:
		return fmt.Sprintf("%s?event=X&name=X&userId=seen-%d", path, n), ""
	case o.takesEvents():
		if o.Request != nil && o.Request.Content["application/json"] != nil && o.Request.Content["application/json"].Schema.Ref == "#/components/schemas/Batch" ||
			strings.HasSuffix(o.path, "/batch") || strings.HasSuffix(o.path, "/b") || strings.HasSuffix(o.path, "/import") {
			return path, `{"batch":[` + event + `]}`
		}
		return path, event
	case o.path == "/v1/visitor":
		return path, fmt.Sprintf(`{"anonymous_id":%q}`, device(1<<20+n))
	case o.method == http.MethodGet || o.method == http.MethodDelete:
		return path, ""
	case strings.HasPrefix(o.path, "/v1/items"):
		return path, `{"id":"pan","attributes":{"name":"Pan"}}`
	case strings.HasPrefix(o.path, "/v1/destinations/"), o.path == "/v1/dead-letters/retry":
		return path, ""
	case o.path == "/v1/unmerge":
		return path, `{"previous_id":"u7","user_id":"u1"}`
	case o.path == "/v1/rank":
		return path, `{"items":["pan"]}`
	default:
		return path, `{"placements":[{"id":"popular"}]}`
	}
}

// TestRouteTimesKey walks every operation of the document with every kind of
// caller: what the document allows is done, what it denies is denied, and of a
// denied event nothing is kept.
func TestRouteTimesKey(t *testing.T) {
	r := start(t, accessConfig(t), node.Options{})
	visitor := r.stock()
	var d struct {
		ID string `json:"decision_id"`
	}
	r.call(http.MethodPost, "/v1/decide", config.DevWriteKey, `{"placements":[{"id":"popular"}]}`, &d)
	within(t, "find the decision", func() bool {
		status, _ := r.call(http.MethodGet, "/v1/decisions/"+d.ID, config.DevServerSecret, nil, nil)
		return status == http.StatusOK
	})
	n := 0
	for _, o := range r.operations() {
		for _, c := range credentials(visitor, attune.MillisOf(time.Now())) {
			n++
			path, text := o.example(n, d.ID)
			if c.query != "" {
				path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + c.query
			}
			x := r.raw(c.name, o.method, path, text, c.headers...)
			if fault := o.judge(&c, &x); fault != "" {
				t.Errorf("%s as %s: answered %d %.200s, %s", &o, c.name, x.status, x.body, fault)
			}
			if o.takesEvents() && !o.may(&c) {
				status, _ := r.call(http.MethodGet, fmt.Sprintf("/v1/profiles/u:seen-%d", n), config.DevServerSecret, nil, nil)
				if status != http.StatusNotFound {
					t.Errorf("%s as %s: the denied event was kept", &o, c.name)
				}
			}
			if o.method == http.MethodDelete && x.status < 300 {
				r.call(http.MethodPut, filled(o.path), config.DevServerSecret, `{"attributes":{"name":"Pan"}}`, nil)
			}
		}
	}
}

// stock puts in what the examples ask for, and returns a visitor token.
func (r *running) stock() string {
	r.t.Helper()
	if status, _ := r.call(http.MethodPut, "/v1/items/pan", config.DevServerSecret, `{"attributes":{"name":"Pan"}}`, nil); status != http.StatusOK {
		r.t.Fatalf("PUT answered %d", status)
	}
	r.call(http.MethodPost, "/v1/track", config.DevServerSecret, `{"userId":"u1","event":"Product Viewed","properties":{"product_id":"pan"}}`, nil)
	within(r.t, "fold u1", func() bool {
		status, _ := r.call(http.MethodGet, "/v1/profiles/u:u1", config.DevServerSecret, nil, nil)
		return status == http.StatusOK
	})
	var v struct {
		Token string `json:"visitor_token"`
	}
	r.call(http.MethodPost, "/v1/visitor", config.DevWriteKey, fmt.Sprintf(`{"anonymous_id":%q}`, device(7)), &v)
	return v.Token
}

// judge returns what is wrong with the answer x to c, "" when nothing is.
func (o *operation) judge(c *credential, x *exchange) string {
	gif := o.Responses["200"].Content["image/gif"] != nil // says 200 whatever happens
	missing := o.path == "/analytics.js/v1/{writeKey}/analytics.min.js"
	disabled := strings.HasPrefix(c.name, "disabled")
	switch {
	case gif && x.status == http.StatusOK, missing && x.status == http.StatusNotFound:
		return ""
	case strings.HasPrefix(o.path, "/sourceConfig") && disabled:
		return want(x, http.StatusOK) // so that the SDK stays silent
	case o.may(c):
		return want(x, http.StatusOK, http.StatusAccepted)
	case disabled && o.Room == "collect":
		return want(x, http.StatusNotFound)
	case c.known && (o.Access != "key" || !strings.HasPrefix(c.name, "server")):
		return want(x, http.StatusForbidden)
	default:
		return want(x, http.StatusUnauthorized)
	}
}

func want(x *exchange, statuses ...int) string {
	if !slices.Contains(statuses, x.status) {
		return fmt.Sprintf("want %v", statuses)
	}
	var e struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	if x.status >= http.StatusBadRequest && (json.Unmarshal([]byte(x.body), &e) != nil || e.Error.Code == "" || e.Error.Message == "") {
		return "want an error with code and message"
	}
	return ""
}

// TestConsoleIsClosed walks every call of the console with every key but the
// secret: none gets in, and a wrong method tells no more.
func TestConsoleIsClosed(t *testing.T) {
	r := start(t, accessConfig(t), node.Options{})
	visitor := r.stock()
	calls := 0
	for _, pattern := range patterns(t, filepath.Join("..", "console"), "") {
		method, path, _ := strings.Cut(pattern, " ")
		if !strings.HasPrefix(path, "/console/api/") {
			continue
		}
		calls++
		for _, c := range credentials(visitor, attune.MillisOf(time.Now())) {
			if strings.HasPrefix(c.name, "server") {
				continue
			}
			at := filled(path) + "?key=u:u1&q=u1&placement=popular"
			x := r.raw(c.name, method, at+"&"+c.query, "", c.headers...)
			if !slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, x.status) {
				t.Errorf("%s as %s: answered %d %.200s, want 401, 403, or 429 to so many guesses", pattern, c.name, x.status, x.body)
			}
		}
	}
	if calls < 3 {
		t.Errorf("found %d calls of the console in its source, the test shows nothing", calls)
	}
}
