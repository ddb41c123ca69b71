package recommend

// before is the order of an answer: the higher score, then the smaller item
// number, so that equal input gives equal output.
func before(a, b *candidate) bool {
	if a.score != b.score {
		return a.score > b.score
	}
	return a.item < b.item
}

// take moves the best candidates that the rest of the filter and the cap let
// through to s.taken, at most limit. A heap gives them best first, so what
// costs most is only asked of the ones that would be shown. O(n + k·log n).
func (s *scratch) take() {
	h := s.list
	for i := len(h)/2 - 1; i >= 0; i-- {
		down(h, i)
	}
	for len(h) > 0 && len(s.taken) < s.limit {
		best := h[0]
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		down(h, 0)
		if !s.plan.filter.bothHolds(s, best.item) {
			s.trace.drop(byFilter)
			continue
		}
		if r := s.admit(best.item); r != kept {
			s.trace.drop(r)
			continue
		}
		s.taken = append(s.taken, best)
	}
}

// maxBest bounds the answers that are kept sorted while the candidates pass.
const maxBest = 32

// simple reports whether nothing but scores and each item by itself settle
// what is shown, and nobody wants to know what becomes of the rest.
func (s *scratch) simple() bool {
	p := s.plan
	return s.trace == nil && s.limit > 0 && s.limit <= maxBest && len(p.boosts) == 0 && p.filter.both == nil && len(p.caps) == 0 &&
		(p.merch == nil || !p.merch.ranks) && s.q.Narrow == nil
}

// best is score and take where that is simple: of candidates that would not be
// shown nothing is asked. O(n + k²·log(n/k)) for candidates in any order.
func (s *scratch) best() {
	for i := range s.list {
		c := &s.list[i]
		n := len(s.taken)
		if n == s.limit && !before(c, &s.taken[n-1]) || s.verdict(c.item) != kept {
			continue
		}
		if n == s.limit {
			n--
		} else {
			s.taken = append(s.taken, candidate{})
		}
		for n > 0 && before(c, &s.taken[n-1]) {
			s.taken[n] = s.taken[n-1]
			n--
		}
		s.taken[n] = *c
	}
}

func down(h []candidate, i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && before(&h[child+1], &h[child]) {
			child++
		}
		if !before(&h[child], &h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
