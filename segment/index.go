package segment

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// index says which conditions something can change, so that an event costs
// the conditions it concerns and not all there are. Conditions are named by
// their places in Set.order: what a condition names comes before it.
type index struct {
	features   [][]int32          // by feature: the conditions that read it
	traits     map[string][]int32 // by the first name of a trait
	dependents [][]int32          // by condition: those that name it
	timed      []int32            // may change as time passes
	always     []int32            // read what is only known when they are evaluated
	stepping   []int32            // the features that are read and step
	moves      bool               // some condition moves with time itself
}

func (x *index) build(order []compiled, features []Feature) {
	places := make(map[string]int32, len(features))
	for i, f := range features {
		places[f.Name] = int32(i)
	}
	names := make(map[string]int32, len(order))
	for i := range order {
		names[order[i].name] = int32(i)
	}
	x.features, x.traits, x.dependents = make([][]int32, len(features)), map[string][]int32{}, make([][]int32, len(order))
	for i := range order {
		at, u := int32(i), order[i].when.Uses()
		timed, always := u.Now, u.Open || u.AllSegments
		x.moves = x.moves || u.Now
		for _, name := range u.Features {
			f, known := places[name]
			if !known {
				always = true
				continue
			}
			x.features[f] = append(x.features[f], at)
			timed = timed || features[f].Moves || features[f].Steps
			x.reads(f, &features[f])
		}
		for _, name := range u.Traits {
			name, _, _ = strings.Cut(name, ".")
			x.traits[name] = append(x.traits[name], at)
		}
		for _, name := range u.Segments {
			if other, ok := names[name]; ok {
				x.dependents[other] = append(x.dependents[other], at)
			}
		}
		x.note(at, timed, always)
	}
	if len(x.always) > 0 { // what they read may be any of them
		for f := range features {
			x.reads(int32(f), &features[f])
		}
	}
	slices.Sort(x.stepping)
}

// note files a condition that may change as time passes, or with anything.
func (x *index) note(at int32, timed, always bool) { //nolint:revive // what is known of it
	if always {
		x.always = append(x.always, at)
	}
	if timed || always {
		x.timed = append(x.timed, at)
	}
}

// reads notes that some condition reads the feature at place.
func (x *index) reads(place int32, f *Feature) {
	x.moves = x.moves || f.Moves
	if f.Steps && !slices.Contains(x.stepping, place) {
		x.stepping = append(x.stepping, place)
	}
}

// Change is what may have changed of a person since her segments were last
// evaluated.
type Change struct {
	// All: anything.
	All bool
	// Time: the instant has come that NextChange named.
	Time bool
	// Features by their places, and Traits by their first names. Repeats do no
	// harm.
	Features []int32
	Traits   []string
}

// small is how many segments are evaluated whole each time: to know what
// changed would cost more.
const small = 8

// Small reports whether s has so few segments that a caller need not find out
// what changed.
func (s *Set) Small() bool { return s == nil || len(s.order) < small }

// ReadsTraits reports whether some condition reads a trait by its name.
func (s *Set) ReadsTraits() bool { return s != nil && len(s.index.traits) > 0 }

// scratch is what an evaluation works with.
type scratch struct {
	in    rule.Input
	read  remembered
	dirty []uint64 // a bit a condition
	steps []int32
}

// remembered is a person whose features are read once an evaluation: many
// conditions read the same ones, and a window costs more than a look-up.
type remembered struct {
	rule.Person

	features map[string]any
}

// Feature returns the feature called name at now, which is the same instant at
// every call.
func (r *remembered) Feature(name string, now attune.Millis) any {
	if v, known := r.features[name]; known {
		return v
	}
	v := r.Person.Feature(name, now)
	r.features[name] = v
	return v
}

func (s *Set) scratch(p Person, now attune.Millis) *scratch {
	x, ok := s.pool.Get().(*scratch)
	if !ok {
		x = &scratch{dirty: make([]uint64, (len(s.order)+63)/64), read: remembered{features: map[string]any{}}}
	}
	x.read.Person = p
	x.in.Person, x.in.Now = &x.read, now
	return x
}

// free drops what is not the scratch's own.
func (x *scratch) free() {
	x.in.Person, x.in.Segments, x.read.Person = nil, nil, nil
	clear(x.read.features)
}

func (x *scratch) mark(conditions []int32) {
	for _, at := range conditions {
		x.dirty[at>>6] |= 1 << (at & 63)
	}
}

// Update returns what Evaluate would, when was is what it returned before and
// nothing but c has changed since: only the conditions that c concerns are
// evaluated, and how many those were is the second result. It returns was
// itself when nothing changed, and does not write to it.
func (s *Set) Update(p Person, now attune.Millis, was []string, c *Change) (member []string, evaluated int) {
	if s == nil || c.All {
		return s.Evaluate(p, now), len(s.Definitions())
	}
	x := s.scratch(p, now)
	defer s.pool.Put(x)
	s.concerns(x, c)
	x.in.Segments = was
	own := false
	for w := range x.dirty {
		for x.dirty[w] != 0 {
			i := w<<6 + bits.TrailingZeros64(x.dirty[w])
			x.dirty[w] &= x.dirty[w] - 1
			evaluated++
			c := &s.order[i]
			at, was := slices.BinarySearch(x.in.Segments, c.name)
			if c.when.Match(&x.in) == was {
				continue
			}
			if !own {
				x.in.Segments, own = slices.Clone(x.in.Segments), true
			}
			if was {
				x.in.Segments = slices.Delete(x.in.Segments, at, at+1)
			} else {
				x.in.Segments = slices.Insert(x.in.Segments, at, c.name)
			}
			x.mark(s.index.dependents[i]) // all of them come later
		}
	}
	member = x.in.Segments
	if len(member) == 0 {
		member = nil
	}
	x.free()
	return member, evaluated
}

// concerns marks what c concerns.
func (s *Set) concerns(x *scratch, c *Change) {
	x.mark(s.index.always)
	if c.Time {
		x.mark(s.index.timed)
	}
	for _, f := range c.Features {
		if int(f) < len(s.index.features) {
			x.mark(s.index.features[f])
		}
	}
	for _, name := range c.Traits {
		x.mark(s.index.traits[name])
	}
}

// NextChange returns an instant after now before which p enters and leaves no
// segment without a new event; 0 is never. was is what it returned when p was
// evaluated before, and c what may have changed since: an instant that has not
// come yet still holds for everything else. Conditions that move with time
// itself are looked at every five minutes.
func (s *Set) NextChange(p Person, now, was attune.Millis, c *Change) attune.Millis {
	if s == nil {
		return 0
	}
	var next attune.Millis
	sooner := func(at attune.Millis) {
		if at > now && (next == 0 || at < next) {
			next = at
		}
	}
	if c.All || c.Time || len(s.index.always) > 0 {
		if len(s.index.stepping) > 0 {
			sooner(p.NextChangeOf(s.index.stepping, now))
		}
	} else {
		sooner(was)
		x := s.scratch(p, now)
		x.steps = x.steps[:0]
		for _, f := range c.Features {
			if _, reads := slices.BinarySearch(s.index.stepping, f); reads {
				x.steps = append(x.steps, f)
			}
		}
		if len(x.steps) > 0 {
			sooner(p.NextChangeOf(x.steps, now))
		}
		x.free()
		s.pool.Put(x)
	}
	if s.index.moves {
		sooner(now - now%again + again)
	}
	return next
}
