package recommend

import (
	"slices"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/model"
)

// Bounds of the work of one generator.
const (
	maxSeeds  = 5  // items a pair generator starts from
	sessionL  = 3  // items of the live session that count
	sessionK  = 50 // most similar sessions that vote; more change little
	maxTastes = 3  // categories popular_by looks at
	topList   = 1000
)

// seedDecay is the weight of a seed relative to the one before it.
const seedDecay = 0.8

// generate asks every generator. When the time runs out, s.late says so and
// the rest are not asked.
func (s *scratch) generate() {
	for i := range s.plan.gens {
		g := &s.plan.gens[i]
		if s.expired() {
			s.trace.skipped(g, "the deadline passed")
			s.late = true
			continue
		}
		start := s.trace.now(s)
		skipped := s.run(g)
		s.blend(g, int16(i))
		s.trace.generator(s, g, skipped, start)
	}
	s.late = s.late || s.expired()
}

// run fills s.one with what g gives, and says why when it has nothing to go
// by.
func (s *scratch) run(g *generator) (skipped string) {
	s.one = s.one[:0]
	s.oneIndex.reset()
	s.wanted = s.enough(g)
	switch g.kind {
	case Popular:
		return s.trend(s.engine.world.Items.Popular)
	case Trending:
		return s.trend(s.engine.world.Items.Trending)
	case ViewedTogether, BoughtTogether, CartComplement:
		return s.pairs(g)
	case SessionKNN:
		return s.sessions(g)
	case RecentlyViewed:
		return s.ranked(s.lastViewed(), "nothing was viewed")
	case List:
		return s.ranked(s.from(g.from), "the list is empty")
	case PopularBy:
		return s.popularBy(g)
	case Items:
		return s.givenItems()
	case Match:
		return s.matching()
	case Newest:
		return s.newest()
	case CompleteLook:
		return s.completeLook(g)
	case Static:
		return s.ranked(s.numbers(s.items[:0], g.static), "the list is empty")
	default:
		return "unknown kind"
	}
}

// enough returns how many candidates g gives: what its configuration says, else
// a few times what is shown, and as many more as the person's exclusions may
// take away. Where a filter or a cap takes away nobody knows how many, or given
// items are put in order, it is DefaultCandidates.
func (s *scratch) enough(g *generator) int {
	switch {
	case g.limit > 0:
		return g.limit
	case s.q.Narrow != nil:
		return min(max(DefaultCandidates, 2*s.limit), MaxCandidates)
	case s.restricted || s.plan.narrows || len(s.q.Filters) > 0:
		return DefaultCandidates
	default:
		return min(max(fewCandidates, 5*s.limit)+s.skip.n, DefaultCandidates)
	}
}

// give adds score to an item of the running generator. seed is the item that
// led to it, -1 when none did; the seed that gave the most is kept. It returns
// the item's place in s.one, -1 when it may not be shown in this answer at all.
func (s *scratch) give(item int32, score float32, seed int32) int32 {
	if s.restricted && s.allowed.get(item) < 0 {
		s.trace.drop(notGiven)
		return -1
	}
	at, added := s.oneIndex.add(item, int32(len(s.one))) //nolint:gosec // some thousands
	if added {
		s.one = append(s.one, candidate{item: item, seed: seed, part: score, score: score})
		return at
	}
	c := &s.one[at]
	c.score += score
	if score > c.part {
		c.part, c.seed = score, seed
	}
	return at
}

// put is give for a generator that has each item once: nothing has to be found
// again.
func (s *scratch) put(item int32, score float32, seed int32) {
	if s.restricted && s.allowed.get(item) < 0 {
		s.trace.drop(notGiven)
		return
	}
	s.one = append(s.one, candidate{item: item, seed: seed, part: score, score: score})
}

// from returns the items that a source names.
func (s *scratch) from(src source) []int32 {
	switch {
	case src.item:
		s.items = s.items[:0]
		if s.current >= 0 {
			s.items = append(s.items, s.current)
		}
		return s.items
	case src.index >= 0:
		return s.feature(s.engine.world.Features.Definitions()[src.index].Name, src.index)
	case src.trait != "":
		return s.trait(src.trait)
	default:
		return nil
	}
}

// trend gives a decayed top list. When the items are given, each is asked for
// its own count, so that the ones outside the list are ranked too.
func (s *scratch) trend(t *model.Trend) string {
	if s.restricted {
		for _, n := range s.given {
			if score := t.Score(n, s.q.Now); score > 0 {
				s.put(n, score, -1)
			}
		}
		return ""
	}
	for _, x := range t.Top(s.wanted, s.q.Now) {
		s.put(x.Item, x.Score, -1)
	}
	if len(s.one) == 0 {
		return "nothing was counted yet"
	}
	return ""
}

