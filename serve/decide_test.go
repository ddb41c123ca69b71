package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/serve"
)

// faulty is the real engine with a generator that panics.
type faulty struct{ engine }

func (faulty) Decide(*serve.Query) *attune.Answer { panic("a fault in a generator") }

// slow is the real engine with generators that take time: the clock moves by
// step each time the engine looks at it, which it does before each of them.
type slow struct {
	engine

	mono *atomic.Int64
	step time.Duration
}

func (s slow) Decide(q *serve.Query) *attune.Answer {
	expired := q.Expired
	q.Expired = func() bool {
		s.mono.Add(int64(s.step))
		return expired()
	}
	return s.engine.Decide(q)
}

func TestDecideSeveral(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "spade"))
	d, h := w.decide(`{"user_id":"u1","context":{"page":{"category":"Garden"}},"placements":[
		{"id":"for-you","limit":2},{"id":"similar","item":"pan"},{"id":"search","query":"po","items":["pot","pan"]}]}`, server)
	if len(d.Placements) != 3 || d.ID == "" || d.ProfileVersion == 0 || d.Stale {
		t.Errorf("got %+v, want three placements of a known person", d)
	}
	if got := ids(d.Placements["similar"]); got[0] != "pot" {
		t.Errorf("similar to the pan: %v, want the pot first", got)
	}
	if got := ids(d.Placements["search"]); len(got) != 2 {
		t.Errorf("search: %v, want the two given items", got)
	}
	if got := d.Placements["for-you"]; len(got.Items) != 2 || got.Items[0].ID != "rake" {
		t.Errorf("for-you: %v, want two, the rake first", ids(got))
	}
	if got := h.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
}

