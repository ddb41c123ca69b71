package feature

import (
	"encoding/binary"
	"slices"
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
