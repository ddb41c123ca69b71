package feature

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// ranker is an aggregator whose keys have weights.
type ranker interface {
	// ranked appends the keys, heaviest first, ties by key.
	ranked(c *cell, dst []Weighted, q int64) []Weighted
}

// heaviest sorts ws by weight, then key.
func heaviest(ws []Weighted) {
	slices.SortFunc(ws, func(x, y Weighted) int {
		return cmp.Or(cmp.Compare(y.Weight, x.Weight), strings.Compare(x.Key, y.Key))
	})
}

// mergeWeights returns the union of a and b by key. It uses a's elements as
// they are and copies b's; both joins what both have into a new weight.
func mergeWeights(a, b []weight, both func(x, y *weight) weight) []weight {
	out := make([]weight, 0, len(a)+len(b))
	copied := func(w weight) weight {
		w.tiles = slices.Clone(w.tiles)
		return w
	}
	for len(a) > 0 && len(b) > 0 {
		switch order := strings.Compare(a[0].key, b[0].key); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, copied(b[0])), b[1:]
		default:
			out = append(out, both(&a[0], &b[0]))
			a, b = a[1:], b[1:]
		}
	}
	out = append(out, a...)
	for _, w := range b {
		out = append(out, copied(w))
	}
	return out
}

// maxTop is how many keys a top keeps. Past it the ones not seen for longest
// go, with what they weighed: from there on the result depends on the order.
const maxTop = 1000

// top is the keys with the greatest sums. A tile of a key has its sum in a hop.
type top struct {
	win window
	n   int
}

func (t top) hop(at int64) int64 {
	if t.win.length == 0 {
		return 0
	}
	return floorDiv(at, t.win.hop)
}

func (t top) from(q int64) int64 {
	if t.win.length == 0 {
		return 0
	}
	return t.win.first(q)
}

func (t top) add(c *cell, o op) {
	from := t.from(c.newest + 1)
	if at := t.hop(o.at); at >= from {
		i, ok := findWeight(c.weights, o.key)
		if !ok {
			c.weights = slices.Insert(c.weights, i, weight{key: o.own(), newest: o.at})
		}
		w := &c.weights[i]
		w.newest = max(w.newest, o.at)
		w.tiles = addTile(w.tiles, tile{at: at, v: o.val}, plus)
	}
	t.trim(c, from)
}

func (t top) merge(dst, src *cell) {
	dst.weights = mergeWeights(dst.weights, src.weights, func(x, y *weight) weight {
		tiles := unionTiles(make([]tile, 0, len(x.tiles)+len(y.tiles)), x.tiles, y.tiles, plus)
		return weight{key: x.key, newest: max(x.newest, y.newest), tiles: tiles}
	})
	t.trim(dst, t.from(dst.newest+1))
}

// trim drops what has left the window of the newest event, and keys past the
// cap. Tiles may be another State's, so they are cut and not moved.
func (top) trim(c *cell, from int64) {
	gone := false
	for i := range c.weights {
		w := &c.weights[i]
		for len(w.tiles) > 0 && w.tiles[0].at < from {
			w.tiles = w.tiles[1:]
		}
		gone = gone || len(w.tiles) == 0
	}
	if gone {
		c.weights = slices.DeleteFunc(c.weights, func(w weight) bool { return len(w.tiles) == 0 })
	}
	for len(c.weights) > maxTop {
		worst := 0
		for i := range c.weights {
			if c.weights[i].newest <= c.weights[worst].newest {
				worst = i
			}
		}
		c.weights = slices.Delete(c.weights, worst, worst+1)
		c.approx = true
	}
}

func (t top) ranked(c *cell, dst []Weighted, q int64) []Weighted {
	from, first := t.from(q), len(dst)
	for i := range c.weights {
		w, sum := &c.weights[i], int64(0)
		for _, x := range w.tiles {
			if x.at >= from {
				sum += x.v
			}
		}
		if len(w.tiles) > 0 && w.tiles[len(w.tiles)-1].at >= from {
			dst = append(dst, Weighted{Key: w.key, Weight: units(sum)})
		}
	}
	heaviest(dst[first:])
	return dst[:min(len(dst), first+t.n)]
}

func (t top) list(c *cell, dst []string, q int64) []string {
	for _, w := range t.ranked(c, nil, q) {
		dst = append(dst, w.Key)
	}
	return dst
}

