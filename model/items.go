package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
)

// Signal is something that happened to an item.
type Signal uint8

// The signals. A view weighs 1, an add to the cart 3 and a purchase 8 in
// Trending and Popular; the others weigh nothing there.
const (
	View Signal = iota
	Add
	Purchase
	Impression
	Click
	Conversion
	signals
)

// weight is what a signal adds to the decayed counts.
func (s Signal) weight() int64 {
	switch s {
	case View:
		return 1
	case Add:
		return 3
	case Purchase:
		return 8
	default:
		return 0
	}
}

// ItemsOptions set up Items. The zero value has the defaults.
type ItemsOptions struct {
	TrendingHalfLife time.Duration // 0 is 6 h; at least a minute
	PopularHalfLife  time.Duration // 0 is 14 days
	// Category returns the category of an item, 0 for none: the catalog's
	// View.Category. Nil: no lists by category. It is called while lists are
	// made, so an item that changes its category changes lists.
	Category func(item int32) int32
	// Top bounds the lists; 0 is 1,000 over all items, and a fifth of it for
	// each category.
	Top int
}

// Observation is one signal.
type Observation struct {
	Signal Signal
	Item   int32 // -1: only the placement is counted
	// Units of a purchase line; below 1 it is 1. Ignored for other signals.
	Units     int64
	At        attune.Millis
	Placement string // where it was shown; "" counts for no placement
	// Undo takes an earlier observation with the same fields back.
	Undo bool
}

// Counts are the totals of one item. Purchases are lines of orders.
type Counts struct{ Views, Adds, Purchases, Units, Impressions, Clicks, Conversions int64 }

// PlacementCounts are the totals of one placement.
type PlacementCounts struct {
	Placement                        string
	Impressions, Clicks, Conversions int64
}

// CTR is clicks for each impression, 0 without impressions.
func (p PlacementCounts) CTR() float64 { return rate(p.Clicks, p.Impressions) }

// ConversionRate is conversions for each impression, 0 without impressions.
func (p PlacementCounts) ConversionRate() float64 { return rate(p.Conversions, p.Impressions) }

func rate(n, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// Items are counters and decayed popularity of every item, and counters of
// every placement.
//
// Memory: about 100 bytes an item up to 16 Mi items; 1,000 placements, further
// ones are not counted.
type Items struct {
	// Trending and Popular are what Observe feeds; read their lists.
	Trending, Popular *Trend

	counts              table[counters]
	impressions, clicks atomic.Int64 // over all items

	mu         sync.Mutex
	dirty      []int32
	placements map[string]*placementCounters
}

// counters are by signal, then the units. They are whole numbers, so the order
// in which several writers add does not matter.
type counters struct {
	n     [signals + 1]atomic.Int64
	dirty atomic.Bool
}

type placementCounters struct {
	n     [3]int64 // impressions, clicks, conversions
	dirty bool
}

const (
	maxPlacements = 1000
	smoothing     = 10 // weight of the average rate, in clicks
)

// NewItems returns empty statistics.
func NewItems(o ItemsOptions) *Items {
	limit := cmp.Or(o.Top, 1000)
	return &Items{
		Trending:   newTrend(cmp.Or(o.TrendingHalfLife, 6*time.Hour), limit, o.Category),
		Popular:    newTrend(cmp.Or(o.PopularHalfLife, 14*24*time.Hour), limit, o.Category),
		placements: map[string]*placementCounters{},
	}
}

// Observe counts o. Signals that are not known and items out of range are left
// out.
func (s *Items) Observe(o Observation) {
	if o.Signal >= signals {
		return
	}
	one, units := int64(1), max(o.Units, 1)
	if o.Undo {
		one, units = -1, -units
	}
	s.observePlacement(o, one)
	if !validItem(o.Item) {
		return
	}
	c := s.counts.at(o.Item)
	c.n[o.Signal].Add(one)
	switch o.Signal {
	case Purchase:
		c.n[signals].Add(units)
	case Impression:
		s.impressions.Add(one)
	case Click:
		s.clicks.Add(one)
	default:
	}
	if w := o.Signal.weight(); w > 0 {
		s.Trending.add(o.Item, w*one, o.At)
		s.Popular.add(o.Item, w*one, o.At)
	}
	// Marked last: Dirty clears the mark before it reads, while writers rest.
	if c.dirty.CompareAndSwap(false, true) {
		s.mu.Lock()
		s.dirty = append(s.dirty, o.Item)
		s.mu.Unlock()
	}
}

func (s *Items) observePlacement(o Observation, one int64) {
	if o.Placement == "" || o.Signal < Impression || len(o.Placement) > 256 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.placements[o.Placement]
	if p == nil {
		if len(s.placements) >= maxPlacements {
			return
		}
		p = &placementCounters{}
		s.placements[strings.Clone(o.Placement)] = p
	}
	p.n[o.Signal-Impression] += one
	p.dirty = true
}

// Refresh is Trend.Refresh of both lists.
func (s *Items) Refresh(now attune.Millis) {
	s.Trending.Refresh(now)
	s.Popular.Refresh(now)
}

// Counts returns the totals of an item.
func (s *Items) Counts(item int32) Counts {
	c := s.counts.seen(item)
	if c == nil {
		return Counts{}
	}
	return Counts{
		Views: c.n[View].Load(), Adds: c.n[Add].Load(), Purchases: c.n[Purchase].Load(), Units: c.n[signals].Load(),
		Impressions: c.n[Impression].Load(), Clicks: c.n[Click].Load(), Conversions: c.n[Conversion].Load(),
	}
}

// Rate is the smoothed click-through of an item:
// (w + clicks) / (w·allImpressions/allClicks + impressions), w = 10. An item
// nobody saw has the average rate; without any click it is 0.
func (s *Items) Rate(item int32) float32 {
	impressions, clicks := s.impressions.Load(), s.clicks.Load()
	if impressions <= 0 || clicks <= 0 {
		return 0
	}
	var own [2]int64
	if c := s.counts.seen(item); c != nil {
		own = [2]int64{max(c.n[Impression].Load(), 0), max(c.n[Click].Load(), 0)}
	}
	r := (smoothing + float32(own[1])) / (smoothing*float32(impressions)/float32(clicks) + float32(own[0]))
	return min(r, 1) // clicks may come without their impression
}

// Placements returns the totals of every placement, by name.
func (s *Items) Placements() []PlacementCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]PlacementCounts, 0, len(s.placements))
	for name, p := range s.placements {
		out = append(out, PlacementCounts{Placement: name, Impressions: p.n[0], Clicks: p.n[1], Conversions: p.n[2]})
	}
	slices.SortFunc(out, func(a, b PlacementCounts) int { return cmp.Compare(a.Placement, b.Placement) })
	return out
}

