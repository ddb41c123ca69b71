package feature_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// fact is what the oracle of a kind knows of an event.
type fact struct {
	at     attune.Millis
	tie    uint64
	amount float64
	key    string
	paid   bool
}

// tales draws events that have all that the newer kinds read.
func tales(r *rapid.T) ([]fact, []*attune.Event) {
	ps, es := points(r)
	out := make([]fact, len(ps))
	for i, p := range ps {
		out[i] = fact{at: p.at, amount: float64(p.tenths) / 10, key: fmt.Sprintf("k%d", rapid.IntRange(0, 4).Draw(r, "key"))}
		name := "Seen"
		if out[i].paid = rapid.Bool().Draw(r, "paid"); out[i].paid {
			name = "Paid"
		}
		es[i] = event("m"+strconv.Itoa(i), name, p.at, fmt.Sprintf(`{"total":%v,"k":%q,"vector":[%v,1]}`, out[i].amount, out[i].key, out[i].amount))
		out[i].tie = es[i].Tie()
	}
	return out, es
}

func amounts(ts []fact) []float64 {
	out := make([]float64, len(ts))
	for i := range ts {
		out[i] = ts[i].amount
	}
	slices.Sort(out)
	return out
}

// TestKindsEqualBruteForce computes each of the newer kinds by its definition,
// over the raw events that lie in the window.
func TestKindsEqualBruteForce(t *testing.T) {
	all, paid, seen := []string{"*"}, []string{"Paid"}, []string{"Seen"}
	shapes := []feature.Definition{
		{Kind: "stddev", On: all, Value: "properties.total"},
		{Kind: "quantile", On: all, Value: "properties.total", Quantile: 0.75},
		{Kind: "histogram", On: all, Value: "properties.total", Buckets: []float64{0, 5}},
		{Kind: "ratio", On: paid, Of: seen},
		{Kind: "top", On: all, By: "properties.k", Value: "properties.total", N: 3},
		{Kind: "distinct", On: all, Value: "properties.k"},
		{Kind: "embedding_mean", On: all, Value: "properties.vector", N: 2},
		{Kind: "time_spent", On: all},
		{Kind: "time_spent", On: all, By: "properties.k"},
	}
	var defs []feature.Definition
	for i, d := range shapes {
		for _, window := range []string{"0", "1h", "24h", "30d"} {
			d.Name, d.Window = fmt.Sprintf("%s_%d_%s", d.Kind, i, window), dur(t, window)
			defs = append(defs, d)
		}
	}
	s := compile(t, defs)
	rapid.Check(t, func(r *rapid.T) {
		ts, es := tales(r)
		var a, b feature.State
		for i, e := range es {
			s.Fold([]*feature.State{&a, &b}[i%2], e)
		}
		s.Merge(&a, &b)
		newest := a.Newest()
		now := newest
		for _, unit := range []attune.Millis{day, hour, minute, 1} {
			now += unit * attune.Millis(rapid.IntRange(-1, 20).Draw(r, "now"))
		}
		slices.SortFunc(ts, func(a, b fact) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.tie, b.tie)) })
		for i := range defs {
			d := &defs[i]
			from := attune.Millis(math.MinInt64)
			switch length := attune.Millis(d.Window.Millis()); {
			case length != 0:
				from = start(now, newest, length)
			case d.Kind == "time_spent" && d.By == "":
				from = start(now, newest, 365*day)
			}
			got, want := s.ReadAt(&a, i, now), oracle(d, ts, from)
			if !alike(got, want) {
				r.Fatalf("%s at %s (from %s): got %v, want %v", d.Name, now, from, got, want)
			}
		}
	})
}

// oracle is the definition of d's kind over ts, oldest first.
func oracle(d *feature.Definition, ts []fact, from attune.Millis) any {
	in := slices.DeleteFunc(slices.Clone(ts), func(e fact) bool { return e.at < from })
	n := float64(len(in))
	if len(in) == 0 && d.Kind != "distinct" && d.Kind != "time_spent" {
		return nil
	}
	byKey := map[string]float64{}
	switch d.Kind {
	case "stddev":
		var mean, sum float64
		for _, e := range in {
			mean += e.amount / n
		}
		for _, e := range in {
			sum += (e.amount - mean) * (e.amount - mean)
		}
		return math.Sqrt(sum / n)
	case "quantile":
		return amounts(in)[int(d.Quantile*(n-1))]
	case "histogram":
		for _, label := range []string{"0", "5", feature.More} {
			byKey[label] = 0
		}
		for _, e := range in {
			label := feature.More
			if e.amount <= 0 {
				label = "0"
			} else if e.amount <= 5 {
				label = "5"
			}
			byKey[label]++
		}
		return byKey
	case "ratio":
		var on, of float64
		for _, e := range in {
			if e.paid {
				on++
			} else {
				of++
			}
		}
		if of == 0 {
			return nil
		}
		return on / of
	case "embedding_mean":
		var sum float64
		for _, e := range in {
			sum += e.amount
		}
		return []float64{sum / n, 1}
	case "top", "distinct":
		for _, e := range in {
			byKey[e.key] = math.Round((byKey[e.key]+e.amount)*10) / 10
		}
		keys := slices.Sorted(maps.Keys(byKey))
		if d.Kind == "distinct" {
			return int64(len(keys))
		}
		slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(byKey[b], byKey[a]) })
		return keys[:min(3, len(keys))]
	default:
		return spent(d, ts, from)
	}
}

