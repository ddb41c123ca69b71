package rule

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// things is a person of any values.
type things map[string]any

func (p things) Trait(name string) (any, bool) { v, ok := p["t."+name]; return v, ok }

func (p things) Feature(name string, _ attune.Millis) any { return p["f."+name] }

// TestPlain: a condition that is evaluated without CEL has CEL's answer, of
// whatever values.
func TestPlain(t *testing.T) {
	e := env(t, Names{})
	plain := 0
	rapid.Check(t, func(rt *rapid.T) {
		var terms []string
		for range rapid.IntRange(1, 3).Draw(rt, "terms") {
			field := rapid.SampledFrom([]string{"traits.a", "traits.b", "features.a", "features.b"}).Draw(rt, "field")
			op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(rt, "op")
			value := rapid.SampledFrom([]string{"1", "2.5", "-3", "0", "9007199254740993", `"x"`, `""`, `"xy"`, "true", "false", "null"}).Draw(rt, "value")
			term := fmt.Sprintf("%s %s %s", field, op, value)
			if rapid.IntRange(0, 4).Draw(rt, "segment") == 0 {
				term = rapid.SampledFrom([]string{`"vip" in segments`, `"none" in segments`}).Draw(rt, "name")
			}
			terms = append(terms, term)
		}
		text := strings.Join(terms, " && ")
		p, err := e.SegmentCondition(text)
		if err != nil {
			return // an order of bools, say
		}
		if len(p.plain) > 0 {
			plain++
		}
		values := []any{
			nil, 1.0, 2.5, int64(1), int64(-3), 0, math.NaN(), math.Inf(1), float64(1 << 53), "x", "", "xy", "y", true, false,
			[]string{"x"},
			[]string(nil),
			[]any{},
			map[string]any{},
			map[string]float64{"x": 1},
			json.RawMessage("1"), json.RawMessage(`"x"`), json.RawMessage("null"),
			attune.Millis(0), attune.Millis(5),
		}
		person := things{}
		for _, name := range []string{"t.a", "t.b", "f.a", "f.b"} {
			if rapid.IntRange(0, 5).Draw(rt, "there") > 0 {
				person[name] = values[rapid.IntRange(0, len(values)-1).Draw(rt, name)]
			}
		}
		in := &Input{Person: person, Segments: []string{"fan", "vip"}}
		if rapid.IntRange(0, 9).Draw(rt, "nobody") == 0 {
			in.Person = nil
		}
		want, err := p.Eval(in)
		if got := p.Match(in); got != (want && err == nil) {
			rt.Fatalf("%s of %v: got %t, CEL says %t (%v)", text, person, got, want, err)
		}
	})
	if plain == 0 {
		t.Error("no condition was a plain one")
	}
}

// TestWhatIsPlain: what is more than comparisons joined by && is left to CEL.
func TestWhatIsPlain(t *testing.T) {
	e := env(t, Names{})
	for text, want := range map[string]int{
		`features.views > 3`: 1, `features.views > 3 && traits.plan == "pro" && "vip" in segments`: 3, `features.a != null`: 1,
		`features.a > 3 || features.b > 3`: 0, `features.a + 1 > 3`: 0, `has(traits.a)`: 0, `!(features.a > 3)`: 0, `3 < features.a`: 0,
		`features.a > features.b`: 0, `"x" in features.a`: 0, `now > timestamp("2026-01-01T00:00:00Z")`: 0, `traits.a.b == 1`: 0,
	} {
		p, err := e.SegmentCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if len(p.plain) != want {
			t.Errorf("%s: %d plain tests, want %d", text, len(p.plain), want)
		}
	}
}

func BenchmarkSegmentCondition(b *testing.B) {
	e := env(b, Names{})
	in := &Input{Person: things{"t.plan": "pro", "f.views": int64(7)}, Segments: []string{"vip"}}
	for _, c := range []struct{ name, text string }{
		{"plain", `features.views >= 3 && traits.plan == "pro"`},
		{"cel", `!(features.views < 3) && traits.plan == "pro"`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := e.SegmentCondition(c.text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match(in) {
					b.Fatal("want a match")
				}
			}
		})
	}
}
