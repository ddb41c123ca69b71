package catalog

import (
	"container/heap"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
)

// never is a time that does not come.
const never = math.MaxInt64

// available reports whether r can be shown at now: it is not deleted; in_stock
// is not false (or 0, or "false"); availability is not one of the words for
// gone, also as a schema.org address; stock and inventory are above 0; now is
// in [available_from, expires_at).
func (r *record) available(now attune.Millis) bool {
	if r.deleted() || isFalse(r.attr("in_stock")) || isGone(r.attr("availability")) {
		return false
	}
	for _, name := range [...]string{"stock", "inventory"} {
		if f, ok := r.attr(name).(float64); ok && f <= 0 {
			return false
		}
	}
	from, until := r.dates()
	return from <= now && now < until
}

func isFalse(v any) bool {
	switch x := v.(type) {
	case bool:
		return !x
	case float64:
		return x <= 0
	case string:
		return strings.EqualFold(x, "false")
	default:
		return false
	}
}

func isGone(v any) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	s = s[strings.LastIndexByte(s, '/')+1:]
	switch strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(s)) {
	case "outofstock", "soldout", "unavailable", "notavailable", "discontinued":
		return true
	default:
		return false
	}
}

// dates returns the limits of availability, before everything and never when
// there are none or they cannot be read.
func (r *record) dates() (from, until attune.Millis) {
	from, until = math.MinInt64, never
	if t, ok := date(r.attr("available_from")); ok {
		from = t
	}
	if t, ok := date(r.attr("expires_at")); ok {
		until = t
	}
	return from, until
}

// date reads RFC 3339, a day, seconds or milliseconds since the epoch.
func date(v any) (attune.Millis, bool) {
	switch x := v.(type) {
	case float64:
		if x < 0 || x > 1e15 {
			return 0, false
		}
		if x < 1e11 { // the year 5138 in seconds, 1973 in milliseconds
			x *= 1000
		}
		return attune.Millis(x), true
	case string:
		for _, layout := range [...]string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, x); err == nil {
				return attune.MillisOf(t), true
			}
		}
	}
	return 0, false
}

// nextFlip returns when r's dates next change what available says, never when
// they do not.
func (r *record) nextFlip(now attune.Millis) attune.Millis {
	from, until := r.dates()
	switch {
	case from > now:
		return from
	case until > now:
		return until
	default:
		return never
	}
}

// settle makes the bit of item i what r says at now.
func (k *chunk) settle(i int32, r *record, now attune.Millis) {
	word, bit := &k.avail[i/64], uint64(1)<<(i%64)
	if r.available(now) {
		word.Or(bit)
		return
	}
	word.And(^bit)
}

// flips is a heap of the times at which availability changes by itself. An
// entry whose item has changed since is harmless: the item is only looked at.
type flips struct {
	mu   sync.Mutex
	heap flipHeap
	next atomic.Int64 // of the heap, never when it is empty
}

type flipAt struct {
	at   attune.Millis
	item int32
}

// push adds f. When stale entries outnumber the items they are cut out, so the
// heap holds at most two entries an item.
func (f *flips) push(x flipAt, c *Catalog) {
	f.mu.Lock()
	defer f.mu.Unlock()
	heap.Push(&f.heap, x)
	if len(f.heap) > 2*c.Len()+chunkLen {
		now := attune.Millis(c.now.Load())
		f.heap = slices.DeleteFunc(f.heap, func(e flipAt) bool {
			return e.at != c.chunk(e.item).records[e.item%chunkLen].Load().nextFlip(now)
		})
		slices.SortFunc(f.heap, func(a, b flipAt) int { return int(a.item - b.item) })
		f.heap = slices.Compact(f.heap) // what is left of an item is all at one time
		heap.Init(&f.heap)
	}
	f.wake()
}

func (f *flips) wake() {
	if len(f.heap) == 0 {
		f.next.Store(never)
		return
	}
	f.next.Store(int64(f.heap[0].at))
}

// due takes the items out whose time has come.
func (f *flips) due(now attune.Millis) []int32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var items []int32
	for len(f.heap) > 0 && f.heap[0].at <= now {
		if x, ok := heap.Pop(&f.heap).(flipAt); ok {
			items = append(items, x.item)
		}
	}
	f.wake()
	return items
}

// Tick tells the catalog the time, so that items whose available_from or
// expires_at has passed change their availability. It never goes back. Before
// the first Tick the time is the epoch. Cheap when nothing is due.
func (c *Catalog) Tick(now attune.Millis) {
	for {
		old := c.now.Load()
		if int64(now) <= old {
			return
		}
		if c.now.CompareAndSwap(old, int64(now)) {
			break
		}
	}
	if int64(now) < c.flips.next.Load() {
		return
	}
	for _, n := range c.flips.due(now) {
		c.lock(n)
		k := c.chunk(n)
		r := k.records[n%chunkLen].Load()
		k.settle(n%chunkLen, r, now)
		if flip := r.nextFlip(now); flip != never {
			c.flips.push(flipAt{at: flip, item: n}, c)
		}
		c.feed.add(n)
		c.unlock(n)
	}
}

// flipHeap is a container/heap, earliest first.
type flipHeap []flipAt

// Len is heap.Interface's.
func (h flipHeap) Len() int { return len(h) }

// Less puts the earliest first.
func (h flipHeap) Less(i, j int) bool { return h[i].at < h[j].at }

// Swap is heap.Interface's.
func (h flipHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *flipHeap) Push(x any) {
	if f, ok := x.(flipAt); ok {
		*h = append(*h, f)
	}
}

// Pop is for container/heap.
func (h *flipHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
