package feature

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// State holds a Set's aggregators over a set of events. The zero State is
// empty and ready. A copy of a State shares its memory: to get one that can be
// folded on, Merge into a zero State. One goroutine at a time may Fold or
// Merge into it; any number may read it while nobody does.
type State struct {
	newest int64   // time of the newest event
	cells  []cell  // by rank of their definition, only those with something in
	orders []order // by id
	cut    bool    // an order was dropped
	// settled caches what live orders and cells come to. Nil without orders;
	// a fresh one after each change, filled by whoever reads first (all
	// readers would fill in the same).
	settled *settled
}

type settled struct{ cells atomic.Pointer[[]cell] }

// Newest returns the time of the newest event folded; 0 when there is none.
func (st *State) Newest() attune.Millis { return attune.Millis(st.newest) }

// cell is what one definition holds. Which fields are used depends on the
// kind; all kinds keep n and newest, and one codec serves all.
type cell struct {
	rank    int32
	approx  bool     // a cap was passed
	shared  bool     // tiles, entries and weights are another State's too
	n       int64    // events (or products) that counted
	newest  int64    // time of the newest of them
	v       int64    // sum, least or most
	tiles   []tile   // of a window, of a decay, or sessions
	entries []entry  // keys or values
	weights []weight // keys of an affinity
}

// tile is the partial aggregate of one hop. at is the number of the hop since
// the epoch; of a session its start in milliseconds, and n its length.
type tile struct{ at, n, v int64 }

// entry is a key or value with the event it came from.
type entry struct {
	key string
	at  int64
	tie uint64
	pos int32 // line of the event
	off bool  // removed from a set
}

// weight is one key of an affinity.
type weight struct {
	key    string
	newest int64
	tiles  []tile
}

// op is what one event (or one product of it) does to one cell. key shares
// the event's memory unless owned.
type op struct {
	key   string
	val   int64
	at    int64
	tie   uint64
	pos   int32
	off   bool
	owned bool
}

func (o *op) entry() entry { return entry{key: o.key, at: o.at, tie: o.tie, pos: o.pos, off: o.off} }

// own makes o's key safe to keep, and returns it.
func (o *op) own() string {
	if !o.owned {
		o.key, o.owned = strings.Clone(o.key), true
	}
	return o.key
}

// newer is the total order of entries: by time, then tie; of one event the
// first line is the newest, so that lists keep the order of lines.
func newer(a, b *entry) bool {
	switch {
	case a.at != b.at:
		return a.at > b.at
	case a.tie != b.tie:
		return a.tie > b.tie
	case a.off != b.off:
		return a.off
	case a.pos != b.pos:
		return a.pos < b.pos
	default:
		return a.key < b.key
	}
}

// aggregator is one kind of feature: a commutative monoid whose values are
// cells. The caller settles rank, n and newest: newest before the call, n
// after it, so that n tells whether the cell was empty.
type aggregator interface {
	add(c *cell, o op)
	// merge adds src, which is not empty, to dst. It keeps none of src's
	// slices.
	merge(dst, src *cell)
	// read returns the value at q, which is not before any event. c may be
	// empty.
	read(c *cell, q int64) any
}

// lister is an aggregator with keys to list.
type lister interface {
	list(c *cell, dst []string, q int64) []string
}

// changer is an aggregator that drops things as time passes.
type changer interface {
	// next returns the earliest q after the given one at which it reads
	// differently without an event; 0 is never.
	next(c *cell, q int64) int64
}

func (c *cell) add(a aggregator, o op) {
	if c.n == 0 || o.at > c.newest {
		c.newest = o.at
	}
	a.add(c, o)
	c.n++
}

func (c *cell) merge(a aggregator, src *cell) {
	if src.n == 0 {
		return
	}
	if c.shared {
		c.unshare(a, src)
	}
	if c.n == 0 || src.newest > c.newest {
		c.newest = src.newest
	}
	c.approx = c.approx || src.approx
	a.merge(c, src)
	c.n += src.n
}

// unshare readies a shared cell for the merge of src: what that would write to
// becomes its own. Merges make lists anew, but they move single tiles in place,
// and an edge its only entry.
func (c *cell) unshare(a aggregator, src *cell) {
	c.shared = false
	c.tiles, c.entries, c.weights = slices.Clip(c.tiles), slices.Clip(c.entries), slices.Clip(c.weights)
	if len(src.tiles) < 2 && len(c.tiles) > 0 {
		c.tiles = append(make([]tile, 0, len(c.tiles)+1), c.tiles...)
	}
	if _, ok := a.(edge); ok {
		c.entries = slices.Clone(c.entries)
	}
}

// Share returns a State that is as st is and shares its memory, so that it
// costs next to nothing. Neither may be folded into afterwards, nor may
// anything be merged into st; what is returned may be merged into.
func (st *State) Share() State {
	out := State{newest: st.newest, cut: st.cut, orders: slices.Clip(st.orders)}
	out.cells = append(make([]cell, 0, len(st.cells)+2), st.cells...)
	for i := range out.cells {
		out.cells[i].shared = true
	}
	out.unsettle()
	return out
}

// cell returns the cell of the definition with that rank, making it. It is
// good until the next call.
func (st *State) cell(rank int32) *cell {
	i := len(st.cells)
	if i > 32 {
		i, _ = slices.BinarySearchFunc(st.cells, rank, func(c cell, rank int32) int { return int(c.rank - rank) })
	} else {
		for i > 0 && st.cells[i-1].rank >= rank {
			i--
		}
	}
	if i < len(st.cells) && st.cells[i].rank == rank {
		return &st.cells[i]
	}
	if st.cells == nil {
		st.cells = make([]cell, 0, 8)
	}
	st.cells = append(st.cells, cell{})
	copy(st.cells[i+1:], st.cells[i:])
	st.cells[i] = cell{rank: rank}
	return &st.cells[i]
}

// find returns the cell with that rank among cells, or nil.
func find(cells []cell, rank int32) *cell {
	for i := range cells {
		if cells[i].rank == rank {
			return &cells[i]
		}
	}
	return nil
}
