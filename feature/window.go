package feature

import (
	"math/bits"
	"slices"
)

// window is a tiled sawtooth window: at query time q it is [floor(q−w, hop),
// q), so its head slides and its tail hops, and it is never shorter than w.
// Since q is after every event, only the tail needs tiles, and they can all be
// of the tail's hop. Chronon's (Airbnb) windows, with its hops.
//
// A tile that has left the window of the newest event has left every later
// window too, so it is dropped. The bound is a function of the newest event
// alone and only rises: whatever the order of events, the same tiles stay.
type window struct{ length, hop int64 }

// windowOf returns the window of a length; zero is no window.
func windowOf(d Duration) window {
	w := window{length: d.Millis()}
	switch {
	case d == 0:
	case d >= 12*day:
		w.hop = day.Millis()
	case d >= 12*hour:
		w.hop = hour.Millis()
	default:
		w.hop = (5 * minute).Millis()
	}
	return w
}

// first returns the number of the first tile of the window at q.
func (w window) first(q int64) int64 { return floorDiv(q-w.length, w.hop) }

// leaves returns the q at which the tile at leaves.
func (w window) leaves(at int64) int64 { return (at+1)*w.hop + w.length }

// combine says how two partial values become one.
type combine uint8

const (
	plus combine = iota
	least
	most
	wide // plus, but an odd tile is one number of 128 bits: n above, v below
)

// join adds b, which is of the same at, to t.
func (t *tile) join(b tile, f combine) {
	if f == wide && t.at&1 != 0 {
		lo, carry := bits.Add64(uint64(t.v), uint64(b.v), 0) //nolint:gosec // the bits are what counts
		hi, _ := bits.Add64(uint64(t.n), uint64(b.n), carry) //nolint:gosec // as above
		t.n, t.v = int64(hi), int64(lo)                      //nolint:gosec // as above
		return
	}
	t.n, t.v = t.n+b.n, f.of(t.v, b.v)
}

func (f combine) of(a, b int64) int64 {
	switch f {
	case least:
		return min(a, b)
	case most:
		return max(a, b)
	default:
		return a + b
	}
}

// addTile adds t to tiles, sorted by at. Most events are new: it looks from
// the end.
func addTile(tiles []tile, t tile, f combine) []tile {
	i := len(tiles)
	for i > 0 && tiles[i-1].at > t.at {
		i--
	}
	if i > 0 && tiles[i-1].at == t.at {
		tiles[i-1].join(t, f)
		return tiles
	}
	return slices.Insert(tiles, i, t)
}

// mergeTiles returns the union of a, which it may use, and b, which it may not.
func mergeTiles(a, b []tile, f combine) []tile {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return append(a, b...)
	}
	if len(b) == 1 {
		return addTile(a, b[0], f)
	}
	return unionTiles(make([]tile, 0, len(a)+len(b)), a, b, f)
}

// unionTiles appends the union of a and b to out.
func unionTiles(out, a, b []tile, f combine) []tile {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].at < b[0].at:
			out, a = append(out, a[0]), a[1:]
		case b[0].at < a[0].at:
			out, b = append(out, b[0]), b[1:]
		default:
			t := a[0]
			t.join(b[0], f)
			out, a, b = append(out, t), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// dropTiles drops the tiles before at, keeping the memory.
func dropTiles(tiles []tile, at int64) []tile {
	i := 0
	for i < len(tiles) && tiles[i].at < at {
		i++
	}
	if i == 0 {
		return tiles
	}
	return tiles[:copy(tiles, tiles[i:])]
}

// total is count, sum, mean, min and max, windowed or not.
type total struct {
	kind string
	f    combine
	win  window
}

func (t total) add(c *cell, o op) {
	if t.win.length == 0 {
		if c.n == 0 {
			c.v = o.val
		} else {
			c.v = t.f.of(c.v, o.val)
		}
		return
	}
	from := t.win.first(c.newest + 1)
	if at := floorDiv(o.at, t.win.hop); at >= from {
		c.tiles = addTile(c.tiles, tile{at: at, n: 1, v: o.val}, t.f)
	}
	c.tiles = dropTiles(c.tiles, from)
}

func (t total) merge(dst, src *cell) {
	switch {
	case t.win.length > 0:
		dst.tiles = dropTiles(mergeTiles(dst.tiles, src.tiles, t.f), t.win.first(dst.newest+1))
	case dst.n == 0:
		dst.v = src.v
	default:
		dst.v = t.f.of(dst.v, src.v)
	}
}

func (t total) read(c *cell, q int64) any {
	n, v := c.n, c.v
	if t.win.length > 0 {
		n, v = t.inside(c, q)
	}
	switch {
	case t.kind == KindCount:
		return n
	case t.kind == KindSum:
		return units(v)
	case n == 0:
		return nil
	case t.kind == KindMean:
		return units(v) / float64(n)
	default:
		return units(v)
	}
}

// inside adds up the tiles of the window at q.
func (t total) inside(c *cell, q int64) (n, v int64) {
	from := t.win.first(q)
	for _, p := range c.tiles {
		switch {
		case p.at < from:
			continue
		case n == 0:
			v = p.v
		default:
			v = t.f.of(v, p.v)
		}
		n += p.n
	}
	return n, v
}

func (t total) next(c *cell, q int64) int64 {
	if t.win.length == 0 {
		return 0
	}
	from := t.win.first(q)
	for _, p := range c.tiles {
		if p.at >= from {
			return t.win.leaves(p.at)
		}
	}
	return 0
}
