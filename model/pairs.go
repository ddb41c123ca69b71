package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// Measure is how strongly two items go together, of c sets with both, a and b
// with the one and the other, and n in all.
type Measure uint8

// The measures. Jaccard finds what is bought with this and little else; lift
// favours rare items: use it with MinCount.
const (
	Jaccard Measure = iota // c / (a + b - c)
	Lift                   // n·c / (a·b)
)

// PairsOptions bound Pairs. The zero value has the defaults.
type PairsOptions struct {
	MaxNeighbours int // of one item; 0 is 4,096
	MaxSet        int // distinct items of one set; 0 is 2,000
	// MinCount is the smallest co-occurrence that Neighbours returns; 0 is 1.
	MinCount int
}

// Pairs counts how often two items are in one set: a basket, a session.
//
// Counts are exact up to MaxNeighbours neighbours of an item; then the
// lightest eighth is dropped and Approximate says so. Sets of more than MaxSet
// distinct items are cut to those of the lowest numbers, and counted in Cut.
//
// Memory: 16 bytes an item, and 7 to 11 for each neighbour of each item.
type Pairs struct {
	maxNeighbours, maxSet int
	minCount              uint32

	items table[pairItem]
	locks [256]sync.RWMutex // by item number
	sets  atomic.Int64
	cut   atomic.Int64
	edits atomic.Int64 // sets added or removed, items that joined one

	mu    sync.Mutex
	dirty []int32
	saved [2]int64 // sets and cut, as in their row
}

// pairItem is one item. Its support is read by the queries of others. The hood
// is set once, and again by Load.
type pairItem struct {
	support atomic.Int64
	hood    atomic.Pointer[hood]
}

// pairCache is the best neighbours by one measure.
type pairCache struct {
	change uint32 // of the hood
	edits  int64
	whole  bool // there are no more than these
	list   []Scored
}

const (
	cacheLen = 128 // best neighbours that are remembered of an item
	// slack: a remembered list lasts until its item is in another set, or
	// there were as many edits as this part of the sets: other items' supports
	// have moved no more than that. Below 256 sets nothing is out of date.
	slack = 256
)

// NewPairs returns an empty count.
func NewPairs(o PairsOptions) *Pairs {
	return &Pairs{
		maxNeighbours: max(cmp.Or(o.MaxNeighbours, 4096), 8), maxSet: cmp.Or(o.MaxSet, 2000),
		minCount: uint32(min(max(o.MinCount, 1), math.MaxInt32)),
	}
}

// AddSet counts one whole set. Repeated items count once.
func (p *Pairs) AddSet(items []int32) {
	set := p.distinct(items)
	if len(set) == 0 {
		return
	}
	p.sets.Add(1)
	p.edits.Add(1)
	for _, item := range set {
		p.edit(item, func(h *hood) {
			for _, other := range set {
				if other != item {
					h.add(other, 1, p.maxNeighbours)
				}
			}
		})
		p.items.at(item).support.Add(1)
	}
}

// Remove takes a set back that AddSet counted: a cancelled order. What was
// dropped as too light stays dropped.
func (p *Pairs) Remove(items []int32) {
	set := p.distinct(items)
	if len(set) == 0 {
		return
	}
	p.sets.Add(-1)
	p.edits.Add(1)
	for _, item := range set {
		p.edit(item, func(h *hood) {
			for _, other := range set {
				if other != item {
					h.take(other)
				}
			}
		})
		p.items.at(item).support.Add(-1)
	}
}

