package feature

import (
	"math/bits"
	"slices"
	"strings"
)

// A decayed sum at q is Σ vᵢ·2^(−(q−tᵢ)/h). With e = floor(t/h) the sum over
// one half-life is 2^(−(q−e·h)/h) · Σ vᵢ·2^((tᵢ−e·h)/h), whose second factor
// does not depend on q: tile e keeps it as an integer, so adding in any order
// gives the same bits, and only the read uses floats, once a tile, in order.

// keptHalfLives is how many half-lives below the newest a tile is kept: what
// is older weighs less than 10^-12 of a new event.
const keptHalfLives = 40

// decay is a decayed sum with a half-life in milliseconds.
type decay struct{ half int64 }

// tile returns v at time t as a tile.
func (d decay) tile(t, v int64) tile {
	e := floorDiv(t, d.half)
	return tile{at: e, v: grown(v, uint64(t-e*d.half), uint64(d.half))} //nolint:gosec // 0 ≤ t−e·h < h
}

// grown returns v·2^(r/h), 0 ≤ r < h, cut off toward zero, in integers only:
// the first 24 binary digits of r/h choose factors 2^(2^-k), which are given
// with 63 binary places. The error is below 2^-23 of v, and the same everywhere.
func grown(v int64, r, h uint64) int64 {
	factors := [...]uint64{
		0xb504f333f9de6484, 0x9837f0518db8a96f, 0x8b95c1e3ea8bd6e6, 0x85aac367cc487b14,
		0x82cd8698ac2ba1d7, 0x8164d1f3bc030773, 0x80b1ed4fd999ab6c, 0x8058d7d2d5e5f6b0,
		0x802c6436d0e04f50, 0x8016302f17467628, 0x800b179c82028fd0, 0x80058baf7fee3b5d,
		0x8002c5d00fdcfcb6, 0x800162e61bed4a48, 0x8000b17292f702a3, 0x800058b92abbae02,
		0x80002c5c8dade4d7, 0x8000162e44eaf636, 0x80000b1721fa7c18, 0x8000058b90de7e4c,
		0x800002c5c8678f36, 0x80000162e431db9f, 0x800000b1721872d0, 0x80000058b90c1aa8,
	}
	frac, _ := bits.Div64(r, 0, h)
	p := uint64(1) << 63
	for k := 0; frac != 0 && k < len(factors); k++ {
		if frac>>63 != 0 {
			hi, lo := bits.Mul64(p, factors[k])
			p = hi<<1 | lo>>63
		}
		frac <<= 1
	}
	m := uint64(max(v, -v)) //nolint:gosec // |v| ≤ 10^18
	hi, lo := bits.Mul64(m, p)
	g := int64(hi<<1 | lo>>63) //nolint:gosec // below 2·10^18
	if v < 0 {
		return -g
	}
	return g
}

// sum reads tiles at q.
func (d decay) sum(tiles []tile, q int64) float64 {
	var s float64
	for _, t := range tiles {
		s += float64(units(t.v) * exp2(-float64(q-t.at*d.half)/float64(d.half)))
	}
	return s
}

// prune drops what no longer weighs. tiles must not be empty.
func (decay) prune(tiles []tile) []tile {
	return dropTiles(tiles, tiles[len(tiles)-1].at-keptHalfLives)
}

func (d decay) add(c *cell, o op) {
	c.tiles = d.prune(addTile(c.tiles, d.tile(o.at, o.val), plus))
}

func (d decay) merge(dst, src *cell) {
	if t := mergeTiles(dst.tiles, src.tiles, plus); len(t) > 0 {
		dst.tiles = d.prune(t)
	}
}

func (d decay) read(c *cell, q int64) any {
	if c.n == 0 {
		return nil
	}
	return d.sum(c.tiles, q)
}

// maxAffinity is how many keys an affinity keeps whole. Past it the keys that
// were not seen for longest go, with what they weighed: should one come back
// it starts anew, so from there on the result depends on the order.
const maxAffinity = 256

