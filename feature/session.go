package feature

import "slices"

// maxSessions bounds the sessions kept, the oldest go first; 30 days of
// half-hour sessions are 1,440.
const maxSessions = 2000

// sessions counts visits (or measures them). An event at t covers [t, t+gap];
// a session is a connected piece of what is covered. What is kept is the union
// of these intervals, cut at c = floor(newest+1−w, hop) − 1, so it is an
// intersection of a union with a half-line that only shrinks: order and
// grouping cannot matter, and a late event that joins two pieces joins them.
//
// The cut loses nothing that is read. A session counts when it starts inside
// the window, at s > c. That it starts there depends only on there being no
// event in [s−gap, s), that is on nothing being covered just before s, which
// is not before c. A piece that was cut begins at c, and so does not count.
type sessions struct {
	gap    int64
	win    window
	length bool // read the mean length instead of how many
	spent  bool // read the whole length instead
}

func (s sessions) cut(c *cell) int64 { return s.win.first(c.newest+1)*s.win.hop - 1 }

func (s sessions) add(c *cell, o op) {
	if o.at+s.gap >= s.cut(c) {
		c.tiles = coverOne(c.tiles, tile{at: o.at, n: s.gap})
	}
	s.trim(c)
}

// coverOne returns the union of tiles, which it may use, and t. It looks from
// the end: nearly every event extends the newest piece.
func coverOne(tiles []tile, t tile) []tile {
	to := len(tiles)
	for to > 0 && tiles[to-1].at > t.at+t.n {
		to--
	}
	from := to
	for from > 0 && tiles[from-1].at+tiles[from-1].n >= t.at {
		from--
	}
	if from == to {
		return slices.Insert(tiles, from, t)
	}
	end := max(t.at+t.n, tiles[to-1].at+tiles[to-1].n)
	first := &tiles[from]
	first.at = min(first.at, t.at)
	first.n = end - first.at
	return slices.Delete(tiles, from+1, to)
}

func (s sessions) merge(dst, src *cell) {
	dst.tiles = cover(dst.tiles, src.tiles)
	s.trim(dst)
}

// cover returns the union of two sorted lists of intervals. It may use a.
func cover(a, b []tile) []tile {
	if len(b) == 1 {
		return coverOne(a, b[0])
	}
	out := make([]tile, 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		var t tile
		if len(b) == 0 || len(a) > 0 && a[0].at <= b[0].at {
			t, a = a[0], a[1:]
		} else {
			t, b = b[0], b[1:]
		}
		if k := len(out); k > 0 && t.at <= out[k-1].at+out[k-1].n {
			out[k-1].n = max(out[k-1].n, t.at+t.n-out[k-1].at)
			continue
		}
		out = append(out, t)
	}
	return out
}

// trim applies the cut and the bound.
func (s sessions) trim(c *cell) {
	from, i := s.cut(c), 0
	for i < len(c.tiles) && c.tiles[i].at+c.tiles[i].n < from {
		i++
	}
	if i < len(c.tiles) && c.tiles[i].at < from {
		c.tiles[i].n -= from - c.tiles[i].at
		c.tiles[i].at = from
	}
	if over := len(c.tiles) - i - maxSessions; over > 0 {
		i += over
		c.approx = true
	}
	if i > 0 {
		c.tiles = slices.Delete(c.tiles, 0, i)
	}
}

func (s sessions) read(c *cell, q int64) any {
	from := s.win.first(q) * s.win.hop
	var n, total int64
	for _, t := range c.tiles {
		if t.at >= from {
			n, total = n+1, total+t.n-s.gap
		}
	}
	switch {
	case s.spent:
		return float64(total) / 1000
	case !s.length:
		return n
	case n == 0:
		return nil
	default:
		return float64(total) / float64(n) / 1000
	}
}

func (s sessions) next(c *cell, q int64) int64 {
	from := s.win.first(q) * s.win.hop
	for _, t := range c.tiles {
		if t.at >= from {
			return s.win.leaves(floorDiv(t.at, s.win.hop))
		}
	}
	return 0
}