// spent is the time between neighbours not more than half an hour apart. Of
// one key the stay has to begin in the window, in all its visit.
func spent(d *feature.Definition, ts []fact, from attune.Millis) any {
	byKey, total, visit := map[string]float64{}, 0.0, attune.Millis(0)
	for i := range ts {
		if i == 0 || ts[i].at-ts[i-1].at > 30*minute {
			visit = ts[i].at
			continue
		}
		took := float64(ts[i].at-ts[i-1].at) / 1000
		if ts[i-1].at >= from && took > 0 {
			byKey[ts[i-1].key] += took
		}
		if visit >= from {
			total += took
		}
	}
	switch {
	case d.By == "":
		return total
	case len(byKey) == 0:
		return nil
	default:
		return byKey
	}
}

// alike compares numbers up to the accuracy of a quantile and of sums of floats.
func alike(got, want any) bool {
	near := func(a, b float64) bool { return math.Abs(a-b) <= math.Abs(b)/100+1e-6 }
	switch w := want.(type) {
	case float64:
		g, ok := got.(float64)
		return ok && near(g, w)
	case []float64:
		g, ok := got.([]float64)
		return ok && slices.EqualFunc(g, w, near)
	case map[string]float64:
		g, ok := got.(map[string]float64)
		return ok && maps.EqualFunc(g, w, near)
	default:
		return fmt.Sprint(got) == fmt.Sprint(want)
	}
}

