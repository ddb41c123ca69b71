package feature

import (
	"github.com/attune-io/attune"
)

// view returns the cell of a definition as it is at now, empty when its ttl
// has passed, and the query time: after now and after every event.
func (s *Set) view(st *State, index int, now attune.Millis) (*cell, int64) {
	base := max(min(int64(now), maxTime), st.newest)
	rank := s.ranks[index]
	d := &s.ranked[rank]
	var c *cell
	if d.shared && st.settled != nil {
		c = find(s.settle(st), rank)
	}
	if c == nil {
		c = find(st.cells, rank)
	}
	if c == nil || d.ttl > 0 && base-c.newest > d.ttl {
		c = &s.empty
	}
	return c, base + 1
}

func (s *Set) has(index int) bool { return index >= 0 && index < len(s.ranks) }

// Read returns the feature called name at now, in the form its Shape says; nil
// when there is nothing, or no such feature.
func (s *Set) Read(st *State, name string, now attune.Millis) any {
	return s.ReadAt(st, s.Index(name), now)
}

// ReadAt is Read by index.
func (s *Set) ReadAt(st *State, index int, now attune.Millis) any {
	if !s.has(index) {
		return nil
	}
	d := &s.ranked[s.ranks[index]]
	if d.derived != nil {
		// Compile found every circle, so this comes to an end.
		return d.derived.Compute(func(name string) any { return s.ReadAt(st, s.Index(name), now) })
	}
	c, q := s.view(st, index, now)
	return d.agg.read(c, q)
}

// Each calls fn for every feature that is not nil, in order of definition.
func (s *Set) Each(st *State, now attune.Millis, fn func(name string, v any)) {
	for i := range s.defs {
		if v := s.ReadAt(st, i, now); v != nil {
			fn(s.defs[i].Name, v)
		}
	}
}

// List appends the keys of a last or a set (newest first), of an affinity
// and its kin (heaviest first) or of a distinct (ascending) to dst, without allocating
// when dst has room. Nothing for other kinds. The strings may be kept.
func (s *Set) List(st *State, index int, dst []string, now attune.Millis) []string {
	if !s.has(index) {
		return dst
	}
	if a, ok := s.ranked[s.ranks[index]].agg.(lister); ok {
		c, q := s.view(st, index, now)
		return a.list(c, dst, q)
	}
	return dst
}

// Weighted is a key with its weight.
type Weighted struct {
	Key    string
	Weight float64
}

// Weights appends the keys of an affinity, a top, a latest_by, an attribution
// or a time_spent by key to dst, heaviest first, ties by key. Nothing for other
// kinds.
func (s *Set) Weights(st *State, index int, dst []Weighted, now attune.Millis) []Weighted {
	if !s.has(index) {
		return dst
	}
	if a, ok := s.ranked[s.ranks[index]].agg.(ranker); ok {
		c, q := s.view(st, index, now)
		return a.ranked(c, dst, q)
	}
	return dst
}

// Seen is a key with the time of its newest event.
type Seen struct {
	Key  string
	Time attune.Millis
}

// Recent is List with times, for a last or a set; nothing for other kinds.
func (s *Set) Recent(st *State, index int, dst []Seen, now attune.Millis) []Seen {
	if !s.has(index) {
		return dst
	}
	if _, ok := s.ranked[s.ranks[index]].agg.(recency); !ok {
		return dst
	}
	c, _ := s.view(st, index, now)
	for i := range c.entries {
		if e := &c.entries[i]; !e.off {
			dst = append(dst, Seen{Key: e.key, Time: attune.Millis(e.at)})
		}
	}
	return dst
}

// Approximate reports whether a cap was passed, so that the feature at index
// no longer holds all it should.
func (s *Set) Approximate(st *State, index int) bool {
	if !s.has(index) {
		return false
	}
	c, _ := s.view(st, index, st.Newest())
	return c.approx || st.cut && s.ranked[s.ranks[index]].shared
}

// NextChange returns the earliest time after now at which a window or a ttl
// drops something without a new event; 0 is never. Decays and since change all
// the time and do not count.
func (s *Set) NextChange(st *State, now attune.Millis) attune.Millis {
	var next attune.Millis
	for i := range s.defs {
		next = s.sooner(st, i, now, next)
	}
	return next
}

// NextChangeOf is NextChange of the features at these indexes alone.
func (s *Set) NextChangeOf(st *State, indexes []int32, now attune.Millis) attune.Millis {
	var next attune.Millis
	for _, i := range indexes {
		switch {
		case !s.has(int(i)):
		case s.ranked[s.ranks[i]].derived != nil:
			if at := s.NextChangeOf(st, s.Reads(int(i)), now); at != 0 && (next == 0 || at < next) {
				next = at
			}
		default:
			next = s.sooner(st, int(i), now, next)
		}
	}
	return next
}

// sooner returns next, or the earliest time after now at which the feature at
// index drops something when that is before; 0 is never.
func (s *Set) sooner(st *State, index int, now, next attune.Millis) attune.Millis {
	c, q := s.view(st, index, now)
	if c.n == 0 {
		return next
	}
	sooner := func(at int64) {
		if at > int64(now) && (next == 0 || at < int64(next)) {
			next = attune.Millis(at)
		}
	}
	d := &s.ranked[s.ranks[index]]
	if d.ttl > 0 {
		sooner(c.newest + d.ttl + 1)
	}
	if a, ok := d.agg.(changer); ok {
		if at := a.next(c, q); at != 0 {
			sooner(at - 1) // the query time is 1 ms after now
		}
	}
	return next
}
