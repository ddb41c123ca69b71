package attune_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// TestLogIsReadBack: what is read of a log is what JSON would have said of it.
func TestLogIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`sku-[0-9]{1,20}`))
		texts := rapid.SliceOfN(text, 0, 5)
		d := attune.DecisionLog{
			Decision: attune.Decision{
				ID: text.Draw(t, "id"), ProfileVersion: uint64(rapid.Uint32().Draw(t, "version")), Stale: rapid.Bool().Draw(t, "stale"),
				Placements: map[string]*attune.Answer{},
			},
			UserID: text.Draw(t, "user"), AnonymousID: text.Draw(t, "device"),
			At: attune.Millis(rapid.Int32().Draw(t, "at")), Micros: int64(rapid.Int32().Draw(t, "micros")),
			Segments: texts.Draw(t, "segments"),
		}
		config := uint64(rapid.IntRange(0, 1).Draw(t, "config"))
		for range rapid.IntRange(0, 3).Draw(t, "placements") {
			d.Placements[text.Draw(t, "name")] = answer(t, text, config)
		}
		if rapid.Bool().Draw(t, "asked") {
			d.Asked = []attune.Ask{{ID: "similar", Item: text.Draw(t, "item"), Limit: 5, Items: texts.Draw(t, "items"), Query: "x"}}
			d.Context = json.RawMessage(`{"a":"<"}`)
		}
		if rapid.Bool().Draw(t, "more") {
			d.Dedup = rapid.Bool().Draw(t, "dedup")
			d.Asked = append(d.Asked, attune.Ask{ID: "p", Narrow: &attune.Narrow{
				Offset: 3, Blacklist: texts.Draw(t, "blacklist"), Fields: []attune.Field{{Name: "x", Values: []string{"y"}, Bias: -1}},
				DateRange: &attune.DateRange{Name: "d", After: "2026-01-01"},
			}})
			for _, a := range d.Placements {
				a.Content = &attune.Content{Name: text.Draw(t, "content")}
			}
		}
		inputs := []attune.Input{
			{Name: "a", Value: 1.5},
			{Name: "b", Value: true},
			{Name: "c", Value: []any{"x", 2.0}},
			{Name: "d", List: append([]string{"x"}, texts.Draw(t, "input")...)},
			{Name: "e", Value: text.Draw(t, "trait")},
		}[:rapid.IntRange(0, 5).Draw(t, "inputs")]
		b := d.AppendLog([]byte("before"), inputs)[len("before"):]
		if got := attune.LoggedID(b); got != d.ID {
			t.Fatalf("id %q, want %q", got, d.ID)
		}
		for _, in := range inputs {
			if d.Inputs == nil {
				d.Inputs = map[string]any{}
			}
			if d.Inputs[in.Name] = in.Value; in.List != nil {
				d.Inputs[in.Name] = in.List
			}
		}
		for _, a := range d.Placements {
			if config > 0 {
				d.Versions = map[string]uint64{"config": a.Config, "catalog": a.Catalog}
			}
		}
		var got, old attune.DecisionLog
		if err := got.ReadLog(b); err != nil {
			t.Fatal(err)
		}
		want := asJSON(t, &d)
		if have := asJSON(t, &got); have != want {
			t.Fatalf("got  %s\nwant %s", have, want)
		}
		if err := old.ReadLog([]byte(want)); err != nil || asJSON(t, &old) != want {
			t.Fatalf("of an older build: %v\ngot  %s\nwant %s", err, asJSON(t, &old), want)
		}
	})
}

