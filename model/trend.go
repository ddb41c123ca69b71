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
	scored  attune.Millis // the time that all scores are as of
	top     []Scored
}

const (
	stepBits = 10 // steps of a half-life in which an event's moment is told
	unitBits = 16 // bits behind the point of a mantissa

	listAge  attune.Millis = 250    // lists are made anew at most this often
	scoreAge attune.Millis = 60_000 // and, when nothing happened, this often
	countAge attune.Millis = 10_000 // from all items at most this often

	// readerCountAge is countAge for readers: they only do it when nobody
	// calls Refresh.
	readerCountAge attune.Millis = 60_000
)

// newTrend returns an empty count.
func newTrend(halfLife time.Duration, limit int, category func(int32) int32) *Trend {
	t := &Trend{halfLife: max(halfLife.Milliseconds(), 60_000), limit: limit, category: category}
	// 2^(1/1024) with 62 bits behind the point: whole numbers, because floats
	// are not the same on every machine.
	const root = 4614808732577250068
	x := uint64(1) << 62
	for i := range t.steps {
		t.steps[i] = uint32(x >> (62 - unitBits))
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
	l := t.fresh(now, readerCountAge)
	return l.top[:max(min(n, len(l.top)), 0)]
}

// TopIn is Top among the items of one category, at most a fifth of the places.
func (t *Trend) TopIn(category int32, n int, now attune.Millis) []Scored {
	t.fresh(now, readerCountAge)
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

// Refresh makes the lists anew when they are due. Called each second or so by
// whoever writes, and once before the first reader comes, it saves readers the
// looking at all items that is needed after a restart or when a listed count
// fell: some 100 ns an item.
func (t *Trend) Refresh(now attune.Millis) { t.fresh(now, countAge) }

// fresh returns the lists, made anew when they are due; recount is the age at
// which a needed look at all items is due.
func (t *Trend) fresh(now, recount attune.Millis) *trendLists {
	l := t.lists.Load()
	if l != nil && !t.due(l, now, recount) {
		return l
	}
	if l == nil {
		t.making.Lock()
	} else if !t.making.TryLock() {
		return l
	}
	defer t.making.Unlock()
	if l = t.lists.Load(); l == nil || t.due(l, now, recount) {
		l = t.remake(l, now, recount)
		t.lists.Store(l)
	}
	return l
}

func (t *Trend) due(l *trendLists, now, recount attune.Millis) bool {
	age := now - l.at
	if age >= 0 && age < listAge {
		return false
	}
	if age < 0 || now-l.scored >= scoreAge || t.recount.Load() && now-l.counted >= recount {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.touched) > 0
}

// remake makes the lists. Counts rise only by being touched, so the best are
// among the best so far and the touched; when a count fell, an item left a
// category, or much was touched, all items are looked at.
func (t *Trend) remake(old *trendLists, now, recount attune.Millis) *trendLists {
	t.mu.Lock()
	touched := t.touched
	t.touched = nil
	t.mu.Unlock()
	for _, item := range touched {
		t.locks[item%64].Lock()
		t.cells.at(item).touched = false
		t.locks[item%64].Unlock()
	}
	if old == nil || len(touched) > int(t.cells.len()/4) || now < old.at || t.recount.Load() && now-old.counted >= recount {
		t.recount.Store(false)
		return t.count(now)
	}
	slices.Sort(touched)
	l := &trendLists{at: now, counted: old.counted, scored: old.scored, top: old.top}
	if now-old.scored >= scoreAge {
		l.scored = now
		l.top = t.rescored(old.top, now)
		for c := range t.byCategory.len() {
			if p := t.byCategory.at(c); p.Load() != nil {
				list := t.rescored(*p.Load(), now)
				p.Store(&list)
			}
		}
	}
	l.top = t.merge(l.top, touched, t.limit, l.scored)
	if t.category == nil {
		return l
	}
	of := map[int32][]int32{}
	for _, item := range touched {
		if c := t.category(item); c > 0 {
			of[c] = append(of[c], item)
		}
	}
	for c, members := range of { // each list by itself: the order is no matter
		t.mergeCategory(c, members, l.scored)
	}
	return l
}

// rescored returns list with the scores as of now.
func (t *Trend) rescored(list []Scored, now attune.Millis) []Scored {
	out := slices.Clone(list)
	for i := range out {
		out[i].Score = t.Score(out[i].Item, now)
	}
	return out
}

func (t *Trend) mergeCategory(c int32, members []int32, scored attune.Millis) {
	p := t.byCategory.at(c)
	var before []Scored
	if l := p.Load(); l != nil {
		before = *l
	}
	left := func(s Scored) bool { return t.category(s.Item) != c }
	if slices.ContainsFunc(before, left) {
		before = slices.DeleteFunc(slices.Clone(before), left)
		t.recount.Store(true) // somebody below the list may belong on it now
	}
	list := t.merge(before, members, t.categoryLimit(), scored)
	p.Store(&list)
}

func (t *Trend) categoryLimit() int { return max(t.limit/5, 1) }

// merge returns before with the members, which are sorted, at their places.
func (t *Trend) merge(before []Scored, members []int32, limit int, scored attune.Millis) []Scored {
	out := make([]Scored, 0, min(limit, len(before)+len(members)))
	for _, s := range before {
		if _, moved := slices.BinarySearch(members, s.Item); !moved {
			out = append(out, s)
		}
	}
	for _, item := range members {
		d := t.load(item)
		x := counted{d.key(), item}
		if x.key == 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(out, x, func(s Scored, x counted) int {
			return counted{t.load(s.Item).key(), s.Item}.compare(x)
		})
		if i >= limit {
			continue
		}
		out = slices.Insert(out[:min(len(out), limit-1)], i, Scored{Item: item, Score: t.score(d, scored)})
	}
	return out
}

// count makes the lists from all items.
func (t *Trend) count(now attune.Millis) *trendLists {
	top := ranking{limit: t.limit}
	var in []ranking // by category
	for item := range t.cells.len() {
		k := t.load(item).key()
		if k == 0 {
			continue
		}
		top.take(counted{k, item})
		if t.category == nil {
			continue
		}
		c := t.category(item)
		if c <= 0 {
			continue
		}
		for int(c) >= len(in) {
			in = append(in, ranking{limit: t.categoryLimit()})
		}
		in[c].take(counted{k, item})
	}
	for c := range t.byCategory.len() {
		if int(c) >= len(in) || len(in[c].kept) == 0 {
			t.byCategory.at(c).Store(nil)
		}
	}
	for c := range in {
		if len(in[c].kept) > 0 {
			list := t.list(&in[c], now)
			t.byCategory.at(int32(c)).Store(&list)
		}
	}
	return &trendLists{at: now, counted: now, scored: now, top: t.list(&top, now)}
}

func (t *Trend) list(r *ranking, now attune.Millis) []Scored {
	r.cut()
	out := make([]Scored, len(r.kept))
	for i, c := range r.kept {
		out[i] = Scored{Item: c.item, Score: t.Score(c.item, now)}
	}
	return out
}

// counted is an item and the key of its count.
type counted struct {
	key  uint64
	item int32
}

// compare puts higher counts first, equal ones by number.
func (a counted) compare(b counted) int {
	return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.item, b.item))
}

// ranking keeps the limit highest of what it takes: it gathers four times as
// many, cuts, and from then on knows what is too low.
type ranking struct {
	limit int
	floor uint64
	kept  []counted
}

func (r *ranking) take(c counted) {
	if c.key < r.floor {
		return
	}
	r.kept = append(r.kept, c)
	if len(r.kept) >= 4*r.limit {
		r.cut()
	}
}

func (r *ranking) cut() {
	slices.SortFunc(r.kept, counted.compare)
	r.kept = r.kept[:min(r.limit, len(r.kept))]
	if len(r.kept) == r.limit {
		r.floor = r.kept[r.limit-1].key
	}
}
