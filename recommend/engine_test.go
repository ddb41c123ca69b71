package recommend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/recommend"
)

// shop is a small world: garden and kitchen things, three people who were in
// the garden, two in the kitchen.
func shop(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	w.put(tb,
		item("spade", "Spade", "Garden", "price", 20.0), item("rake", "Rake", "Garden", "price", 15.0),
		item("seeds", "Seeds", "Garden", "price", 3.0), item("gloves", "Gloves", "Garden", "price", 8.0),
		item("pan", "Pan", "Kitchen", "price", 30.0), item("pot", "Pot", "Kitchen", "price", 25.0),
		item("knife", "Knife", "Kitchen", "price", 40.0), item("lamp", "Lamp", "Home"),
	)
	for i := range 3 {
		w.send(tb, viewed(fmt.Sprintf("g%d", i), "spade", "rake", "gloves")...)
	}
	for i := range 2 {
		w.send(tb, viewed(fmt.Sprintf("k%d", i), "pan", "pot", "knife")...)
	}
	w.send(tb, bought("g0", "o1", "spade", "seeds"), bought("g1", "o2", "spade", "seeds"), bought("k0", "o3", "pan", "knife"))
	return w
}

func TestPersonal(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	w.send(t, viewed("new", "spade")...)
	a := e.Decide(&recommend.Query{Placement: "for-you", Person: w.person(t, "new"), Now: w.now, Limit: 3})
	if a.Fallback != "" || a.Model != "for-you@1" {
		t.Errorf("fallback %q model %q, want none and for-you@1", a.Fallback, a.Model)
	}
	got := ids(a)
	if !slices.Contains(got[:2], "rake") || slices.Contains(got, "pan") {
		t.Errorf("after a view of the spade: %v, want garden things", got)
	}
	for _, r := range a.Items {
		if r.Reason == "" || r.Propensity != 1 || len(r.Attributes) == 0 {
			t.Errorf("item %+v lacks reason, propensity or attributes", r)
		}
	}
}

func TestPlacements(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	w.send(t, event{User: "c", Name: "Product Viewed", Item: "pan"}, event{User: "c", Name: "Product Added", Item: "pan"})
	for _, tc := range []struct {
		q      recommend.Query
		first  string
		reason string
	}{
		{recommend.Query{Placement: "similar", Item: "pan"}, "knife", "often viewed with Pan"},
		{recommend.Query{Placement: "also-bought", Item: "spade"}, "seeds", "often bought with Spade"},
		{recommend.Query{Placement: "recently-viewed"}, "pan", "you viewed this recently"},
		{recommend.Query{Placement: "cart"}, "knife", "goes with Pan in your cart"},
		{recommend.Query{Placement: "search", Text: "lam"}, "lamp", "matches lam"},
		{recommend.Query{Placement: "popular"}, "spade", "popular now"},
	} {
		tc.q.Person, tc.q.Now = w.person(t, "c"), w.now
		a := e.Decide(&tc.q)
		if len(a.Items) == 0 || a.Items[0].ID != tc.first || a.Items[0].Reason != tc.reason || a.Fallback != "" {
			t.Errorf("%s: got %v %+v fallback %q, want %s, %q", tc.q.Placement, ids(a), a.Items[:min(1, len(a.Items))], a.Fallback, tc.first, tc.reason)
		}
	}
}

