package feature

import "slices"

// Moving reports whether the value changes with time itself, all the time.
func (d *Definition) Moving() bool {
	switch d.Kind {
	case KindSince, KindDecayed, KindAffinity, KindDerived:
		return true
	default:
		return false
	}
}

// Stepping reports whether the value may change at certain instants without an
// event. A kind that is not named here may.
func (d *Definition) Stepping() bool {
	switch d.Kind {
	case KindCount, KindSum, KindMean, KindMin, KindMax, KindLatest, KindFirst, KindLast, KindSet, KindDistinct, KindSince, KindDecayed, KindAffinity,
		KindStddev, KindQuantile, KindHistogram, KindRatio, KindTop, KindLatestBy, KindEmbedding:
		return d.Window != 0 || d.TTL != 0
	case KindAttribution:
		return d.TTL != 0
	default:
		return true
	}
}

// Moves is Definition.Moving of the feature at index, or of what it is derived of.
func (s *Set) Moves(index int) bool {
	return slices.ContainsFunc(s.Reads(index), func(i int32) bool { return s.defs[i].Moving() })
}

// Steps is Definition.Stepping of the feature at index, or of what it is derived
// of.
func (s *Set) Steps(index int) bool {
	return slices.ContainsFunc(s.Reads(index), func(i int32) bool { return s.defs[i].Stepping() })
}

// Touched returns the indexes of the features whose value an event can change
// that Event.On calls name; whatever time does to them comes on top. Do not
// change it.
func (s *Set) Touched(name string) []int32 {
	if list, ok := s.touched[name]; ok {
		return list
	}
	return s.touched["*"]
}

// withDerived returns indexes, sorted, and those of the derived features that
// are computed of them.
func (s *Set) withDerived(indexes []int32) []int32 {
	out := slices.Clone(indexes)
	for i := range s.defs {
		if s.defs[i].Kind != KindDerived {
			continue
		}
		for _, read := range s.Reads(i) {
			if _, found := slices.BinarySearch(indexes, read); found {
				out = append(out, int32(i))
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// changes makes the map that Touched reads.
func (s *Set) changes() {
	s.touched = make(map[string][]int32, len(s.events)+3)
	// What undoes an order changes whatever the order did, and a version of it
	// whatever the one before did.
	orders := make(map[int32]bool)
	for rank := range s.ranked {
		if s.ranked[rank].shared {
			orders[int32(rank)] = true
		}
	}
	list := func(touches []touch, more map[int32]bool) []int32 {
		ranks := make(map[int32]bool, len(touches))
		for _, t := range touches {
			ranks[t.rank] = true
		}
		var out []int32
		for rank := range s.ranked {
			if at := int32(rank); ranks[at] || more[at] {
				out = append(out, int32(s.ranked[rank].index)) //nolint:gosec // thousands at most
			}
		}
		slices.Sort(out)
		return s.withDerived(out)
	}
	for name, touches := range s.events {
		s.touched[name] = list(touches, nil)
	}
	s.touched["*"] = list(s.others, nil)
	for _, name := range [...]string{"Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"} {
		touches, ok := s.events[name]
		if !ok {
			touches = s.others
		}
		s.touched[name] = list(append(slices.Clone(touches), s.updated...), orders)
	}
}