func answer(t *rapid.T, text *rapid.Generator[string], config uint64) *attune.Answer {
	a := &attune.Answer{
		Items: []attune.Ranked{}, Model: text.Draw(t, "model"), Fallback: text.Draw(t, "fallback"),
		Experiment: text.Draw(t, "experiment"), Variant: text.Draw(t, "variant"), Config: config, Catalog: 70,
	}
	if rapid.Bool().Draw(t, "explain") {
		a.Explain = &attune.Explanation{Generators: []attune.GeneratorTrace{}, Filtered: map[string]int{"x": 1}, Micros: 4}
	}
	for range rapid.IntRange(0, 20).Draw(t, "items") {
		a.Items = append(a.Items, attune.Ranked{
			ID: text.Draw(t, "item"), Score: float64(rapid.IntRange(-1e5, 1e5).Draw(t, "score")) / 1000,
			Reason: text.Draw(t, "reason"), Propensity: rapid.SampledFrom([]float64{1, 1, 0.25}).Draw(t, "propensity"),
		})
	}
	return a
}

func asJSON(t *rapid.T, d *attune.DecisionLog) string {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var whole any // for ids that are not UTF-8, and an order of names
	if err := json.Unmarshal(b, &whole); err != nil {
		t.Fatal(err)
	}
	b, _ = json.Marshal(whole)
	return string(b)
}

// TestLogOfWhatJSONCannotSay: what is no number is 0, as in an answer, and a
// score has the digits that were answered.
func TestLogOfWhatJSONCannotSay(t *testing.T) {
	d := attune.DecisionLog{Decision: attune.Decision{Placements: map[string]*attune.Answer{"a": {Items: []attune.Ranked{
		{ID: "x", Score: math.NaN(), Propensity: math.Inf(1)}, {ID: "xy", Score: float64(float32(0.1)), Propensity: 1},
	}}, "b": nil}}}
	var got attune.DecisionLog
	if err := got.ReadLog(d.AppendLog(nil, []attune.Input{{Name: "f", Value: math.NaN()}})); err != nil {
		t.Fatal(err)
	}
	items := got.Placements["a"].Items
	if items[0].Score != 0 || items[0].Propensity != 0 || items[1].Score != 0.1 || items[1].ID != "xy" || got.Placements["b"] != nil {
		t.Errorf("got %+v and %v, want 0, 0.1 and none", items, got.Placements["b"])
	}
	if v, ok := got.Inputs["f"]; !ok || v != nil {
		t.Errorf("input %v, %v, want null", v, ok)
	}
}

// TestLogIsSmall holds the size: an item costs its own part of its id, a score
// and the number of its reason.
func TestLogIsSmall(t *testing.T) {
	a := &attune.Answer{Model: "for-you@1"}
	for _, id := range []string{"sku-002040", "sku-002041", "sku-002048", "sku-002044"} {
		a.Items = append(a.Items, attune.Ranked{ID: id, Score: 0.5, Reason: "because you viewed Item 2051", Propensity: 1})
	}
	d := attune.DecisionLog{Decision: attune.Decision{ID: "AaH8gzN3_m-PAkPX8N-YfA", Placements: map[string]*attune.Answer{"for-you": a}}}
	if n := len(d.AppendLog(nil, nil)); n > 130 {
		t.Errorf("%d bytes for four items, want at most 130", n)
	}
}

func FuzzReadLog(f *testing.F) {
	d := attune.DecisionLog{Decision: attune.Decision{ID: "d1", Placements: map[string]*attune.Answer{"a": {
		Items: []attune.Ranked{{ID: "sku-1", Score: 0.3, Reason: "r", Propensity: 1}, {ID: "sku-2", Reason: "r", Propensity: 0.5}},
	}}}, Asked: []attune.Ask{{ID: "a", Items: []string{"x"}}}, Segments: []string{"s"}}
	f.Add(d.AppendLog(nil, []attune.Input{{Name: "l", List: []string{"x"}}, {Name: "v", Value: "x"}}))
	f.Add([]byte(`{"decision_id":"x","placements":{"a":{"items":[{"id":"b"}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d attune.DecisionLog
		if err := d.ReadLog(b); err != nil && !errors.Is(err, attune.ErrCorrupt) {
			t.Errorf("%q: %v, want ErrCorrupt", b, err)
		}
		if id := attune.LoggedID(b); id != "" && b[0] != 1 {
			t.Errorf("%q has the id %q", b, id)
		}
	})
}
