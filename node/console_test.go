package node_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/console"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

// shopped runs a node on dir whose user u1 browsed, logged in and bought.
func shopped(t *testing.T, dir string) *running {
	t.Helper()
	cfg := testConfig(dir)
	cfg.Segments = []segment.Definition{{Name: "buyers", Description: "Bought", When: "features.purchases_30d > 0"}}
	r := start(t, cfg, node.Options{})
	send := func(body string) {
		t.Helper()
		if status, _ := r.call(http.MethodPost, "/v1/track", config.DevWriteKey, body, nil); status != http.StatusOK {
			t.Fatalf("%s answered %d", body, status)
		}
	}
	browser := `"anonymousId":"` + device(1) + `","context":{"library":{"name":"analytics.js"}}`
	for _, p := range []string{"p1", "p2", "p3"} {
		send(`{"event":"Product Viewed","properties":{"product_id":"` + p + `","name":"Thing ` + p + `","category":"Things"},` + browser + `}`)
	}
	for _, p := range []string{"p1", "p2"} {
		send(`{"event":"Product Viewed","userId":"u2","properties":{"product_id":"` + p + `"}}`)
	}
	send(`{"event":"Order Completed","userId":"u1","properties":{"order_id":"o1","revenue":12,"products":[{"product_id":"p1"}]},` + browser + `}`)
	send(`{"event":"Recommendation Viewed","userId":"u1","properties":{"placement":"for-you","product_id":"p2"},` + browser + `}`)
	send(`{"event":"Recommendation Clicked","userId":"u1","properties":{"placement":"for-you","product_id":"p2"},` + browser + `}`)
	r.call(http.MethodPost, "/v1/track", config.DevWriteKey, `{"event":"X","userId":"null"}`, nil)
	within(t, "fold", func() bool { return r.person("u:u1").LastSeen != 0 && len(r.person("u:u1").Segments) == 1 })
	return r
}

func (r *running) person(key string) (p console.Person) {
	r.t.Helper()
	r.call(http.MethodGet, "/console/api/people/"+key, config.DevServerSecret, nil, &p)
	return p
}

func TestConsoleRefusesStrangers(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	for _, pattern := range console.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.ReplaceAll(path, "{key}", "u:u1")
		for _, key := range []string{"", config.DevWriteKey} {
			// After ten wrong secrets the answer is that there were too many.
			if status, _ := r.call(method, path, key, nil, nil); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
				t.Errorf("%s with the key %q answered %d, want 401 or 429", pattern, key, status)
			}
		}
	}
}

func TestConsolePeople(t *testing.T) {
	r := shopped(t, t.TempDir())
	p := r.person("u:u1")
	if p.Canonical != "u1" || len(p.Identities) != 2 || p.FirstSeen == 0 || p.Segments[0] != "buyers" {
		t.Errorf("the person is %+v", p)
	}
	read := map[string]any{}
	for _, f := range p.Features {
		read[f.Name] = f.Value
	}
	if read["views_1h"] != 3.0 || read["purchases_30d"] != 1.0 {
		t.Errorf("features are %v, want 3 views (those before she logged in) and a purchase", read)
	}
	var list struct {
		People []console.Known `json:"people"`
	}
	r.call(http.MethodGet, "/console/api/people", config.DevServerSecret, nil, &list)
	if len(list.People) != 3 || list.People[0].Key != "u:u1" || list.People[0].Last != "Recommendation Clicked" {
		t.Errorf("lately: %+v, want u1 first, then u2 and the device", list.People)
	}
	within(t, "be found by the beginning of an id", func() bool {
		r.call(http.MethodGet, "/console/api/people?q=u", config.DevServerSecret, nil, &list)
		return len(list.People) == 2
	})
	r.call(http.MethodGet, "/console/api/people?q=00000001", config.DevServerSecret, nil, &list)
	if len(list.People) != 1 || list.People[0].Key != "a:"+device(1) {
		t.Errorf("a search for a device finds %+v", list.People)
	}
	var timeline struct {
		Events []struct {
			Event string `json:"event"`
		} `json:"events"`
	}
	r.call(http.MethodGet, "/console/api/people/u:u1/events", config.DevServerSecret, nil, &timeline)
	if len(timeline.Events) != 6 || timeline.Events[0].Event != "Recommendation Clicked" {
		t.Errorf("the timeline is %+v, want six events, the click first", timeline.Events)
	}
	var tried struct {
		Answer attune.Answer `json:"answer"`
	}
	r.call(http.MethodPost, "/console/api/people/u:u1/decide", config.DevServerSecret, `{"id":"for-you"}`, &tried)
	if a := tried.Answer; len(a.Items) == 0 || a.Explain == nil || len(a.Explain.Generators) == 0 {
		t.Errorf("she would see %+v, want items and why", a)
	}
	for path, want := range map[string]int{"people/u:nobody": 404, "people/x:1": 400, "people/u:nobody/events": 404, "people?limit=x": 400} {
		if status, _ := r.call(http.MethodGet, "/console/api/"+path, config.DevServerSecret, nil, nil); status != want {
			t.Errorf("%s answered %d, want %d", path, status, want)
		}
	}
	if status, _ := r.call(http.MethodPost, "/console/api/people/u:u1/decide", config.DevServerSecret, `{"id":"none"}`, nil); status != http.StatusNotFound {
		t.Errorf("an unknown placement answered %d, want 404", status)
	}
}

