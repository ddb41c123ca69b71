package model

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"
)

// hood is the neighbours of one item with their counts: open addressing with
// linear probing over two arrays, six bytes a place, between 57 and 80 % full.
// The item's lock guards it, but for what is atomic.
type hood struct {
	keys   []int32  // item + 1; 0 is free
	counts []uint16 // of the same place
	wide   []uint32 // instead of counts, once one of them was too large
	used   int      // places that are not free; counts of 0 included
	approx bool     // neighbours were dropped
	dirty  bool
	change atomic.Uint32 // counts the edits
	cache  [2]atomic.Pointer[pairCache]
}

func (h *hood) place(item int32) int {
	spread := uint32(item+1) * 2654435769 //nolint:gosec // never negative
	i := int(uint64(spread) * uint64(len(h.keys)) >> 32)
	for h.keys[i] != 0 && h.keys[i] != item+1 {
		if i++; i == len(h.keys) {
			i = 0
		}
	}
	return i
}

func (h *hood) at(i int) uint32 {
	if h.wide != nil {
		return h.wide[i]
	}
	return uint32(h.counts[i])
}

func (h *hood) set(i int, n uint32) {
	if h.wide == nil && n > math.MaxUint16 {
		h.wide = make([]uint32, len(h.counts))
		for j, c := range h.counts {
			h.wide[j] = uint32(c)
		}
		h.counts = nil
	}
	if h.wide != nil {
		h.wide[i] = n
		return
	}
	h.counts[i] = uint16(n) //nolint:gosec // at most 65,535 without wide
}

func (h *hood) count(item int32) uint32 {
	if len(h.keys) == 0 {
		return 0
	}
	return h.at(h.place(item)) // a free place counts 0
}

// add counts item by a more; of more than limit neighbours the lightest eighth
// goes first.
func (h *hood) add(item int32, a uint32, limit int) {
	if len(h.keys) > 0 {
		if i := h.place(item); h.keys[i] != 0 {
			h.set(i, min(h.at(i), math.MaxUint32-a)+a)
			return
		}
	}
	if h.used >= limit {
		h.drop(limit)
	}
	if (h.used+1)*5 > len(h.keys)*4 {
		h.grow()
	}
	i := h.place(item)
	h.keys[i] = item + 1
	h.used++
	h.set(i, a)
}

// take counts item by one less. Its place stays until the table grows.
func (h *hood) take(item int32) {
	if len(h.keys) == 0 {
		return
	}
	if i := h.place(item); h.at(i) > 0 {
		h.set(i, h.at(i)-1)
	}
}

type neighbour struct {
	item  int32
	count uint32
}

// live returns the neighbours that have a count, in the order of the table.
func (h *hood) live() []neighbour {
	out := make([]neighbour, 0, h.used)
	for i, k := range h.keys {
		if k != 0 && h.at(i) > 0 {
			out = append(out, neighbour{k - 1, h.at(i)})
		}
	}
	return out
}

// rebuild makes a table of size places that holds ns.
func (h *hood) rebuild(ns []neighbour, size int) {
	h.keys, h.counts, h.wide, h.used = make([]int32, size), make([]uint16, size), nil, len(ns)
	for _, n := range ns {
		i := h.place(n.item)
		h.keys[i] = n.item + 1
		h.set(i, n.count)
	}
}

// grow makes room by four tenths, or only sweeps when counts of 0 fill it.
func (h *hood) grow() {
	ns := h.live()
	h.rebuild(ns, max(8, (len(ns)+1)*7/4))
}

// drop keeps the heaviest seven eighths of limit, ties by number.
func (h *hood) drop(limit int) {
	ns := h.live()
	if len(ns) >= limit {
		slices.SortFunc(ns, func(a, b neighbour) int {
			return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.item, b.item))
		})
		ns = ns[:limit-max(limit/8, 1)]
		h.approx = true
	}
	h.rebuild(ns, max(8, (len(ns)+1)*7/4))
}

func (h *hood) appendRow(b []byte) []byte {
	flags := uint64(0)
	if h.approx {
		flags = 1
	}
	b = binary.AppendUvarint(b, flags)
	for i, k := range h.keys {
		if k != 0 && h.at(i) > 0 {
			b = binary.AppendUvarint(b, uint64(k-1)) //nolint:gosec // never negative
			b = binary.AppendUvarint(b, uint64(h.at(i)))
		}
	}
	return b
}
