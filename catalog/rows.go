package catalog

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/attune-io/attune"
)

// changes is the items that have dirty rows.
type changes struct {
	mu    sync.Mutex
	items []int32
}

// mark notes rows of item n as changed. The caller holds the item's lock.
func (c *changes) mark(n int32, s *state, rows uint8) {
	if s.dirty == 0 {
		c.mu.Lock()
		c.items = append(c.items, n)
		c.mu.Unlock()
	}
	s.dirty |= rows
}

// Dirty gives every row that changed since the last call to put: "i" and the
// number for what is known of an item, "e" and the number for the newest time
// at which that was said again. The rows of one call belong together: store
// them in one batch. The caller holds writers still meanwhile; key and value
// are good until put returns.
func (c *Catalog) Dirty(put func(key, value []byte)) {
	c.changed.mu.Lock()
	items := c.changed.items
	c.changed.items = nil
	c.changed.mu.Unlock()
	var key, v []byte
	for _, n := range items {
		c.lock(n)
		k := c.chunk(n)
		s := &k.states[n%chunkLen]
		if s.dirty&rowItem != 0 {
			v = k.records[n%chunkLen].Load().appendRow(v[:0], k.ids[n%chunkLen])
			key = binary.BigEndian.AppendUint32(append(key[:0], 'i'), uint32(n)) //nolint:gosec // never negative
			put(key, v)
		}
		if s.dirty&rowEcho != 0 {
			v = s.appendRow(v[:0])
			key = binary.BigEndian.AppendUint32(append(key[:0], 'e'), uint32(n)) //nolint:gosec // never negative
			put(key, v)
		}
		s.dirty = 0
		c.unlock(n)
	}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (s Stamp) append(b []byte) []byte {
	b = binary.AppendVarint(append(b, byte(s.Rank)), int64(s.At))
	return binary.BigEndian.AppendUint64(b, s.Tie)
}

func (r *record) appendRow(b []byte, id string) []byte {
	b = appendString(append(b, 1), id)
	b = r.revived.append(r.removed.append(b))
	b = binary.AppendUvarint(b, uint64(len(r.claims)))
	for _, c := range r.claims {
		b = c.stamp.append(appendString(b, c.name))
		switch x := c.value.(type) {
		case string:
			b = appendString(append(b, kindString), x)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, kindNumber), math.Float64bits(x))
		case bool:
			k := byte(kindFalse)
			if x {
				k = kindTrue
			}
			b = append(b, k)
		case []string:
			b = binary.AppendUvarint(append(b, kindList), uint64(len(x)))
			for _, s := range x {
				b = appendString(b, s)
			}
		default:
			b = append(b, kindNull)
		}
	}
	return b
}

func (s *state) appendRow(b []byte) []byte {
	b = append(b, 1)
	for _, e := range s.echoes {
		b = binary.BigEndian.AppendUint64(b, e.hash)
		b = binary.BigEndian.AppendUint64(e.stamp.append(b), e.mask)
	}
	return b
}

// Load takes one row that Dirty gave, in any order, before anything else is
// done with the catalog. An error wraps attune.ErrCorrupt and the row is left
// out.
func (c *Catalog) Load(key, value []byte) error {
	if len(key) != 5 || len(value) == 0 || value[0] != 1 {
		return fmt.Errorf("catalog row %q of %d bytes: %w", key, len(value), attune.ErrCorrupt)
	}
	u := binary.BigEndian.Uint32(key[1:])
	if u >= mostItems {
		return fmt.Errorf("catalog row of item number %d: %w", u, attune.ErrCorrupt)
	}
	n, d := int32(u), decoder{b: value[1:]}
	switch key[0] {
	case 'i':
		id := d.string()
		r := d.record(c)
		if d.bad || len(d.b) > 0 || id == "" {
			return fmt.Errorf("catalog row of item number %d: %w", n, attune.ErrCorrupt)
		}
		c.restore(n, id, r)
	case 'e':
		var echoes [2]echo
		for i := range echoes {
			echoes[i] = echo{hash: d.uint64(), stamp: d.stamp(), mask: d.uint64()}
		}
		if d.bad || len(d.b) > 0 {
			return fmt.Errorf("catalog row of item number %d's echoes: %w", n, attune.ErrCorrupt)
		}
		c.grow.Lock()
		c.room(n)
		c.grow.Unlock()
		c.chunk(n).states[n%chunkLen].echoes = echoes
	default:
		return fmt.Errorf("catalog row of kind %q: %w", key[0], attune.ErrCorrupt)
	}
	return nil
}

// restore gives item n back its id and record.
func (c *Catalog) restore(n int32, id string, r *record) {
	c.grow.Lock()
	c.room(n)
	k := c.chunk(n)
	k.ids[n%chunkLen] = id
	for i := c.length.Load(); i <= n; i++ { // numbers whose rows are still to come
		c.chunk(i).records[i%chunkLen].CompareAndSwap(nil, &record{})
	}
	c.length.Store(max(c.length.Load(), n+1))
	c.grow.Unlock()
	s := &c.index[attune.Hash(id)%shards]
	s.mu.Lock()
	s.of[id] = n
	s.mu.Unlock()
	c.lock(n)
	c.publish(n, r)
	c.unlock(n)
}

// decoder reads a row; after a fault bad is set and every read returns zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func (d *decoder) stamp() Stamp {
	s := Stamp{Rank: attune.Rank(d.byte())}
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return s
	}
	d.b = d.b[n:]
	s.At, s.Tie = attune.Millis(v), d.uint64()
	return s
}

func (d *decoder) record(c *Catalog) *record {
	r := &record{removed: d.stamp(), revived: d.stamp()}
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return r
	}
	for range n {
		_, name := c.names.ensure(d.string())
		cl := claim{name: name, stamp: d.stamp()}
		cl.value = d.value()
		if len(r.claims) > 0 && strings.Compare(r.claims[len(r.claims)-1].name, name) >= 0 {
			d.bad = true // names are sorted, or finding them would not work
		}
		if d.bad {
			return r
		}
		r.claims = append(r.claims, cl)
	}
	return r
}

func (d *decoder) value() any {
	switch d.byte() {
	case kindNull:
		return nil
	case kindFalse:
		return false
	case kindTrue:
		return true
	case kindString:
		return d.string()
	case kindNumber:
		f := math.Float64frombits(d.uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			d.bad = true
		}
		return f
	case kindList:
		n := d.uvarint()
		if n > uint64(len(d.b)) {
			d.bad = true
			return nil
		}
		l := make([]string, 0, n)
		for range n {
			l = append(l, d.string())
		}
		return l
	default:
		d.bad = true
		return nil
	}
}
