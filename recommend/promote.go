package recommend

import "math"

// owed returns the promotion that a position is owed to, -1 when there is none:
// the first that has fewer than its share of the positions so far, this one
// included.
func (s *scratch) owed(at int) int {
	m := s.plan.merch
	for i := range m.wishes {
		w := &m.wishes[i]
		if w.Promote > 0 && s.on[i] && s.shown[i] < floor(w.Promote*float64(at)) {
			return i
		}
	}
	return -1
}

// floor rounds down, but for what arithmetic lost: 0.3 of 10 is 3.
func floor(x float64) int { return int(math.Floor(x + 1e-9)) }

// promised returns how many items the promotions want at most.
func (s *scratch) promised() int {
	m, n := s.plan.merch, 0
	for i := range m.wishes {
		if m.wishes[i].Promote > 0 && s.on[i] {
			n += floor(m.wishes[i].Promote * float64(s.limit+len(s.pinned)))
		}
	}
	return n
}

// supply adds promoted items to the candidates where the generators gave too
// few: popular ones first, then any.
func (s *scratch) supply() {
	m := s.plan.merch
	for i := range m.wishes {
		w := &m.wishes[i]
		if w.Promote == 0 || !s.on[i] || w.when.items == nil || s.restricted {
			continue
		}
		wanted := floor(w.Promote * float64(s.limit+len(s.pinned)))
		for j := range s.list {
			if n := s.list[j].item; wanted > 0 && w.when.itemHolds(n) && w.when.bothHolds(s, n) {
				wanted--
			}
		}
		add := func(n int32) bool {
			if wanted <= 0 || s.index.get(n) >= 0 || !w.when.itemHolds(n) || s.verdict(n) != kept || !w.when.bothHolds(s, n) {
				return wanted > 0
			}
			s.index.add(n, int32(len(s.list))) //nolint:gosec // some thousands
			s.list = append(s.list, candidate{item: n, seed: -1, gen: promoGen, score: 0.001 / float32(1+len(s.list))})
			wanted--
			return wanted > 0
		}
		if wanted <= 0 {
			continue
		}
		for _, x := range s.engine.world.Items.Popular.Top(topList, s.q.Now) {
			if !add(x.Item) {
				break
			}
		}
		if wanted > 0 {
			w.when.items.each(add)
		}
	}
}

// extend adds what the fallback chain gives to the candidates where the
// generators gave too few, so that rules that look at the whole list see it.
func (s *scratch) extend() {
	own := len(s.list)
	if own >= s.limit || s.restricted || own > 0 && s.plan.Exact {
		return
	}
	for i := range s.plan.fallback {
		g := &s.plan.fallback[i]
		start := s.trace.now(s)
		skipped := s.run(g)
		order(s.one)
		before := len(s.list)
		for j := range s.one {
			c := s.one[j]
			if len(s.list) >= 2*s.limit+fewCandidates {
				break
			}
			if s.index.get(c.item) >= 0 {
				continue
			}
			if r := s.verdict(c.item); r != kept {
				s.trace.drop(r)
				continue
			}
			s.index.add(c.item, int32(len(s.list))) //nolint:gosec // some thousands
			c.gen, c.score = int16(-1-i), 0.001/float32(1+len(s.list))
			s.list = append(s.list, c)
		}
		if s.filled == "" && own == 0 && len(s.list) > before {
			s.filled = g.kind
		}
		s.trace.fallback(s, g, skipped, start)
		if len(s.list) >= 2*s.limit {
			break
		}
	}
}
