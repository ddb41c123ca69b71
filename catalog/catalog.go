// Package catalog holds the items that can be shown and what is known of them:
// typed attributes learnt from events or given by hand, whether an item can be
// had at this moment, and the dense numbers by which models speak of items.
//
// It promises that the order in which facts arrive does not matter (per field
// the highest rank, then the newest time, then the tie wins), that a number
// once given names its item for ever, and that every reading method may be
// called from any goroutine while others write. It does no I/O, reads no clock
// and starts no goroutine: rows go out through Dirty and come in through Load.
//
// Memory: about 280 bytes an item and 90 for each attribute with a short value;
// encoded attributes are kept for items whose JSON was asked for.
package catalog

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// Options bound a Catalog. The zero value is useful.
type Options struct {
	// MaxItems bounds the item numbers given; 0 is 16 Mi, which is also the
	// most. Past it Ensure returns -1, and what is said of other items is
	// dropped and counted.
	MaxItems int
	// MaxFields bounds the attributes of one item; 0 is 64. The fields that
	// stay are those of the highest rank, then of the smallest names.
	MaxFields int
}

// Stamp orders claims about one field: by Rank, then At, then Tie.
type Stamp struct {
	Rank attune.Rank
	At   attune.Millis
	Tie  uint64
}

func (s Stamp) compare(o Stamp) int {
	return cmp.Or(cmp.Compare(s.Rank, o.Rank), cmp.Compare(s.At, o.At), cmp.Compare(s.Tie, o.Tie))
}

const (
	shards    = 64
	chunkLen  = 1024
	mostItems = 1 << 24
)

// Catalog is the items of one workspace. Make it with New.
//
// Locks are taken in this order: an id shard, grow; an item's lock, then any
// of flips, feed, changes, words, names. No two locks of a kind are held at
// once.
type Catalog struct {
	maxItems, maxFields int

	index  [shards]idShard    // by hash of the id
	locks  [shards]sync.Mutex // by number: guard an item's record and state for writers
	grow   sync.Mutex
	chunks atomic.Pointer[[]*chunk]
	length atomic.Int32

	now     atomic.Int64
	flips   flips
	feed    feed
	changed changes
	words   words // categories and brands
	names   words // of fields
	full    atomic.Int64
}

type idShard struct {
	mu sync.RWMutex
	of map[string]int32
}

// chunk is the columns of chunkLen items. Ids are written before length passes
// them, and never again; state is guarded by the item's lock; the rest is read
// without one.
type chunk struct {
	ids      [chunkLen]string
	records  [chunkLen]atomic.Pointer[record]
	category [chunkLen]atomic.Int32
	brand    [chunkLen]atomic.Int32
	price    [chunkLen]atomic.Uint64 // bits of a float64
	avail    [chunkLen / 64]atomic.Uint64
	states   [chunkLen]state
}

// New returns an empty catalog.
func New(o Options) *Catalog {
	c := &Catalog{maxItems: min(cmp.Or(o.MaxItems, mostItems), mostItems), maxFields: cmp.Or(o.MaxFields, 64)}
	for i := range c.index {
		c.index[i].of = map[string]int32{}
	}
	c.words.init(1 << 18)
	c.names.init(1 << 12)
	c.flips.next.Store(never)
	c.feed.ring = make([]int32, feedLen)
	c.chunks.Store(&[]*chunk{})
	return c
}

// Number returns the number of the item with this id, and whether it has one.
func (c *Catalog) Number(id string) (int32, bool) {
	s := &c.index[attune.Hash(id)%shards]
	s.mu.RLock()
	n, ok := s.of[id]
	s.mu.RUnlock()
	return n, ok
}

// ID returns the id of item n, or "" when no item has that number.
func (c *Catalog) ID(n int32) string { return c.View().ID(n) }

// Len returns how many numbers were given: they are 0..Len()-1.
func (c *Catalog) Len() int { return int(c.length.Load()) }