func TestRecommendAndRank(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	code, body, _ := w.call("GET", "/v1/recommend/similar?item=pan&limit=1&explain=true", "", server)
	if code != 200 || !strings.Contains(string(body), `"id":"pot"`) || !strings.Contains(string(body), `"generators":[`) {
		t.Errorf("recommend: %d %s, want the pot, explained", code, body)
	}
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	code, body, _ = w.call("POST", "/v1/rank", `{"user_id":"u1","items":["rake","spade","pot"]}`, server)
	d := new(attune.Decision)
	check(t, json.Unmarshal(body, d))
	got := ids(d.Placements["search"])
	if code != 200 || len(got) != 3 || slices.Index(got, "pot") == 2 {
		t.Errorf("rank: %d %v, want the pot to rise", code, got)
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct{ body, path, message string }{
		{``, ``, "empty"},
		{`{"placements":[`, ``, "invalid json"},
		{`[]`, ``, "object"},
		{`{"placements":[]} x`, ``, "after the object"},
		{`{"placements":"x"}`, `placements`, "want an array"},
		{`{}`, `placements`, "want 1 to 20"},
		{`{"placements":[{"id":"for-yu"}]}`, `placements[0].id`, `did you mean \"for-you\"?`},
		{`{"placements":[{"id":"for-you"},{"id":"zzzzzzzzzzz"}]}`, `placements[1].id`, "there are also-bought, cart"},
		{`{"placements":[{"id":"cart"},{"id":"cart"}]}`, `placements[1].id`, "twice"},
		{`{"placements":[{"id":"cart","limit":201}]}`, `placements[0].limit`, "0 to 200"},
		{`{"placements":[{"id":"cart"}],"deadline_ms":1001}`, `deadline_ms`, "0 to 1000"},
		{`{"placements":[{"id":"cart"}],"after":"!"}`, `after`, "consistency token"},
		{`{"placements":[{"id":"cart"}],"context":3}`, `context`, "object"},
	} {
		code, body, _ := w.call("POST", "/v1/decide", tc.body, browser)
		if code != 400 || !strings.Contains(string(body), tc.message) || tc.path != "" && !strings.Contains(string(body), `"path":"`+tc.path+`"`) {
			t.Errorf("%s: %d %s, want 400 at %q saying %q", tc.body, code, body, tc.path, tc.message)
		}
	}
	big := `{"placements":[{"id":"cart"}],"user_id":"` + strings.Repeat("x", 5<<20) + `"}`
	if code, body, _ := w.call("POST", "/v1/decide", big, browser); code != 413 || !strings.Contains(string(body), "too_large") {
		t.Errorf("a large body: %d %.100s, want 413", code, body)
	}
	if code, body, h := w.call("PUT", "/v1/decide", "{}", browser); code != 405 || h.Get("Allow") != "POST, OPTIONS" || !json.Valid(body) {
		t.Errorf("PUT: %d %s allow %q, want 405 with Allow", code, body, h.Get("Allow"))
	}
	if code, _, _ := w.call("GET", "/v1/recommend/popular?limit=ten", "", browser); code != 400 {
		t.Errorf("limit=ten: %d, want 400", code)
	}
}

// TestReadYourWrites: inline events and tokens are reflected, every time.
func TestReadYourWrites(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	for i := range 50 {
		user := fmt.Sprintf("inline%d", i)
		d, h := w.decide(fmt.Sprintf(`{"user_id":%q,"deadline_ms":1000,"events":[%s],"placements":[{"id":"recently-viewed"}]}`,
			user, w.track(user, "", "Product Viewed", "pot")), server)
		if got := ids(d.Placements["recently-viewed"]); d.Stale || len(got) != 1 || got[0] != "pot" || h.Get("X-Attune-Token") == "" {
			t.Fatalf("inline %d: %v stale %v token %q, want the pot", i, got, d.Stale, h.Get("X-Attune-Token"))
		}
		d, _ = w.decide(fmt.Sprintf(`{"user_id":%q,"deadline_ms":1000,"after":%q,"placements":[{"id":"recently-viewed"}]}`,
			user, w.send(w.track(user, "", "Product Viewed", "pan"))), server)
		if got := ids(d.Placements["recently-viewed"]); d.Stale || len(got) != 2 || got[0] != "pan" {
			t.Fatalf("after %d: %v stale %v, want the pan first", i, got, d.Stale)
		}
	}
	code, body, _ := w.call("POST", "/v1/decide", `{"user_id":"u","events":[3,`+string(w.track("u", "", "Product Viewed", "pot"))+`],"placements":[{"id":"popular"}]}`, server)
	if code != 200 || !strings.Contains(string(body), `"events":{"stored":true,"accepted":1,"rejected":[{"index":0,`) {
		t.Errorf("a bad inline event: %d %s, want it rejected alone", code, body)
	}
}

// never is a waiter for whom nothing is ever applied.
type never struct{}

func (never) Wait(ctx context.Context, _ journal.Token) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStaleIsSaid(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Waiter = never{} })
	token := w.send(w.track("u1", "", "Product Viewed", "pan"))
	d, _ := w.decide(`{"user_id":"u1","deadline_ms":20,"after":"`+token+`","placements":[{"id":"popular"}]}`, server)
	if !d.Stale {
		t.Errorf("got %+v, want stale", d)
	}
	other := journal.Token{Journal: "another"}
	other.Add(journal.Position{Partition: 0, Offset: 1})
	w2 := newWorld(t, nil)
	d, _ = w2.decide(`{"user_id":"u1","after":"`+other.String()+`","placements":[{"id":"popular"}]}`, server)
	if !d.Stale {
		t.Errorf("a token of another journal: got %+v, want stale", d)
	}
}

// TestSlowGenerator: whoever is slow, the generators after the deadline are not
// asked, and the answer names the fallback that filled it. A generator that has
// begun is let finish: its own bounds say how long that is.
func TestSlowGenerator(t *testing.T) {
	var mono atomic.Int64
	w := newWorld(t, func(o *serve.Options) {
		e, _ := o.Decider.(engine)
		o.Decider = slow{engine: e, mono: &mono, step: 7 * time.Millisecond}
		o.Mono = func() time.Duration { return time.Duration(mono.Load()) }
	})
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	d, _ := w.decide(`{"user_id":"u1","explain":true,"deadline_ms":20,"placements":[{"id":"for-you"},{"id":"similar","item":"pan"}]}`, server)
	const why = "the deadline passed"
	asked := map[string]int{"for-you": 2, "similar": 0} // at 7 and 14 ms, of 20 less a tenth
	for name, want := range asked {
		a := d.Placements[name]
		if a == nil || a.Explain == nil || len(a.Items) == 0 || a.Fallback == "" {
			t.Errorf("%s: got %+v, want items, explained, with the fallback named", name, a)
			continue
		}
		n := 0
		for _, g := range a.Explain.Generators {
			if strings.HasPrefix(g.Name, "fallback ") {
				continue
			}
			if n++; (g.Skipped == why) != (n > want) {
				t.Errorf("%s: generator %d, %s, gave %d and was skipped for %q, want the first %d asked and the rest not, as %s",
					name, n, g.Name, g.Candidates, g.Skipped, want, why)
			}
		}
		if n <= want {
			t.Errorf("%s has %d generators, too few to show anything", name, n)
		}
	}
}

