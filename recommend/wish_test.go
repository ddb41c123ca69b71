package recommend_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/recommend"
)

// TestWishesHold: whatever the rules, the time and the deadline, no item is
// shown twice, none that is gone, and no limit is passed.
func TestWishesHold(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.put(t, item(fmt.Sprintf("i%d", i), "I", fmt.Sprintf("c%d", i%4), "brand", fmt.Sprintf("b%d", i%7), "price", float64(i)))
	}
	w.put(t, attune.Item{ID: "i7", Deleted: true})
	w.send(t, viewed("ann", "i1", "i5", "i9")...)
	anyItem := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("i%d", rapid.IntRange(0, 44).Draw(t, "n")) })
	rapid.Check(t, func(rt *rapid.T) {
		p := recommend.Placement{
			Name:       "p",
			Generators: []recommend.Generator{{Kind: rapid.SampledFrom([]string{"newest", "popular", "recently_viewed", "complete_look"}).Draw(rt, "kind"), Attribute: "brand"}},
			Caps:       []recommend.Cap{{Attribute: "brand", Max: rapid.IntRange(1, 3).Draw(rt, "cap")}},
			Explore:    recommend.Explore{Share: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(rt, "share")},
			Exclude:    recommend.Exclude{OnPage: rapid.Bool().Draw(rt, "page")},
			Rules: []recommend.Rule{
				{AtMost: 2, When: `item.category == "c1"`},
				{Bury: true, When: `item.price > 20 && item.category == "c2"`},
				{Boost: 2, When: `item.category == context.aisle`},
				{Promote: 0.3, When: `item.category == "c3"`},
			},
		}
		if rapid.Bool().Draw(rt, "diverse") {
			p.Diversity = recommend.Diversity{By: []string{"category"}}
		}
		if rapid.Bool().Draw(rt, "fresh") {
			p.Fresh = recommend.Fresh{Boost: 2, HalfLife: feature.Duration(1e15)}
		}
		for i := range rapid.IntRange(0, 3).Draw(rt, "pins") {
			p.Rules = append(p.Rules, recommend.Rule{
				Pin: rapid.IntRange(1, 12).Draw(rt, "pin"), Items: []string{anyItem.Draw(rt, "pinned")},
				When: fmt.Sprintf("context.n != %d", i),
			})
		}
		e, err := recommend.New(w.World, []recommend.Placement{p})
		if err != nil {
			rt.Fatal(err)
		}
		e.Refresh(w.now)
		asked, late := 0, rapid.IntRange(0, 4).Draw(rt, "late")
		q := recommend.Query{
			Placement: "p", Person: w.person(t, rapid.SampledFrom([]string{"", "ann"}).Draw(rt, "user")), Now: w.now,
			Seed: rapid.Uint64().Draw(rt, "seed"), Limit: rapid.IntRange(0, 15).Draw(rt, "limit"), Item: anyItem.Draw(rt, "item"),
			Context: []byte(`{"aisle":"c0"}`), Explain: rapid.Bool().Draw(rt, "explain"),
			Expired: func() bool { asked++; return late > 0 && asked > late },
			Above:   []*attune.Answer{{Items: []attune.Ranked{{ID: "i3"}}}, nil},
		}
		if rapid.Bool().Draw(rt, "options") {
			q.Narrow = &attune.Narrow{
				Offset: rapid.IntRange(0, 9).Draw(rt, "offset"), Blacklist: []string{"i4"},
				Fields: []attune.Field{{Name: "category", Values: []string{"c0"}, Bias: rapid.SampledFrom([]float64{-1, 0, 3}).Draw(rt, "bias")}},
			}
		}
		for _, a := range []*attune.Answer{e.Decide(&q), e.Quick(&q)} {
			w.holds(rt, &p, &q, a)
		}
	})
}

func (w *world) holds(t *rapid.T, p *recommend.Placement, q *recommend.Query, a *attune.Answer) {
	t.Helper()
	limit := q.Limit
	if limit == 0 {
		limit = recommend.DefaultLimit
	}
	if len(a.Items) > limit {
		t.Fatalf("%d items, limit %d", len(a.Items), limit)
	}
	seen, brands, ones := map[string]bool{}, map[int32]int{}, 0
	for _, r := range a.Items {
		n, _ := w.Catalog.Number(r.ID)
		v := w.Catalog.View()
		category, _ := v.Attr(n, "category").(string)
		switch {
		case seen[r.ID] || r.ID == "i7" || r.Reason == "":
			t.Fatalf("%+v: twice, gone or without a reason", r)
		case p.Exclude.OnPage && r.ID == "i3":
			t.Fatal("i3 is on the page")
		case q.Narrow != nil && r.ID == "i4":
			t.Fatal("i4 is on the blacklist")
		case q.Narrow != nil && q.Narrow.Fields[0].Bias <= 0 && (category == "c0") != (q.Narrow.Fields[0].Bias < 0):
			t.Fatalf("%s is of %s", r.ID, category)
		case !(r.Propensity > 0 && r.Propensity <= 1):
			t.Fatalf("%s has propensity %v", r.ID, r.Propensity)
		}
		seen[r.ID] = true
		brands[v.Brand(n)]++
		if category == "c1" {
			ones++
		}
		if brands[v.Brand(n)] > p.Caps[0].Max || ones > 2 {
			t.Fatalf("%s passes a cap or a limit: %v, %d", r.ID, brands, ones)
		}
	}
}
