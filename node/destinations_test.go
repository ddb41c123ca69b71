package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/destination"
	"github.com/attune-io/attune/destination/webhook"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/journal/disk"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hook is a receiver of webhooks that checks the signature of what it gets,
// and notes what it took.
type hook struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) bool // true takes; nil does
	ids    []string                                          // of what it took
	by     map[string][]string                               // user → "entered vip 0123…"
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, by: map[string][]string{}}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed while it sent
	}
	key, err := destination.Key(hookSecret)
	if err != nil {
		h.t.Error(err)
	}
	id := r.Header.Get("webhook-id")
	if want := webhook.Sign(key, id, r.Header.Get("webhook-timestamp"), body); r.Header.Get("webhook-signature") != want || r.Header.Get("Attune-Delivery") != id {
		h.t.Errorf("%s: signature %q, want %q", body, r.Header.Get("webhook-signature"), want)
	}
	h.mu.Lock()
	answer := h.answer
	h.mu.Unlock()
	if answer != nil && !answer(w, r) {
		return
	}
	var m struct {
		Type string `json:"type"`
		Data struct {
			UserID  string `json:"user_id"`
			Segment string `json:"segment"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids = append(h.ids, id)
	h.by[m.Data.UserID] = append(h.by[m.Data.UserID], strings.TrimPrefix(m.Type, "segment.")+" "+m.Data.Segment+" "+id)
}

func (h *hook) says(answer func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	h.answer = answer
	h.mu.Unlock()
}

func (h *hook) took() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ids)
}

// hooked adds a segment and a destination to cfg.
func hooked(cfg *config.Config, url string) {
	cfg.Segments = []segment.Definition{{Name: "vip", When: `traits.plan == "vip"`}, {Name: "looker", When: "features.views_30d > 0"}}
	cfg.Destinations = []destination.Definition{{
		Name: "crm", Kind: destination.KindWebhook, URL: url, Secret: hookSecret, AllowPrivate: true,
		Timeout: feature.Duration(2 * time.Second), MaxPending: 16,
	}}
}

// journaled returns the transitions that the journal in dir holds, by user, and
// all of their ids.
func journaled(t *testing.T, dir string) (by map[string][]string, all int) {
	t.Helper()
	j, err := disk.Open(disk.Options{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // it was only read
	by = map[string][]string{}
	for p, last := range j.Status().Last {
		r, err := j.Read(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		for at := uint64(0); at < last; {
			recs, err := r.Next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			for i := range recs {
				at = recs[i].Offset
				if recs[i].Kind != attune.KindTransition {
					continue
				}
				var tr attune.Transition
				if err := json.Unmarshal(recs[i].Payload, &tr); err != nil {
					t.Fatal(err)
				}
				what := "exited "
				if tr.Entered {
					what = "entered "
				}
				what += tr.Segment + " " + tr.ID
				if !slices.Contains(by[tr.UserID], what) { // it may be there twice, with the same ID
					by[tr.UserID] = append(by[tr.UserID], what)
					all++
				}
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return by, all
}

// toggle identifies a user with or without the plan.
func (r *running) toggle(user string, in bool) http.Header { //nolint:revive // it is the state
	r.t.Helper()
	plan := "free"
	if in {
		plan = "vip"
	}
	status, h := r.call(http.MethodPost, "/v1/identify", config.DevServerSecret, map[string]any{"userId": user, "traits": map[string]any{"plan": plan}}, nil)
	if status != http.StatusOK {
		r.t.Fatalf("identify answered %d", status)
	}
	return h
}

func (r *running) destination() (d struct {
	State       string `json:"state"`
	Pending     int    `json:"pending"`
	Behind      int    `json:"behind"`
	Delivered   int    `json:"delivered"`
	DeadLetters int    `json:"dead_letters"`
	LastError   string `json:"last_error"`
},
) {
	r.t.Helper()
	var list struct {
		Destinations []json.RawMessage `json:"destinations"`
	}
	r.call(http.MethodGet, "/v1/destinations", config.DevServerSecret, nil, &list)
	if len(list.Destinations) != 1 {
		r.t.Fatalf("%d destinations, want 1", len(list.Destinations))
	}
	if err := json.Unmarshal(list.Destinations[0], &d); err != nil {
		r.t.Fatal(err)
	}
	return d
}

// TestWebhookHangs: while the receiver hangs events are taken, folded and
// decided upon as ever, also by who waits for them; after it returns every
// transition arrives once, in order of each person.
func TestWebhookHangs(t *testing.T) {
	h := newHook(t)
	release := make(chan struct{}) // closed when the receiver returns
	h.says(func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	})
	cfg := testConfig(t.TempDir())
	hooked(&cfg, h.url)
	r := start(t, cfg, node.Options{})
	const users, rounds = 12, 10
	for round := range rounds {
		for u := range users {
			user := "u" + strconv.Itoa(u)
			token := r.toggle(user, round%2 == 0).Get("X-Attune-Token")
			var got answer
			r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, map[string]any{
				"user_id": user, "after": token, "deadline_ms": 2000, "placements": []any{map[string]any{"id": "popular"}},
			}, &got)
			if got.Stale {
				t.Fatalf("round %d: a decision was stale while the receiver hangs", round)
			}
		}
	}
	within(t, "fall behind", func() bool { d := r.destination(); return d.Behind > 0 && d.LastError != "" })
	if d := r.destination(); d.Pending > 16 || d.Delivered != 0 {
		t.Errorf("while it hangs: %+v", d)
	}
	h.says(nil)
	close(release)
	within(t, "send everything", func() bool { d := r.destination(); return d.Pending == 0 && d.Behind == 0 })
	r.stop()
	want, all := journaled(t, cfg.DataDir)
	if all < users*rounds/2 {
		t.Errorf("%d transitions are journaled, want about %d", all, users*rounds)
	}
	arrived(t, h.by, want)
	if n := h.took(); n != all {
		t.Errorf("%d deliveries of %d transitions", n, all)
	}

	// A start that folds everything again sends nothing again.
	cfg.Features = []feature.Definition{{Name: "clicks", Kind: feature.KindCount, On: []string{"Product Clicked"}}}
	r = start(t, cfg, node.Options{})
	r.toggle("late", true)
	within(t, "send one more", func() bool { return h.took() > all })
	r.stop()
	if n := h.took(); n != all+1 {
		t.Errorf("%d deliveries after everything was folded again, want %d", n, all+1)
	}
}

// arrived fails unless everybody's deliveries are her transitions, in order.
func arrived(t *testing.T, got, want map[string][]string) {
	t.Helper()
	for user := range got {
		if want[user] == nil {
			t.Errorf("%s: got %v, and nothing is journaled", user, got[user])
		}
	}
	for user, list := range want {
		if !slices.Equal(got[user], list) {
			t.Errorf("%s: got\n%s\nwant\n%s", user, strings.Join(got[user], "\n"), strings.Join(list, "\n"))
		}
	}
}

// TestWebhookDeadLetters: what the receiver refuses for good can be read and
// tried again.
func TestWebhookDeadLetters(t *testing.T) {
	h := newHook(t)
	h.says(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no such contact", http.StatusUnprocessableEntity)
		return false
	})
	cfg := testConfig(t.TempDir())
	cfg.AdminListen = "127.0.0.1:0"
	hooked(&cfg, h.url)
	r := start(t, cfg, node.Options{})
	r.toggle("u1", true)
	r.toggle("u2", true)
	within(t, "refuse two", func() bool { return r.destination().DeadLetters == 2 })
	var dead struct {
		Letters []struct {
			ID     string `json:"id"`
			Key    string `json:"key"`
			Type   string `json:"type"`
			Reason string `json:"reason"`
			Status int    `json:"status"`
			Body   struct {
				Type string `json:"type"`
			} `json:"body"`
		} `json:"dead_letters"`
		Total int `json:"total"`
	}
	r.call(http.MethodGet, "/v1/destinations/crm/dead-letters?limit=1", config.DevServerSecret, nil, &dead)
	if l := dead.Letters; dead.Total != 2 || len(l) != 1 || l[0].Status != 422 || !strings.Contains(l[0].Reason, "no such contact") || l[0].Body.Type != "segment.entered" || !strings.HasPrefix(l[0].Key, "u:u") {
		t.Errorf("got %+v", dead)
	}
	h.says(nil)
	if status, _ := r.call(http.MethodPost, "/v1/destinations/crm/dead-letters/retry", config.DevServerSecret, map[string]any{"ids": []string{dead.Letters[0].ID}}, nil); status != http.StatusOK {
		t.Errorf("retry answered %d", status)
	}
	within(t, "take one", func() bool { return h.took() == 1 && r.destination().DeadLetters == 1 })
	r.call(http.MethodPost, "/v1/destinations/crm/dead-letters/retry", config.DevServerSecret, nil, nil)
	within(t, "take the other", func() bool { return h.took() == 2 && r.destination().DeadLetters == 0 })
	for _, want := range []string{
		`attune_destination_delivered_total{destination="crm"} 2`, `attune_destination_given_up_total{destination="crm"} 2`,
		`attune_destination_dead_letters{destination="crm"} 0`, `attune_destination_behind_records{destination="crm"} 0`,
	} {
		if !strings.Contains(r.metrics(), want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

// TestReloadDestinations: a destination that is added, changed or taken away
// is so at once, and one that is put back goes on from its place.
func TestReloadDestinations(t *testing.T) {
	first, second := newHook(t), newHook(t)
	cfg := testConfig(t.TempDir())
	hooked(&cfg, first.url)
	destinations := cfg.Destinations
	cfg.Destinations = nil
	r := start(t, cfg, node.Options{})
	r.toggle("before", true)
	within(t, "enter", func() bool { return r.node.Members()["vip"] == 1 })
	time.Sleep(50 * time.Millisecond) // the transition is in the journal soon after
	reload := func(list []destination.Definition) {
		t.Helper()
		next := cfg
		next.Destinations = list
		if err := r.node.Reload(next); err != nil {
			t.Fatal(err)
		}
	}
	reload(destinations)
	r.toggle("u1", true)
	within(t, "send to the first", func() bool { return first.took() == 1 })
	changed := slices.Clone(destinations)
	changed[0].URL = second.url
	reload(changed)
	r.toggle("u2", true)
	within(t, "send to the second", func() bool { return second.took() == 1 })
	reload(nil)
	r.toggle("u3", true)
	within(t, "enter", func() bool { return r.node.Members()["vip"] == 4 })
	reload(destinations)
	within(t, "send what came meanwhile", func() bool { return first.took() == 2 })
	if first.by["before"] != nil || first.by["u3"] == nil || second.by["u2"] == nil {
		t.Errorf("the first got %v, the second %v", first.by, second.by)
	}
}

// hookEnv makes the test binary a server with a destination.
const hookEnv = "ATTUNE_TEST_WEBHOOK"

// TestKillWebhook: a server with a destination is killed again and again while
// transitions are made and sent. Every one that the journal has arrives, in
// order of each person once repeats of an id are dropped.
func TestKillWebhook(t *testing.T) {
	h := newHook(t)
	n := 0
	h.says(func(w http.ResponseWriter, _ *http.Request) bool {
		h.mu.Lock()
		n++
		fails := n%4 == 0
		h.mu.Unlock()
		if fails {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return !fails
	})
	t.Setenv(hookEnv, h.url)
	dir := t.TempDir()
	for life := range 4 {
		s := startServer(t, dir)
		r := &running{t: t, address: s.address}
		for i := range 60 {
			r.toggle(fmt.Sprintf("u%d", i%7), (i/7+life)%2 == 0)
		}
		time.Sleep(time.Duration(life*70) * time.Millisecond)
		s.kill()
	}
	h.says(nil)
	s := startServer(t, dir)
	defer func() { s.kill() }()
	r := &running{t: t, address: s.address}
	r.toggle("last", true)
	within(t, "send everything", func() bool {
		h.mu.Lock()
		last := len(h.by["last"])
		h.mu.Unlock()
		d := r.destination()
		return last == 1 && d.Pending == 0 && d.Behind == 0
	})
	s.kill()
	s.kill = func() {}
	want, all := journaled(t, dir)
	once := map[string][]string{}
	for user, list := range h.by {
		for _, what := range list {
			if !slices.Contains(once[user], what) {
				once[user] = append(once[user], what)
			}
		}
	}
	arrived(t, once, want)
	t.Logf("%d transitions, %d deliveries", all, h.took())
}
