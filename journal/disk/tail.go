package disk

import (
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// recordBytes is what a record in memory costs beside its stored form.
const recordBytes = 128

// ring is a queue that grows and shrinks by doubling and halving.
type ring[T any] struct {
	buf  []T // length a power of two, or 0
	head int
	n    int
}

const ringMin = 64

// at returns the i-th oldest, 0 <= i < n.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.resize(max(2*len(r.buf), ringMin))
	}
	r.n++
	*r.at(r.n - 1) = v
}

// pop removes and returns the oldest; the ring must not be empty.
func (r *ring[T]) pop() T {
	var zero T
	v := *r.at(0)
	*r.at(0) = zero // let go of its memory
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n < len(r.buf)/4 && len(r.buf) > ringMin {
		r.resize(len(r.buf) / 2)
	}
	return v
}

func (r *ring[T]) resize(size int) {
	buf := make([]T, size)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}

// partition is one partition: its ends, and its newest records.
type partition struct {
	fresh bool // pushed to, not yet shown; the committer's own

	mu     sync.Mutex
	first  uint64              // offset of the first kept record
	last   uint64              // offset of the newest durable one; only the committer writes it
	recent ring[attune.Record] // offsets last-n+1 to last
	wake   chan struct{}       // closed by show and close; nil when nobody waits
	closed bool
}

// push adds the next record. Nobody is woken before show.
func (p *partition) push(r attune.Record) {
	p.mu.Lock()
	p.recent.push(r)
	p.last = r.Offset
	p.fresh = true
	p.mu.Unlock()
}

// show wakes whoever waits.
func (p *partition) show() {
	p.mu.Lock()
	p.fresh = false
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
	p.mu.Unlock()
}

// close ends the readers.
func (p *partition) close() {
	p.mu.Lock()
	p.closed = true
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
	p.mu.Unlock()
}

// drop lets go of the oldest record in memory.
func (p *partition) drop() {
	p.mu.Lock()
	p.recent.pop()
	p.mu.Unlock()
}

// tail bounds the memory of all partitions' newest records. Records leave in
// the order they were written, so that a batch is freed as a whole. Only the
// committer touches it, but for used.
type tail struct {
	limit int64
	used  atomic.Int64
	order ring[noted]
}

type noted struct {
	partition int
	size      int64
}

func (t *tail) note(partition int, size int64) {
	t.order.push(noted{partition: partition, size: size})
	t.used.Add(size)
}

func (t *tail) evict(parts []*partition) {
	for t.order.n > 0 && t.used.Load() > t.limit {
		n := t.order.pop()
		t.used.Add(-n.size)
		parts[n.partition].drop()
	}
}
