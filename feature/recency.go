package feature

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// edge is latest and first: one entry, whose key is the value as JSON. timed
// reads the time instead; then an order that was updated says when it was
// placed, like all its features.
type edge struct{ first, timed bool }

// better reports whether a is to be kept rather than b. Of one event the first
// line wins either way.
func (g edge) better(a, b *entry) bool {
	if g.first {
		if a.at != b.at {
			return a.at < b.at
		}
		if a.tie != b.tie {
			return a.tie < b.tie
		}
	}
	return newer(a, b)
}

func (g edge) add(c *cell, o op) {
	e := o.entry()
	switch {
	case len(c.entries) == 0:
		e.key = o.own()
		c.entries = append(make([]entry, 0, 1), e)
	case g.better(&e, &c.entries[0]):
		e.key = o.own()
		c.entries[0] = e
	}
}

func (g edge) merge(dst, src *cell) {
	switch {
	case len(src.entries) == 0:
	case len(dst.entries) == 0:
		dst.entries = append(make([]entry, 0, 1), src.entries[0])
	case g.better(&src.entries[0], &dst.entries[0]):
		dst.entries[0] = src.entries[0]
	}
}

func (g edge) read(c *cell, _ int64) any {
	if len(c.entries) == 0 {
		return nil
	}
	if g.timed {
		return attune.Millis(c.entries[0].at).String()
	}
	return gjson.Parse(c.entries[0].key).Value()
}

// recency is last and set: entries newest first, at most n. With distinct a
// key is there once, at its newest entry; then the n newest keys of a union
// are among the n newest keys of its halves, each with its newest entry in one
// of them, so the cut is exact. A set is the same with entries that say off: a
// last-writer-wins element set.
type recency struct {
	n        int
	distinct bool
}

func (r recency) add(c *cell, o op) {
	e := o.entry()
	full := len(c.entries) >= r.n
	if full && newer(&c.entries[len(c.entries)-1], &e) {
		return // an entry of the same key, if there is one, is newer as well
	}
	drop := -1
	if r.distinct {
		drop = slices.IndexFunc(c.entries, func(x entry) bool { return x.key == e.key })
	}
	switch {
	case drop >= 0 && !newer(&e, &c.entries[drop]):
		return
	case drop >= 0:
		e.key = c.entries[drop].key
		c.entries = slices.Delete(c.entries, drop, drop+1)
	case full:
		c.entries = c.entries[:len(c.entries)-1]
		e.key = o.own()
	default:
		e.key = o.own()
	}
	i := 0
	for i < len(c.entries) && newer(&c.entries[i], &e) {
		i++
	}
	c.entries = slices.Insert(c.entries, i, e)
}

func (r recency) merge(dst, src *cell) {
	if len(dst.entries) == 0 {
		dst.entries = append(dst.entries, src.entries...)
		return
	}
	a, b := dst.entries, src.entries
	out := make([]entry, 0, min(r.n, len(a)+len(b)))
	// A scan beats a map on the short lists that nearly all are.
	var seen map[string]struct{}
	if r.distinct && len(a)+len(b) > 64 {
		seen = make(map[string]struct{}, len(a)+len(b))
	}
	for len(out) < r.n && len(a)+len(b) > 0 {
		var e *entry
		if len(b) == 0 || len(a) > 0 && newer(&a[0], &b[0]) {
			e, a = &a[0], a[1:]
		} else {
			e, b = &b[0], b[1:]
		}
		if r.distinct && repeated(out, seen, e.key) {
			continue
		}
		out = append(out, *e)
	}
	dst.entries = out
}

// repeated reports whether k is in seen, or, when that is nil, in out; it
// notes k in seen.
func repeated(out []entry, seen map[string]struct{}, k string) bool {
	if seen == nil {
		return slices.ContainsFunc(out, func(x entry) bool { return x.key == k })
	}
	if _, ok := seen[k]; ok {
		return true
	}
	seen[k] = struct{}{}
	return false
}

func (r recency) read(c *cell, q int64) any {
	keys := r.list(c, nil, q)
	if len(keys) == 0 {
		return nil
	}
	return keys
}

func (recency) list(c *cell, dst []string, _ int64) []string {
	for i := range c.entries {
		if !c.entries[i].off {
			dst = append(dst, c.entries[i].key)
		}
	}
	return dst
}

// since is the time since the newest event, which every cell keeps.
type since struct{}

func (since) add(*cell, op)    {}
func (since) merge(_, _ *cell) {}
func (since) read(c *cell, q int64) any {
	if c.n == 0 {
		return nil
	}
	return float64(q-1-c.newest) / 1000
}

// maxDistinct is how many different values are kept; past it there is a sketch.
const maxDistinct = 1000

// distinct keeps every value, sorted, with its newest event.
type distinct struct{}

func findEntry(es []entry, k string) (int, bool) {
	return slices.BinarySearchFunc(es, k, func(e entry, k string) int { return strings.Compare(e.key, k) })
}

func (distinct) add(c *cell, o op) {
	if registers, ok := sketched(c); ok {
		c.entries[0].key = raise(registers, []entry{{key: o.key}})
		return
	}
	e := entry{key: o.key, at: o.at, tie: o.tie}
	i, ok := findEntry(c.entries, e.key)
	if !ok {
		e.key = o.own()
		c.entries = slices.Insert(c.entries, i, e)
		sketch(c)
		return
	}
	if have := &c.entries[i]; newer(&e, have) {
		have.at, have.tie = e.at, e.tie
	}
}

func (distinct) merge(dst, src *cell) {
	x, ok := sketched(dst)
	y, too := sketched(src)
	switch {
	case ok && too:
		dst.entries = []entry{{key: higher(x, y), off: true}}
		return
	case ok:
		dst.entries = []entry{{key: raise(x, src.entries), off: true}}
		return
	case too:
		dst.entries = []entry{{key: raise(y, dst.entries), off: true}}
		return
	}
	out := make([]entry, 0, len(dst.entries)+len(src.entries))
	a, b := dst.entries, src.entries
	for len(a) > 0 && len(b) > 0 {
		switch order := strings.Compare(a[0].key, b[0].key); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			e := a[0]
			if newer(&b[0], &e) {
				e = b[0]
			}
			out, a, b = append(out, e), a[1:], b[1:]
		}
	}
	dst.entries = append(append(out, a...), b...)
	sketch(dst)
}

func (distinct) read(c *cell, _ int64) any {
	registers, ok := sketched(c)
	if !ok {
		return int64(len(c.entries))
	}
	var how [66]int
	for i := range len(registers) {
		how[min(registers[i], 64-sketchBits+1)]++
	}
	return estimate(&how, sketchBits)
}

func (distinct) list(c *cell, dst []string, _ int64) []string {
	if _, ok := sketched(c); ok {
		return dst // which values they were is no longer known
	}
	for i := range c.entries {
		dst = append(dst, c.entries[i].key)
	}
	return dst
}
