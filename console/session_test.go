package console_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/console"
)

// world is a node as small as the interfaces allow: sessions and addresses are
// the console's own; what a real node answers is tested in package node.
type world struct {
	secrets []string
	now     attune.Millis
}

func (*world) Gauges(context.Context) console.Gauges       { return console.Gauges{Users: 1} }
func (*world) Setup() console.Setup                        { return console.Setup{} }
func (*world) Placements() []console.PlacementTotals       { return nil }
func (*world) Readiness(context.Context) console.Readiness { return console.Readiness{} }
func (*world) Segments() []console.Segment                 { return nil }

type silent struct{}

func (silent) Recent(int) []attune.Event                      { return nil }
func (silent) Watch() (<-chan attune.Event, func())           { return nil, func() {} }
func (silent) DeadLetters(int) ([]console.DeadLetter, uint64) { return nil, 0 }

type nobody struct{}

func (nobody) Recent(int) []console.Known { return nil }
func (nobody) Search(context.Context, string, int) ([]console.Known, error) {
	return nil, nil
}

func (nobody) Person(context.Context, string) (*console.Person, error) {
	return nil, attune.ErrNotFound
}

func (nobody) Events(context.Context, string, int) ([]json.RawMessage, error) {
	return nil, attune.ErrNotFound
}

func (nobody) Try(context.Context, string, attune.Ask) (*attune.Answer, int64, error) {
	return nil, 0, attune.ErrNotFound
}

// site is a console behind a server.
type site struct {
	t     *testing.T
	world *world
	h     http.Handler
	from  string // the sender's address
}

func newSite(t *testing.T) *site {
	t.Helper()
	w := &world{secrets: []string{"sk_one", "sk_two"}, now: 1_700_000_000_000}
	done := make(chan struct{})
	close(done) // streams end at once
	return &site{t: t, world: w, from: "192.0.2.1:5000", h: console.New(console.Options{
		Secrets: func() []string { return w.secrets }, Clock: func() attune.Millis { return w.now },
		Meter: console.NewMeter(), Status: w, Live: silent{}, People: nobody{}, Decider: nobody{}, Done: done,
	})}
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	s.t.Helper()
	r.RemoteAddr = s.from
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w
}

// cookie is the one that w sets, nil when it sets none.
func cookie(w *httptest.ResponseRecorder) *http.Cookie {
	c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
	if err != nil {
		return nil
	}
	return c
}

func (s *site) login(secret string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/console/login", strings.NewReader(url.Values{"secret": {secret}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

// session logs in and returns the cookie.
func (s *site) session(secret string) *http.Cookie {
	s.t.Helper()
	res := s.login(secret)
	c := cookie(res)
	if res.Code != http.StatusSeeOther || c == nil {
		s.t.Fatalf("login answered %d with the cookie %v", res.Code, c)
	}
	return c
}

// status is what setup answers to who has session.
func (s *site) status(session *http.Cookie) int {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/console/api/setup", http.NoBody)
	if session != nil {
		r.AddCookie(session)
	}
	return s.do(r).Code
}

// requests are one of every address of the API.
func requests() []*http.Request {
	fill := strings.NewReplacer("{key}", "u:1")
	all := []*http.Request{httptest.NewRequest(http.MethodGet, "/console/api/no-such-thing", http.NoBody)}
	for _, p := range console.Patterns() {
		method, path, _ := strings.Cut(p, " ")
		all = append(all, httptest.NewRequest(method, fill.Replace(path), strings.NewReader(`{"id":"for-you"}`)))
	}
	return all
}

func TestEveryAddressIsGuarded(t *testing.T) {
	s := newSite(t)
	for name, credential := range map[string]func(*http.Request){
		"none":           func(*http.Request) {},
		"a wrong secret": func(r *http.Request) { r.SetBasicAuth("sk_three", "") },
		"no secret":      func(r *http.Request) { r.SetBasicAuth("", "") },
		"an empty token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
		"a made-up cookie": func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "attune_console", Value: "9999999999.abc.def"})
		},
	} {
		for i, r := range requests() {
			s.from = "192.0.2." + string(rune('1'+i%9)) + ":1" // nobody guesses often enough to be slowed down
			credential(r)
			res := s.do(r)
			s.world.now += 60_000
			if res.Code != http.StatusUnauthorized {
				t.Errorf("%s %s with %s answered %d, want 401", r.Method, r.URL.Path, name, res.Code)
			}
			if got := res.Header().Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'self'") {
				t.Errorf("%s has the policy %q", r.URL.Path, got)
			}
		}
	}
	for name, credential := range map[string]func(*http.Request){
		"basic":  func(r *http.Request) { r.SetBasicAuth("sk_one", "") },
		"bearer": func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk_two") },
		"cookie": func(r *http.Request) { r.AddCookie(s.session("sk_one")) },
	} {
		for _, r := range requests() {
			credential(r)
			if res := s.do(r); res.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with %s answered 401", r.Method, r.URL.Path, name)
			}
		}
	}
}

