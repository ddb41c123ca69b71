package feature

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/attune-io/attune"
)

// stateFormat is the first byte of a stored State:
//
//	format, flags, newest
//	how many tiles and entries there are in all
//	the hashes of the definitions that follow, ascending
//	cells: place of the hash, length, body
//	orders
//
// Numbers are varints, times are differences to the one before, hashes and
// ties are 8 bytes little-endian. Lists start with their length.
const stateFormat = 1

// The flags of a State, a cell, and an order.
const (
	flagCut = 1

	cellApprox  = 1
	cellValue   = 2
	cellTiles   = 4
	cellEntries = 8
	cellWeights = 16
	cellTileN   = 32 // tiles have n
	cellTileV   = 64 // tiles have v

	orderKnown     = 1
	orderUpdated   = 2
	orderCompleted = 4
	orderCancelled = 8
	orderRefunds   = 16
)

// AppendBinary appends st, with each cell under its definition's hash. Equal
// sets of events give equal bytes.
func (s *Set) AppendBinary(st *State, b []byte) []byte {
	var flags byte
	if st.cut {
		flags = flagCut
	}
	b = append(b, stateFormat, flags)
	b = binary.AppendVarint(b, st.newest)
	tiles, entries := st.sizes()
	b = binary.AppendUvarint(b, uint64(tiles))   //nolint:gosec // a length
	b = binary.AppendUvarint(b, uint64(entries)) //nolint:gosec // a length
	places, used := s.used(st)
	b = binary.AppendUvarint(b, uint64(used)) //nolint:gosec // a length
	for rank, at := range places {
		if at >= 0 {
			b = binary.LittleEndian.AppendUint64(b, s.ranked[rank].hash)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(st.cells)))
	for i := range st.cells {
		c := &st.cells[i]
		b = binary.AppendUvarint(b, uint64(places[c.rank])) //nolint:gosec // used, so not negative
		from := len(b)
		b = c.append(b)
		// The length goes in front, once it is known.
		var size [binary.MaxVarintLen64]byte
		n := binary.PutUvarint(size[:], uint64(len(b)-from)) //nolint:gosec // a length
		b = slices.Insert(b, from, size[:n]...)
	}
	b = binary.AppendUvarint(b, uint64(len(st.orders)))
	for i := range st.orders {
		b = st.orders[i].append(b, places)
	}
	return b
}

// sizes counts tiles and entries, so that a reader can make room for all of
// them at once.
func (st *State) sizes() (tiles, entries int) {
	for i := range st.cells {
		c := &st.cells[i]
		tiles, entries = tiles+len(c.tiles), entries+len(c.entries)
		for j := range c.weights {
			tiles += len(c.weights[j].tiles)
		}
	}
	return tiles, entries
}

// used numbers the definitions that st speaks of, by rank; -1 for the others.
func (s *Set) used(st *State) (places []int, used int) {
	places = make([]int, len(s.ranked))
	for i := range places {
		places[i] = -1
	}
	for i := range st.cells {
		places[st.cells[i].rank] = 0
	}
	for i := range st.orders {
		for _, p := range st.orders[i].version.ops {
			places[p.rank] = 0
		}
	}
	for i := range places {
		if places[i] == 0 {
			places[i] = used
			used++
		}
	}
	return places, used
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (c *cell) append(b []byte) []byte {
	var flags byte
	n, v := false, false
	for i := range c.tiles {
		n, v = n || c.tiles[i].n != 0, v || c.tiles[i].v != 0
	}
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{c.approx, cellApprox},
		{c.v != 0, cellValue},
		{len(c.tiles) > 0, cellTiles},
		{len(c.entries) > 0, cellEntries},
		{len(c.weights) > 0, cellWeights},
		{n, cellTileN},
		{v, cellTileV},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, c.n)
	b = binary.AppendVarint(b, c.newest)
	if c.v != 0 {
		b = binary.AppendVarint(b, c.v)
	}
	if len(c.tiles) > 0 {
		b = appendTiles(b, c.tiles, flags)
	}
	if len(c.entries) > 0 {
		b = binary.AppendUvarint(b, uint64(len(c.entries)))
		prev := c.newest
		for i := range c.entries {
			e := &c.entries[i]
			b = appendString(b, e.key)
			b = binary.AppendVarint(b, prev-e.at)
			b = binary.LittleEndian.AppendUint64(b, e.tie)
			line := uint64(uint32(e.pos)) << 1 //nolint:gosec // never negative
			if e.off {
				line |= 1
			}
			b = binary.AppendUvarint(b, line)
			prev = e.at
		}
	}
	if len(c.weights) > 0 {
		b = binary.AppendUvarint(b, uint64(len(c.weights)))
		for i := range c.weights {
			w := &c.weights[i]
			b = appendString(b, w.key)
			b = binary.AppendVarint(b, c.newest-w.newest)
			b = appendTiles(b, w.tiles, cellTileV)
		}
	}
	return b
}

func appendTiles(b []byte, tiles []tile, flags byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(tiles)))
	var prev int64
	for _, t := range tiles {
		b = binary.AppendVarint(b, t.at-prev)
		if flags&cellTileN != 0 {
			b = binary.AppendVarint(b, t.n)
		}
		if flags&cellTileV != 0 {
			b = binary.AppendVarint(b, t.v)
		}
		prev = t.at
	}
	return b
}

func appendStamp(b []byte, s stamp) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendVarint(b, s.at), s.tie)
}

func (o *order) append(b []byte, places []int) []byte {
	var flags byte
	v := &o.version
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{v.known, orderKnown},
		{v.updated, orderUpdated},
		{o.completed != stamp{}, orderCompleted},
		{o.cancelled, orderCancelled},
		{len(o.refunds) > 0, orderRefunds},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(appendString(b, o.id), flags)
	b = appendStamp(b, o.heard)
	if o.completed != (stamp{}) {
		b = appendStamp(b, o.completed)
	}
	if len(o.refunds) > 0 {
		b = binary.AppendUvarint(b, uint64(len(o.refunds)))
		for _, r := range o.refunds {
			b = binary.AppendVarint(binary.LittleEndian.AppendUint64(b, r.id), r.amount)
		}
	}
	if !v.known {
		return b
	}
	b = appendStamp(append(b, v.rank), v.when)
	b = binary.AppendVarint(b, v.total)
	b = binary.AppendUvarint(b, uint64(len(v.keys)))
	for _, k := range v.keys {
		b = appendString(b, k)
	}
	b = binary.AppendUvarint(b, uint64(len(v.ops)))
	for _, p := range v.ops {
		b = binary.AppendUvarint(b, uint64(places[p.rank])) //nolint:gosec // used, so not negative
		b = binary.AppendUvarint(b, uint64(p.key+1))        //nolint:gosec // at least -1
		b = binary.AppendUvarint(b, uint64(p.pos))          //nolint:gosec // never negative
		b = binary.AppendVarint(b, p.val)
	}
	return b
}

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
