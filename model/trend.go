package model

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
)

// Trend is a count of every item that loses half of itself each half-life, with
// the lists of the highest.
//
// A count is kept "forward": what happens at time t adds 2^(t/halfLife), so
// nothing has to be aged, and the order of items does not change while nothing
// happens. It is a whole number at the scale of the tile (a half-life on the
// clock) of its newest event; moving to a later tile shifts it and drops bits
// below 2^-16 of a view.
// Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay" (ICDE 2009).
//
// Memory: 16 bytes an item, 8 for each place of a list.
type Trend struct {
	halfLife int64 // milliseconds
	steps    [1 << stepBits]uint32
	limit    int // places of the list of all items
	category func(item int32) int32

	cells table[decayed]
	locks [64]sync.Mutex // by item number

	mu      sync.Mutex
	touched []int32     // items that changed since the lists were made
	recount atomic.Bool // a count fell or rows were loaded: touched is not all

	making sync.Mutex // one reader makes lists, the others take the old ones
	lists  atomic.Pointer[trendLists]
	// byCategory is by category number. Its lists are as old as lists.
	byCategory table[atomic.Pointer[[]Scored]]
}

// decayed is mantissa·2^(tile-16), in views at the start of tile 0.
type decayed struct {
	mantissa int64
	tile     int32
	touched  bool
}

type trendLists struct {
	at      attune.Millis // when made
	counted attune.Millis // when last made from all items
	scored  attune.Millis // when the lists of all categories were last scored
	top     []Scored
}

const (
	stepBits = 10 // steps of a half-life in which an event's moment is told
	unitBits = 16 // bits behind the point of a mantissa

	listAge  attune.Millis = 250    // lists are made anew at most this often
	scoreAge attune.Millis = 60_000 // and, when nothing happened, this often
	countAge attune.Millis = 10_000 // from all items at most this often
)

// newTrend returns an empty count.
func newTrend(halfLife time.Duration, limit int, category func(int32) int32) *Trend {
	t := &Trend{halfLife: max(halfLife.Milliseconds(), 60_000), limit: limit, category: category}
	// 2^(1/1024) with 62 bits behind the point: whole numbers, because floats
	// are not the same on every machine.
	const root = 4614808732577250068
	x := uint64(1) << 62
	for i := range t.steps {
		t.steps[i] = uint32(x >> (62 - unitBits)) //nolint:gosec // below 2^17
		hi, lo := bits.Mul64(x, root)
		x = hi<<2 | lo>>62
	}
	return t
}

// add counts weight at a time; negative takes it back.
func (t *Trend) add(item int32, weight int64, at attune.Millis) {
	ms := max(int64(at), 0)
	tile := int32(min(ms/t.halfLife, math.MaxInt32/2)) //nolint:gosec // cut
	weight *= int64(t.steps[ms%t.halfLife<<stepBits/t.halfLife])
	c := t.cells.at(item)
	l := &t.locks[item%64]
	l.Lock()
	if tile >= c.tile {
		c.mantissa = c.mantissa>>min(tile-c.tile, 63) + weight
		c.tile = tile
	} else {
		c.mantissa += weight >> min(c.tile-tile, 63)
	}
	c.mantissa = max(c.mantissa, 0)
	fresh := !c.touched
	c.touched = true
	l.Unlock()
	if weight < 0 {
		t.recount.Store(true)
	}
	if fresh {
		t.mu.Lock()
		t.touched = append(t.touched, item)
		t.mu.Unlock()
	}
}

// load returns the count of an item.
func (t *Trend) load(item int32) decayed {
	c := t.cells.seen(item)
	if c == nil {
		return decayed{}
	}
	l := &t.locks[item%64]
	l.Lock()
	defer l.Unlock()
	return *c
}

// store sets the count of an item, from its row.
func (t *Trend) store(item int32, d decayed) {
	*t.cells.at(item) = d
	t.recount.Store(true)
}

// key orders counts: the place of the highest bit, then the bits after it.
func (d decayed) key() uint64 {
	if d.mantissa <= 0 {
		return 0
	}
	n := bits.Len64(uint64(d.mantissa))
	return uint64(int64(d.tile)+int64(n))<<34 | uint64(d.mantissa)<<(64-n)>>30 //nolint:gosec // neither is negative
}

// Score returns the decayed count of an item as of now.
func (t *Trend) Score(item int32, now attune.Millis) float32 { return t.score(t.load(item), now) }

func (t *Trend) score(d decayed, now attune.Millis) float32 {
	age := float64(max(int64(now), 0))/float64(t.halfLife) - float64(d.tile)
	return float32(float64(d.mantissa) * math.Exp2(-age-unitBits))
}

// Top returns up to n items with the highest count, best first, scored as of
// at most a minute before now. What happened shows within 250 ms of given now.
// The slice is shared: do not change it. Reading costs nanoseconds; once in
// 250 ms one reader makes the lists anew from what was touched meanwhile.
func (t *Trend) Top(n int, now attune.Millis) []Scored {
	l := t.fresh(now)
	return l.top[:max(min(n, len(l.top)), 0)]
}