func TestSession(t *testing.T) {
	s := newSite(t)
	c := s.session("sk_one")
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/console" {
		t.Errorf("the cookie is %+v, want HttpOnly, SameSite=Strict, for /console", c)
	}
	if strings.Contains(c.Value, "sk_one") {
		t.Error("the cookie holds the secret")
	}
	if got := s.status(c); got != http.StatusOK {
		t.Fatalf("a session is answered %d", got)
	}

	for name, value := range map[string]string{
		"later":       "99" + c.Value,
		"other nonce": strings.Replace(c.Value, ".", ".x", 1),
		"cut":         c.Value[:len(c.Value)-1],
		"no mac":      c.Value[:strings.LastIndexByte(c.Value, '.')+1],
		"empty":       "",
		"dots":        "...",
	} {
		if got := s.status(&http.Cookie{Name: c.Name, Value: value}); got != http.StatusUnauthorized {
			t.Errorf("a forged cookie (%s) is answered %d, want 401", name, got)
		}
	}
	other := s.session("sk_two")
	s.world.secrets = []string{"sk_two"}
	if got := s.status(c); got != http.StatusUnauthorized {
		t.Errorf("a session of a secret that was taken away is answered %d, want 401", got)
	}
	if got := s.status(other); got != http.StatusOK {
		t.Errorf("a session of the secret that stayed is answered %d, want 200", got)
	}
	s.world.now += attune.Millis((13 * time.Hour).Milliseconds())
	if got := s.status(other); got != http.StatusUnauthorized {
		t.Errorf("a session of yesterday is answered %d, want 401", got)
	}
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	c := s.session("sk_one")
	r := httptest.NewRequest(http.MethodPost, "/console/logout", http.NoBody)
	r.AddCookie(c)
	res := s.do(r)
	if got := cookie(res); got == nil || got.MaxAge >= 0 {
		t.Errorf("logout answers the cookie %v, want one that is gone", got)
	}
	if got := s.status(c); got != http.StatusUnauthorized {
		t.Errorf("the ended session is answered %d, want 401", got)
	}
	if got := s.status(s.session("sk_one")); got != http.StatusOK {
		t.Errorf("a new session is answered %d, want 200", got)
	}

	c = s.session("sk_one")
	r = httptest.NewRequest(http.MethodPost, "/console/logout", http.NoBody)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.AddCookie(c)
	s.do(r)
	if got := s.status(c); got != http.StatusOK {
		t.Errorf("another site's page ended the session: %d", got)
	}
}

func TestGuessing(t *testing.T) {
	s := newSite(t)
	for i := range 10 {
		if res := s.login("guess"); res.Code != http.StatusUnauthorized {
			t.Fatalf("guess %d is answered %d, want 401", i, res.Code)
		}
	}
	res := s.login("sk_one")
	if res.Code != http.StatusTooManyRequests || res.Header().Get("Retry-After") == "" {
		t.Errorf("the eleventh try is answered %d, want 429 with Retry-After", res.Code)
	}
	r := httptest.NewRequest(http.MethodGet, "/console/api/setup", http.NoBody)
	r.SetBasicAuth("guess", "")
	if got := s.do(r).Code; got != http.StatusTooManyRequests {
		t.Errorf("a guess at the API is answered %d, want 429", got)
	}
	s.from = "192.0.2.77:1"
	s.session("sk_one") // somebody else is not slowed down
	s.from = "192.0.2.1:5000"
	s.world.now += 61_000
	s.session("sk_one")
}

func TestPages(t *testing.T) {
	s := newSite(t)
	body := func(r *http.Request) (int, string) {
		res := s.do(r)
		return res.Code, res.Body.String()
	}
	get := func(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, http.NoBody) }
	status, login := body(get("/console/"))
	if status != http.StatusOK || !strings.Contains(login, `name="secret"`) {
		t.Errorf("/console/ without a session answers %d %q, want the login page", status, login)
	}
	for _, path := range []string{"/console/assets/app.js", "/console/assets/style.css"} {
		if status, text := body(get(path)); status != http.StatusOK || text == "" {
			t.Errorf("%s answers %d", path, status)
		}
	}
	for _, path := range []string{"/console/assets/", "/console/assets/login.html", "/console/assets/../console.go", "/console/web/app.js"} {
		if status, _ := body(get(path)); status == http.StatusOK {
			t.Errorf("%s answers 200", path)
		}
	}
	r := get("/console/")
	r.AddCookie(s.session("sk_one"))
	if status, page := body(r); status != http.StatusOK || !strings.Contains(page, "app.js") || strings.Contains(page, "<script>") {
		t.Errorf("/console/ with a session answers %d %q, want the console without inline script", status, page)
	}
}