func TestConsoleStatus(t *testing.T) {
	dir := t.TempDir()
	r := shopped(t, dir)
	r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, `{"user_id":"u1","placements":[{"id":"for-you"}]}`, nil)
	var over struct {
		Gauges     console.Gauges `json:"gauges"`
		Totals     console.Totals `json:"totals"`
		Placements []struct {
			Placement   string  `json:"placement"`
			Decisions   int     `json:"decisions"`
			Impressions int     `json:"impressions"`
			CTR         float64 `json:"ctr"`
		} `json:"placements"`
	}
	r.call(http.MethodGet, "/console/api/overview", config.DevServerSecret, nil, &over)
	if over.Totals.Accepted != 8 || over.Totals.Rejected != 1 || over.Gauges.Items != 3 || over.Gauges.JournalBytes <= 0 {
		t.Errorf("the overview says %+v %+v, want 8 accepted, 1 rejected, 3 items and a journal on disk", over.Totals, over.Gauges)
	}
	for _, p := range over.Placements {
		if p.Placement == "for-you" && (p.Decisions != 1 || p.Impressions != 1 || p.CTR != 1) {
			t.Errorf("for-you is %+v, want a decision, an impression and its click", p)
		}
	}
	var series struct {
		Points []console.Point `json:"points"`
	}
	within(t, "make a point", func() bool {
		r.call(http.MethodGet, "/console/api/series", config.DevServerSecret, nil, &series)
		return len(series.Points) > 0
	})
	if last := series.Points[len(series.Points)-1]; last.At == 0 {
		t.Errorf("the point %+v has no time", last)
	}
	var audience struct {
		Segments []console.Segment `json:"segments"`
	}
	r.call(http.MethodGet, "/console/api/segments", config.DevServerSecret, nil, &audience)
	if len(audience.Segments) != 1 || audience.Segments[0].Members != 1 {
		t.Errorf("segments are %+v, want buyers with one member", audience.Segments)
	}
	var dead struct {
		DeadLetters []console.DeadLetter `json:"dead_letters"`
	}
	r.call(http.MethodGet, "/console/api/dead-letters", config.DevServerSecret, nil, &dead)
	if len(dead.DeadLetters) != 1 || dead.DeadLetters[0].Reason == "" {
		t.Errorf("dead letters are %+v, want one with why", dead.DeadLetters)
	}
	var setup console.Setup
	r.call(http.MethodGet, "/console/api/setup", config.DevServerSecret, nil, &setup)
	if !setup.Dev || len(setup.Sources) != 1 || setup.Sources[0].WriteKey != config.DevWriteKey || len(setup.Placements) == 0 {
		t.Errorf("the setup is %+v", setup)
	}

	// After a start the console knows what was there before it.
	r.stop()
	r = start(t, testConfig(dir), node.Options{})
	within(t, "remember", func() bool { return r.seen("Order Completed") == 1 })
	if got := r.seen("Product Viewed"); got != 5 {
		t.Errorf("%d views after a start, want 5", got)
	}
	var events struct {
		Events []json.RawMessage `json:"events"`
	}
	within(t, "show what was", func() bool {
		r.call(http.MethodGet, "/console/api/events", config.DevServerSecret, nil, &events)
		return len(events.Events) == 8
	})
}

// seen is how often readiness saw an event.
func (r *running) seen(name string) uint64 {
	r.t.Helper()
	var ready console.Readiness
	r.call(http.MethodGet, "/console/api/readiness", config.DevServerSecret, nil, &ready)
	for _, e := range ready.Events {
		if e.Name == name {
			return e.Seen
		}
	}
	return 0
}

func TestConsoleReadiness(t *testing.T) {
	r := shopped(t, t.TempDir())
	var ready console.Readiness
	r.call(http.MethodGet, "/console/api/readiness", config.DevServerSecret, nil, &ready)
	if c := ready.Catalog; c.Items != 3 || c.NoPrice != 3 || c.NoName != 0 {
		t.Errorf("the catalog is %+v, want 3 items with names and without prices", c)
	}
	if i := ready.Identity; i.Anonymous != 3 || i.Known != 2 || i.Both != 3 || i.NoID != 1 {
		t.Errorf("identity is %+v, want 3 anonymous, 2 known, 3 both, 1 without", i)
	}
	for _, p := range ready.Placements {
		for _, g := range p.Generators {
			if len(g.Events) == 0 && g.Note == "" {
				t.Errorf("%s: %s says nothing of what it needs", p.Name, g.Name)
			}
		}
	}
}

// TestConsoleLive: the stream begins with what was, and goes on with what comes.
func TestConsoleLive(t *testing.T) {
	r := shopped(t, t.TempDir())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/console/api/live", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(config.DevServerSecret, "")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // the test ends
	lines := bufio.NewScanner(res.Body)
	next := func() (name string) {
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: {\"type\""); ok {
				var e struct {
					On string `json:"on"`
				}
				if err := json.Unmarshal([]byte("{\"type\""+text), &e); err != nil {
					t.Fatal(err)
				}
				return e.On
			}
		}
		return ""
	}
	for range 8 {
		if next() == "" {
			t.Fatal("the stream ended before the events that were")
		}
	}
	r.track(device(2), "Song Played", `{}`)
	if got := next(); got != "Song Played" {
		t.Errorf("the stream goes on with %q, want Song Played", got)
	}
}