// TopIn is Top among the items of one category, at most a fifth of the places.
func (t *Trend) TopIn(category int32, n int, now attune.Millis) []Scored {
	t.fresh(now)
	p := t.byCategory.seen(category)
	if p == nil {
		return nil
	}
	l := p.Load()
	if l == nil {
		return nil
	}
	return (*l)[:max(min(n, len(*l)), 0)]
}

// fresh returns the lists, made anew when they are due.
func (t *Trend) fresh(now attune.Millis) *trendLists {
	l := t.lists.Load()
	if l != nil && !t.due(l, now) {
		return l
	}
	if l == nil {
		t.making.Lock()
	} else if !t.making.TryLock() {
		return l
	}
	defer t.making.Unlock()
	if l = t.lists.Load(); l == nil || t.due(l, now) {
		l = t.remake(l, now)
		t.lists.Store(l)
	}
	return l
}

func (t *Trend) due(l *trendLists, now attune.Millis) bool {
	age := now - l.at
	if age >= 0 && age < listAge {
		return false
	}
	if age < 0 || age >= scoreAge || t.recount.Load() && now-l.counted >= countAge {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.touched) > 0
}

// remake makes the lists. Counts rise only by being touched, so the best are
// among the best so far and the touched; when a count fell, an item left a
// category, or much was touched, all items are looked at.
func (t *Trend) remake(old *trendLists, now attune.Millis) *trendLists {
	t.mu.Lock()
	touched := t.touched
	t.touched = nil
	t.mu.Unlock()
	for _, item := range touched {
		t.locks[item%64].Lock()
		t.cells.at(item).touched = false
		t.locks[item%64].Unlock()
	}
	l := &trendLists{at: now, counted: now, scored: now}
	switch {
	case old == nil || len(touched) > int(t.cells.len()/4) || now < old.at,
		t.recount.Load() && now-old.counted >= countAge:
		t.recount.Store(false)
		all := make([]int32, t.cells.len())
		for i := range all {
			all[i] = int32(i) //nolint:gosec // numbers are int32
		}
		l.top = t.best(nil, all, t.limit, now)
		for c := range t.byCategory.len() {
			t.byCategory.at(c).Store(nil)
		}
		t.remakeCategories(t.members(all), now)
	default:
		l.counted = old.counted
		l.top = t.best(old.top, touched, t.limit, now)
		of := t.members(touched)
		if l.scored = old.scored; now-old.scored >= scoreAge {
			l.scored = now
			for c := range t.byCategory.len() {
				if t.byCategory.at(c).Load() != nil {
					of[c] = append(of[c], nil...)
				}
			}
		}
		t.remakeCategories(of, now)
	}
	return l
}

// members sorts items by category.
func (t *Trend) members(items []int32) map[int32][]int32 {
	of := map[int32][]int32{}
	if t.category == nil {
		return of
	}
	for _, item := range items {
		if c := t.category(item); c > 0 && t.load(item).mantissa > 0 {
			of[c] = append(of[c], item)
		}
	}
	return of
}

// remakeCategories makes the lists of categories from what they were and from
// items of theirs.
func (t *Trend) remakeCategories(of map[int32][]int32, now attune.Millis) {
	for c, members := range of {
		p := t.byCategory.at(c)
		var before []Scored
		if l := p.Load(); l != nil {
			before = *l
		}
		stay := before
		if slices.ContainsFunc(before, func(s Scored) bool { return t.category(s.Item) != c }) {
			stay = slices.DeleteFunc(slices.Clone(before), func(s Scored) bool { return t.category(s.Item) != c })
			t.recount.Store(true) // somebody below the list may belong on it now
		}
		list := t.best(stay, members, max(t.limit/5, 1), now)
		p.Store(&list)
	}
}

// best returns the limit highest of what was best and of items.
func (t *Trend) best(before []Scored, items []int32, limit int, now attune.Millis) []Scored {
	type counted struct {
		key  uint64
		item int32
		now  decayed
	}
	order := func(a, b counted) int { return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.item, b.item)) }
	same := func(a, b counted) bool { return a.item == b.item }
	var kept []counted
	var floor uint64 // below it nothing gets onto the list any more
	take := func(item int32) {
		d := t.load(item)
		k := d.key()
		if k == 0 || k < floor {
			return
		}
		kept = append(kept, counted{k, item, d})
		if len(kept) >= 4*limit+len(before) {
			slices.SortFunc(kept, order)
			kept = slices.CompactFunc(kept, same)
			kept = kept[:min(limit, len(kept))]
			if len(kept) == limit {
				floor = kept[limit-1].key
			}
		}
	}
	for _, item := range items {
		take(item)
	}
	listed := make(map[int32]bool, len(before))
	for _, c := range kept {
		listed[c.item] = true
	}
	for _, s := range before {
		if !listed[s.Item] {
			take(s.Item)
		}
	}
	slices.SortFunc(kept, order)
	kept = slices.CompactFunc(kept, same)
	out := make([]Scored, 0, min(limit, len(kept)))
	for _, c := range kept[:min(limit, len(kept))] {
		out = append(out, Scored{Item: c.item, Score: t.score(c.now, now)})
	}
	return out
}
