package feature

import (
	"github.com/attune-io/attune"
)

// Condition decides whether an event (and, for a definition with an item
// path, this product of it) counts. p is nil for every other definition.
// Match is called by whoever folds, possibly by many at once.
type Condition interface {
	Match(e *attune.Event, p *attune.Product) bool
}

// Set is definitions compiled. It does not change; any number of goroutines
// may use it, each with States of its own (reads of one State may be many).
type Set struct {
	defs []Definition
}

// State holds a Set's aggregators over a set of events. The zero State is
// empty and ready. A copy of a State shares its memory: to get one that can be
// folded on, Merge into a zero State. One goroutine at a time may Fold or
// Merge into it; any number may read it while nobody does.
type State struct {
	newest int64
}

// Compile checks and compiles defs; condition compiles a where (nil allows
// none). The error joins every fault there is, each naming its feature and field.
func Compile(defs []Definition, condition func(where string) (Condition, error)) (*Set, error) {
	return &Set{defs: defs}, nil
}

// Fold adds e, which must not have been folded into st before. It keeps
// nothing of e's memory.
func (s *Set) Fold(st *State, e *attune.Event) {}

// Merge makes dst the union of dst and src, whose events must differ. It
// neither changes src nor keeps any of its memory but strings.
func (s *Set) Merge(dst, src *State) {}

// Newest returns the time of the newest event folded; 0 when there is none.
func (st *State) Newest() attune.Millis { return attune.Millis(st.newest) }

// Definitions returns what was compiled, in order. Do not change it.
func (s *Set) Definitions() []Definition { return s.defs }

// Index returns the place of the definition called name, or -1.
func (s *Set) Index(name string) int { return -1 }

// Hash identifies what the definition at index computes: cells are stored
// under it. Its ttl does not count, since that acts at read.
func (s *Set) Hash(index int) uint64 { return 0 }

// Read returns the feature called name at now, in the form its Shape says; nil
// when there is nothing, or no such feature.
func (s *Set) Read(st *State, name string, now attune.Millis) any { return s.ReadAt(st, s.Index(name), now) }

// ReadAt is Read by index.
func (s *Set) ReadAt(st *State, index int, now attune.Millis) any { return nil }

// Each calls fn for every feature that is not nil, in order of definition.
func (s *Set) Each(st *State, now attune.Millis, fn func(name string, v any)) {}

// List appends the keys of a last, set or distinct (newest first) or of an
// affinity (heaviest first) to dst, without allocating when dst has room.
// Nothing for other kinds. The strings may be kept.
func (s *Set) List(st *State, index int, dst []string, now attune.Millis) []string { return dst }

// Weighted is a key with its decayed weight.
type Weighted struct {
	Key    string
	Weight float64
}

// Weights appends the keys of an affinity, heaviest first, ties by key.
func (s *Set) Weights(st *State, index int, dst []Weighted, now attune.Millis) []Weighted { return dst }

// Seen is a key with the time it was last seen.
type Seen struct {
	Key  string
	Time attune.Millis
}

// Recent is List with times, for a last or a set; nothing for other kinds.
func (s *Set) Recent(st *State, index int, dst []Seen, now attune.Millis) []Seen { return dst }

// Approximate reports whether a cap was passed, so that the feature at index
// no longer holds all it should.
func (s *Set) Approximate(st *State, index int) bool { return false }

// NextChange returns the earliest time after now at which a window or a ttl
// drops something without a new event; 0 is never. Decays and since change
// all the time and do not count.
func (s *Set) NextChange(st *State, now attune.Millis) attune.Millis { return 0 }

// AppendBinary appends st, with each cell under its definition's hash. Equal
// sets of events give equal bytes.
func (s *Set) AppendBinary(st *State, b []byte) []byte { return b }

// Decode reads what AppendBinary wrote. Cells of definitions s does not have
// are dropped; a definition without a cell is empty. It does not keep b. An
// error wraps attune.ErrCorrupt.
func (s *Set) Decode(b []byte) (State, error) { return State{}, nil }
