package recommend

import (
	"github.com/attune-io/attune"
)

// fill puts items of the fallback chain behind those that were taken until
// there are enough, and returns the step that answers when the placement's own
// generators did not: its name, or None when the chain is empty too.
func (s *scratch) fill() (fallback string) {
	own := len(s.taken)
	if s.restricted && len(s.q.Items) > 0 {
		return s.fillGiven(own)
	}
	if own > 0 && (s.plan.Exact || s.restricted) {
		return ""
	}
	named := ""
	s.restricted = false
	for i := range s.plan.fallback {
		if len(s.taken) >= s.limit {
			break
		}
		g := &s.plan.fallback[i]
		before := len(s.taken)
		s.step(g, int16(-1-i))
		if named == "" && len(s.taken) > before {
			named = g.kind
		}
	}
	switch {
	case len(s.taken) == 0:
		return s.nothing()
	case own == 0 || s.late:
		return named
	default:
		return ""
	}
}

// fillGiven answers with the given items in their order when nothing else did:
// items that were not asked for have no place among those that were.
func (s *scratch) fillGiven(own int) (fallback string) {
	if own > 0 {
		return ""
	}
	s.step(&generator{kind: Items, name: Items, limit: MaxCandidates}, quickGen)
	if len(s.taken) == 0 {
		return s.nothing()
	}
	return Items
}

// step takes what one step gives, in its order. Every check of eligibility
// holds here as well.
func (s *scratch) step(g *generator, gen int16) {
	start := s.trace.now(s)
	skipped := s.run(g)
	s.behind(s.one)
	order(s.one)
	for i := range s.one {
		if len(s.taken) >= s.limit {
			break
		}
		c := s.one[i]
		if s.isTaken(c.item) {
			continue
		}
		if r := s.verdict(c.item); r != kept {
			s.trace.drop(r)
			continue
		}
		if !s.plan.filter.bothHolds(s, c.item) {
			s.trace.drop(byFilter)
			continue
		}
		if r := s.admit(c.item); r != kept {
			s.trace.drop(r)
			continue
		}
		c.gen = gen
		// Below everything the generators gave, and falling.
		c.score = 0.001 / float32(1+len(s.taken))
		if n := len(s.taken); n > 0 {
			c.score = min(c.score, s.taken[n-1].score)
		}
		s.taken = append(s.taken, c)
	}
	s.trace.fallback(s, g, skipped, start)
}

func (s *scratch) isTaken(item int32) bool {
	for i := range s.taken {
		if s.taken[i].item == item {
			return true
		}
	}
	return false
}

// nothing is the name of an answer for which no generator gave anything: what is
// pinned, and content, is an answer too.
func (s *scratch) nothing() string {
	if len(s.pinned) > 0 || len(s.plan.Content) > 0 && len(s.plan.gens) == 0 {
		return ""
	}
	return None
}

// behind makes what rules bury the last of a step.
func (s *scratch) behind(list []candidate) {
	if m := s.plan.merch; m == nil || m.buries == 0 {
		return
	}
	for i := range list {
		if s.holding(list[i].item)&s.plan.merch.buries != 0 {
			list[i].score *= burial
		}
	}
}

// order sorts by before. What comes from the lists is in order already.
func order(list []candidate) {
	for i := 1; i < len(list); i++ {
		if before(&list[i], &list[i-1]) {
			for j := len(list)/2 - 1; j >= 0; j-- {
				downWorst(list, j)
			}
			for n := len(list) - 1; n > 0; n-- {
				list[0], list[n] = list[n], list[0]
				downWorst(list[:n], 0)
			}
			return
		}
	}
}

// downWorst is down with the worst on top: a heap sort then ends best first.
func downWorst(h []candidate, i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && before(&h[child], &h[child+1]) {
			child++
		}
		if !before(&h[i], &h[child]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// Refresh computes the list that Quick answers from again: trending, then
// popular, then new items. Call it about once a second.
func (e *Engine) Refresh(now attune.Millis) {
	seen := make(map[int32]bool, MaxLimit)
	list := make([]int32, 0, MaxLimit)
	view := e.world.Catalog.View()
	add := func(n int32) {
		if len(list) < MaxLimit && !seen[n] && view.Available(n) {
			seen[n] = true
			list = append(list, n)
		}
	}
	for _, x := range e.world.Items.Trending.Top(MaxLimit, now) {
		add(x.Item)
	}
	for _, x := range e.world.Items.Popular.Top(topList, now) {
		add(x.Item)
	}
	last := int32(view.Len()) - 1 //nolint:gosec // item numbers are int32
	for n := last; n >= 0 && len(list) < MaxLimit && last-n < 4*topList; n-- {
		add(n)
	}
	e.quick.Store(&list)
}

// Quick answers q from the list that Refresh computed, without asking a
// generator: what is shown when a decision is late. The placement's filter and
// exclusions hold. It returns nil when the placement is unknown.
func (e *Engine) Quick(q *Query) *attune.Answer {
	p, ok := e.plans[q.Placement]
	if !ok {
		return nil
	}
	if q.Text != "" || len(q.Facets) > 0 {
		slim := *q // there is no time to look for words
		slim.Text, slim.Facets = "", nil
		q = &slim
	}
	s := e.begin(p, q)
	defer e.end(s)
	var list []int32
	if ready := e.quick.Load(); ready != nil {
		list = *ready
	}
	name := Popular
	if len(s.plan.gens) == 0 {
		list = nil // content alone
	}
	if len(q.Items) > 0 && s.restricted {
		list, name = s.given, Items
	}
	for _, n := range list {
		if len(s.taken) >= s.limit {
			break
		}
		if s.verdict(n) == kept && s.plan.filter.bothHolds(s, n) && s.admit(n) == kept {
			s.taken = append(s.taken, candidate{item: n, seed: -1, gen: quickGen, score: 0.001 / float32(1+len(s.taken))})
		}
	}
	if len(s.taken) == 0 {
		name = s.nothing()
	}
	a := s.answer()
	a.Fallback = name
	return a
}

// quickGen marks an item that no generator of the placement gave.
const quickGen = -1000
