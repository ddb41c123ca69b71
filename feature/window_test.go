package feature_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// point is an event for the oracles: a time and an amount in tenths.
type point struct {
	at     attune.Millis
	tenths int64
}

func points(r *rapid.T) ([]point, []*attune.Event) {
	n := rapid.IntRange(1, 60).Draw(r, "points")
	ps, es := make([]point, n), make([]*attune.Event, n)
	for i := range ps {
		at := noon
		for _, unit := range []attune.Millis{day, hour, 5 * minute, minute, 1} {
			if rapid.Bool().Draw(r, "unit") {
				at += unit * attune.Millis(rapid.IntRange(-20, 20).Draw(r, "at"))
			}
		}
		ps[i] = point{at: at, tenths: int64(rapid.IntRange(-50, 100).Draw(r, "amount"))}
		es[i] = event("m"+strconv.Itoa(i), "Paid", at,
			fmt.Sprintf(`{"total":%s}`, strconv.FormatFloat(float64(ps[i].tenths)/10, 'f', 1, 64)))
	}
	return ps, es
}

// start is the first instant of the window at now, by the definition.
func start(now, newest, length attune.Millis) attune.Millis {
	q := max(now, newest) + 1
	hop := 5 * minute
	switch {
	case length >= 12*day:
		hop = day
	case length >= 12*hour:
		hop = hour
	}
	from := q - length
	return from - ((from%hop)+hop)%hop
}

// brute computes kind over the raw points.
func brute(kind string, ps []point, from, gap attune.Millis) any {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	var in []int64
	var total attune.Millis
	sessions := 0
	for i, p := range ps {
		if p.at >= from {
			in = append(in, p.tenths)
		}
		if p.at < from || i > 0 && p.at-ps[i-1].at <= gap {
			continue
		}
		sessions++
		end := i
		for end+1 < len(ps) && ps[end+1].at-ps[end].at <= gap {
			end++
		}
		total += ps[end].at - p.at
	}
	var sum int64
	for _, v := range in {
		sum += v
	}
	switch {
	case kind == "count":
		return int64(len(in))
	case kind == "sum":
		return float64(sum*100_000) / 1e6
	case kind == "sessions":
		return int64(sessions)
	case len(in) == 0:
		return nil
	case kind == "mean":
		return float64(sum*100_000) / 1e6 / float64(len(in))
	case kind == "min":
		return float64(slices.Min(in)*100_000) / 1e6
	case kind == "max":
		return float64(slices.Max(in)*100_000) / 1e6
	case sessions == 0:
		return nil
	default:
		return float64(total) / float64(sessions) / 1000
	}
}

func TestWindowsEqualBruteForce(t *testing.T) {
	var defs []feature.Definition
	for _, kind := range []string{"count", "sum", "mean", "min", "max", "sessions", "session_length"} {
		for _, window := range []string{"5m", "1h", "11h59m", "12h", "24h", "7d", "12d", "30d"} {
			d := feature.Definition{Name: kind + "_" + window, Kind: kind, On: []string{"Paid"}, Window: dur(t, window)}
			if kind == "sum" || kind == "mean" || kind == "min" || kind == "max" {
				d.Value = "properties.total"
			}
			defs = append(defs, d)
		}
	}
	s := compile(t, defs)
	rapid.Check(t, func(r *rapid.T) {
		ps, es := points(r)
		var a, b feature.State
		for i, e := range es {
			if i%2 == 0 {
				s.Fold(&a, e)
			} else {
				s.Fold(&b, e)
			}
		}
		s.Merge(&a, &b)
		newest := slices.MaxFunc(ps, func(x, y point) int { return cmp.Compare(x.at, y.at) }).at
		now := newest
		for _, unit := range []attune.Millis{day, hour, minute, 1} {
			now += unit * attune.Millis(rapid.IntRange(-1, 20).Draw(r, "now"))
		}
		for i := range defs {
			d := &defs[i]
			from := start(now, newest, attune.Millis(d.Window.Millis()))
			got, want := s.ReadAt(&a, i, now), brute(d.Kind, ps, from, 30*minute)
			if got != want {
				r.Fatalf("%s at %s (from %s): got %v, want %v", d.Name, now, from, got, want)
			}
		}
	})
}

// Nothing that windows or ttl hold changes before NextChange, and something
// does at it.
func TestNextChange(t *testing.T) {
	defs := []feature.Definition{
		{Name: "c1h", Kind: "count", On: []string{"Paid"}, Window: dur(t, "1h")},
		{Name: "c24h", Kind: "count", On: []string{"Paid"}, Window: dur(t, "24h")},
		{Name: "s30d", Kind: "sessions", On: []string{"Paid"}, Window: dur(t, "30d")},
		{Name: "ttl", Kind: "count", On: []string{"Paid"}, TTL: dur(t, "3h")},
	}
	s := compile(t, defs)
	rapid.Check(t, func(r *rapid.T) {
		_, es := points(r)
		st := fold(s, es)
		now := st.Newest() + attune.Millis(rapid.IntRange(-10, 100).Draw(r, "now"))*hour
		for range 200 {
			next := s.NextChange(st, now)
			before := readable(t, s, st, now)
			if next == 0 {
				if got := readable(t, s, st, now+1000*day); got != before {
					r.Fatalf("changed after never: got %s, want %s", got, before)
				}
				return
			}
			if next <= now {
				r.Fatalf("NextChange: got %s, not after %s", next, now)
			}
			if got := readable(t, s, st, next-1); got != before {
				r.Fatalf("changed before %s: got %s, want %s", next, got, before)
			}
			if got := readable(t, s, st, next); got == before {
				r.Fatalf("nothing changed at %s: %s", next, got)
			}
			now = next
		}
	})
}