// Dropped returns how often an item was left out because the catalog is full.
func (c *Catalog) Dropped() int64 { return c.full.Load() }

// Ensure returns the number of id and gives it the next one when it has none:
// an item that so far only statistics know. It returns -1 for an id that is
// empty or longer than 512 bytes, and when the catalog is full.
func (c *Catalog) Ensure(id string) int32 {
	if n, ok := c.Number(id); ok {
		return n
	}
	if id == "" || len(id) > 512 {
		return -1
	}
	id = strings.Clone(id) // the caller's may be a piece of a whole event
	s := &c.index[attune.Hash(id)%shards]
	s.mu.Lock()
	n, ok := s.of[id]
	if !ok {
		if n = c.next(id); n >= 0 {
			s.of[id] = n
		}
	}
	s.mu.Unlock()
	if !ok && n >= 0 {
		c.lock(n)
		k := c.chunk(n)
		c.publish(n, k.records[n%chunkLen].Load()) // another writer may have found it first
		c.changed.mark(n, &k.states[n%chunkLen], rowItem)
		c.unlock(n)
	}
	return n
}

// next gives id the next number, -1 when there is none.
func (c *Catalog) next(id string) int32 {
	c.grow.Lock()
	defer c.grow.Unlock()
	n := c.length.Load()
	if int(n) >= c.maxItems {
		c.full.Add(1)
		return -1
	}
	c.room(n)
	k := c.chunk(n)
	k.ids[n%chunkLen] = id
	k.records[n%chunkLen].Store(&record{})
	c.length.Store(n + 1)
	return n
}

// room makes chunks up to that of n. The caller holds grow.
func (c *Catalog) room(n int32) {
	old := *c.chunks.Load()
	if int(n)/chunkLen < len(old) {
		return
	}
	grown := append(make([]*chunk, 0, len(old)+1), old...)
	for int(n)/chunkLen >= len(grown) {
		grown = append(grown, new(chunk))
	}
	c.chunks.Store(&grown)
}

func (c *Catalog) chunk(n int32) *chunk { return (*c.chunks.Load())[n/chunkLen] }

func (c *Catalog) lock(n int32)   { c.locks[n%shards].Lock() }
func (c *Catalog) unlock(n int32) { c.locks[n%shards].Unlock() }

// words gives strings small numbers for as long as the process lasts. Past its
// bound new strings get 0.
type words struct {
	limit int
	mu    sync.RWMutex
	of    map[string]int32
	text  []string
}

func (w *words) init(limit int) {
	w.limit, w.of, w.text = limit, map[string]int32{"": 0}, []string{""}
}

// number returns the number of s, 0 when it has none.
func (w *words) number(s string) int32 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.of[s]
}

// ensure returns the number of s and the one copy of it that is kept.
func (w *words) ensure(s string) (int32, string) {
	w.mu.RLock()
	n, ok := w.of[s]
	if ok {
		s = w.text[n]
	}
	w.mu.RUnlock()
	if ok {
		return n, s
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok = w.of[s]; ok {
		return n, w.text[n]
	}
	s = strings.Clone(s)
	if len(w.text) >= w.limit {
		return 0, s
	}
	n = int32(len(w.text)) //nolint:gosec // bounded by limit
	w.text = append(w.text, s)
	w.of[s] = n
	return n, s
}

// string returns the string of number n, "" when there is none.
func (w *words) string(n int32) string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if n < 0 || int(n) >= len(w.text) {
		return ""
	}
	return w.text[n]
}

// Word returns the interned number of a category or brand; 0 when no item ever
// had it. Numbers last as long as the process: rows hold strings. Of more than
// 262,143 different ones the later have 0.
func (c *Catalog) Word(s string) int32 { return c.words.number(s) }

// WordOf returns the category or brand with an interned number, "" for 0.
func (c *Catalog) WordOf(w int32) string { return c.words.string(w) }
