package segment

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// person has features that are there until an instant, as a window has them.
type person struct {
	traits map[string]any
	until  map[string]attune.Millis
}

func (p person) Trait(name string) (any, bool) { v, ok := p.traits[name]; return v, ok }

func (p person) Feature(name string, now attune.Millis) any {
	if until, ok := p.until[name]; ok && now < until {
		return int64(1)
	}
	return int64(0)
}

func (p person) NextChangeOf(features []int32, now attune.Millis) attune.Millis {
	var next attune.Millis
	for _, f := range features {
		if until := p.until[known()[f].Name]; until > now && (next == 0 || until < next) {
			next = until
		}
	}
	return next
}

// known are the features of the tests.
func known() []Feature {
	return []Feature{{Name: "views_1h", Steps: true}, {Name: "affinity", Moves: true}, {Name: "adds_1h", Steps: true}, {Name: "orders"}}
}

func compile(tb testing.TB, defs []Definition) (*Set, error) {
	tb.Helper()
	names := rule.Names{Segments: []string{}}
	for _, d := range defs {
		names.Segments = append(names.Segments, d.Name)
	}
	env, err := rule.New(names)
	if err != nil {
		tb.Fatal(err)
	}
	return Compile(defs, env, known())
}

func TestEvaluate(t *testing.T) {
	s, err := compile(t, []Definition{
		{Name: "z-both", When: `"vip" in segments && "active" in segments`},
		{Name: "sleeping-vip", When: `"vip" in segments && !("active" in segments)`},
		{Name: "vip", When: `traits.plan == "gold"`},
		{Name: "active", When: `features.views_1h > 0`},
		{Name: "never", When: `traits.missing > 3`},
		{Name: "all", When: `true`},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := person{traits: map[string]any{"plan": "gold"}, until: map[string]attune.Millis{"views_1h": 1000}}
	for now, want := range map[attune.Millis][]string{
		500:  {"active", "all", "vip", "z-both"},
		999:  {"active", "all", "vip", "z-both"},
		1000: {"all", "sleeping-vip", "vip"},
	} {
		if got := s.Evaluate(p, now); !slices.Equal(got, want) {
			t.Errorf("at %d: got %v, want %v", now, got, want)
		}
	}
	if got := s.NextChange(p, 500, 0, &Change{All: true}); got != 1000 {
		t.Errorf("next change: got %d, want 1000", got)
	}
	if got := s.NextChange(p, 1000, 0, &Change{All: true}); got != 0 {
		t.Errorf("next change after the last: got %d, want 0", got)
	}
	var none *Set
	if got := none.Evaluate(p, 1); got != nil || none.NextChange(p, 1, 0, &Change{}) != 0 || none.Definitions() != nil {
		t.Errorf("no set: got %v", got)
	}
}

func TestNextChangeOfTime(t *testing.T) {
	p := person{until: map[string]attune.Millis{"views_1h": 400_000}}
	for _, c := range []struct {
		when string
		want attune.Millis
	}{
		{`traits.x == 1`, 0},
		{`features.views_1h > 1`, 400_000},
		{`features.affinity > 1`, 300_000},
		{`daysSince(traits.signup) > 3.0`, 300_000},
		{`traits[string(traits.x)] == 1`, 300_000}, // it may be anything
	} {
		s, err := compile(t, []Definition{{Name: "a", When: c.when}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.NextChange(p, 1000, 0, &Change{All: true}); got != c.want {
			t.Errorf("%s: got %d, want %d", c.when, got, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		defs []Definition
		want string
	}{
		{"cycle", []Definition{
			{Name: "x", When: `"a" in segments`},
			{Name: "a", When: `"b" in segments`},
			{Name: "b", When: `"c" in segments`},
			{Name: "c", When: `"a" in segments`},
		}, `segments[0].when: segments name each other in a circle: a → b → c → a: invalid`},
		{"itself", []Definition{{Name: "a", When: `"a" in segments`}}, `segments[0].when: segments name each other in a circle: a → a: invalid`},
		{"twice", []Definition{{Name: "a", When: `true`}, {Name: "a", When: `true`}}, `segments[1].name: segment "a" is there twice, also as segments[0]: invalid`},
		{
			"names",
			[]Definition{{When: `true`}, {Name: "a b", When: `true`}, {Name: strings.Repeat("a", 101), When: `true`}},
			"segments[0].name: a segment has to have a name: invalid\nsegments[1].name: name \"a b\": want letters, digits, - and _: invalid\nsegments[2].name: a name has at most 100 bytes: invalid",
		},
		{"misspelt", []Definition{{Name: "vip", When: `true`}, {Name: "b", When: `"vpi" in segments`}}, `segments[1].when: 1:1: unknown segment "vpi"; did you mean "vip"?`},
		{"all of them", []Definition{{Name: "a", When: `size(segments) > 1`}}, `segments[0].when: a segment names other segments one by one, as in "vip" in segments: invalid`},
		{"context", []Definition{{Name: "a", When: `context.x == 1`}}, `segments[0].when: 1:1: "context" is not known in a condition on segments; there are traits, features, segments, now`},
	} {
		_, err := compile(t, c.defs)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
			continue
		}
		var f *Fault
		if !errors.Is(err, attune.ErrInvalid) || !errors.As(err, &f) {
			t.Errorf("%s: %v is no fault", c.name, err)
		}
	}
}

// TestOrderDoesNotMatter: whatever order segments are declared in, the members
// are those of the fixed point.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "segments")
		var defs []Definition
		member := map[string]bool{}
		traits := map[string]any{}
		for i := range n {
			name := fmt.Sprintf("s%02d", i)
			own := rapid.Bool().Draw(rt, "own")
			traits[name] = own
			when, want := "traits."+name, own
			for j := range i { // only earlier ones: no cycle
				if rapid.IntRange(0, 3).Draw(rt, "names") == 0 {
					other := fmt.Sprintf("s%02d", j)
					if rapid.Bool().Draw(rt, "not") {
						when, want = fmt.Sprintf("(%s) || !(%q in segments)", when, other), want || !member[other]
					} else {
						when, want = fmt.Sprintf("(%s) && %q in segments", when, other), want && member[other]
					}
				}
			}
			member[name] = want
			defs = append(defs, Definition{Name: name, When: when})
		}
		s, err := compile(t, rapid.Permutation(defs).Draw(rt, "order"))
		if err != nil {
			rt.Fatal(err)
		}
		maps.DeleteFunc(member, func(_ string, in bool) bool { return !in })
		want := slices.Sorted(maps.Keys(member))
		if got := s.Evaluate(person{traits: traits}, 0); !slices.Equal(got, want) {
			rt.Fatalf("got %v, want %v of %v", got, want, defs)
		}
	})
}

func TestDiff(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.ID[string])
		before, after := names.Draw(rt, "before"), names.Draw(rt, "after")
		slices.Sort(before)
		slices.Sort(after)
		got := slices.Clone(before)
		last := ""
		for _, tr := range Diff("u1", before, after) {
			if tr.UserID != "u1" || tr.Segment <= last {
				rt.Fatalf("%+v after %q", tr, last)
			}
			last = tr.Segment
			at, found := slices.BinarySearch(got, tr.Segment)
			if found == tr.Entered {
				rt.Fatalf("%+v of %v", tr, got)
			}
			if tr.Entered {
				got = slices.Insert(got, at, tr.Segment)
			} else {
				got = slices.Delete(got, at, at+1)
			}
		}
		if !slices.Equal(got, after) {
			rt.Fatalf("%v to %v: the transitions lead to %v", before, after, got)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	var defs []Definition
	for i := range 20 {
		defs = append(defs, Definition{Name: fmt.Sprintf("s%d", i), When: fmt.Sprintf(`features.views_1h >= %d && traits.plan == "gold"`, i%2)})
	}
	s, err := compile(b, defs)
	if err != nil {
		b.Fatal(err)
	}
	p := person{traits: map[string]any{"plan": "gold"}, until: map[string]attune.Millis{"views_1h": 1000}}
	b.ReportAllocs()
	for b.Loop() {
		s.Evaluate(p, 5)
	}
}

// TestUpdate: after any changes of features, traits and time the answer of
// Update is that of Evaluate, although it evaluates only what is concerned;
// and nothing changes before the instant that NextChange names.
func TestUpdate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var defs []Definition
		for i := range rapid.IntRange(1, 90).Draw(rt, "segments") {
			when := rapid.SampledFrom([]string{
				`features.views_1h > 0`, `features.adds_1h > 0`, `features.orders > 0`, `traits.plan == "gold"`, `traits.size == "xl"`,
				`features.views_1h > 0 && traits.plan == "gold"`, `now > timestamp("1970-01-01T00:15:00Z")`, `traits["pl" + "an"] == "gold"`,
			}).Draw(rt, "when")
			if i > 0 && rapid.Bool().Draw(rt, "names") {
				other := rapid.IntRange(0, i-1).Draw(rt, "other")
				when = fmt.Sprintf(`%s || %q in segments`, when, fmt.Sprintf("s%02d", other))
				if rapid.Bool().Draw(rt, "not") {
					when = fmt.Sprintf("!(%s)", when)
				}
			}
			defs = append(defs, Definition{Name: fmt.Sprintf("s%02d", i), When: when})
		}
		s, err := compile(t, defs)
		if err != nil {
			rt.Fatal(err)
		}
		p := person{traits: map[string]any{}, until: map[string]attune.Millis{}}
		now := attune.Millis(1000)
		member := s.Evaluate(p, now)
		next := s.NextChange(p, now, 0, &Change{All: true})
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			quiet := now
			now += attune.Millis(rapid.IntRange(0, 400_000).Draw(rt, "later"))
			for quiet < now && (next == 0 || quiet < next) { // as it was until next
				if got := s.Evaluate(p, quiet); !slices.Equal(got, member) {
					rt.Fatalf("at %d: %v, and nothing was to change from %v before %d", quiet, got, member, next)
				}
				quiet += 50_000
			}
			var c Change
			for i, f := range known() {
				if rapid.IntRange(0, 3).Draw(rt, f.Name) == 0 {
					p.until[f.Name] = now + attune.Millis(rapid.IntRange(-1, 900_000).Draw(rt, "until"))
					if !f.Steps {
						p.until[f.Name] = attune.Millis(rapid.SampledFrom([]int{0, 1 << 40}).Draw(rt, "there"))
					}
					c.Features = append(c.Features, int32(i))
				}
			}
			for _, name := range []string{"plan", "size"} {
				if rapid.IntRange(0, 3).Draw(rt, name) == 0 {
					p.traits[name] = rapid.SampledFrom([]string{"gold", "xl"}).Draw(rt, "value")
					c.Traits = append(c.Traits, name)
				}
			}
			c.Time = next != 0 && next <= now
			was := slices.Clone(member)
			got, _ := s.Update(p, now, member, &c)
			if want := s.Evaluate(p, now); !slices.Equal(got, want) {
				rt.Fatalf("after %+v at %d: got %v, want %v, before %v", c, now, got, want, was)
			}
			if !slices.Equal(member, was) {
				rt.Fatal("Update wrote to what was")
			}
			member, next = got, s.NextChange(p, now, next, &c)
		}
	})
}