func TestDecayEqualsDefinition(t *testing.T) {
	half := 7 * hour
	s := compile(t, []feature.Definition{
		{Name: "d", Kind: "decayed", On: []string{"Paid"}, Value: "properties.total", HalfLife: dur(t, "7h")},
		{Name: "a", Kind: "affinity", On: []string{"Paid"}, Value: "properties.total", By: "name", HalfLife: dur(t, "7h")},
	})
	rapid.Check(t, func(r *rapid.T) {
		ps, es := points(r)
		st := fold(s, es)
		now := st.Newest() + attune.Millis(rapid.IntRange(0, 1000).Draw(r, "now"))*minute
		var want, size float64
		for _, p := range ps {
			v := float64(p.tenths) / 10 * math.Exp2(-float64(now-p.at)/float64(half))
			want, size = want+v, size+math.Abs(v)
		}
		for i, got := range []float64{s.ReadAt(st, 0, now).(float64), s.ReadAt(st, 1, now).(map[string]float64)["Paid"]} {
			if math.Abs(got-want) > 1e-6*size+1e-4 {
				r.Errorf("feature %d: got %v, want %v", i, got, want)
			}
		}
	})
}

func TestLast(t *testing.T) {
	s := compile(t, []feature.Definition{
		{Name: "last", Kind: "last", On: []string{"*"}, Value: "properties.query", N: 4},
		{Name: "distinct", Kind: "last", On: []string{"*"}, Value: "properties.query", N: 4, Distinct: true},
	})
	rapid.Check(t, func(r *rapid.T) {
		// Orders have an oracle of their own.
		es := slices.DeleteFunc(events(r, 20), func(e *attune.Event) bool {
			return strings.Contains(string(e.Properties), "order_id")
		})
		st := fold(s, es)
		slices.SortFunc(es, func(a, b *attune.Event) int {
			return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Tie(), a.Tie()))
		})
		var last, distinct []string
		for _, e := range es {
			_, q, _ := strings.Cut(string(e.Properties), `"query":"`)
			q = q[:2]
			if len(last) < 4 {
				last = append(last, q)
			}
			if len(distinct) < 4 && !slices.Contains(distinct, q) {
				distinct = append(distinct, q)
			}
		}
		if got := s.List(st, 0, nil, noon); !slices.Equal(got, last) {
			r.Errorf("last: got %v, want %v", got, last)
		}
		if got := s.List(st, 1, nil, noon); !slices.Equal(got, distinct) {
			r.Errorf("distinct: got %v, want %v", got, distinct)
		}
	})
}

func TestSet(t *testing.T) {
	s := compile(t, []feature.Definition{{
		Name: "cart", Kind: "set", On: []string{"Product Added"},
		Off: []string{"Product Removed", "Order Completed"}, Value: "item.id",
	}})
	add := func(id, p string, at attune.Millis) *attune.Event {
		return event(id, "Product Added", at, `{"product_id":"`+p+`"}`)
	}
	es := []*attune.Event{
		add("1", "a", noon), add("2", "b", noon+1), add("3", "c", noon+2),
		event("4", "Product Removed", noon+3, `{"product_id":"b"}`), add("5", "d", noon+5),
		event("6", "Order Completed", noon+4, `{"order_id":"o","products":[{"product_id":"a"},{"product_id":"d"}]}`),
	}
	for range 2 {
		st := fold(s, es)
		if got, want := s.List(st, 0, nil, noon), []string{"d", "c"}; !slices.Equal(got, want) {
			t.Errorf("cart: got %v, want %v", got, want)
		}
		got := s.Recent(st, 0, nil, noon)
		if want := []feature.Seen{{Key: "d", Time: noon + 5}, {Key: "c", Time: noon + 2}}; !slices.Equal(got, want) {
			t.Errorf("recent: got %v, want %v", got, want)
		}
		slices.Reverse(es)
	}
}

func TestCapsAreSaid(t *testing.T) {
	s := compile(t, []feature.Definition{
		{Name: "distinct", Kind: "distinct", On: []string{"*"}, Value: "properties.k"},
		{Name: "affinity", Kind: "affinity", On: []string{"*"}, By: "properties.k"},
		{Name: "count", Kind: "count", On: []string{"*"}},
	})
	var st feature.State
	for i := range 1001 {
		if i == 256 && s.Approximate(&st, 1) {
			t.Error("affinity of 256 keys is approximate")
		}
		if i == 1000 && s.Approximate(&st, 0) {
			t.Error("distinct of 1000 is approximate")
		}
		s.Fold(&st, event(strconv.Itoa(i), "x", noon+attune.Millis(i), fmt.Sprintf(`{"k":"k%d"}`, i)))
	}
	b := s.AppendBinary(&st, nil)
	back, err := s.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if got := s.Approximate(&back, i); got != want {
			t.Errorf("approximate %d: got %v, want %v", i, got, want)
		}
	}
	if got := s.ReadAt(&st, 0, noon); got.(int64) < 960 || got.(int64) > 1040 {
		t.Errorf("distinct: got %v, want about 1001", got)
	}
	if got := s.Weights(&st, 1, nil, noon); len(got) != 256 || got[0].Key != "k1000" {
		t.Errorf("affinity: got %d keys, first %v", len(got), got[0])
	}
}
