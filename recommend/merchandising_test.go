package recommend_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/recommend"
)

// wanted is a file of testdata/golden: what is in the shop, what people did, the
// rules, and for each question the decision. The generator newest gives the
// items in the order of the file.
type wanted struct {
	About string `yaml:"about"`
	Items []struct {
		ID         string         `yaml:"id"`
		Attributes map[string]any `yaml:"attributes"`
	} `yaml:"items"`
	Events     []event                        `yaml:"events"`
	Placements map[string]recommend.Placement `yaml:"placements"`
	Ask        []question                     `yaml:"ask"`
}

// question is one request and its answer.
type question struct {
	Why       string         `yaml:"why"`
	Placement string         `yaml:"placement"`
	User      string         `yaml:"user"`
	At        string         `yaml:"at"` // RFC 3339; the end of the events when empty
	Item      string         `yaml:"item"`
	Items     []string       `yaml:"items"`
	Limit     int            `yaml:"limit"`
	Seed      uint64         `yaml:"seed"`
	Context   map[string]any `yaml:"context"`
	Above     []string       `yaml:"above"` // shown by a placement before
	Dedup     bool           `yaml:"dedup"`
	Options   options        `yaml:"options"`

	Want       []string  `yaml:"want"`
	Fallback   string    `yaml:"fallback"`
	Content    string    `yaml:"content"`
	Propensity []float64 `yaml:"propensity"`
	// Rules are those that an explanation says, each with the items it moved.
	Rules map[string][]string `yaml:"rules"`
}

// options are attune.Narrow as a request writes it.
type options map[string]any

// TestMerchandising: each rule gives the decision that is written beside it.
func TestMerchandising(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.yaml")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no files in testdata/golden")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			check(t, err)
			var g wanted
			check(t, yaml.UnmarshalWithOptions(raw, &g, yaml.Strict()))
			g.run(t)
		})
	}
}

func (g *wanted) run(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	for _, it := range slices.Backward(g.Items) {
		w.put(t, attune.Item{ID: it.ID, Attributes: it.Attributes})
	}
	w.send(t, g.Events...)
	var placements []recommend.Placement
	for name, p := range g.Placements {
		p.Name = name
		placements = append(placements, p)
	}
	e := w.engine(t, placements...)
	e.Refresh(w.now)
	for i := range g.Ask {
		q := &g.Ask[i]
		for _, explain := range []bool{false, true} {
			a := e.Decide(q.query(t, w, explain))
			if got := ids(a); !slices.Equal(got, q.Want) {
				t.Errorf("ask[%d] (%s): got %v, want %v", i, q.Why, got, q.Want)
			}
			if a.Fallback != q.Fallback {
				t.Errorf("ask[%d] (%s): fallback %q, want %q", i, q.Why, a.Fallback, q.Fallback)
			}
			q.rest(t, i, a)
		}
	}
}

func (q *question) query(t *testing.T, w *world, explain bool) *recommend.Query {
	t.Helper()
	out := &recommend.Query{
		Placement: q.Placement, Person: w.person(t, q.User), Now: w.now, Seed: q.Seed, Limit: q.Limit,
		Item: q.Item, Items: q.Items, Explain: explain, Dedup: q.Dedup,
	}
	if q.At != "" {
		at, err := time.Parse(time.RFC3339, q.At)
		check(t, err)
		out.Now = attune.MillisOf(at)
	}
	if q.Context != nil {
		raw, err := json.Marshal(q.Context)
		check(t, err)
		out.Context = raw
	}
	if q.Above != nil {
		above := &attune.Answer{}
		for _, id := range q.Above {
			above.Items = append(above.Items, attune.Ranked{ID: id})
		}
		out.Above = []*attune.Answer{above}
	}
	if q.Options != nil {
		raw, err := json.Marshal(q.Options)
		check(t, err)
		check(t, json.Unmarshal(raw, &out.Narrow))
	}
	return out
}

// rest checks what a question says beside the ranking.
func (q *question) rest(t *testing.T, i int, a *attune.Answer) {
	t.Helper()
	got := ""
	if a.Content != nil {
		got = a.Content.Name + " " + string(a.Content.Payload)
	}
	if got != q.Content {
		t.Errorf("ask[%d] (%s): content %q, want %q", i, q.Why, got, q.Content)
	}
	for j, r := range a.Items {
		want := 1.0
		if q.Propensity != nil && j < len(q.Propensity) {
			want = q.Propensity[j]
		}
		if d := r.Propensity - want; d > 1e-9 || d < -1e-9 {
			t.Errorf("ask[%d] (%s): propensity of %s is %v, want %v", i, q.Why, r.ID, r.Propensity, want)
		}
	}
	if a.Explain == nil || q.Rules == nil {
		return
	}
	for name, items := range q.Rules {
		at := slices.IndexFunc(a.Explain.Rules, func(r attune.RuleTrace) bool { return r.Name == name })
		if at < 0 {
			t.Errorf("ask[%d] (%s): no rule %q in %+v", i, q.Why, name, a.Explain.Rules)
			continue
		}
		got := a.Explain.Rules[at]
		if len(items) == 1 && strings.HasPrefix(items[0], "skipped: ") {
			if "skipped: "+got.Skipped != items[0] {
				t.Errorf("ask[%d] (%s): rule %s skipped %q, want %q", i, q.Why, name, got.Skipped, items[0])
			}
		} else if !slices.Equal(got.Items, items) {
			t.Errorf("ask[%d] (%s): rule %s moved %v, want %v", i, q.Why, name, got.Items, items)
		}
	}
}
