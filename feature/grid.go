package feature

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// grid is a row of slots for each hop of a window, or one row without a window:
// tile hop·width+slot. Rows are summed slot by slot at read. The tiles kept are
// those that are not older than the window of the newest event, and of these
// the maxGrid greatest: both cuts are by a total order, and a tile among the
// greatest of a union is among the greatest of whichever half has it.
type grid struct {
	win   window
	width int64
}

// maxGrid bounds the tiles of one cell.
const maxGrid = 8192

// row returns the first tile of the row of time t.
func (g grid) row(t int64) int64 {
	if g.win.length == 0 {
		return 0
	}
	return floorDiv(t, g.win.hop) * g.width
}

// from returns the first tile of the window at q.
func (g grid) from(q int64) int64 {
	if g.win.length == 0 {
		return 0
	}
	return g.win.first(q) * g.width
}

// slot is what one event adds to one slot.
type slot struct{ slot, n, v int64 }

func (g grid) put(c *cell, at int64, f combine, slots ...slot) {
	from := g.from(c.newest + 1)
	if row := g.row(at); row >= from {
		for _, s := range slots {
			c.tiles = addTile(c.tiles, tile{at: row + s.slot, n: s.n, v: s.v}, f)
		}
	}
	g.trim(c, from)
}

func (g grid) merge(dst, src *cell, f combine) {
	dst.tiles = mergeTiles(dst.tiles, src.tiles, f)
	g.trim(dst, g.from(dst.newest+1))
}

func (grid) trim(c *cell, from int64) {
	if over := len(c.tiles) - maxGrid; over > 0 {
		from = max(from, c.tiles[over].at)
		c.approx = true
	}
	c.tiles = dropTiles(c.tiles, from)
}

// inside returns the tiles of the window at q.
func (g grid) inside(c *cell, q int64) []tile {
	from := g.from(q)
	i := 0
	for i < len(c.tiles) && c.tiles[i].at < from {
		i++
	}
	return c.tiles[i:]
}

func (g grid) next(c *cell, q int64) int64 {
	if in := g.inside(c, q); g.win.length > 0 && len(in) > 0 {
		return g.win.leaves(floorDiv(in[0].at, g.width))
	}
	return 0
}

// deviation is the standard deviation of a population. Slot 0 has how many and
// their sum, slot 1 the sum of their squares in 128 bits.
type deviation struct{ grid }

func newDeviation(w window) deviation { return deviation{grid{win: w, width: 2}} }

func (d deviation) add(c *cell, o op) {
	m := uint64(max(o.val, -o.val)) //nolint:gosec // |val| ≤ 10^18
	hi, lo := bits.Mul64(m, m)
	d.put(c, o.at, wide, slot{0, 1, o.val}, slot{1, int64(hi), int64(lo)}) //nolint:gosec // the bits are what counts
}

func (d deviation) merge(dst, src *cell) { d.grid.merge(dst, src, wide) }

// read is √(n·Σx² − (Σx)²)/n, in integers up to the root.
func (d deviation) read(c *cell, q int64) any {
	var first, second tile
	for _, t := range d.inside(c, q) {
		if floorDiv(t.at, 2)*2 == t.at {
			first = tile{n: first.n + t.n, v: first.v + t.v}
		} else {
			t.at = 1
			second.join(t, wide)
		}
	}
	if first.n <= 0 {
		return nil
	}
	squares := new(big.Int).Lsh(big.NewInt(second.n), 64)
	squares.Add(squares, new(big.Int).SetUint64(uint64(second.v))) //nolint:gosec // the low half
	sum := big.NewInt(first.v)
	squares.Mul(squares, big.NewInt(first.n)).Sub(squares, sum.Mul(sum, sum))
	if squares.Sign() <= 0 {
		return 0.0
	}
	f, _ := new(big.Float).SetInt(squares).Float64()
	return math.Sqrt(f) / float64(first.n) / micro
}

// histogram counts values by the first bound they do not pass.
type histogram struct {
	grid
	bounds []int64
	labels []string
}

// More is the label of the values beyond the last bound of a histogram.
const More = "more"

func newHistogram(w window, buckets []float64) histogram {
	h := histogram{grid: grid{win: w, width: int64(len(buckets)) + 1}}
	for _, b := range buckets {
		label := strconv.FormatFloat(b, 'f', -1, 64)
		v, _ := parseMicro(label)
		h.bounds, h.labels = append(h.bounds, v), append(h.labels, label)
	}
	h.labels = append(h.labels, More)
	return h
}

func (h histogram) add(c *cell, o op) {
	i, _ := slices.BinarySearch(h.bounds, o.val)
	h.put(c, o.at, plus, slot{int64(i), 1, 0})
}

func (h histogram) merge(dst, src *cell) { h.grid.merge(dst, src, plus) }