// AddTo counts item as joining a set that has existing so far, which are
// distinct. With nothing existing it begins a set. When existing has item, or
// MaxSet items, nothing is counted.
func (p *Pairs) AddTo(existing []int32, item int32) {
	switch {
	case !validItem(item) || slices.Contains(existing, item):
		return
	case len(existing) >= p.maxSet:
		p.cut.Add(1)
		return
	case len(existing) == 0:
		p.sets.Add(1)
	}
	p.edits.Add(1)
	p.edit(item, func(h *hood) {
		for _, other := range existing {
			if validItem(other) {
				h.add(other, 1, p.maxNeighbours)
			}
		}
	})
	p.items.at(item).support.Add(1)
	for _, other := range existing {
		if validItem(other) {
			p.edit(other, func(h *hood) { h.add(item, 1, p.maxNeighbours) })
		}
	}
}

// distinct returns the valid items sorted, each once, cut to MaxSet.
func (p *Pairs) distinct(items []int32) []int32 {
	set := slices.Clone(items)
	slices.Sort(set)
	set = slices.Compact(set)
	set = slices.DeleteFunc(set, func(i int32) bool { return !validItem(i) })
	if len(set) > p.maxSet {
		set = set[:p.maxSet]
		p.cut.Add(1)
	}
	return set
}

// edit changes the neighbours of item under its lock and marks its row.
func (p *Pairs) edit(item int32, change func(*hood)) {
	e := p.items.at(item)
	l := &p.locks[item%256]
	l.Lock()
	h := e.hood.Load()
	if h == nil {
		h = &hood{}
		e.hood.Store(h)
	}
	change(h)
	h.change.Add(1) // the support changes too, also of an item that is alone
	fresh := !h.dirty
	h.dirty = true
	l.Unlock()
	if fresh {
		p.mu.Lock()
		p.dirty = append(p.dirty, item)
		p.mu.Unlock()
	}
}

// Support returns in how many sets item is.
func (p *Pairs) Support(item int32) int {
	if e := p.items.seen(item); e != nil {
		return int(e.support.Load())
	}
	return 0
}

// Count returns in how many sets both items are: 0 when the pair was dropped.
func (p *Pairs) Count(a, b int32) int {
	n := 0
	p.look(a, func(h *hood) { n = int(h.count(b)) })
	return n
}

// Approximate reports whether neighbours of item were dropped.
func (p *Pairs) Approximate(item int32) bool {
	approx := false
	p.look(item, func(h *hood) { approx = h.approx })
	return approx
}

// look shows the neighbours of item, when it has any, under its lock.
func (p *Pairs) look(item int32, see func(*hood)) {
	e := p.items.seen(item)
	if e == nil {
		return
	}
	l := &p.locks[item%256]
	l.RLock()
	defer l.RUnlock()
	if h := e.hood.Load(); h != nil {
		see(h)
	}
}

// Sets returns how many sets were counted.
func (p *Pairs) Sets() int { return int(p.sets.Load()) }

// Cut returns how many sets were larger than MaxSet.
func (p *Pairs) Cut() int { return int(p.cut.Load()) }

// Neighbours appends up to n items that go best with item to dst, best first,
// ties by number. The best 128 are remembered until item is in another set, or
// other sets have grown in number by 1/256. O(neighbours of item) to find out, O(n) after.
func (p *Pairs) Neighbours(item int32, n int, m Measure, dst []Scored) []Scored {
	e := p.items.seen(item)
	if e == nil || n <= 0 || m > Lift {
		return dst
	}
	h := e.hood.Load()
	if h == nil {
		return dst
	}
	// What is remembered is read without the lock: taking it writes, and that
	// costs more than the rest. Who comes in the middle of an edit is before it.
	if c := h.cache[m].Load(); p.holds(c, h, n) {
		return append(dst, c.list[:min(n, len(c.list))]...)
	}
	l := &p.locks[item%256]
	l.RLock()
	defer l.RUnlock()
	edits := p.edits.Load()
	list := p.rank(h, e.support.Load(), max(n, cacheLen), m)
	c := &pairCache{change: h.change.Load(), edits: edits, list: list, whole: len(list) < max(n, cacheLen)}
	if len(list) <= cacheLen {
		h.cache[m].Store(c)
	}
	return append(dst, list[:min(n, len(list))]...)
}

