package feature

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Expression is a compiled expression over features. It may be used by many at
// once.
type Expression interface {
	// Compute returns the value (float64, bool, string or nil) that the
	// features come to which read gives.
	Compute(read func(name string) any) any
	// Reads lists the names of the features it reads, sorted.
	Reads() []string
}

// Language compiles the expressions of definitions. A nil function allows none.
type Language struct {
	// Where compiles the condition of a definition.
	Where func(where string) (Condition, error)
	// Derive compiles what a derived feature computes. It knows the names and
	// shapes of all features.
	Derive func(expr string) (Expression, error)
}

// maxDerivedDepth bounds how far one derived feature reads through others, and
// maxDerivedCost how many reads one of them comes to in all.
const (
	maxDerivedDepth = 16
	maxDerivedCost  = 1000
)

// CompileWith is Compile for definitions of which some are derived. A derived
// feature that reads itself, by however long a way, is a fault that names the
// way, and so is one that costs too much.
func CompileWith(defs []Definition, l Language) (*Set, error) {
	s, faults := compileAll(defs, l)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return s, nil
}

// chains puts into each derived feature what it reads, and returns the faults:
// names that are not there, circles, and ways that are too long or too wide.
func (s *Set) chains() (faults []error) {
	w := walk{s: s, cost: make([]int, len(s.defs)), depth: make([]int, len(s.defs))}
	for i := range s.defs {
		if s.defs[i].Kind == KindDerived {
			w.visit(i)
		}
	}
	return w.faults
}

// walk is a depth-first walk over what derived features read.
type walk struct {
	s           *Set
	path        []string
	cost, depth []int // 0 is not seen
	faults      []error
}

func (w *walk) fault(i int, format string, args ...any) {
	w.faults = append(w.faults, fmt.Errorf("feature %q: expr: %s: %w", w.s.defs[i].Name, fmt.Sprintf(format, args...), attune.ErrInvalid))
}

func (w *walk) visit(i int) {
	d := &w.s.ranked[w.s.ranks[i]]
	if d.derived == nil || w.cost[i] != 0 {
		return
	}
	name := w.s.defs[i].Name
	if at := slices.Index(w.path, name); at >= 0 {
		w.fault(i, "derived features read each other in a circle: %s", strings.Join(append(slices.Clone(w.path[at:]), name), " → "))
		w.cost[i] = 1
		return
	}
	w.path = append(w.path, name)
	cost, depth := 1, 1
	for _, read := range d.derived.Reads() {
		j := w.s.Index(read)
		if j < 0 {
			w.fault(i, "unknown feature %q%s", read, didYouMean(read, w.s.allNames()))
			continue
		}
		w.visit(j)
		cost, depth = cost+max(w.cost[j], 1), max(depth, w.depth[j]+1)
	}
	w.path = w.path[:len(w.path)-1]
	if w.cost[i] != 0 {
		return // it is part of a circle, which was said
	}
	w.cost[i], w.depth[i] = min(cost, maxDerivedCost+1), depth
	if cost > maxDerivedCost {
		w.fault(i, "one read of it would be %d reads of others; want at most %d", cost, maxDerivedCost)
	}
	if depth > maxDerivedDepth {
		w.fault(i, "it reads through %d others; want at most %d", depth, maxDerivedDepth)
	}
}

func (s *Set) allNames() []string {
	out := make([]string, len(s.defs))
	for i := range s.defs {
		out[i] = s.defs[i].Name
	}
	return out
}

// Reads lists the indexes of the features that are folded and that the feature
// at index is computed of: itself, unless it is derived. Ascending.
func (s *Set) Reads(index int) []int32 {
	if !s.has(index) {
		return nil
	}
	d := &s.ranked[s.ranks[index]]
	if d.derived == nil {
		return []int32{int32(index)} //nolint:gosec // thousands at most
	}
	var out []int32
	for _, name := range d.derived.Reads() {
		out = append(out, s.Reads(s.Index(name))...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
