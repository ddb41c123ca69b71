package feature_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// cameLast is the definition of a sequence, tried out: every choice of an
// event for each step.
func cameLast(d *feature.Definition, es []*attune.Event, now attune.Millis) any {
	var best attune.Millis
	found := false
	before := func(a, b *attune.Event) bool { return a.Time < b.Time || a.Time == b.Time && a.Tie() < b.Tie() }
	var try func(step int, first, last *attune.Event)
	try = func(step int, first, last *attune.Event) {
		if step == len(d.Steps) {
			for _, e := range es {
				if slices.Contains(d.Off, e.On()) && !before(e, first) && e != first {
					return
				}
			}
			if !found || last.Time > best {
				best, found = last.Time, true
			}
			return
		}
		s := &d.Steps[step]
		for _, e := range es {
			if !slices.Contains(s.On, e.On()) || s.Where != "" && !strings.Contains(string(e.Properties), `"total":2`) {
				continue
			}
			if step == 0 {
				try(1, e, e)
				continue
			}
			if !before(last, e) || s.Within != 0 && e.Time-last.Time > attune.Millis(s.Within.Millis()) {
				continue
			}
			between := func(x *attune.Event) bool {
				return slices.Contains(s.Without, x.On()) && before(last, x) && before(x, e)
			}
			if !slices.ContainsFunc(es, between) {
				try(step+1, first, e)
			}
		}
	}
	try(0, nil, nil)
	if !found || d.Window != 0 && int64(best) < int64(now)+1-d.Window.Millis() {
		return nil
	}
	return best.String()
}

// TestSequence: a sequence is what its definition says, whatever comes late
// and however the events are spread over parts.
func TestSequence(t *testing.T) {
	hour := dur(t, "1h")
	view, add, buy, search := "Product Viewed", "Product Added", "Order Completed", "Products Searched"
	on := func(names ...string) []string { return names }
	defs := []feature.Definition{
		{Name: "a", Kind: "sequence", Steps: []feature.Step{{On: on(view)}, {On: on(add), Within: hour}}, Off: on(buy)},
		{Name: "b", Kind: "sequence", Steps: []feature.Step{{On: on(view)}, {On: on(view), Within: hour, Without: on(search)}, {On: on(add, buy), Within: 2 * hour}}, Window: 5 * hour},
		{Name: "c", Kind: "sequence", Steps: []feature.Step{{On: on(search), Where: "two"}, {On: on(view), Without: on(buy, "Product Removed")}}},
		{Name: "d", Kind: "sequence", Steps: []feature.Step{{On: on(view)}, {On: on(add)}, {On: on(buy)}}},
		{Name: "e", Kind: "sequence", Steps: []feature.Step{{On: on(view)}, {On: on(search)}}, Off: on(search)},
	}
	s, err := feature.Compile(defs, func(string) (feature.Condition, error) { return two{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		names := []string{view, view, add, buy, search, "Product Removed"}
		es := make([]*attune.Event, rapid.IntRange(0, 14).Draw(r, "events"))
		var a, b feature.State
		newest := noon
		for i := range es {
			at := noon + attune.Millis(rapid.IntRange(0, 16).Draw(r, "at"))*20*minute
			if rapid.Bool().Draw(r, "ms") {
				at += attune.Millis(rapid.IntRange(-1, 1).Draw(r, "off"))
			}
			es[i] = event(fmt.Sprintf("m%d", i), rapid.SampledFrom(names).Draw(r, "name"), at, fmt.Sprintf(`{"total":%d}`, rapid.IntRange(1, 3).Draw(r, "total")))
			newest = max(newest, at)
			if rapid.Bool().Draw(r, "part") {
				s.Fold(&a, es[i])
			} else {
				s.Fold(&b, es[i])
			}
		}
		var all feature.State
		s.Merge(&all, &a)
		s.Merge(&all, &b)
		now := newest + attune.Millis(rapid.IntRange(0, 7*60).Draw(r, "later"))*minute
		for i := range defs {
			if got, want := s.ReadAt(&all, i, now), cameLast(&defs[i], es, now); got != want {
				r.Fatalf("%s: got %v, want %v", defs[i].Name, got, want)
			}
		}
		if next := s.NextChange(&all, now); next != 0 {
			if got, want := s.ReadAt(&all, 1, next-1), s.ReadAt(&all, 1, now); got != want {
				r.Fatalf("b changes from %v to %v before %v", want, got, next)
			}
			if s.ReadAt(&all, 1, next) == s.ReadAt(&all, 1, now) {
				r.Fatalf("b does not change at %v", next)
			}
		} else if s.ReadAt(&all, 1, now) != nil {
			r.Fatal("b never leaves its window")
		}
	})
}

// two is a condition on the total.
type two struct{}

func (two) Match(e *attune.Event, _ *attune.Product) bool {
	return strings.Contains(string(e.Properties), `"total":2`)
}

// TestSequenceIsBounded: of each step the newest events are kept, in any order
// of arrival.
func TestSequenceIsBounded(t *testing.T) {
	s := compile(t, []feature.Definition{{Name: "a", Kind: "sequence", Steps: []feature.Step{{On: []string{"A"}}, {On: []string{"B"}, Within: dur(t, "1m")}}}})
	var forth, back feature.State
	var es []*attune.Event
	for i := range 1000 {
		es = append(es, event(fmt.Sprintf("m%d", i), "A", noon+attune.Millis(i)*minute, "{}"), event(fmt.Sprintf("n%d", i), "B", noon+attune.Millis(i)*minute+1000, "{}"))
	}
	for i := range es {
		s.Fold(&forth, es[i])
		s.Fold(&back, es[len(es)-1-i])
	}
	a, b := s.AppendBinary(&forth, nil), s.AppendBinary(&back, nil)
	if string(a) != string(b) || len(a) > 4000 {
		t.Errorf("%d and %d bytes, want the same and few", len(a), len(b))
	}
	if got, want := s.ReadAt(&forth, 0, noon+2000*minute), es[len(es)-1].Time.String(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSequenceFaults(t *testing.T) {
	_, err := feature.Compile([]feature.Definition{
		{Name: "one", Kind: "sequence", Steps: []feature.Step{{On: []string{"A"}}}},
		{Name: "on", Kind: "sequence", On: []string{"A"}, Where: "true", Steps: []feature.Step{{On: []string{"A"}}, {}}},
		{Name: "first", Kind: "sequence", Steps: []feature.Step{{On: []string{"A"}, Within: dur(t, "1h"), Without: []string{"C"}}, {On: []string{"B"}, Within: dur(t, "1000d")}}},
		{Name: "count", Kind: "count", On: []string{"A"}, Steps: []feature.Step{{On: []string{"A"}}, {On: []string{"B"}}}},
	}, condition)
	for _, want := range []string{
		`feature "one": steps: there are 1; want 2 to 5`, `feature "on": on: a sequence takes none`, `feature "on": where: a sequence takes none`,
		`feature "on": steps[1].on: missing`, `feature "first": steps[0].within: the first step`, `feature "first": steps[0].without: the first step`,
		`feature "first": steps[1].within: 1000d is out of bounds`, `feature "count": steps: a feature of kind count takes none`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
