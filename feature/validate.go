package feature

import (
	"fmt"
	"slices"

	"github.com/attune-io/attune"
)

// The bounds of what a definition may ask for.
const (
	maxWindow   = 731 * day
	maxHalfLife = 3660 * day
	maxGap      = 24 * hour
	maxN        = 1000
	maxName     = 100
)

// takes says which fields a kind reads, besides name, kind, on, where and ttl.
type takes struct {
	value, by, keyed         bool // keyed: exactly one of value and by
	optional                 bool // value may be missing
	window, halfLife, gap    bool
	n, distinctValues, offed bool
	of, buckets, quantile    bool
	model, expr, maybeBy     bool // maybeBy: by may be given
}

// kinds lists every kind, in the order the documentation has them.
func kinds() []string {
	return []string{
		KindLatest, KindFirst, KindCount, KindSum, KindMean, KindMin, KindMax, KindDistinct, KindLast,
		KindDecayed, KindAffinity, KindSince, KindSessions, KindSessionLength, KindSet, KindSequence,
		KindStddev, KindQuantile, KindHistogram, KindRatio, KindTop, KindLatestBy, KindEmbedding,
		KindAttribution, KindTimeSpent, KindDerived,
	}
}

func fields(kind string) takes {
	switch kind {
	case KindLatest, KindFirst:
		return takes{value: true}
	case KindCount:
		return takes{value: true, optional: true, window: true}
	case KindSum, KindMean, KindMin, KindMax:
		return takes{value: true, window: true}
	case KindStddev:
		return takes{value: true, window: true}
	case KindQuantile:
		return takes{value: true, window: true, quantile: true}
	case KindHistogram:
		return takes{value: true, window: true, buckets: true}
	case KindRatio:
		return takes{window: true, of: true}
	case KindTop:
		return takes{value: true, optional: true, by: true, window: true, n: true}
	case KindLatestBy:
		return takes{value: true, by: true, n: true}
	case KindEmbedding:
		return takes{value: true, window: true, n: true}
	case KindAttribution:
		return takes{value: true, optional: true, by: true, window: true, halfLife: true, of: true, model: true}
	case KindTimeSpent:
		return takes{maybeBy: true, window: true, gap: true, n: true}
	case KindDerived:
		return takes{expr: true}
	case KindDistinct:
		return takes{keyed: true, window: true}
	case KindLast:
		return takes{keyed: true, n: true, distinctValues: true}
	case KindDecayed:
		return takes{value: true, optional: true, halfLife: true}
	case KindAffinity:
		return takes{value: true, optional: true, by: true, halfLife: true}
	case KindSessions, KindSessionLength:
		return takes{window: true, gap: true}
	case KindSet:
		return takes{keyed: true, n: true, offed: true}
	case KindSequence:
		return takes{window: true, offed: true}
	default:
		return takes{}
	}
}

// faults gathers what is wrong with one definition.
type faults struct {
	name string
	all  []error
}

func (f *faults) add(field, format string, args ...any) {
	f.all = append(f.all, fmt.Errorf("feature %q: %s: %s: %w", f.name, field, fmt.Sprintf(format, args...), attune.ErrInvalid))
}

// refuse complains of a field that the kind does not read.
func (f *faults) refuse(field, kind string) {
	f.add(field, "a feature of kind %s takes none; leave it out", kind)
}

// within complains when d was given and is out of bounds.
func (f *faults) within(d Duration, field string, least, largest Duration) {
	if d != 0 && (d < least || d > largest) {
		f.add(field, "%s is out of bounds; want %s to %s", d, least, largest)
	}
}

// check returns every fault of d that needs no compiling.
func check(d *Definition) []error {
	f := faults{name: d.Name}
	if !validName(d.Name) {
		f.add("name", "want letters, digits and _ (at most %d), not starting with a digit", maxName)
	}
	if !slices.Contains(kinds(), d.Kind) {
		if d.Kind == "" {
			f.add("kind", "missing; want one of %q", kinds())
		} else {
			f.add("kind", "unknown kind %q%s", d.Kind, didYouMean(d.Kind, kinds()))
		}
		return f.all
	}
	if d.Kind == KindDerived {
		checkDerived(&f, d)
		return f.all
	}
	if len(d.On) == 0 && d.Kind != KindSequence {
		f.add("on", `missing; name the events that count, or "*" for all`)
	}
	if slices.Contains(d.On, "") || slices.Contains(d.Off, "") {
		f.add("on", "an event name is empty")
	}
	checkSteps(&f, d)
	t := fields(d.Kind)
	checkPaths(&f, d, t)
	checkLengths(&f, d, t)
	checkOthers(&f, d, t)
	return f.all
}

func checkPaths(f *faults, d *Definition, t takes) {
	switch {
	case t.keyed && d.Value == "" && d.By == "":
		f.add("value", "missing; a feature of kind %s needs a path, like item.id", d.Kind)
	case t.keyed && d.Value != "" && d.By != "":
		f.add("by", "a feature of kind %s takes value or by, not both", d.Kind)
	case t.keyed:
	default:
		if t.value && !t.optional && d.Value == "" {
			f.add("value", "missing; a feature of kind %s needs a path, like properties.total", d.Kind)
		}
		if t.by && d.By == "" {
			f.add("by", "missing; a feature of kind %s needs a path, like item.category", d.Kind)
		}
		if !t.value && d.Value != "" {
			f.refuse("value", d.Kind)
		}
		if !t.by && !t.maybeBy && d.By != "" {
			f.refuse("by", d.Kind)
		}
	}
	if !t.offed && len(d.Off) > 0 {
		f.refuse("off", d.Kind)
	}
	for _, name := range d.Off {
		if slices.Contains(d.On, name) || name == "*" {
			f.add("off", "%q would both add and remove", name)
		}
	}
}

func checkLengths(f *faults, d *Definition, t takes) {
	if !t.window && d.Window != 0 {
		f.refuse("window", d.Kind)
	}
	if !t.halfLife && d.HalfLife != 0 {
		f.refuse("half_life", d.Kind)
	}
	if !t.gap && d.Gap != 0 {
		f.refuse("gap", d.Kind)
	}
	if !t.n && d.N != 0 {
		f.refuse("n", d.Kind)
	}
	if !t.distinctValues && d.Distinct {
		f.refuse("distinct", d.Kind)
	}
	if t.window {
		f.within(d.Window, "window", 5*minute, maxWindow)
	}
	if t.halfLife {
		f.within(d.HalfLife, "half_life", minute, maxHalfLife)
	}
	if t.gap {
		f.within(d.Gap, "gap", minute/60, maxGap)
	}
	f.within(d.TTL, "ttl", minute/60, maxHalfLife)
	if t.n && d.Kind != KindEmbedding && (d.N < 0 || d.N > maxN) {
		f.add("n", "%d is out of bounds; want 1 to %d", d.N, maxN)
	}
}

// validName reports whether s can be written after "features." in a condition.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// checkAll returns the faults of every definition, and of the list.
func checkAll(defs []Definition) []error {
	var all []error
	names := make(map[string]int, len(defs))
	for i := range defs {
		all = append(all, check(&defs[i])...)
		if first, ok := names[defs[i].Name]; ok {
			all = append(all, fmt.Errorf("feature %q: name: features %d and %d of the list share it; rename one: %w",
				defs[i].Name, first+1, i+1, attune.ErrInvalid))
			continue
		}
		names[defs[i].Name] = i
	}
	return all
}