func (t top) read(c *cell, q int64) any {
	keys := t.list(c, nil, q)
	if len(keys) == 0 {
		return nil
	}
	return keys
}

func (t top) next(c *cell, q int64) int64 {
	if t.win.length == 0 {
		return 0
	}
	from, next := t.win.first(q), int64(0)
	for i := range c.weights {
		for _, x := range c.weights[i].tiles {
			if x.at < from {
				continue
			}
			if at := t.win.leaves(x.at); next == 0 || at < next {
				next = at
			}
			break
		}
	}
	return next
}

// newestOf is the newest number of each key, of the n newest keys: its tiles
// are the number and the tie of the event that said it. The n newest keys of a
// union are among the n newest of its halves, so the cut is exact.
type newestOf struct{ n int }

func (newestOf) entry(o op) weight {
	return weight{key: o.key, newest: o.at, tiles: []tile{{at: o.at, v: o.val}, {at: o.at, v: int64(o.tie)}}} //nolint:gosec // the bits are what counts
}

// stamp is when w was said; w comes from a decoder, which may hand over less.
func (newestOf) stamp(w *weight) stamp {
	if len(w.tiles) < 2 {
		return stamp{at: w.newest}
	}
	return stamp{at: w.newest, tie: uint64(w.tiles[1].v)} //nolint:gosec // the bits are what counts
}

func (k newestOf) add(c *cell, o op) {
	w := k.entry(o)
	i, ok := findWeight(c.weights, o.key)
	switch {
	case !ok:
		w.key = o.own()
		c.weights = slices.Insert(c.weights, i, w)
		k.trim(c)
	case k.stamp(&w).compare(k.stamp(&c.weights[i])) > 0:
		w.key = c.weights[i].key
		c.weights[i] = w
	}
}

func (k newestOf) merge(dst, src *cell) {
	dst.weights = mergeWeights(dst.weights, src.weights, func(x, y *weight) weight {
		if k.stamp(y).compare(k.stamp(x)) > 0 {
			return weight{key: y.key, newest: y.newest, tiles: slices.Clone(y.tiles)}
		}
		return *x
	})
	k.trim(dst)
}

func (k newestOf) trim(c *cell) {
	for len(c.weights) > k.n {
		worst := 0
		for i := range c.weights {
			a, b := &c.weights[i], &c.weights[worst]
			if order := k.stamp(a).compare(k.stamp(b)); order < 0 || order == 0 && a.key > b.key {
				worst = i
			}
		}
		c.weights = slices.Delete(c.weights, worst, worst+1)
	}
}

func (newestOf) ranked(c *cell, dst []Weighted, _ int64) []Weighted {
	first := len(dst)
	for i := range c.weights {
		if w := &c.weights[i]; len(w.tiles) > 0 {
			dst = append(dst, Weighted{Key: w.key, Weight: units(w.tiles[0].v)})
		}
	}
	heaviest(dst[first:])
	return dst
}

func (k newestOf) list(c *cell, dst []string, q int64) []string {
	for _, w := range k.ranked(c, nil, q) {
		dst = append(dst, w.Key)
	}
	return dst
}

func (k newestOf) read(c *cell, q int64) any { return weights(k.ranked(c, nil, q)) }

// weights returns ws as a map, or nil.
func weights(ws []Weighted) any {
	if len(ws) == 0 {
		return nil
	}
	m := make(map[string]float64, len(ws))
	for _, w := range ws {
		m[w.Key] += w.Weight
	}
	return m
}

// The models of attribution.
const (
	ModelFirst    = "first"    // all to the first touch
	ModelLast     = "last"     // all to the last touch
	ModelLinear   = "linear"   // the same to each
	ModelPosition = "position" // 0.4 to the first and the last, the rest to those between
	ModelDecay    = "decay"    // halved every half_life before the conversion
)

// attribution shares the value of each conversion among the touches before it.
// It keeps the newest events of both sorts, a conversion as an entry that is
// off and whose key is its value; the cut is by a total order, so exact. What
// it comes to is computed at read.
type attribution struct {
	recency
	model          string
	lookback, half int64
}

// maxTouches is how many touches and conversions are kept.
const maxTouches = 500

func (a attribution) add(c *cell, o op) {
	if o.off {
		o.off = false // a touch
	} else {
		o.key, o.off, o.owned = strconv.FormatInt(o.val, 10), true, true
	}
	c.approx = c.approx || c.n+1 > maxTouches
	a.recency.add(c, o)
}

