package recommend

// boost is a Boost compiled.
type boost struct {
	when   condition
	factor float32
}

// blend normalises what one generator gave to (0, 1] by its best score and
// adds it, weighted, to the candidates of all.
func (s *scratch) blend(g *generator, gen int16) {
	best := float32(0)
	for i := range s.one {
		best = max(best, s.one[i].score)
	}
	if best <= 0 {
		s.one = s.one[:0]
		return
	}
	scale := g.weight / best
	for i := range s.one {
		one := &s.one[i]
		part := one.score * scale
		at, added := s.index.add(one.item, int32(len(s.list))) //nolint:gosec // some thousands
		if added {
			s.list = append(s.list, candidate{item: one.item, seed: one.seed, word: one.word, gen: gen, part: part, score: part})
		} else {
			c := &s.list[at]
			c.score += part
			if s.tells(gen, part, c) {
				c.part, c.gen, c.seed, c.word = part, gen, one.seed, one.word
			}
		}
		if s.trace != nil {
			s.trace.part(s, at, gen, part)
		}
	}
}

// tells reports whether a generator explains c better than the one that does:
// it gave more, or the other only repeated the request.
func (s *scratch) tells(gen int16, part float32, c *candidate) bool {
	repeats := func(i int16) bool { k := s.plan.gens[i].kind; return k == Items || k == Match }
	if repeats(c.gen) != repeats(gen) {
		return repeats(c.gen)
	}
	return part > c.part
}

// score drops what may not be shown, but for conditions on item and person
// together, and multiplies the boosts in.
func (s *scratch) score() {
	w := 0
	for i := range s.list {
		c := &s.list[i]
		if r := s.verdict(c.item); r != kept {
			s.trace.drop(r)
			continue
		}
		s.trace.keep(i, w)
		s.list[w] = *c
		w++
	}
	s.list = s.list[:w]
	for i := range s.plan.boosts {
		s.boost(&s.plan.boosts[i])
	}
	s.steer(s.list)
}

func (s *scratch) boost(b *boost) {
	if !b.when.start(s) {
		return
	}
	for i := range s.list {
		c := &s.list[i]
		if b.when.itemHolds(c.item) && b.when.bothHolds(s, c.item) {
			c.score *= b.factor
			s.trace.boosted(i, b.factor)
		}
	}
}