func TestRecentlyViewedIsNotFilled(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	a := e.Decide(&recommend.Query{Placement: "recently-viewed", Person: w.person(t, "k0"), Now: w.now})
	if got, want := ids(a), []string{"knife", "pot", "pan"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSearchRanksWhatItIsGiven(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	w.send(t, viewed("new", "pan")...)
	given := []string{"lamp", "spade", "knife", "unknown"}
	a := e.Decide(&recommend.Query{Placement: "search", Items: given, Person: w.person(t, "new"), Now: w.now})
	got := ids(a)
	if len(got) != 3 || got[0] == "spade" || slices.Index(got, "knife") > slices.Index(got, "spade") {
		t.Errorf("got %v, want the three known items with the knife before the spade", got)
	}
	late := e.Decide(&recommend.Query{
		Placement: "search", Items: given, Person: w.person(t, "new"), Now: w.now, Expired: func() bool { return true },
	})
	if got, want := ids(late), given[:3]; !slices.Equal(got, want) || late.Fallback != "items" {
		t.Errorf("late: got %v by %q, want %v by items", got, late.Fallback, want)
	}
}

func TestGoneIsGone(t *testing.T) {
	w := shop(t)
	own := recommend.Placement{
		Name: "own", Generators: []recommend.Generator{{Kind: "list", From: "features.last_viewed"}},
		Fallback: []recommend.Step{{Kind: "static", Items: []string{"spade", "pan", "lamp"}}, {Kind: "popular"}, {Kind: "newest"}},
	}
	e := w.engine(t, own)
	e.Refresh(w.now)
	w.put(t, attune.Item{ID: "spade", Deleted: true}, attune.Item{ID: "pan", Attributes: map[string]any{"in_stock": false}})
	for _, name := range e.Placements() {
		for _, q := range []recommend.Query{
			{Item: "rake"}, {Item: "spade"}, {Items: []string{"spade", "pan", "rake"}}, {Text: "pa"}, {Expired: func() bool { return true }},
		} {
			q.Placement, q.Person, q.Now = name, w.person(t, "g0"), w.now
			for _, a := range []*attune.Answer{e.Decide(&q), e.Quick(&q)} {
				for _, id := range ids(a) {
					if id == "spade" || id == "pan" {
						t.Errorf("%s: %s is shown though it is gone", name, id)
					}
				}
			}
		}
	}
}

func TestEmptyWorld(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t)
	e.Refresh(w.now)
	for _, name := range e.Placements() {
		q := recommend.Query{Placement: name, Person: w.person(t, ""), Now: w.now, Item: "x", Items: []string{"y"}, Text: "z", Explain: true}
		for _, a := range []*attune.Answer{e.Decide(&q), e.Quick(&q)} {
			if len(a.Items) != 0 || a.Items == nil || a.Fallback != recommend.None {
				t.Errorf("%s: got %v by %q, want an empty list by none", name, a.Items, a.Fallback)
			}
		}
	}
	if a := e.Decide(&recommend.Query{Placement: "nope", Person: w.person(t, "")}); a != nil {
		t.Errorf("unknown placement: got %v, want nil", a)
	}
}

func TestFallbackIsNamed(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	for _, tc := range []struct {
		q    recommend.Query
		want string
	}{
		{recommend.Query{Placement: "also-bought", Item: "lamp"}, "trending"},
		{recommend.Query{Placement: "also-bought", Item: "rake"}, "viewed_together"},
		{recommend.Query{Placement: "cart"}, "trending"},
		{recommend.Query{Placement: "for-you", Expired: func() bool { return true }}, "trending"},
		{recommend.Query{Placement: "search", Text: "zzz"}, "trending"},
		{recommend.Query{Placement: "popular"}, ""},
	} {
		tc.q.Person, tc.q.Now = w.person(t, ""), w.now
		if a := e.Decide(&tc.q); a.Fallback != tc.want || len(a.Items) == 0 {
			t.Errorf("%s: fallback %q with %d items, want %q", tc.q.Placement, a.Fallback, len(a.Items), tc.want)
		}
	}
}

// TestLateGeneratorsAreNotAsked: the deadline is looked at before each
// generator. Those after it are not asked, say so, and the fallback answers and
// is named.
func TestLateGeneratorsAreNotAsked(t *testing.T) {
	w := shop(t)
	e := w.engine(t, recommend.Placement{
		Name:       "own",
		Generators: []recommend.Generator{{Kind: "recently_viewed"}, {Kind: "popular"}, {Kind: "newest"}},
		Fallback:   []recommend.Step{{Kind: "static", Items: []string{"lamp"}}},
	})
	w.send(t, viewed("new", "pan")...)
	for inTime := range 4 {
		looks := 0
		a := e.Decide(&recommend.Query{
			Placement: "own", Person: w.person(t, "new"), Now: w.now, Explain: true,
			Expired: func() bool { looks++; return inTime < 3 && looks > inTime },
		})
		switch late := inTime < 3; {
		case late && (a.Fallback != "static" || !slices.Equal(ids(a), []string{"lamp"})):
			t.Errorf("%d in time: got %v by %q, want the lamp by static", inTime, ids(a), a.Fallback)
		case !late && (a.Fallback != "" || a.Items[0].ID != "pan"):
			t.Errorf("all in time: got %v by %q, want the pan first and no fallback", ids(a), a.Fallback)
		}
		for i, g := range a.Explain.Generators[:3] {
			if late := i >= inTime; late != (g.Skipped == "the deadline passed") || late == (g.Candidates > 0) {
				t.Errorf("%d in time: generator %d is %+v, want it skipped: %v", inTime, i, g, late)
			}
		}
	}
}

func TestFilterBoostCapExclude(t *testing.T) {
	w := shop(t)
	all := []recommend.Generator{{Kind: "popular"}, {Kind: "newest", Weight: 0.5}}
	none := []recommend.Step{}
	e := w.engine(t,
		recommend.Placement{Name: "item", Generators: all, Fallback: none, Filter: `item.category == "Kitchen" && item.price < 35.0`},
		recommend.Placement{Name: "person", Generators: all, Filter: `features.views_30d > 100`},
		recommend.Placement{Name: "both", Generators: all, Fallback: none, Filter: `item.id in features.last_viewed`},
		recommend.Placement{Name: "context", Generators: all, Fallback: none, Filter: `item.category == context.aisle`},
		recommend.Placement{Name: "boost", Generators: all, Boosts: []recommend.Boost{{When: `item.id == "lamp"`, Factor: 100}}},
		recommend.Placement{Name: "cap", Generators: all, Fallback: none, Cap: recommend.Cap{Attribute: "category", Max: 1}},
		recommend.Placement{Name: "exclude", Generators: all, Exclude: recommend.Exclude{Viewed: true, Purchased: true}},
	)
	decide := func(name, user string) []string {
		t.Helper()
		a := e.Decide(&recommend.Query{Placement: name, Person: w.person(t, user), Now: w.now, Context: []byte(`{"aisle":"Home"}`)})
		got := ids(a)
		slices.Sort(got)
		return got
	}
	for _, tc := range []struct {
		name, user string
		want       []string
	}{
		{"item", "k0", []string{"pan", "pot"}},
		{"person", "k0", []string{}},
		{"both", "k0", []string{"knife", "pan", "pot"}},
		{"context", "", []string{"lamp"}},
		{"exclude", "k0", []string{"gloves", "lamp", "rake", "seeds", "spade"}},
	} {
		if got := decide(tc.name, tc.user); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	if got := decide("cap", ""); len(got) != 3 {
		t.Errorf("cap: got %v, want one of each of three categories", got)
	}
	a := e.Decide(&recommend.Query{Placement: "boost", Person: w.person(t, ""), Now: w.now})
	if a.Items[0].ID != "lamp" {
		t.Errorf("boost: got %v, want the lamp first", ids(a))
	}
	// An item-only condition follows the catalog at once.
	w.put(t, item("wok", "Wok", "Kitchen", "price", 10.0), attune.Item{ID: "pot", Attributes: map[string]any{"price": 99.0}})
	if got, want := decide("item", "k0"), []string{"pan", "wok"}; !slices.Equal(got, want) {
		t.Errorf("item after a change: got %v, want %v", got, want)
	}
}

func TestDeniedPersonIsNotRead(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	p := *w.person(t, "k0")
	st := *p.State
	st.Consent = profile.Consent{Time: w.now}
	p.State = &st
	a := e.Decide(&recommend.Query{Placement: "recently-viewed", Person: &p, Now: w.now})
	if a.Fallback == "" {
		t.Errorf("got %v from the history of a person who denied it", ids(a))
	}
}

func TestColdStartByContext(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	a := e.Decide(&recommend.Query{Placement: "for-you", Person: w.person(t, ""), Now: w.now, Context: []byte(`{"page":{"category":"Kitchen"}}`), Limit: 2})
	for _, r := range a.Items {
		if r.Reason != "popular in Kitchen" {
			t.Errorf("%s because %q, want popular in Kitchen", r.ID, r.Reason)
		}
	}
}

func TestExplain(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	clock := int64(0)
	a := e.Decide(&recommend.Query{
		Placement: "for-you", Person: w.person(t, "g1"), Now: w.now, Explain: true,
		Micros: func() int64 { clock += 7; return clock },
	})
	x := a.Explain
	if x == nil || len(x.Generators) < 5 || len(x.Candidates) == 0 || x.Micros == 0 {
		t.Fatalf("explanation %+v lacks generators, candidates or time", x)
	}
	if x.Filtered["purchased"] == 0 || x.Inputs["features.last_viewed"] == nil || x.Versions["config"] != 1 {
		t.Errorf("filtered %v inputs %v versions %v, want purchased, last_viewed, config 1", x.Filtered, x.Inputs, x.Versions)
	}
	for _, c := range x.Candidates {
		sum := 0.0
		for _, part := range c.From {
			sum += part
		}
		if d := sum - c.Score; d > 1e-5 || d < -1e-5 {
			t.Errorf("%s: parts %v sum to %v, score is %v", c.ID, c.From, sum, c.Score)
		}
	}
	plain := e.Decide(&recommend.Query{Placement: "for-you", Person: w.person(t, "g1"), Now: w.now})
	if !slices.Equal(ids(plain), ids(a)) {
		t.Errorf("with explain %v, without %v", ids(a), ids(plain))
	}
}

func TestFaultsAreJoined(t *testing.T) {
	w := newWorld(t)
	_, err := recommend.New(w.World, []recommend.Placement{
		{Name: "a", Generators: []recommend.Generator{{Kind: "magic"}}},
		{Name: "b", Generators: []recommend.Generator{{Kind: "list", From: "features.last_vieewd"}}, Filter: "item.x ==", Boosts: []recommend.Boost{{When: "itm.x == 1", Factor: 2}}},
		{Name: "b", Generators: []recommend.Generator{{Kind: "popular"}}},
	})
	if !errors.Is(err, attune.ErrInvalid) {
		t.Fatalf("got %v, want one that is invalid", err)
	}
	for _, want := range []string{
		`placements.a.generators[0].kind: unknown kind "magic"`,
		`placements.b.generators[0].from: unknown feature "last_vieewd"; did you mean "last_viewed"?`,
		`placements.b.filter: `, `placements.b.boosts[0].when: `, `placements.b: there are two`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
}

func TestReload(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	next, err := e.Reload([]recommend.Placement{{Name: "only", Generators: []recommend.Generator{{Kind: "popular"}}}}, 2)
	check(t, err)
	a := next.Decide(&recommend.Query{Placement: "only", Person: w.person(t, ""), Now: w.now})
	if a.Model != "only@2" || len(a.Items) == 0 {
		t.Errorf("got %q with %d items, want only@2 with some", a.Model, len(a.Items))
	}
}

func TestSameInputSameAnswer(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	q := recommend.Query{Placement: "for-you", Person: w.person(t, "g0"), Now: w.now}
	want := e.Decide(&q)
	for range 20 {
		got := e.Decide(&q)
		for i := range want.Items {
			if got.Items[i].ID != want.Items[i].ID || got.Items[i].Score != want.Items[i].Score {
				t.Fatalf("got %v, want %v", got.Items, want.Items)
			}
		}
	}
}

func text(t *testing.T, a *attune.Answer) string {
	t.Helper()
	b, err := json.Marshal(a)
	check(t, err)
	return string(b)
}

// TestKeptNumbersChangeNothing compares the first decision of a person, which
// looks ids up, the next, which has their numbers, and the one that explains
// itself, which looks them up again.
func TestKeptNumbersChangeNothing(t *testing.T) {
	w := shop(t)
	e := w.engine(t)
	for _, name := range e.Placements() {
		person := w.person(t, "g0")
		q := recommend.Query{Placement: name, Item: "rake", Person: person, Now: w.now}
		first, next := e.Decide(&q), e.Decide(&q)
		q.Explain = true
		explained := e.Decide(&q)
		explained.Explain = nil
		if want := text(t, first); text(t, next) != want || text(t, explained) != want {
			t.Errorf("%s: got %v, then %v, explained %v", name, first.Items, next.Items, explained.Items)
		}
	}
}

// big is a world of 10,000 items and 1,000 people with history.
func big(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	r := rand.New(rand.NewPCG(1, 2))
	var items []attune.Item
	for i := range 10_000 {
		items = append(items, item(fmt.Sprintf("i%d", i), fmt.Sprintf("Thing %d", i), fmt.Sprintf("c%d", i%100), "price", float64(i%50)))
	}
	w.put(tb, items...)
	var events []event
	for person := range 1000 {
		user := fmt.Sprintf("u%d", person)
		taste := r.IntN(100)
		for n := range 20 {
			at := (taste + 100*int(r.ExpFloat64()*12)) % 10_000
			e := event{User: user, Name: "Product Viewed", Item: fmt.Sprintf("i%d", at), After: "1s"}
			if n%10 == 9 {
				e = event{User: user, Name: "Order Completed", Order: fmt.Sprintf("o%d-%d", person, n), After: "1s", Items: []string{fmt.Sprintf("i%d", at), fmt.Sprintf("i%d", (at+100)%10_000)}}
			}
			events = append(events, e)
		}
	}
	for chunk := range slices.Chunk(events, 5000) {
		w.send(tb, chunk...)
	}
	return w
}

func BenchmarkDecide(b *testing.B) {
	w := big(b)
	e := w.engine(b, recommend.Placement{
		Name: "filtered", Generators: recommend.Defaults()[0].Generators,
		Filter: `item.price < 40.0`, Boosts: []recommend.Boost{{When: `item.price > 10.0`, Factor: 2}},
	})
	people := make([]*profile.Person, 1000)
	for i := range people {
		people[i] = w.person(b, fmt.Sprintf("u%d", i))
	}
	for _, name := range []string{"for-you", "filtered", "similar", "popular"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Decide(&recommend.Query{Placement: name, Person: people[i%len(people)], Now: w.now, Item: "i" + strconv.Itoa(i%10_000)})
			}
		})
	}
}