func (h histogram) read(c *cell, q int64) any {
	in := h.inside(c, q)
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]float64, len(h.labels))
	for _, l := range h.labels {
		out[l] = 0
	}
	for _, t := range in {
		out[h.labels[t.at-floorDiv(t.at, h.width)*h.width]] += float64(t.n)
	}
	return out
}

// ofKey is the key of an op that counts for the whole of a ratio.
const ofKey = "/"

// ratio is how many on for one of. A tile's v counts on, its n counts of.
type ratio struct{ grid }

func (r ratio) add(c *cell, o op) {
	if o.key == ofKey {
		r.put(c, o.at, plus, slot{0, 1, 0})
		return
	}
	r.put(c, o.at, plus, slot{0, 0, 1})
}

func (r ratio) merge(dst, src *cell) { r.grid.merge(dst, src, plus) }

func (r ratio) read(c *cell, q int64) any {
	var on, of int64
	for _, t := range r.inside(c, q) {
		on, of = on+t.v, of+t.n
	}
	if of <= 0 {
		return nil
	}
	return float64(on) / float64(of)
}

// embedding is the mean of vectors: a slot for each of their dimensions.
type embedding struct{ grid }

// maxVector is the longest JSON of a vector, in bytes.
const maxVector = 16 << 10

// vector reads width numbers from the JSON array v.
func vector(v string, width int64) ([]slot, bool) {
	a := gjson.Parse(v)
	if !a.IsArray() {
		return nil, false
	}
	out, ok := make([]slot, 0, width), true
	a.ForEach(func(_, x gjson.Result) bool {
		var m int64
		if m, ok = number(x); !ok || x.Type != gjson.Number || int64(len(out)) == width {
			ok = false
			return false
		}
		out = append(out, slot{int64(len(out)), 1, m})
		return true
	})
	return out, ok && int64(len(out)) == width
}

func (e embedding) add(c *cell, o op) {
	if slots, ok := vector(o.key, e.width); ok {
		e.put(c, o.at, plus, slots...)
	}
}

func (e embedding) merge(dst, src *cell) { e.grid.merge(dst, src, plus) }

func (e embedding) read(c *cell, q int64) any {
	in := e.inside(c, q)
	if len(in) == 0 {
		return nil
	}
	sums := make([]tile, e.width)
	for _, t := range in {
		s := &sums[t.at-floorDiv(t.at, e.width)*e.width]
		s.n, s.v = s.n+t.n, s.v+t.v
	}
	out := make([]float64, e.width)
	for i, s := range sums {
		if s.n > 0 {
			out[i] = units(s.v) / float64(s.n)
		}
	}
	return out
}

// quantile counts values in buckets that grow with them, so that a value is
// known to 1/128 of itself: DDSketch (Masson, Rim, Lee, VLDB 2019) with an
// index of integers, the number's highest bits. Its libraries take a logarithm
// of floats there, which need not be the same bit on another machine.
type quantile struct {
	grid
	q float64
}

const (
	fineBits  = 6
	fine      = 1 << fineBits
	quantiles = fine * (60 - fineBits + 1) // buckets of one sign
)

func newQuantile(w window, q float64) quantile {
	return quantile{grid: grid{win: w, width: 2*quantiles + 1}, q: q}
}

// bucket returns the slot of v.
func bucket(v int64) int64 {
	m := uint64(max(v, -v)) //nolint:gosec // |v| ≤ 10^18
	i := int64(m)           //nolint:gosec // as above
	if m >= fine {
		e := bits.Len64(m) - 1 - fineBits
		i = int64(e)*fine + int64(m>>e) //nolint:gosec // as above
	}
	if v < 0 {
		return quantiles - i
	}
	return quantiles + i
}

// middle returns the number in the middle of a slot.
func middle(slot int64) float64 {
	i, sign := slot-quantiles, 1.0
	if i < 0 {
		i, sign = -i, -1
	}
	if i < 2*fine {
		return sign * units(i)
	}
	e := i/fine - 1
	low := (i - e*fine) << e
	return sign * (units(low) + units(int64(1)<<e)/2)
}

func (s quantile) add(c *cell, o op) { s.put(c, o.at, plus, slot{bucket(o.val), 1, 0}) }

func (s quantile) merge(dst, src *cell) { s.grid.merge(dst, src, plus) }

func (s quantile) read(c *cell, q int64) any {
	in := s.inside(c, q)
	if s.win.length > 0 {
		in = slices.Clone(in)
		for i := range in {
			in[i].at -= floorDiv(in[i].at, s.width) * s.width
		}
		slices.SortFunc(in, func(a, b tile) int { return int(a.at - b.at) })
	}
	var n int64
	for _, t := range in {
		n += t.n
	}
	if n <= 0 {
		return nil
	}
	rank := int64(s.q * float64(n-1))
	for _, t := range in {
		if rank -= t.n; rank < 0 {
			return middle(t.at)
		}
	}
	return middle(in[len(in)-1].at)
}