// pairs gives what goes together with the seeds, the newest seed counting
// most.
func (s *scratch) pairs(g *generator) string {
	pairs := s.engine.world.Bought
	if g.kind == ViewedTogether {
		pairs = s.engine.world.Viewed
	}
	s.pairSeeds(g)
	if len(s.seeds) == 0 {
		return "there is no item to start from"
	}
	each := max(s.wanted/len(s.seeds), 10)
	s.addPairs(pairs, g, each)
	if len(s.one) == 0 && g.kind == CartComplement {
		// No order has the cart's items yet: what was viewed with them.
		s.addPairs(s.engine.world.Viewed, g, each)
	}
	if len(s.one) == 0 {
		return "nothing was seen together with it"
	}
	return ""
}

func (s *scratch) addPairs(pairs *model.Pairs, g *generator, each int) {
	weight := float32(1)
	for _, seed := range s.seeds {
		s.scored = pairs.Neighbours(seed, each, g.measure, s.scored[:0])
		for _, x := range s.scored {
			s.give(x.Item, weight*x.Score, seed)
		}
		weight *= seedDecay
	}
}

// pairSeeds fills s.seeds with where a pair generator starts: what "from"
// says, else the page's item (and the cart's, or the last viewed, items).
func (s *scratch) pairSeeds(g *generator) {
	s.seeds = s.seeds[:0]
	add := func(items []int32) {
		for _, n := range items {
			if len(s.seeds) < maxSeeds && !slices.Contains(s.seeds, n) {
				s.seeds = append(s.seeds, n)
			}
		}
	}
	switch {
	case g.from.given:
		add(s.from(g.from))
	case g.kind == CartComplement:
		add(s.cart())
	case g.kind == BoughtTogether:
		add(s.from(source{item: true}))
		add(s.cart())
	default:
		add(s.from(source{item: true}))
		add(s.lastViewed())
	}
}

// sessions gives what came next in sessions like this one.
func (s *scratch) sessions(g *generator) string {
	s.seeds = s.seeds[:0]
	if s.current >= 0 {
		s.seeds = append(s.seeds, s.current)
	}
	if !g.from.item {
		items := s.lastViewed()
		if g.from.given {
			items = s.from(g.from)
		}
		for _, n := range items {
			if len(s.seeds) < sessionL && !slices.Contains(s.seeds, n) {
				s.seeds = append(s.seeds, n)
			}
		}
	}
	if len(s.seeds) == 0 {
		return "nothing was viewed"
	}
	s.knnQuery = model.Query{Items: s.seeds, L: sessionL, K: sessionK, N: s.wanted, Owner: s.q.Person.Session(), Shared: true, Unsorted: true}
	if s.restricted {
		s.knnQuery.Skip = func(item int32) bool { return s.allowed.get(item) < 0 }
	}
	s.scored = s.engine.world.Sessions.Query(&s.knnQuery, &s.knn, s.scored[:0])
	s.knnQuery = model.Query{}
	for _, x := range s.scored {
		s.put(x.Item, x.Score, s.seeds[0])
	}
	if len(s.one) == 0 {
		return "no session is like this one yet"
	}
	return ""
}

// ranked gives items in the order they are in, the first one most.
func (s *scratch) ranked(items []int32, empty string) string {
	if len(items) == 0 {
		return empty
	}
	items = items[:min(len(items), s.wanted)]
	for i, n := range items {
		s.give(n, 1-float32(i)/float32(len(items)), -1)
	}
	return ""
}

// givenItems gives the request's items in their order: what everything else is
// a change of.
func (s *scratch) givenItems() string {
	if !s.restricted || len(s.q.Items) == 0 {
		return "the request has none"
	}
	for i, n := range s.given {
		s.give(n, 1-float32(i)/float32(len(s.given)), -1)
	}
	return ""
}

// popularBy gives what is popular in the categories the person leans to; of
// nobody known, in that of the page.
func (s *scratch) popularBy(g *generator) string {
	s.leanings(g)
	if len(s.tastes) == 0 {
		return "no leaning is known"
	}
	popular := s.engine.world.Items.Popular
	if s.restricted {
		for _, n := range s.given {
			if i := s.tasteOf(n, g.attribute); i >= 0 {
				s.like(n, s.tastes[i].weight, i)
			}
		}
		return ""
	}
	if g.attribute == "category" {
		each := max(s.wanted/len(s.tastes), 10)
		for i := range s.tastes {
			list := popular.TopIn(s.tastes[i].word, each, s.q.Now)
			for _, x := range list {
				s.like(x.Item, s.tastes[i].weight*x.Score/list[0].Score, i)
			}
		}
		return ""
	}
	for _, x := range popular.Top(topList, s.q.Now) {
		if i := s.tasteOf(x.Item, g.attribute); i >= 0 && len(s.one) < s.wanted {
			s.like(x.Item, s.tastes[i].weight*x.Score, i)
		}
	}
	return ""
}

