package recommend_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/rule"
)

// million is a world of a million items, without the road that leads to one.
func million(b *testing.B) recommend.World {
	b.Helper()
	set, err := feature.Compile(feature.Defaults(), nil)
	check(b, err)
	env, err := rule.New(rule.Names{})
	check(b, err)
	cat := catalog.New(catalog.Options{})
	w := recommend.World{
		Catalog: cat, Items: model.NewItems(model.ItemsOptions{Category: func(n int32) int32 { return cat.View().Category(n) }}),
		Viewed: model.NewPairs(model.PairsOptions{}), Bought: model.NewPairs(model.PairsOptions{}),
		Sessions: model.NewSessions(model.SessionsOptions{}), Features: set, Rules: env, Version: 1,
	}
	for i := range 1_000_000 {
		check(b, cat.Put("i"+strconv.Itoa(i), map[string]any{
			"category": fmt.Sprintf("c%d", i%100), "price": float64(i % 200), "stock": float64(i % 7), "brand": fmt.Sprintf("b%d", i%1000),
		}, catalog.Stamp{Rank: attune.Given, At: start}))
	}
	for i := range int32(2000) {
		w.Items.Observe(model.Observation{Signal: model.View, Item: i * 499, At: start})
	}
	return w
}

// BenchmarkEligibility is what five rules over the item alone add to a decision
// over a million items.
func BenchmarkEligibility(b *testing.B) {
	w := million(b)
	popular := []recommend.Generator{{Kind: "popular", Limit: recommend.DefaultCandidates}}
	five := []recommend.Rule{
		{Boost: 2, When: `item.category == "c3"`},
		{Boost: 1.5, When: `item.price > 100.0`},
		{Bury: true, When: `item.stock < 2.0`},
		{Boost: 0.5, When: `item.brand == "b7"`},
		{Bury: true, When: `item.price > 190.0 && item.stock > 3.0`},
	}
	e, err := recommend.New(w, []recommend.Placement{
		{Name: "plain", Generators: popular, Filter: "item.price < 500.0"},
		{Name: "rules", Generators: popular, Filter: "item.price < 500.0", Rules: five},
		{Name: "filter", Generators: popular, Filter: `item.price < 150.0 && item.stock > 1.0 && item.category != "c3" && item.brand != "b7" && item.price > 2.0`},
	})
	check(b, err)
	nobody := &profile.Person{State: &profile.State{}}
	for _, name := range []string{"plain", "filter", "rules"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(&recommend.Query{Placement: name, Person: nobody, Now: start})
			}
		})
	}
}

// BenchmarkMerchandising is a decision with each kind of rule.
func BenchmarkMerchandising(b *testing.B) {
	w := big(b)
	popular := []recommend.Generator{{Kind: "popular"}}
	placements := []recommend.Placement{
		{Name: "none"},
		{Name: "pin", Rules: []recommend.Rule{{Pin: 1, Items: []string{"i7"}}}},
		{Name: "boost", Rules: []recommend.Rule{{Boost: 2, When: `item.price > 10.0`}}},
		{Name: "local", Rules: []recommend.Rule{{Boost: 2, When: `item.price > 10.0`, During: recommend.Schedule{Hours: "00:00-23:59", Local: true}}}},
		{Name: "promote", Rules: []recommend.Rule{{Promote: 0.3, When: `item.price > 10.0`}}},
		{Name: "at_most", Rules: []recommend.Rule{{AtMost: 2, When: `item.price > 10.0`}}},
		{Name: "diversity", Diversity: recommend.Diversity{By: []string{"category", "brand"}}},
		{Name: "explore", Explore: recommend.Explore{Share: 0.1}},
	}
	for i := range placements {
		placements[i].Generators = popular
	}
	e, err := recommend.New(w.World, placements)
	check(b, err)
	p := w.person(b, "u1")
	for i := range placements {
		b.Run(placements[i].Name, func(b *testing.B) {
			b.ReportAllocs()
			for seed := uint64(0); b.Loop(); seed++ {
				e.Decide(&recommend.Query{Placement: placements[i].Name, Person: p, Now: w.now, Seed: seed, Context: []byte(`{"timezone":"Europe/Berlin"}`)})
			}
		})
	}
}