// stuck are people whose store does not answer.
type stuck struct {
	serve.People

	gate    chan struct{} // User waits until it is closed
	entered chan struct{}
}

func (s stuck) User(ctx context.Context, id string) (*profile.Person, error) {
	s.entered <- struct{}{}
	<-s.gate
	return s.People.User(ctx, id)
}

func (stuck) Warm(string, string) *profile.Person { return nil }

func TestStuckStore(t *testing.T) {
	s := stuck{gate: make(chan struct{}), entered: make(chan struct{}, 10)}
	w := newWorld(t, func(o *serve.Options) {
		s.People = o.People
		o.People = s
		o.Limits.Concurrency = 1
	})
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "spade"))
	w.engine.Refresh(w.clock())
	const ask = `{"user_id":"u1","deadline_ms":1000,"placements":[{"id":"for-you","limit":1}]}`
	d, _ := w.decide(strings.Replace(ask, "1000", "5", 1), server)
	if a := d.Placements["for-you"]; a.Fallback != "popular" || len(a.Items) == 0 {
		t.Errorf("late: %v by %q, want items by popular", ids(a), a.Fallback)
	}
	<-s.entered
	d, _ = w.decide(ask, server) // the one left behind has the only slot
	if a := d.Placements["for-you"]; a.Fallback != "popular" || len(s.entered) != 0 {
		t.Errorf("full: fallback %q, entered %d, want popular without the store", a.Fallback, len(s.entered))
	}
	close(s.gate)
	for range 1000 { // until it has given the slot back
		if d, _ = w.decide(ask, server); d.ProfileVersion > 0 {
			break
		}
	}
	for range 3 { // and nobody keeps it
		d, _ = w.decide(ask, server)
		if a := d.Placements["for-you"]; d.ProfileVersion == 0 || a.Fallback != "" {
			t.Errorf("afterwards: version %d, %v by %q, want a personal answer", d.ProfileVersion, ids(a), a.Fallback)
		}
	}
}

func TestAddressIsReadAsURLsAre(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	want := func(query string, code int, items ...string) {
		t.Helper()
		got, body, _ := w.call("GET", "/v1/recommend/search?"+query, "", server)
		var d attune.Decision
		if got == 200 {
			check(t, json.Unmarshal(body, &d))
		}
		if got != code || code == 200 && !slices.Equal(ids(d.Placements["search"]), items) {
			t.Errorf("%s: %d %s, want %d with %v", query, got, body, code, items)
		}
	}
	want("items=pot,,pan&items=rake&limit=3", 200, "pot", "pan", "rake")
	want("%69tems=p%6ft%2Cpan&&limit=1&limit=7", 200, "pot")
	want("items=pot&items=%zz&items=a;b&=x", 200, "pot")
	want("items=pot&limit=%31", 200, "pot")
	want("items=pot&limit=x", 400)
	want("items=pot&deadline_ms=1e3", 400)
}

// lost are people whose store has a fault.
type lost struct{ serve.People }

func (lost) User(context.Context, string) (*profile.Person, error) { panic("a fault in a store") }

func (lost) Warm(string, string) *profile.Person { return nil }

// TestPanicIsAFallback: a panic costs one answer, on the caller's goroutine and
// on the one that reads for it.
func TestPanicIsAFallback(t *testing.T) {
	for where, change := range map[string]func(*serve.Options){
		"generator": func(o *serve.Options) {
			e, _ := o.Decider.(engine)
			o.Decider = faulty{e}
		},
		"store": func(o *serve.Options) { o.People = lost{o.People} },
	} {
		t.Run(where, func(t *testing.T) { panicIsAFallback(t, where, change) })
	}
}

