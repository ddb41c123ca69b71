package recommend

// seat is a candidate that the positions are filled from.
type seat struct {
	at    int32  // in the list of candidates
	tier  uint8  // lower ones go first, whatever the scores
	used  bool   // shown, or over a cap or limit, which it stays
	mask  uint64 // of the wishes that hold for it
	alike float32
}

// The tiers.
const (
	tierOwn = iota
	tierFill
	tierBuried
	tierPromoted // shown on promoted positions only
)

// arrange fills the positions one by one, where what is above decides what comes
// next: promotions, diversity, exploration. Each takes the greedy choice among
// what may stand there, or what chance takes. O(limit · window).
func (s *scratch) arrange() {
	s.extend()
	s.supply()
	order(s.list)
	window := max(fewCandidates, 3*s.limit, s.plan.merch.pool)
	s.window(window)
	if len(s.list) == 0 || len(s.slots) == 0 {
		return
	}
	best := s.list[s.slots[0].at].score
	for at := 1; len(s.taken) < s.limit; {
		if n, ok := s.pinnedAt(at); ok {
			s.likens(n)
			at++
			continue
		}
		c, chance := s.choose(at, best)
		if c < 0 {
			if s.window(window) {
				continue
			}
			return
		}
		slot := &s.slots[c]
		slot.used = true
		one := s.list[slot.at]
		s.count(s.slotKeys(c)[:len(s.plan.caps)], slot.mask&s.plan.merch.counting)
		s.taken, s.chances = append(s.taken, one), append(s.chances, chance)
		s.likens(one.item)
		at++
	}
}

// window puts the next candidates for which the whole filter holds into the
// pool, with all that promotions want, and reports whether there were any.
func (s *scratch) window(n int) bool {
	m := s.plan.merch
	before, wanted := len(s.slots), s.promised()
	for ; s.next < len(s.list); s.next++ {
		c := &s.list[s.next]
		more := len(s.slots)-before < n
		if !more && (m.promotes == 0 || wanted <= 0) {
			break
		}
		if !s.plan.filter.bothHolds(s, c.item) {
			s.trace.drop(byFilter)
			continue
		}
		mask := s.holding(c.item)
		if mask&m.promotes != 0 {
			wanted--
		} else if !more {
			continue
		}
		one := seat{at: int32(s.next), mask: mask} //nolint:gosec // some thousands
		switch {
		case c.gen == promoGen:
			one.tier = tierPromoted
		case mask&m.buries != 0:
			one.tier = tierBuried
		case c.gen < 0:
			one.tier = tierFill
		}
		s.slots = append(s.slots, one)
		s.keys = s.capKeys(c.item, s.keys)
		if m.diversity != nil {
			for _, attribute := range m.diversity.By {
				s.keys = append(s.keys, s.valueKey(c.item, attribute))
			}
		}
	}
	return len(s.slots) > before
}

// slotKeys returns the keys of the slot at i: of caps, then of diversity.
func (s *scratch) slotKeys(i int) []uint64 {
	stride := len(s.plan.caps)
	if d := s.plan.merch.diversity; d != nil {
		stride += len(d.By)
	}
	return s.keys[i*stride : (i+1)*stride]
}

// choose returns the slot that goes to a position, -1 when there is none, and
// the probability with which it does, given all above.
func (s *scratch) choose(at int, best float32) (slot int, chance float64) {
	if owed := s.owed(at); owed >= 0 {
		if slot, chance = s.pick(at, best, 1<<owed); slot >= 0 {
			s.trace.moved(owed, s.list[s.slots[slot].at].item)
			return slot, chance
		}
	}
	return s.pick(at, best, 0)
}

// pick is choose among the slots with one of the wishes of mask, or, where it is
// 0, among all but those of promotions alone.
func (s *scratch) pick(at int, best float32, mask uint64) (pick int, chance float64) {
	pick = -1
	tier, n, rank := uint8(tierPromoted), 0, 0
	var value, first float32
	for i := range s.slots {
		one := &s.slots[i]
		if one.used || mask != 0 && one.mask&mask == 0 || mask == 0 && one.tier == tierPromoted || one.tier > tier && n > 0 {
			continue
		}
		if r := s.full(s.slotKeys(i)[:len(s.plan.caps)], one.mask); r != kept {
			one.used = true // what is shown only grows
			s.trace.drop(r)
			continue
		}
		v := s.worth(i, best)
		if n == 0 || one.tier < tier {
			tier, n, pick, value, rank, first = one.tier, 0, i, v, 0, v
		}
		if v > value {
			pick, value, rank = i, v, n
		}
		n++
	}
	if pick >= 0 && value > first {
		s.trace.noted(kindMMR, s.list[s.slots[pick].at].item)
	}
	return s.explore(at, mask, choice{pick: pick, tier: tier, n: n, rank: rank})
}
