package recommend

// The policy, its source and its propensities are in the package's comment.

// choice is what may go to a position.
type choice struct {
	pick int   // the greedy slot, -1 when there is none
	tier uint8 // of the slots that may
	n    int   // how many may
	rank int   // of the greedy one among them
}

// explore returns the slot that goes to a position, and its probability.
func (s *scratch) explore(at int, mask uint64, c choice) (slot int, chance float64) {
	share := s.plan.Explore.Share
	if c.pick < 0 || c.n < 2 || share == 0 {
		return c.pick, 1
	}
	m := min(c.n, s.plan.merch.pool)
	each := share / float64(m)
	greedy := 1 - share
	if c.rank < m {
		greedy += each
	}
	coin := mix(s.q.Seed ^ s.plan.merch.salt + uint64(at)*golden64) //nolint:gosec // a position
	if unit(coin) >= share {
		return c.pick, greedy
	}
	k := int(unit(mix(coin+golden64)) * float64(m))
	for i := range s.slots {
		one := &s.slots[i]
		if one.used || one.tier != c.tier || mask != 0 && one.mask&mask == 0 {
			continue
		}
		if k > 0 {
			k--
			continue
		}
		if i == c.pick {
			return i, greedy
		}
		s.trace.noted(kindExplore, s.list[one.at].item)
		return i, each
	}
	return c.pick, greedy
}

// golden64 is 2^64 divided by the golden ratio.
const golden64 = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += golden64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is x as a number from 0 up to, but not, 1.
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