// TestQuantileIsASketch holds the quantiles to those of DataDog's library, over
// seven orders of magnitude.
func TestQuantileIsASketch(t *testing.T) {
	const accuracy = 1.0 / 128
	rapid.Check(t, func(r *rapid.T) {
		q := rapid.SampledFrom([]float64{0, 0.01, 0.5, 0.95, 0.99, 1}).Draw(r, "q")
		s := compile(t, []feature.Definition{{Name: "q", Kind: "quantile", On: []string{"*"}, Value: "properties.v", Quantile: q}})
		sketch, err := ddsketch.NewDefaultDDSketch(accuracy)
		if err != nil {
			t.Fatal(err)
		}
		var st feature.State
		for i, v := range rapid.SliceOfN(rapid.Float64Range(0.01, 1e5), 1, 200).Draw(r, "values") {
			v = math.Round(v*100) / 100
			s.Fold(&st, event(strconv.Itoa(i), "x", noon, fmt.Sprintf(`{"v":%s}`, strconv.FormatFloat(v, 'f', -1, 64))))
			if err := sketch.Add(v); err != nil {
				t.Fatal(err)
			}
		}
		want, err := sketch.GetValueAtQuantile(q)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ReadAt(&st, 0, noon).(float64); math.Abs(got-want) > 2.1*accuracy*math.Abs(want)+1e-6 {
			r.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	})
}

// TestDistinctPastTheExact: an estimate within four standard errors, the same
// bits however the events are grouped and in whatever order, with a window too.
func TestDistinctPastTheExact(t *testing.T) {
	s := compile(t, []feature.Definition{
		{Name: "all", Kind: "distinct", On: []string{"*"}, Value: "properties.k"},
		{Name: "month", Kind: "distinct", On: []string{"*"}, Value: "properties.k", Window: dur(t, "30d")},
	})
	for _, n := range []int{900, 1000, 1001, 1100, 3000, 20_000} {
		es := make([]*attune.Event, n)
		for i := range es {
			es[i] = event(strconv.Itoa(i), "x", noon+attune.Millis(i%40)*day, fmt.Sprintf(`{"k":"key-%d-%d"}`, n, i))
		}
		one := fold(s, es)
		var two, three feature.State
		for i, e := range slices.Backward(es) {
			s.Fold([]*feature.State{&two, &three}[i*7%11%2], e)
		}
		s.Merge(&two, &three)
		if got, want := s.AppendBinary(&two, nil), s.AppendBinary(one, nil); string(got) != string(want) {
			t.Errorf("%d values: the groupings differ", n)
		}
		inside := 0
		for _, e := range es {
			if e.Time >= start(one.Newest(), one.Newest(), 30*day) {
				inside++
			}
		}
		for i, want := range []int{n, inside} {
			slack := 0
			if n > 1000 {
				slack = want * 8 / 100
			}
			if got := int(s.ReadAt(one, i, 0).(int64)); got < want-slack || got > want+slack {
				t.Errorf("feature %d of %d values: got %d, want %d", i, n, got, want)
			}
		}
	}
}

func TestAttribution(t *testing.T) {
	page := func(id, channel string, at attune.Millis) *attune.Event {
		e := &attune.Event{Type: attune.Page, MessageID: id, Time: at}
		e.Context = []byte(`{"campaign":{"source":"` + channel + `"}}`)
		return e
	}
	order := `{"order_id":"o1","total":100}`
	es := []*attune.Event{
		page("old", "radio", noon-40*day), page("a", "ads", noon-14*day), page("b", "mail", noon-7*day), page("c", "search", noon-7*day+1),
		{Type: attune.Page, MessageID: "d", Time: noon - day},
		event("o", "Order Completed", noon, order),
		page("after", "social", noon+1), event("again", "Order Completed", noon+2, order),
	}
	// The order was told again after a touch: it is one order, at its newer time.
	for model, want := range map[string]string{
		"first": "map[ads:100]", "last": "map[social:100]", "linear": "map[ads:25 mail:25 search:25 social:25]",
		"position": "map[ads:40 mail:10 search:10 social:40]", "decay": "map[ads:11.1 mail:22.2 search:22.2 social:44.4]",
	} {
		s := compile(t, []feature.Definition{{
			Name: "x", Kind: "attribution", On: []string{"Order Completed"}, Of: []string{"*"},
			By: "context.campaign.source", Value: "properties.total", Model: model, Window: dur(t, "30d"),
		}})
		got := map[string]float64{}
		for k, v := range s.Read(fold(s, es), "x", noon).(map[string]float64) {
			got[k] = math.Round(v*10) / 10
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, want %s", model, got, want)
		}
	}
}

func TestFeedback(t *testing.T) {
	s := compile(t, feature.Defaults())
	of := func(id, name, item, more string) *attune.Event {
		return event(id, name, noon, fmt.Sprintf(`{"product_id":%q%s}`, item, more))
	}
	es := []*attune.Event{
		of("1", "Product Liked", "a", ""), of("2", "Product Liked", "b", ""), of("3", "Product Hidden", "c", ""),
		of("4", "Not Interested", "d", ""), of("5", "Product Rated", "a", `,"rating":4`), of("6", "Product Disliked", "b", ""),
		of("7", "Product Rated", "a", `,"rating":2.5`), of("8", "Product Rated", "e", `,"rating":5`), of("9", "Product Unhidden", "c", ""),
	}
	for i, e := range es {
		e.Time += attune.Millis(i)
	}
	for name, want := range map[string]string{"liked": "[a]", "disliked": "[b]", "hidden": "[d]", "ratings": "map[a:2.5 e:5]"} {
		if got := fmt.Sprint(s.Read(fold(s, es), name, noon)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestLargerKindsSayTheirFaults(t *testing.T) {
	on := []string{"*"}
	_, err := feature.Compile([]feature.Definition{
		{Name: "a", Kind: "ratio", On: on},
		{Name: "b", Kind: "histogram", On: on, Value: "properties.x", Buckets: []float64{2, 1}},
		{Name: "c", Kind: "quantile", On: on, Value: "properties.x", Quantile: 1.5},
		{Name: "d", Kind: "embedding_mean", On: on, Value: "properties.x", N: 500, Window: dur(t, "30d")},
		{Name: "e", Kind: "attribution", On: on, Of: on, By: "name", Model: "lst"},
		{Name: "f", Kind: "count", On: on, Of: on, Quantile: 0.5, Model: "last", Buckets: []float64{1}, Expr: "1"},
		{Name: "g", Kind: "derived"},
		{Name: "h", Kind: "derived", Expr: "1", On: on},
	}, condition)
	for _, want := range []string{
		`feature "a": of: missing`, `feature "b": buckets: 1 comes after 2`, `feature "c": quantile: 1.5 is out of bounds`,
		`feature "d": window: 30d keeps`, `feature "e": model: unknown model "lst"; did you mean "last"?`,
		`feature "f": of: a feature of kind count takes none`, `feature "f": quantile:`, `feature "f": model:`, `feature "f": buckets:`, `feature "f": expr:`,
		`feature "g": expr: missing`, `feature "h": kind: a derived feature takes expr and scope alone`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}