// TestUpdateEvaluatesLittle: an event costs the conditions that read what it
// changes, and those that name the ones that changed.
func TestUpdateEvaluatesLittle(t *testing.T) {
	var defs []Definition
	for i := range 300 {
		defs = append(defs, Definition{Name: fmt.Sprintf("s%d", i), When: fmt.Sprintf(`features.%s > 0`, []string{"views_1h", "adds_1h", "orders"}[i%3])})
	}
	defs = append(defs, Definition{Name: "both", When: `"s0" in segments && "s1" in segments`})
	s, err := compile(t, defs)
	if err != nil {
		t.Fatal(err)
	}
	p := person{until: map[string]attune.Millis{"views_1h": 5000}}
	was := s.Evaluate(p, 1)
	p.until["orders"] = 5000
	now, n := s.Update(p, 1, was, &Change{Features: []int32{3}})
	if n != 100 || len(now) != 200 {
		t.Errorf("evaluated %d, in %d; want 100 and 200", n, len(now))
	}
	p.until["adds_1h"] = 5000
	now, n = s.Update(p, 1, now, &Change{Features: []int32{2}})
	if n != 101 || len(now) != 301 {
		t.Errorf("evaluated %d, in %d; want 101 and 301", n, len(now))
	}
	if same, n := s.Update(p, 1, now, &Change{Traits: []string{"plan"}}); n != 0 || &same[0] != &now[0] {
		t.Errorf("evaluated %d for a trait that nobody reads", n)
	}
}
