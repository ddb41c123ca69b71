package feature

import (
	"math"
	"math/bits"
	"slices"

	"github.com/attune-io/attune"
)

// A distinct is exact up to maxDistinct values, and a HyperLogLog beyond
// (Flajolet et al. 2007, read with Ertl's estimator of 2017). Which of the two
// it is depends on the set of values alone, and registers are a maximum over
// that set, so order and grouping leave no trace.

const (
	sketchBits = 12 // 4,096 registers: a standard error of 1.6 per cent
	sketchSize = 1 << sketchBits

	// Of a window, whose registers are kept by hop: 2.3 per cent.
	slidingBits = 11
)

// register returns the register of key among 2^width and the rank in it.
func register(key string, width uint) (at int, rank uint8) {
	h := attune.Hash(key)
	return int(h >> (64 - width)), uint8(min(bits.LeadingZeros64(h<<width), 64-int(width)) + 1) //nolint:gosec // far below 256
}

// sketched returns the registers of c, when it is past the exact form. They
// are the key of its only entry, which is off.
func sketched(c *cell) (registers string, ok bool) {
	if len(c.entries) == 1 && c.entries[0].off && len(c.entries[0].key) == sketchSize {
		return c.entries[0].key, true
	}
	return "", false
}

// sketch turns the exact form into registers when it is too large.
func sketch(c *cell) {
	if len(c.entries) <= maxDistinct {
		return
	}
	b := make([]byte, sketchSize)
	for i := range c.entries {
		at, rank := register(c.entries[i].key, sketchBits)
		b[at] = max(b[at], rank)
	}
	c.entries = []entry{{key: string(b), off: true}}
	c.approx = true
}

// raise returns registers with those of entries added.
func raise(registers string, entries []entry) string {
	var b []byte
	for i := range entries {
		at, rank := register(entries[i].key, sketchBits)
		if b == nil && registers[at] >= rank {
			continue
		}
		if b == nil {
			b = []byte(registers)
		}
		b[at] = max(b[at], rank)
	}
	if b == nil {
		return registers
	}
	return string(b)
}

// higher returns the maximum of two sets of registers.
func higher(x, y string) string {
	b := []byte(x)
	for i := range b {
		b[i] = max(b[i], y[i])
	}
	return string(b)
}

// estimate returns how many values registers stand for; how[r] is how many
// registers have rank r, of 64−width+1 at most (Ertl 2017, algorithm 6).
func estimate(how *[66]int, width uint) int64 {
	m, q := float64(int(1)<<width), 64-int(width)
	z := m * tau(1-float64(how[q+1])/m)
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + float64(how[k]))
	}
	z += m * sigma(float64(how[0])/m)
	if math.IsInf(z, 1) || z <= 0 {
		return 0
	}
	return int64(math.Round(m * m / (2 * math.Ln2 * z)))
}

func sigma(x float64) float64 {
	if x >= 1 {
		return math.Inf(1)
	}
	z, y := x, 1.0
	for range 64 {
		x *= x
		before := z
		z += float64(x * y)
		y += y
		if z == before {
			break
		}
	}
	return z
}

func tau(x float64) float64 {
	if x <= 0 || x >= 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for range 64 {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= float64((1 - x) * (1 - x) * y)
		if z == before {
			break
		}
	}
	return z / 3
}

// sliding is a distinct with a window: exact for as long as at most maxDistinct
// events counted, whose number does not depend on how they are grouped. Then a
// tile is a register and a hop, with the register's highest rank in that hop; a
// rank that a newer hop reaches too is dropped, since it is never read again.
// cell.v is the first hop that is kept.
type sliding struct{ win window }

// hopBias makes every hop of a possible time positive.
const (
	hopBits = 36
	hopBias = 1 << (hopBits - 1)
)

func (sliding) place(reg int, hop int64) int64 { return int64(reg)<<hopBits + hop + hopBias }

func (s sliding) add(c *cell, o op) {
	from := s.win.first(c.newest + 1)
	if c.n < maxDistinct {
		if floorDiv(o.at, s.win.hop) >= from {
			upsert(c, o)
		}
		s.trim(c, from)
		return
	}
	s.convert(c)
	s.raise(c, o.key, floorDiv(o.at, s.win.hop), from)
	s.trim(c, from)
}