// Dirty gives the row of every item and placement that changed since the last
// call to put. The caller holds writers still meanwhile; key and value are good
// until put returns.
func (s *Items) Dirty(put func(key, value []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var key, v []byte
	for _, item := range s.dirty {
		c := s.counts.at(item)
		c.dirty.Store(false)
		v = binary.AppendUvarint(v[:0], 1)
		for i := range c.n {
			v = binary.AppendVarint(v, c.n[i].Load())
		}
		for _, t := range [...]*Trend{s.Trending, s.Popular} {
			d := t.load(item)
			v = binary.AppendVarint(binary.AppendVarint(v, d.mantissa), int64(d.tile))
		}
		key = rowKey(key[:0], 'c', item)
		put(key, v)
	}
	s.dirty = s.dirty[:0]
	for name, p := range s.placements {
		if !p.dirty {
			continue
		}
		p.dirty = false
		v = binary.AppendUvarint(v[:0], 1)
		for _, n := range p.n {
			v = binary.AppendVarint(v, n)
		}
		key = append(append(key[:0], 'p'), name...)
		put(key, v)
	}
}

// Load takes a row that Dirty gave, each only once. A decayed count goes on
// only with the half-life it was made with: changing one is a rebuild.
func (s *Items) Load(key, value []byte) error {
	r := rowReader{b: value}
	if v := r.uvarint(); v != 1 {
		return fmt.Errorf("item statistics row %q: %w", key, attune.ErrCorrupt)
	}
	if len(key) > 1 && key[0] == 'p' {
		p := &placementCounters{n: [3]int64{r.varint(), r.varint(), r.varint()}}
		if err := r.done("placement row"); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.placements[string(key[1:])] = p
		return nil
	}
	kind, item, err := parseKey(key)
	if err != nil || kind != 'c' {
		return fmt.Errorf("item statistics row %q: %w", key, attune.ErrCorrupt)
	}
	var n [signals + 1]int64
	for i := range n {
		n[i] = r.varint()
	}
	var d [2]decayed
	for i := range d {
		d[i] = decayed{mantissa: max(r.varint(), 0), tile: r.tile()}
	}
	if err := r.done("item statistics row"); err != nil {
		return err
	}
	c := s.counts.at(item)
	for i := range n {
		c.n[i].Store(n[i])
	}
	s.impressions.Add(n[Impression])
	s.clicks.Add(n[Click])
	s.Trending.store(item, d[0])
	s.Popular.store(item, d[1])
	return nil
}