// holds reports whether c still says the n best of h.
func (p *Pairs) holds(c *pairCache, h *hood, n int) bool {
	return c != nil && c.change == h.change.Load() && p.edits.Load()-c.edits <= p.sets.Load()/slack && (n <= len(c.list) || c.whole)
}

// strength is a neighbour's measure in full precision: float32 would make ties
// of fractions that are not equal.
type strength struct {
	score float64
	item  int32
}

func (a strength) worse(b strength) bool { //nolint:unused // best calls it
	return a.score < b.score || a.score <= b.score && a.item > b.item
}

func (p *Pairs) rank(h *hood, support int64, n int, m Measure) []Scored {
	out := newBest(make([]strength, 0, min(n, h.used)), n)
	a, sets := float64(support), float64(p.sets.Load())
	for i, k := range h.keys {
		count := h.at(i)
		if k == 0 || count < p.minCount {
			continue
		}
		// A set that is being counted may have reached the pair and not yet
		// the supports.
		c := float64(count)
		b := max(float64(p.Support(k-1)), c)
		score := c / (max(a, c) + b - c)
		if m == Lift {
			score = sets * c / (max(a, c) * b)
		}
		out.offer(strength{score, k - 1})
	}
	list := make([]Scored, 0, len(out.dst))
	for _, s := range out.sorted() {
		list = append(list, Scored{Item: s.item, Score: float32(s.score)})
	}
	return list
}

// Dirty gives the row of every item that changed since the last call to put.
// The caller holds writers still meanwhile; key and value are good until put
// returns.
func (p *Pairs) Dirty(put func(key, value []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var key, v []byte
	for _, item := range p.dirty {
		e := p.items.at(item)
		h := e.hood.Load()
		h.dirty = false
		v = binary.AppendUvarint(v[:0], 1)
		v = binary.AppendVarint(v, e.support.Load())
		v = h.appendRow(v)
		key = rowKey(key[:0], 'n', item)
		put(key, v)
	}
	if now := [2]int64{p.sets.Load(), p.cut.Load()}; now != p.saved {
		p.saved = now
		v = binary.AppendVarint(binary.AppendVarint(binary.AppendUvarint(v[:0], 1), now[0]), now[1])
		put(rowKey(key[:0], 'g', 0), v)
	}
	p.dirty = p.dirty[:0]
}

// Load takes a row that Dirty gave.
func (p *Pairs) Load(key, value []byte) error {
	kind, item, err := parseKey(key)
	if err != nil {
		return err
	}
	r := rowReader{b: value}
	version := r.uvarint()
	switch {
	case version == 1 && kind == 'g':
		sets, cut := r.varint(), r.varint()
		if err := r.done("pairs totals row"); err != nil {
			return err
		}
		p.sets.Store(sets)
		p.cut.Store(cut)
		p.saved = [2]int64{sets, cut}
		return nil
	case version != 1 || kind != 'n':
		return fmt.Errorf("pairs row %q, format %d: %w", key, version, attune.ErrCorrupt)
	}
	support, flags := r.varint(), r.uvarint()
	var ns []neighbour
	for len(r.b) > 0 && !r.bad {
		n := neighbour{item: r.item()}
		count := r.uvarint()
		n.count = uint32(min(count, math.MaxUint32))
		ns = append(ns, n)
	}
	if err := r.done("pairs row"); err != nil {
		return err
	}
	slices.SortStableFunc(ns, func(a, b neighbour) int { return cmp.Compare(a.item, b.item) })
	ns = slices.CompactFunc(ns, func(a, b neighbour) bool { return a.item == b.item })
	h := &hood{approx: flags&1 == 1}
	h.rebuild(ns, max(8, (len(ns)+1)*7/4))
	e := p.items.at(item)
	e.hood.Store(h)
	e.support.Store(support)
	return nil
}