// affinity is a decayed sum for each key.
type affinity struct{ decay }

func (a affinity) add(c *cell, o op) {
	i, ok := findWeight(c.weights, o.key)
	if !ok {
		c.weights = slices.Insert(c.weights, i, weight{key: o.own(), newest: o.at})
	}
	w := &c.weights[i]
	w.newest = max(w.newest, o.at)
	w.tiles = a.prune(addTile(w.tiles, a.tile(o.at, o.val), plus))
	a.shed(c)
}

func findWeight(ws []weight, k string) (int, bool) {
	return slices.BinarySearchFunc(ws, k, func(w weight, k string) int { return strings.Compare(w.key, k) })
}

func (a affinity) merge(dst, src *cell) {
	out := make([]weight, 0, len(dst.weights)+len(src.weights)-common(dst.weights, src.weights))
	size := 0
	for i := range src.weights {
		size += len(src.weights[i].tiles) + 1 // of a key that both have, dst's newest tile as well
	}
	room := make([]tile, 0, size) // one allocation for nearly all
	copied := func(w *weight) weight {
		from := len(room)
		room = append(room, w.tiles...)
		return weight{key: w.key, newest: w.newest, tiles: room[from:len(room):len(room)]}
	}
	x, y := dst.weights, src.weights
	for len(x) > 0 && len(y) > 0 {
		switch order := strings.Compare(x[0].key, y[0].key); {
		case order < 0:
			out, x = append(out, x[0]), x[1:]
		case order > 0:
			out, y = append(out, copied(&y[0])), y[1:]
		default:
			w := weight{key: x[0].key, newest: max(x[0].newest, y[0].newest)}
			from := len(room)
			room = unionTiles(room, x[0].tiles, y[0].tiles, plus)
			if w.tiles = room[from:len(room):len(room)]; len(w.tiles) > 0 {
				w.tiles = a.prune(w.tiles)
			}
			out, x, y = append(out, w), x[1:], y[1:]
		}
	}
	out = append(out, x...)
	for i := range y {
		out = append(out, copied(&y[i]))
	}
	dst.weights = out
	a.shed(dst)
}

// common returns how many keys x and y have both.
func common(x, y []weight) (n int) {
	for len(x) > 0 && len(y) > 0 {
		switch order := strings.Compare(x[0].key, y[0].key); {
		case order < 0:
			x = x[1:]
		case order > 0:
			y = y[1:]
		default:
			n, x, y = n+1, x[1:], y[1:]
		}
	}
	return n
}

// shed drops keys past the cap, the one not seen for longest first; of two the
// greater key.
func (affinity) shed(c *cell) {
	for len(c.weights) > maxAffinity {
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

func (a affinity) read(c *cell, q int64) any {
	if len(c.weights) == 0 {
		return nil
	}
	m := make(map[string]float64, len(c.weights))
	for i := range c.weights {
		m[c.weights[i].key] = a.sum(c.weights[i].tiles, q)
	}
	return m
}

// ranked appends the keys, heaviest first, ties by key.
func (a affinity) ranked(c *cell, dst []Weighted, q int64) []Weighted {
	from := len(dst)
	for i := range c.weights {
		dst = append(dst, Weighted{Key: c.weights[i].key, Weight: a.sum(c.weights[i].tiles, q)})
	}
	slices.SortFunc(dst[from:], func(x, y Weighted) int {
		switch {
		case x.Weight > y.Weight:
			return -1
		case x.Weight < y.Weight:
			return 1
		default:
			return strings.Compare(x.Key, y.Key)
		}
	})
	return dst
}

func (a affinity) list(c *cell, dst []string, q int64) []string {
	var buf [maxAffinity]Weighted
	for _, w := range a.ranked(c, buf[:0], q) {
		dst = append(dst, w.Key)
	}
	return dst
}