// upsert adds o to the exact form.
func upsert(c *cell, o op) {
	e := entry{key: o.key, at: o.at, tie: o.tie}
	i, ok := findEntry(c.entries, e.key)
	if !ok {
		e.key = o.own()
		c.entries = slices.Insert(c.entries, i, e)
		return
	}
	if have := &c.entries[i]; newer(&e, have) {
		have.at, have.tie = e.at, e.tie
	}
}

// convert makes tiles of the entries.
func (s sliding) convert(c *cell) {
	c.approx = true
	from := s.win.first(c.newest + 1)
	for i := range c.entries {
		s.raise(c, c.entries[i].key, floorDiv(c.entries[i].at, s.win.hop), from)
	}
	c.entries = nil
}

// raise counts key in hop.
func (s sliding) raise(c *cell, key string, hop, from int64) {
	if hop < from {
		return
	}
	reg, rank := register(key, slidingBits)
	c.tiles = climb(c.tiles, s.place(reg, hop), int64(rank))
}

// climb adds a rank at a place to tiles, and drops what it hides.
func climb(tiles []tile, at, rank int64) []tile {
	i, found := slices.BinarySearchFunc(tiles, at, func(t tile, at int64) int { return int(max(-1, min(1, t.at-at))) })
	if found && tiles[i].v >= rank || !found && i < len(tiles) && tiles[i].at>>hopBits == at>>hopBits && tiles[i].v >= rank {
		return tiles
	}
	to := i
	if found {
		to++
	}
	from := i
	for from > 0 && tiles[from-1].at>>hopBits == at>>hopBits && tiles[from-1].v <= rank {
		from--
	}
	return slices.Replace(tiles, from, to, tile{at: at, v: rank})
}

func (s sliding) merge(dst, src *cell) {
	from := s.win.first(dst.newest + 1)
	if dst.n+src.n <= maxDistinct {
		out := cell{entries: slices.Clone(dst.entries)}
		for i := range src.entries {
			e := &src.entries[i]
			upsert(&out, op{key: e.key, at: e.at, tie: e.tie, owned: true})
		}
		dst.entries, dst.v = out.entries, 0 // src may have what is too old
		s.trim(dst, from)
		return
	}
	dst.tiles = slices.Clone(dst.tiles)
	s.convert(dst)
	for i := range src.entries {
		s.raise(dst, src.entries[i].key, floorDiv(src.entries[i].at, s.win.hop), from)
	}
	for _, t := range src.tiles {
		dst.tiles = climb(dst.tiles, t.at, t.v)
	}
	dst.v = 0 // src may have what is too old
	s.trim(dst, from)
}

// trim drops what has left the window of the newest event. It looks only when
// the window moved, which v remembers.
func (s sliding) trim(c *cell, from int64) {
	if c.v != 0 && c.v == from {
		return
	}
	c.v = from
	c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return floorDiv(e.at, s.win.hop) < from })
	c.tiles = slices.DeleteFunc(c.tiles, func(t tile) bool { return hopOf(t) < from })
}

func hopOf(t tile) int64 { return t.at&(1<<hopBits-1) - hopBias }

func (s sliding) read(c *cell, q int64) any {
	from := s.win.first(q)
	if len(c.tiles) == 0 {
		n := int64(0)
		for i := range c.entries {
			if floorDiv(c.entries[i].at, s.win.hop) >= from {
				n++
			}
		}
		return n
	}
	var how [66]int
	how[0] = 1 << slidingBits
	reg := int64(-1)
	for _, t := range c.tiles {
		if hopOf(t) < from {
			continue
		}
		if t.at>>hopBits == reg {
			continue // the first that is inside is the highest
		}
		reg = t.at >> hopBits
		how[0] = max(how[0]-1, 0)
		how[max(1, min(t.v, 64-slidingBits+1))]++
	}
	return estimate(&how, slidingBits)
}

func (s sliding) next(c *cell, q int64) int64 {
	from, first, found := s.win.first(q), int64(0), false
	see := func(hop int64) {
		if hop >= from && (!found || hop < first) {
			first, found = hop, true
		}
	}
	for i := range c.entries {
		see(floorDiv(c.entries[i].at, s.win.hop))
	}
	for _, t := range c.tiles {
		see(hopOf(t))
	}
	if !found {
		return 0
	}
	return s.win.leaves(first)
}

func (s sliding) list(c *cell, dst []string, q int64) []string {
	from := s.win.first(q)
	for i := range c.entries {
		if floorDiv(c.entries[i].at, s.win.hop) >= from {
			dst = append(dst, c.entries[i].key)
		}
	}
	return dst
}