func (a attribution) merge(dst, src *cell) {
	dst.approx = dst.approx || dst.n+src.n > maxTouches
	a.recency.merge(dst, src)
}

func (a attribution) ranked(c *cell, dst []Weighted, _ int64) []Weighted {
	credit := map[string]float64{}
	for i := range c.entries {
		e := &c.entries[i]
		if !e.off {
			continue
		}
		v, _ := strconv.ParseInt(e.key, 10, 64)
		var path []*entry // newest first
		for j := range c.entries {
			t := &c.entries[j]
			if !t.off && t.at <= e.at && t.at >= e.at-a.lookback {
				path = append(path, t)
			}
		}
		for j, share := range a.shares(path, e.at) {
			if share > 0 {
				credit[path[j].key] += float64(units(v) * share)
			}
		}
	}
	first := len(dst)
	for k, v := range credit {
		dst = append(dst, Weighted{Key: k, Weight: v})
	}
	heaviest(dst[first:])
	return dst
}

// shares returns the share of each touch, newest first, in a conversion at.
func (a attribution) shares(path []*entry, at int64) []float64 {
	n := len(path)
	out := make([]float64, n)
	if n == 0 {
		return out
	}
	switch a.model {
	case ModelFirst:
		out[n-1] = 1
	case ModelLinear:
		for i := range out {
			out[i] = 1 / float64(n)
		}
	case ModelPosition:
		for i := range out {
			out[i] = 0.2 / float64(max(n-2, 1))
		}
		out[0], out[n-1] = 0.4, 0.4
		if n < 3 {
			out[0], out[n-1] = 1/float64(n), 1/float64(n)
		}
	case ModelDecay:
		var sum float64
		for i, t := range path {
			out[i] = exp2(-float64(at-t.at) / float64(a.half))
			sum += out[i]
		}
		for i := range out {
			out[i] /= sum
		}
	default:
		out[0] = 1
	}
	return out
}

func (a attribution) list(c *cell, dst []string, q int64) []string {
	for _, w := range a.ranked(c, nil, q) {
		dst = append(dst, w.Key)
	}
	return dst
}

func (a attribution) read(c *cell, q int64) any { return weights(a.ranked(c, nil, q)) }

// dwell is the time between an event and the next, by the key of the first: as
// far as the next came within gap, which else ended the visit. It keeps the
// newest n events; the time is computed at read.
type dwell struct {
	recency
	win window
	gap int64
}

func (d dwell) add(c *cell, o op) {
	c.approx = c.approx || c.n+1 > int64(d.n)
	d.recency.add(c, o)
}

func (d dwell) merge(dst, src *cell) {
	dst.approx = dst.approx || dst.n+src.n > int64(d.n)
	d.recency.merge(dst, src)
}

// each calls fn with every stay that began inside the window at q.
func (d dwell) each(c *cell, q int64, fn func(e *entry, took int64)) {
	from := int64(-maxTime)
	if d.win.length > 0 {
		from = d.win.first(q) * d.win.hop
	}
	for i := 1; i < len(c.entries); i++ {
		e := &c.entries[i]
		if took := c.entries[i-1].at - e.at; took > 0 && took <= d.gap && e.key != "" && e.at >= from {
			fn(e, took)
		}
	}
}

func (d dwell) ranked(c *cell, dst []Weighted, q int64) []Weighted {
	spent := map[string]int64{}
	d.each(c, q, func(e *entry, took int64) { spent[e.key] += took })
	first := len(dst)
	for k, v := range spent {
		dst = append(dst, Weighted{Key: k, Weight: float64(v) / 1000})
	}
	heaviest(dst[first:])
	return dst
}

func (d dwell) list(c *cell, dst []string, q int64) []string {
	for _, w := range d.ranked(c, nil, q) {
		dst = append(dst, w.Key)
	}
	return dst
}

func (d dwell) read(c *cell, q int64) any { return weights(d.ranked(c, nil, q)) }

func (d dwell) next(c *cell, q int64) int64 {
	if d.win.length == 0 {
		return 0
	}
	oldest := int64(0)
	found := false
	d.each(c, q, func(e *entry, _ int64) { oldest, found = e.at, true })
	if !found {
		return 0
	}
	return d.win.leaves(floorDiv(oldest, d.win.hop))
}
