package recommend

import (
	"slices"

	"github.com/attune-io/attune/rule"
)

// reads returns what p reads of a person, sorted: "features.last_viewed",
// "traits.wishlist". A list that the page gives instead is among them.
func (e *Engine) reads(p *plan) []string {
	var names []string
	feature := func(index int) {
		if index >= 0 {
			names = append(names, "features."+e.world.Features.Definitions()[index].Name)
		}
	}
	cart := func() {
		if e.inputs.cart >= 0 {
			feature(e.inputs.cart)
			return
		}
		feature(e.inputs.added)
	}
	for i := range p.gens {
		e.readsOf(&p.gens[i], feature, cart)
		if trait := p.gens[i].from.trait; trait != "" {
			names = append(names, "traits."+trait)
		}
	}
	if p.Exclude.Viewed {
		feature(e.inputs.viewed)
	}
	if p.Exclude.Purchased && e.inputs.purchased >= 0 {
		feature(e.inputs.purchased)
	} else if p.Exclude.Purchased {
		feature(e.inputs.five)
	}
	if p.Exclude.InCart {
		cart()
	}
	programs := []*rule.Program{p.filter.person, p.filter.both}
	for i := range p.boosts {
		programs = append(programs, p.boosts[i].when.person, p.boosts[i].when.both)
	}
	if p.merch != nil {
		feature(p.merch.frequency)
		for i := range p.merch.wishes {
			programs = append(programs, p.merch.wishes[i].when.person, p.merch.wishes[i].when.both)
		}
	}
	for i := range p.content {
		programs = append(programs, p.content[i].when)
	}
	names = append(names, e.readsOfConditions(programs)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// readsOfConditions returns what programs, of which some may be nil, read.
func (*Engine) readsOfConditions(programs []*rule.Program) (names []string) {
	for _, program := range programs {
		if program == nil {
			continue
		}
		for _, f := range program.Uses().Features {
			names = append(names, "features."+f)
		}
		for _, t := range program.Uses().Traits {
			names = append(names, "traits."+t)
		}
	}
	return names
}

// readsOf tells feature and cart what g starts from.
func (e *Engine) readsOf(g *generator, feature func(int), cart func()) {
	switch {
	case g.from.given:
		feature(g.from.index)
		return
	case g.kind == SessionKNN || g.kind == RecentlyViewed || g.kind == ViewedTogether:
		feature(e.inputs.viewed)
	case g.kind == BoughtTogether || g.kind == CartComplement || g.kind == CompleteLook:
		cart()
	case g.kind == PopularBy && g.attribute == "category":
		feature(e.inputs.category)
	case g.kind == PopularBy && g.attribute == "brand":
		feature(e.inputs.brand)
	case g.kind == PopularBy:
		feature(e.world.Features.Index(g.attribute + "_affinity"))
	}
}
