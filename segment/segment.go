// Package segment says which audiences a person is in. A Definition is a name
// and a condition over her traits, features and other segments; a Set is
// definitions compiled and put in an order in which each comes after those it
// names.
//
// Membership is a function of the person and an instant, nothing else: it is
// computed, not stored, and whoever keeps the last answer gets the transitions
// from Diff, and may have only those conditions evaluated again that something
// that happened can have changed (Update). A condition that cannot be evaluated (it compares a trait that is
// absent) is false. The package does no I/O, reads no clock and holds no state.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// Definition is a segment as configuration declares it.
type Definition struct {
	// Name is what rules and transitions call it: letters, digits, - and _.
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description,omitempty" json:"description,omitempty"`
	// When is a condition in CEL over traits, features, segments and now.
	When string `yaml:"when" json:"when"`
}

// Person is what a segment reads of somebody.
type Person interface {
	rule.Person
	// NextChangeOf is the earliest instant after now at which one of these
	// features steps without a new event; 0 is never. They are named by their
	// places in what Compile was given.
	NextChangeOf(features []int32, now attune.Millis) attune.Millis
}

// Feature is what Compile has to know of a feature.
type Feature struct {
	Name string
	// Moves: its value changes with time itself (since, decayed, affinity).
	Moves bool
	// Steps: it changes at certain instants without an event (a window, a ttl).
	Steps bool
}

// MaxName is the longest name of a segment, in bytes.
const MaxName = 100

// again is how often the segments are looked at whose value moves with time
// itself: the hop of the finest windows.
const again = attune.Millis(5 * time.Minute / time.Millisecond)

// Set is definitions compiled. It does not change and may be used by many
// goroutines at once. A nil Set has no segments.
type Set struct {
	defs  []Definition // as they were given
	order []compiled   // each after those it names
	index index
	pool  sync.Pool // of *scratch
}

type compiled struct {
	name string
	when *rule.Program
}

// Fault is one thing that is wrong with a definition.
type Fault struct {
	Index int    // of the definition
	Field string // "name", "when", or "" for the whole
	Err   error  // for when: rule.Faults finds the places in it
}

// Error returns the fault with the segment's place in the list.
func (f *Fault) Error() string { return fmt.Sprintf("segments[%d].%s: %v", f.Index, f.Field, f.Err) }

// Unwrap returns what is wrong.
func (f *Fault) Unwrap() error { return f.Err }

// Compile checks and compiles defs. env knows the names of all of them.
// features are all that conditions may read, in the order in which people
// number them; one that is not among them is read, but nobody can say when it
// changes. The error joins every *Fault there is.
func Compile(defs []Definition, env *rule.Env, features []Feature) (*Set, error) {
	s := &Set{defs: slices.Clone(defs)}
	var errs []error
	fault := func(i int, field string, err error) {
		errs = append(errs, &Fault{Index: i, Field: field, Err: err})
	}
	first := make(map[string]int, len(defs))
	programs := make([]*rule.Program, len(defs))
	for i, d := range defs {
		if err := checkName(d.Name); err != nil {
			fault(i, "name", err)
		} else if j, twice := first[d.Name]; twice {
			fault(i, "name", fmt.Errorf("segment %q is there twice, also as segments[%d]: %w", d.Name, j, attune.ErrInvalid))
		} else {
			first[d.Name] = i
		}
		p, err := env.SegmentCondition(d.When)
		switch {
		case err != nil:
			fault(i, "when", err)
		case p.Uses().AllSegments:
			fault(i, "when", fmt.Errorf("a segment names other segments one by one, as in \"vip\" in segments: %w", attune.ErrInvalid))
		default:
			programs[i] = p
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	o := ordering{defs: defs, programs: programs, first: first, state: make([]uint8, len(defs))}
	for i := range defs {
		if cycle := o.visit(i); cycle != nil {
			return nil, &Fault{Index: i, Field: "when", Err: fmt.Errorf(
				"segments name each other in a circle: %s: %w", strings.Join(cycle, " → "), attune.ErrInvalid)}
		}
	}
	s.order = o.done
	s.index.build(s.order, features)
	return s, nil
}

func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("a segment has to have a name: %w", attune.ErrInvalid)
	}
	if len(name) > MaxName {
		return fmt.Errorf("a name has at most %d bytes: %w", MaxName, attune.ErrInvalid)
	}
	for _, c := range name {
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return fmt.Errorf("name %q: want letters, digits, - and _: %w", name, attune.ErrInvalid)
		}
	}
	return nil
}

// ordering is a depth-first walk: what a segment names comes before it.
type ordering struct {
	defs     []Definition
	programs []*rule.Program
	first    map[string]int
	state    []uint8 // 0 not seen, 1 on the path, 2 done
	path     []string
	done     []compiled
}

// visit puts the segment at i and all it names into done. It returns the
// names of a cycle, from a segment back to itself, or nil.
func (o *ordering) visit(i int) []string {
	name := o.defs[i].Name
	switch o.state[i] {
	case 1:
		return append(slices.Clone(o.path[slices.Index(o.path, name):]), name)
	case 2:
		return nil
	}
	o.state[i] = 1
	o.path = append(o.path, name)
	for _, other := range o.programs[i].Uses().Segments {
		// A name that is not there is a fault of env, where it knows the names,
		// and nobody's segment otherwise.
		if j, ok := o.first[other]; ok {
			if cycle := o.visit(j); cycle != nil {
				return cycle
			}
		}
	}
	o.path = o.path[:len(o.path)-1]
	o.state[i] = 2
	o.done = append(o.done, compiled{name: name, when: o.programs[i]})
	return nil
}

// Definitions returns what was compiled, as it was given. Do not change it.
func (s *Set) Definitions() []Definition {
	if s == nil {
		return nil
	}
	return s.defs
}

// ID identifies what the segments say: the same definitions have the same ID
// in every process.
func (s *Set) ID() uint64 {
	b := []byte("segments/1")
	for _, d := range s.Definitions() {
		for _, text := range [...]string{d.Name, d.When} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	return attune.Hash(string(b))
}

// Evaluate returns the names of the segments p is in at now, sorted; nil when
// there are none. The caller owns the slice.
func (s *Set) Evaluate(p Person, now attune.Millis) []string {
	if s == nil || len(s.order) == 0 {
		return nil
	}
	x := s.scratch(p, now)
	defer s.pool.Put(x)
	var member []string
	for i := range s.order {
		c := &s.order[i]
		x.in.Segments = member
		if c.when.Match(&x.in) {
			at, _ := slices.BinarySearch(member, c.name)
			member = slices.Insert(member, at, c.name)
		}
	}
	x.free()
	return member
}

// Diff returns what becomes of user when her segments go from before to after,
// both sorted: left and entered, by name.
func Diff(user string, before, after []string) []attune.Transition {
	var out []attune.Transition
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) == 0 || len(after) > 0 && after[0] < before[0]:
			out = append(out, attune.Transition{UserID: user, Segment: after[0], Entered: true})
			after = after[1:]
		case len(after) == 0 || before[0] < after[0]:
			out = append(out, attune.Transition{UserID: user, Segment: before[0]})
			before = before[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return out
}