func panicIsAFallback(t *testing.T, where string, change func(*serve.Options)) {
	t.Helper()
	var mu sync.Mutex
	var logged strings.Builder
	w := newWorld(t, func(o *serve.Options) {
		change(o)
		o.Limits.Concurrency = 1 // a slot that is not given back shows
		o.Log = slog.New(slog.NewTextHandler(&locked{mu: &mu, b: &logged}, nil))
	})
	w.shop()
	w.engine.Refresh(w.clock())
	for range 2 {
		d, _ := w.decide(`{"user_id":"u1","placements":[{"id":"for-you"}]}`, server)
		if a := d.Placements["for-you"]; a.Fallback != "popular" || len(a.Items) == 0 {
			t.Errorf("got %v by %q, want items by popular", ids(a), a.Fallback)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(logged.String(), "a fault in a "+where); n != 2 {
		t.Errorf("the log says %q, want both panics", logged.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// failing are ingester and journal whose disk is full.
type failing struct{}

func (failing) Ingest(context.Context, *serve.Inline) (serve.Ingested, error) {
	return serve.Ingested{}, errors.Join(errors.New("disk full"), attune.ErrBusy)
}

func TestRefusedEventsAreSaid(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Ingester = failing{} })
	code, body, h := w.call("POST", "/v1/decide", `{"events":[{}],"placements":[{"id":"popular"}]}`, browser)
	if code != 200 || !strings.Contains(string(body), `"stale":true`) || !strings.Contains(string(body), `"events":{"stored":false}`) ||
		h.Get("X-Attune-Token") != "" || !strings.Contains(h.Get("X-Attune-Notice"), "not stored") {
		t.Errorf("%d %s %v, want a stale answer without a token that says so", code, body, h)
	}
}

func TestDecisionIsJournaled(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	w.send(w.track("u1", "", "Product Viewed", "pot"))
	d, _ := w.decide(`{"user_id":"u1","context":{"page":{"path":"/<x>"}},"placements":[{"id":"popular"},{"id":"similar","item":"pan"},{"id":"for-you"}]}`, server)
	var code int
	var body []byte
	for range 200 { // the record is written behind the answer's back
		token := w.send(w.track("tick", "", "Tick", ""))
		if code, body, _ = w.call("GET", "/v1/decisions/"+d.ID, "", server); code == 200 {
			break
		}
		_ = token
	}
	log := new(struct {
		attune.DecisionLog

		At string `json:"at"`
	})
	check(t, json.Unmarshal(body, log))
	viewed, _ := json.Marshal(log.Inputs["features.last_viewed"])
	if at, err := time.Parse(time.RFC3339, log.At); err != nil || at.Year() != 2026 {
		t.Errorf("at %q: %v, want an instant of 2026", log.At, err)
	}
	if string(viewed) != `["pot","pan"]` || string(log.Context) != `{"page":{"path":"/<x>"}}` || log.Versions["config"] != 1 || log.Versions["catalog"] == 0 {
		t.Errorf("%s, want what u1 viewed, the context and the versions", body)
	}
	if len(log.Asked) != 1 || log.Asked[0].Item != "pan" {
		t.Errorf("asked %+v, want the page's item alone", log.Asked)
	}
	if code != 200 || log.ID != d.ID || log.UserID != "u1" || len(log.Placements["popular"].Items) != len(d.Placements["popular"].Items) {
		t.Errorf("%d %s, want decision %s of u1", code, body, d.ID)
	}
	if code, _, _ := w.call("GET", "/v1/decisions/nope", "", server); code != 400 {
		t.Errorf("an id that is none: %d, want 400", code)
	}
	if code, _, _ := w.call("GET", "/v1/decisions/AAAAAAAAAAAAAAAAAAAAAA", "", server); code != 404 {
		t.Errorf("an unknown id: %d, want 404", code)
	}
}

func FuzzDecide(f *testing.F) {
	w := newWorld(f, nil)
	f.Add([]byte(`{"user_id":"u1","anonymous_id":"a1","events":[{"type":"track"}],"after":"x","deadline_ms":50,"explain":true,"context":{"page":{}},"placements":[{"id":"for-you","limit":10}]}`))
	f.Add([]byte(`{"placements":[{"id":"similar","item":"sku-1"},{"id":"search","query":"red","items":["a","b"]}]}`))
	f.Add([]byte(`{"placements":[{"id":"cart","limit":-1}],"context":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w.tb = t
		code, answer, _ := w.call("POST", "/v1/decide", string(body), server)
		if code != 200 && code != 400 && code != 413 {
			t.Errorf("%q: %d %s", body, code, answer)
		}
		if !json.Valid(answer) {
			t.Errorf("%q: the answer %q is not JSON", body, answer)
		}
	})
}
