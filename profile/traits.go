package profile

import (
	"slices"
	"strings"
	"unique"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// The bounds of traits. A state keeps the maxTraits leaves that are newest by
// (rank, time, tie, path), a cut by a total order, so that grouping does not
// change it. Longer paths and values are left out, deeper objects are values.
const (
	maxTraits     = attune.MaxTraits
	maxTraitPath  = 256
	maxTraitValue = 16 << 10
	maxTraitDepth = 16
)

// Trait is one leaf of what we were told about a person.
type Trait struct {
	// Path is the name, nesting flattened with ".": "address.city".
	Path string
	// Value is JSON, as it was sent: a string, number, bool or array. "" says
	// that the trait was removed, which is as much a fact as a value.
	Value string
	Rank  attune.Rank
	Time  attune.Millis
	Tie   uint64
}

// newer is the order in which the later of two facts wins: rank, time, tie,
// and then the value, so that it is total.
func (t *Trait) newer(o *Trait) bool {
	switch {
	case t.Rank != o.Rank:
		return t.Rank > o.Rank
	case t.Time != o.Time:
		return t.Time > o.Time
	case t.Tie != o.Tie:
		return t.Tie > o.Tie
	default:
		return t.Value > o.Value
	}
}

// Traits are leaves sorted by path, each path once, at most maxTraits.
type Traits []Trait

// find returns where path is or belongs.
func (ts Traits) find(path []byte) (int, bool) {
	lo, hi := 0, len(ts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if ts[mid].Path < string(path) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(ts) && ts[lo].Path == string(path)
}

// fold takes the leaves of a JSON object. of carries the rank, time and tie
// they have. A path that the object has twice takes its last value.
func (ts *Traits) fold(object gjson.Result, of Trait) {
	if !object.IsObject() {
		return
	}
	var buf [64]byte
	w := traitWalk{ts: ts, of: of, path: buf[:0]}
	w.walk(object, 0)
	ts.cut()
}

type traitWalk struct {
	ts   *Traits
	of   Trait
	path []byte
}

func (w *traitWalk) walk(object gjson.Result, depth int) {
	at := len(w.path)
	object.ForEach(func(k, v gjson.Result) bool {
		if k.Str == "" || at+1+len(k.Str) > maxTraitPath {
			return true
		}
		if at > 0 {
			w.path = append(w.path, '.')
		}
		w.path = append(w.path, k.Str...)
		if v.IsObject() && depth < maxTraitDepth {
			w.walk(v, depth+1)
		} else if len(v.Raw) <= maxTraitValue {
			w.leaf(v)
		}
		w.path = w.path[:at]
		return true
	})
}

func (w *traitWalk) leaf(v gjson.Result) {
	value := v.Raw
	if v.Type == gjson.Null {
		value = ""
	}
	i, found := w.ts.find(w.path)
	if !found {
		t := w.of
		t.Path, t.Value = unique.Make(string(w.path)).Value(), strings.Clone(value)
		*w.ts = slices.Insert(*w.ts, i, t)
		return
	}
	// The same rank, time and tie is the same message, which says it again
	// further on: then its last word counts.
	t := &(*w.ts)[i]
	if t.Rank > w.of.Rank || t.Rank == w.of.Rank && (t.Time > w.of.Time || t.Time == w.of.Time && t.Tie > w.of.Tie) {
		return
	}
	t.Rank, t.Time, t.Tie = w.of.Rank, w.of.Time, w.of.Tie
	if t.Value != value {
		t.Value = strings.Clone(value)
	}
}

// merge takes src's leaves where they are newer. src is not changed; the two
// share only strings.
func (ts *Traits) merge(src Traits) {
	if len(src) == 0 {
		return
	}
	if len(*ts) == 0 {
		*ts = slices.Clone(src)
		return
	}
	a, b := *ts, src
	out := make(Traits, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].Path, b[0].Path); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			t := a[0]
			if b[0].newer(&t) {
				t = b[0]
			}
			out, a, b = append(out, t), a[1:], b[1:]
		}
	}
	*ts = append(append(out, a...), b...)
	ts.cut()
}

// cut keeps the newest maxTraits leaves.
func (ts *Traits) cut() {
	if len(*ts) <= maxTraits {
		return
	}
	byAge := slices.Clone(*ts)
	slices.SortFunc(byAge, compareTraits)
	last := byAge[len(byAge)-maxTraits]
	*ts = slices.DeleteFunc(*ts, func(t Trait) bool { return compareTraits(t, last) < 0 })
}

// compareTraits is the order of age, oldest first, with the path as last word.
func compareTraits(a, b Trait) int {
	if a.Rank != b.Rank || a.Time != b.Time || a.Tie != b.Tie {
		if b.newer(&a) {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Path, b.Path)
}

// Get returns the value at path, and whether there is one: string, float64,
// bool or []any of a leaf, map[string]any of an object.
func (ts Traits) Get(path string) (any, bool) {
	i, found := ts.find([]byte(path))
	if !found || ts.related(i) {
		return ts.lookup(path)
	}
	if ts[i].Value == "" {
		return nil, false
	}
	return gjson.Parse(ts[i].Value).Value(), true
}

// related reports whether a leaf above or below leaf i in the tree of names
// has a say about it too.
func (ts Traits) related(i int) bool {
	path := ts[i].Path
	for at := strings.IndexByte(path, '.'); at >= 0; {
		if _, found := ts.find([]byte(path[:at])); found {
			return true
		}
		next := strings.IndexByte(path[at+1:], '.')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	below, _ := ts.find([]byte(path + "."))
	return below < len(ts) && strings.HasPrefix(ts[below].Path, path+".")
}

// lookup finds path in the tree of all leaves that share its first name.
func (ts Traits) lookup(path string) (any, bool) {
	head, _, _ := strings.Cut(path, ".")
	var some Traits
	for i, _ := ts.find([]byte(head)); i < len(ts) && strings.HasPrefix(ts[i].Path, head); i++ {
		if p := ts[i].Path; len(p) == len(head) || p[len(head)] == '.' {
			some = append(some, ts[i])
		}
	}
	var v any = some.Map()
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// Map returns the traits as the nested object they came from. Where one fact
// says that a name is a value and another that it is an object, the newer is
// right: the tree is what remains after all facts were written oldest first.
// The caller owns the map.
func (ts Traits) Map() map[string]any {
	root := map[string]any{}
	byAge := slices.Clone(ts)
	slices.SortFunc(byAge, compareTraits)
	for i := range byAge {
		put(root, &byAge[i])
	}
	prune(root)
	return root
}

// put writes t into the tree as an assignment of its time would have done.
func put(m map[string]any, t *Trait) {
	name, rest, more := strings.Cut(t.Path, ".")
	for more {
		child, ok := m[name].(map[string]any)
		if !ok {
			if t.Value == "" {
				// Removing a name below a value leaves the value alone.
				return
			}
			child = map[string]any{}
			m[name] = child
		}
		m = child
		name, rest, more = strings.Cut(rest, ".")
	}
	if t.Value == "" {
		delete(m, name)
		return
	}
	m[name] = gjson.Parse(t.Value).Value()
}

// prune drops objects that removals have emptied.
func prune(m map[string]any) {
	for name, v := range m {
		if child, ok := v.(map[string]any); ok {
			if prune(child); len(child) == 0 {
				delete(m, name)
			}
		}
	}
}
