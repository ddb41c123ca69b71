package recommend

import (
	"cmp"
	"slices"
)

// pinned is an item at a position that a rule fixes.
type pinned struct {
	at   int // from 1, over all pages
	item int32
}

// pinGen marks an item that a rule pinned, promoGen one that only a promotion
// shows.
const (
	pinGen   = -1001
	promoGen = -1002
)

// pins fixes the items of the pins that hold. One that may not be shown leaves
// its position to the others; what is pinned is no candidate any more, and
// counts against caps and limits before all others.
func (s *scratch) pins() {
	m := s.plan.merch
	for i := range m.wishes {
		w := &m.wishes[i]
		if w.kind != kindPin || !s.on[i] {
			continue
		}
		for j, id := range w.Items {
			if why := s.pin(w.Pin+j, id); why != "" {
				s.trace.ruleSkipped(i, why)
			} else {
				s.trace.moved(i, s.pinned[len(s.pinned)-1].item)
			}
		}
	}
	s.limit -= len(s.pinned)
	slices.SortFunc(s.pinned, func(a, b pinned) int { return cmp.Compare(a.at, b.at) })
}

// pin fixes an item, or says why not.
func (s *scratch) pin(at int, id string) (why string) {
	n, ok := s.engine.world.Catalog.Number(id)
	switch {
	case !ok:
		return "there is no item " + id
	case at > s.limit:
		return "the answer is shorter"
	case slices.ContainsFunc(s.pinned, func(p pinned) bool { return p.at == at }):
		return "an earlier rule has the position"
	case s.restricted && s.allowed.get(n) < 0:
		return "the item was not given"
	}
	if r := s.verdict(n); r != kept {
		return reasonName(r)
	}
	if !s.plan.filter.bothHolds(s, n) {
		return reasonName(byFilter)
	}
	if r := s.admit(n); r != kept {
		return reasonName(r)
	}
	s.skip.add(n, isPinned)
	s.pinned = append(s.pinned, pinned{at: at, item: n})
	return ""
}

// pinnedAt returns the item that is pinned at a position.
func (s *scratch) pinnedAt(at int) (int32, bool) {
	for _, p := range s.pinned {
		if p.at == at {
			return p.item, true
		}
	}
	return -1, false
}

// weave puts the pinned items among those that were taken, and leaves the pages
// before out.
func (s *scratch) weave() {
	s.woven, s.odds = s.woven[:0], s.odds[:0]
	chance := func(i int) float64 {
		if i < len(s.chances) {
			return s.chances[i]
		}
		return 1
	}
	next, total := 0, len(s.taken)+len(s.pinned)
	for _, p := range s.pinned {
		for ; len(s.woven)+1 < p.at && next < len(s.taken); next++ {
			s.woven, s.odds = append(s.woven, s.taken[next]), append(s.odds, chance(next))
		}
		// The score of its neighbour: that of a pin means nothing.
		score := float32(0)
		if next < len(s.taken) {
			score = s.taken[next].score
		}
		s.woven = append(s.woven, candidate{item: p.item, seed: -1, gen: pinGen, score: score})
		s.odds = append(s.odds, 1)
	}
	for ; len(s.woven) < total; next++ {
		s.woven, s.odds = append(s.woven, s.taken[next]), append(s.odds, chance(next))
	}
	from := min(s.offset, len(s.woven))
	s.taken = append(s.taken[:0], s.woven[from:]...)
	s.chances = append(s.chances[:0], s.odds[from:]...)
}
