package feature

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/attune-io/attune"
)

// Decode reads what AppendBinary wrote. Cells of definitions s does not have
// are dropped; a definition without a cell is empty. It does not keep b. An
// error wraps attune.ErrCorrupt. Memory is at most a small multiple of b.
func (s *Set) Decode(b []byte) (State, error) {
	// One string for all keys: they share it instead of a copy each.
	r := reader{s: string(b)}
	if v := r.byte(); v != stateFormat && !r.bad {
		return State{}, fmt.Errorf("feature state of format %d, this build reads %d: %w", v, stateFormat, attune.ErrCorrupt)
	}
	st := State{cut: r.byte()&flagCut != 0, newest: r.varint()}
	r.tilesLeft = make([]tile, 0, r.count(1))
	r.entriesLeft = make([]entry, 0, r.count(11))
	ranks := make([]int32, 0, 16)
	for range r.count(8) {
		ranks = append(ranks, s.rankOf(r.fixed()))
	}
	n := r.count(4)
	st.cells = make([]cell, 0, min(n, len(s.ranked)))
	for range n {
		place, size := r.uvarint(), r.uvarint()
		if place >= uint64(len(ranks)) || size > uint64(len(r.s)) {
			r.fail()
			break
		}
		rest := r.s[size:]
		rank := ranks[place]
		if rank < 0 {
			r.s = rest
			continue
		}
		if k := len(st.cells); k > 0 && st.cells[k-1].rank >= rank {
			r.fail()
			break
		}
		st.cells = append(st.cells, cell{rank: rank})
		r.s = r.s[:size]
		if r.cell(&st.cells[len(st.cells)-1]); r.bad || r.s != "" {
			r.fail()
			break
		}
		r.s = rest
	}
	n = r.count(10)
	if n > maxOrders {
		r.fail()
		n = 0
	}
	for i := range n {
		if i == 0 {
			st.orders = make([]order, 0, n)
		}
		o := r.order(ranks)
		if i > 0 && o.id <= st.orders[i-1].id {
			r.fail()
		}
		st.orders = append(st.orders, o)
	}
	if r.bad || r.s != "" {
		return State{}, fmt.Errorf("feature state of %d bytes: %w", len(b), attune.ErrCorrupt)
	}
	st.unsettle()
	return st, nil
}

// rankOf returns the rank of the definition with that hash, or -1.
func (s *Set) rankOf(hash uint64) int32 {
	i, ok := slices.BinarySearchFunc(s.ranked, hash, func(c compiled, h uint64) int {
		switch {
		case c.hash < h:
			return -1
		case c.hash > h:
			return 1
		default:
			return 0
		}
	})
	if !ok {
		return -1
	}
	return int32(i) //nolint:gosec // far fewer definitions
}

// reader reads fields off the front of s; after a fault bad is set and every
// read returns zero.
type reader struct {
	s   string
	bad bool
	// Room for all tiles and entries; lists are taken off it, and have no
	// more capacity than they need, so that growing one leaves the others be.
	tilesLeft   []tile
	entriesLeft []entry
}

func (r *reader) fail() { r.bad, r.s = true, "" }

func (r *reader) byte() byte {
	if r.s == "" {
		r.fail()
		return 0
	}
	c := r.s[0]
	r.s = r.s[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	if r.s != "" && r.s[0] < 0x80 {
		v := uint64(r.s[0])
		r.s = r.s[1:]
		return v
	}
	return r.longer()
}

// longer is uvarint past one byte.
func (r *reader) longer() uint64 {
	var v uint64
	for i := range min(len(r.s), binary.MaxVarintLen64) {
		c := r.s[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.s = r.s[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) fixed() uint64 {
	if len(r.s) < 8 {
		r.fail()
		return 0
	}
	var v uint64
	for i := range 8 {
		v |= uint64(r.s[i]) << (8 * i)
	}
	r.s = r.s[8:]
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	v := r.s[:n]
	r.s = r.s[n:]
	return v
}

// count reads the length of a list whose elements take at least size bytes
// each, so that no claim makes it reserve more than what is there warrants.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.s)/size) { //nolint:gosec // lengths are not negative
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // at most len(r.s)
}

func (r *reader) cell(c *cell) {
	flags := r.byte()
	c.approx = flags&cellApprox != 0
	c.n, c.newest = r.varint(), r.varint()
	if c.n <= 0 {
		r.fail() // an empty cell is not written
	}
	if flags&cellValue != 0 {
		c.v = r.varint()
	}
	if flags&cellTiles != 0 {
		c.tiles = r.tiles(flags)
	}
	if flags&cellEntries != 0 {
		n := r.count(11)
		from := len(r.entriesLeft)
		if n > cap(r.entriesLeft)-from {
			r.fail()
			return
		}
		r.entriesLeft = r.entriesLeft[:from+n]
		c.entries = r.entriesLeft[from : from : from+n]
		prev := c.newest
		for range n {
			e := entry{key: r.string(), at: prev - r.varint(), tie: r.fixed()}
			line := r.uvarint()
			e.pos, e.off = int32(line>>1&0x7fffffff), line&1 != 0
			prev = e.at
			c.entries = append(c.entries, e)
		}
	}
	if flags&cellWeights != 0 {
		n := r.count(3)
		c.weights = make([]weight, 0, n)
		for range n {
			w := weight{key: r.string(), newest: c.newest - r.varint(), tiles: r.tiles(cellTileV)}
			c.weights = append(c.weights, w)
		}
	}
}

func (r *reader) tiles(flags byte) []tile {
	n := r.count(1)
	from := len(r.tilesLeft)
	if n > cap(r.tilesLeft)-from {
		r.fail()
		return nil
	}
	r.tilesLeft = r.tilesLeft[:from+n]
	out := r.tilesLeft[from : from+n : from+n]
	var prev int64
	for i := range out {
		t := &out[i]
		t.at = prev + r.varint()
		if flags&cellTileN != 0 {
			t.n = r.varint()
		}
		if flags&cellTileV != 0 {
			t.v = r.varint()
		}
		prev = t.at
	}
	return out
}

func (r *reader) stamp() stamp { return stamp{at: r.varint(), tie: r.fixed()} }

// order reads an order. Operations of definitions that are gone are dropped.
func (r *reader) order(ranks []int32) order {
	o := order{id: r.string()}
	flags := r.byte()
	o.cancelled = flags&orderCancelled != 0
	o.heard = r.stamp()
	if flags&orderCompleted != 0 {
		o.completed = r.stamp()
	}
	if flags&orderRefunds != 0 {
		n := r.count(9)
		o.refunds = make([]refund, 0, n)
		for range n {
			o.refunds = append(o.refunds, refund{id: r.fixed(), amount: r.varint()})
		}
	}
	v := &o.version
	if v.known = flags&orderKnown != 0; !v.known {
		return o
	}
	v.updated = flags&orderUpdated != 0
	v.rank, v.when, v.total = r.byte(), r.stamp(), r.varint()
	n := r.count(1)
	v.keys = make([]string, 0, n)
	for range n {
		v.keys = append(v.keys, r.string())
	}
	n = r.count(4)
	v.ops = make([]operation, 0, n)
	for range n {
		place, k, pos, val := r.uvarint(), r.uvarint(), r.uvarint(), r.varint()
		if place >= uint64(len(ranks)) || k > uint64(len(v.keys)) || pos > 0x7fffffff {
			r.fail()
			break
		}
		if rank := ranks[place]; rank >= 0 {
			v.ops = append(v.ops, operation{rank: rank, key: int32(k) - 1, pos: int32(pos), val: val}) //nolint:gosec // checked
		}
	}
	return o
}
