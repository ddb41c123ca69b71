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
		switch {
		case !s.plan.filter.bothHolds(s, best.item):
			s.trace.drop(byFilter)
		case s.capped(best.item):
			s.trace.drop(byCap)
		default:
			s.taken = append(s.taken, best)
		}
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
