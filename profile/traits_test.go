package profile

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// told is one call of identify, in short.
type told struct {
	rank   attune.Rank
	at     attune.Millis
	object string
}

func traitsOf(calls ...told) Traits {
	var ts Traits
	for i, c := range calls {
		ts.fold(gjson.Parse(c.object), Trait{Rank: c.rank, Time: c.at, Tie: uint64(i) << 1})
	}
	return ts
}

func TestTraits(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls []told
		want  string // fmt of the map, whose keys are sorted
	}{
		{"types are kept", []told{{0, 1, `{"s":"1","n":1.5,"b":true,"a":["x",2],"o":{"p":{"q":"r"}}}`}}, `map[a:[x 2] b:true n:1.5 o:map[p:map[q:r]] s:1]`},
		{"the newer wins", []told{{0, 1, `{"a":1}`}, {0, 2, `{"a":2}`}}, `map[a:2]`},
		{"an older one never overwrites", []told{{0, 2, `{"a":2}`}, {0, 1, `{"a":1,"b":1}`}}, `map[a:2 b:1]`},
		{"null removes", []told{{0, 1, `{"a":1,"b":1}`}, {0, 2, `{"a":null}`}}, `map[b:1]`},
		{"an older one does not revive", []told{{0, 2, `{"a":null}`}, {0, 1, `{"a":1}`}}, `map[]`},
		{"a server wins, even when older", []told{{1, 1, `{"a":"server"}`}, {0, 2, `{"a":"browser"}`}}, `map[a:server]`},
		{"a server's removal wins", []told{{1, 1, `{"a":null}`}, {0, 2, `{"a":"browser"}`}}, `map[]`},
		{"leaves are merged", []told{{0, 1, `{"o":{"a":1,"b":1}}`}, {0, 2, `{"o":{"b":2}}`}}, `map[o:map[a:1 b:2]]`},
		{"null removes what is below", []told{{0, 1, `{"o":{"a":1}}`}, {0, 2, `{"o":null}`}, {0, 3, `{"o":{"b":3}}`}}, `map[o:map[b:3]]`},
		{"a value replaces an object", []told{{0, 1, `{"o":{"a":1}}`}, {0, 2, `{"o":"x"}`}}, `map[o:x]`},
		{"an object replaces a value", []told{{0, 2, `{"o":{"a":1}}`}, {0, 1, `{"o":"x"}`}}, `map[o:map[a:1]]`},
		{"dots are nesting", []told{{0, 1, `{"o.a":1}`}, {0, 2, `{"o":{"b":2}}`}}, `map[o:map[a:1 b:2]]`},
		{"a repeated name takes its last value", []told{{0, 1, `{"a":2,"a":1}`}}, `map[a:1]`},
		{"empty names and objects say nothing", []told{{0, 1, `{"":1,"o":{},"p":{"":1}}`}}, `map[]`},
		{"no object", []told{{0, 1, `[1]`}, {0, 1, `"x"`}, {0, 1, ``}}, `map[]`},
		{"a neighbour's name is not a child", []told{{0, 1, `{"o-x":1,"o":{"a":1},"ox":2}`}}, `map[o:map[a:1] o-x:1 ox:2]`},
	} {
		ts := traitsOf(test.calls...)
		if got := fmt.Sprint(ts.Map()); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// TestTraitsGet: one trait is what the whole tree says it is.
func TestTraitsGet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := drawTraits(t)
		path := rapid.StringMatching(`[ab](\.[ab]){0,2}`).Draw(t, "path")
		var want any = ts.Map()
		ok := true
		for name := range strings.SplitSeq(path, ".") {
			var m map[string]any
			if m, ok = want.(map[string]any); !ok {
				break
			}
			if want, ok = m[name]; !ok {
				break
			}
		}
		got, found := ts.Get(path)
		if found != ok || ok && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s of %v: got %v, %v, want %v, %v", path, ts.Map(), got, found, want, ok)
		}
	})
}

func drawTraits(t *rapid.T) Traits {
	var ts Traits
	for i := range rapid.IntRange(0, 8).Draw(t, "n") {
		path := rapid.StringMatching(`[ab](\.[ab]){0,2}`).Draw(t, "name")
		value := rapid.SampledFrom([]string{"1", `"x"`, "null", "[1]", `{"a":1,"b":null}`}).Draw(t, "value")
		of := Trait{Rank: attune.Rank(rapid.IntRange(0, 1).Draw(t, "rank")), Time: attune.Millis(rapid.IntRange(1, 4).Draw(t, "at")), Tie: uint64(i) << 1}
		ts.fold(gjson.Parse(fmt.Sprintf("{%q:%s}", path, value)), of)
	}
	return ts
}

// TestTraitsMonoid: the order and the grouping of calls change nothing, also
// past the cut.
func TestTraitsMonoid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			of     Trait
			object gjson.Result
		}
		var calls []call
		names := rapid.SampledFrom([]int{5, 3 * maxTraits}).Draw(t, "names")
		size := names / 3
		for i := range rapid.IntRange(1, 12).Draw(t, "calls") {
			object, at := strings.Builder{}, rapid.IntRange(0, names).Draw(t, "from")
			object.WriteString("{")
			for j := range size {
				fmt.Fprintf(&object, `"n%d":%d,`, (at+j)%names, j)
			}
			object.WriteString(`"x":null}`)
			of := Trait{Rank: attune.Rank(rapid.IntRange(0, 1).Draw(t, "rank")), Time: attune.Millis(rapid.IntRange(1, 5).Draw(t, "at")), Tie: uint64(i) << 1}
			calls = append(calls, call{of, gjson.Parse(object.String())})
		}
		var want Traits
		for _, c := range calls {
			want.fold(c.object, c.of)
		}
		var a, b Traits
		for _, c := range rapid.Permutation(calls).Draw(t, "order") {
			if rapid.Bool().Draw(t, "side") {
				a.fold(c.object, c.of)
			} else {
				b.fold(c.object, c.of)
			}
		}
		a.merge(b)
		if got := fmt.Sprint(a); got != fmt.Sprint(want) || len(a) > maxTraits {
			t.Fatalf("got %d leaves, want %d, or they differ", len(a), len(want))
		}
	})
}

func TestTraitBounds(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	ts := traitsOf(told{0, 1, fmt.Sprintf(`{%q:1,"long":%q,"deep":%s,"ok":1}`, strings.Repeat("n", 300), strings.Repeat("v", maxTraitValue), deep)})
	got := map[string]bool{}
	for _, l := range ts {
		got[l.Path] = true
	}
	want := map[string]bool{"ok": true, "deep" + strings.Repeat(".a", maxTraitDepth): true}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