// like gives an item because of the taste at i.
func (s *scratch) like(item int32, score float32, i int) {
	if at := s.give(item, score, -1); at >= 0 {
		s.one[at].word = s.tastes[i].word
	}
}

// tasteOf returns the place of the taste that item n has, or -1.
func (s *scratch) tasteOf(n int32, attribute string) int {
	switch attribute {
	case "category", "brand":
		word := s.view.Category(n)
		if attribute == "brand" {
			word = s.view.Brand(n)
		}
		return slices.IndexFunc(s.tastes, func(t taste) bool { return word != 0 && t.word == word })
	default:
		v := s.view.Attr(n, attribute)
		if list, ok := v.([]string); ok {
			return slices.IndexFunc(s.tastes, func(t taste) bool { return slices.Contains(list, t.value) })
		}
		return slices.IndexFunc(s.tastes, func(t taste) bool { return v == t.value && t.value != "" })
	}
}

// leanings fills s.tastes: the page's item when "from" says so, else the
// person's affinity, else the page: its item, its context.
func (s *scratch) leanings(g *generator) {
	s.tastes = s.tastes[:0]
	if g.from.item {
		s.itemTaste(g)
		return
	}
	if g.from.trait != "" {
		s.traitTastes(g)
	}
	index := g.from.index
	if !g.from.given {
		index = s.affinity(g.attribute)
	}
	if index >= 0 && !s.denied() {
		s.weights = s.engine.world.Features.Weights(&s.q.Person.State.Features, index, s.weights[:0], s.q.Now)
		for _, w := range s.weights[:min(len(s.weights), maxTastes)] {
			s.taste(g, w)
		}
		s.trace.tastes(s, index)
	}
	if len(s.tastes) > 0 {
		return
	}
	s.itemTaste(g)
	if len(s.tastes) > 0 || len(s.q.Context) == 0 {
		return
	}
	for _, path := range [...]string{g.attribute, "page." + g.attribute} {
		if v := gjson.GetBytes(s.q.Context, path); v.Type == gjson.String && len(s.tastes) == 0 {
			s.taste(g, feature.Weighted{Key: v.Str, Weight: 1})
		}
	}
}

// traitTastes leans to the values of a trait: who is new, but told where she is
// from or what plan she has, sees what is for such people.
func (s *scratch) traitTastes(g *generator) {
	if s.denied() {
		return
	}
	s.trait(g.from.trait)
	s.weights = s.weights[:0] // each value counts the same
	for _, v := range s.strings[:min(len(s.strings), maxTastes)] {
		s.taste(g, feature.Weighted{Key: v, Weight: 1})
	}
}

func (s *scratch) affinity(attribute string) int {
	switch attribute {
	case "category":
		return s.engine.inputs.category
	case "brand":
		return s.engine.inputs.brand
	default:
		return s.engine.world.Features.Index(attribute + "_affinity")
	}
}

func (s *scratch) itemTaste(g *generator) {
	if s.current < 0 {
		return
	}
	if v, ok := s.view.Attr(s.current, g.attribute).(string); ok {
		s.taste(g, feature.Weighted{Key: v, Weight: 1})
	}
}

// taste adds a leaning, relative to the strongest.
func (s *scratch) taste(g *generator, w feature.Weighted) {
	if w.Key == "" || w.Weight <= 0 {
		return
	}
	t := taste{value: w.Key, weight: 1}
	if g.attribute == "category" || g.attribute == "brand" {
		t.word = s.engine.world.Catalog.Word(w.Key)
		if t.word == 0 {
			return
		}
	}
	if len(s.weights) > 0 && s.weights[0].Weight > 0 && len(s.tastes) > 0 {
		t.weight = float32(w.Weight / s.weights[0].Weight)
	}
	s.tastes = append(s.tastes, t)
}

// newest gives the items that joined the catalog last: what a shop without
// any traffic has to show.
func (s *scratch) newest() string {
	last := int32(s.view.Len()) - 1 //nolint:gosec // item numbers are int32
	for n := last; n >= 0 && len(s.one) < s.wanted && last-n < 4*topList; n-- {
		if s.view.Available(n) {
			s.put(n, 1-float32(len(s.one))/float32(s.wanted), -1)
		}
	}
	if len(s.one) == 0 {
		return "the catalog is empty"
	}
	return ""
}
