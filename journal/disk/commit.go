package disk

import (
	"context"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

const (
	// batchBytes bounds what one commit gathers beyond its first request, so
	// that a batch stays well below the memtable.
	batchBytes = 4 << 20
	// entryBytes is what Pebble's batch adds to a record at most, and is also
	// charged for it in the queue.
	entryBytes = keyLen + 11
	// batchHead is Pebble's batch header, and some.
	batchHead = 64
)

// request is one Append that waits.
type request struct {
	recs []attune.Record // the caller's; the committer reads it, and sets Offset
	size int64           // bytes charged for it
	err  error
	done chan struct{} // one token when err and the offsets are set
}

// queue holds the requests that wait, bounded in bytes. What is being written
// counts until it is done.
type queue struct {
	limit int64
	wake  chan struct{} // one token when there is work; never closed

	mu     sync.Mutex
	wait   []*request
	bytes  int64
	closed bool
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// put lets q in, or says at once why not.
func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed()
	}
	if q.bytes+r.size > q.limit {
		if r.size > q.limit {
			return fmt.Errorf("journal: records of %d bytes in one append, at most %d fit: %w", r.size, q.limit, attune.ErrInvalid)
		}
		return fmt.Errorf("journal: %d bytes wait to be written, at most %d may: %w", q.bytes, q.limit, attune.ErrBusy)
	}
	q.bytes += r.size
	q.wait = append(q.wait, r)
	q.signal()
	return nil
}

// check says whether anything would be let in.
func (q *queue) check() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed()
	}
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// withdraw takes r back if the committer has not taken it yet.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.wait {
		if w == r {
			q.wait = append(q.wait[:i], q.wait[i+1:]...)
			q.bytes -= r.size
			return true
		}
	}
	return false
}

// take moves the oldest requests to dst, about batchBytes of them, and blocks
// until there is one. It returns none when the queue is closed and empty.
func (q *queue) take(dst []*request) []*request {
	for {
		q.mu.Lock()
		var bytes int64
		n := 0
		for n < len(q.wait) && (n == 0 || bytes+q.wait[n].size <= batchBytes) {
			bytes += q.wait[n].size
			n++
		}
		dst = append(dst, q.wait[:n]...)
		rest := copy(q.wait, q.wait[n:])
		clear(q.wait[rest:])
		q.wait = q.wait[:rest]
		if rest > 0 {
			q.signal()
		}
		closed := q.closed
		q.mu.Unlock()
		if n > 0 || closed {
			return dst
		}
		<-q.wake
	}
}

// freed gives back what committed requests were charged.
func (q *queue) freed(bytes int64) {
	q.mu.Lock()
	q.bytes -= bytes
	q.mu.Unlock()
}

func (q *queue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
}

// Append is journal.Journal's. The context counts while the records are queued;
// once they are being written Append waits for the outcome, so that its answer
// is certain. What it allocates is its share of the committer's batch.
func (j *Journal) Append(ctx context.Context, recs []attune.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := j.fault.err(); err != nil {
		return err
	}
	if len(recs) == 0 {
		return j.queue.check()
	}
	r, ok := j.requests.Get().(*request)
	if !ok {
		r = &request{done: make(chan struct{}, 1)}
	}
	r.recs, r.size, r.err = recs, 0, nil
	for i := range recs {
		r.size += int64(entryBytes + valueLen(&recs[i]))
	}
	err := j.await(ctx, r)
	r.recs = nil
	j.requests.Put(r)
	return err
}

// await queues r and waits until it is settled: refused, withdrawn or written.
func (j *Journal) await(ctx context.Context, r *request) error {
	if err := j.queue.put(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	if j.queue.withdraw(r) {
		return fmt.Errorf("append: %w", ctx.Err())
	}
	<-r.done
	return r.err
}

// entry is one record of the commit under way.
type entry struct {
	partition int
	rec       attune.Record // as readers will see it
	size      int64
}

// commit is the committer's own state; nobody else touches it.
type commit struct {
	next    []uint64 // per partition, the offset to give
	reqs    []*request
	entries []entry
}

// commitAll is the committer: it runs until the queue is closed and empty.
func (j *Journal) commitAll() {
	defer close(j.done)
	c := commit{next: make([]uint64, len(j.parts))}
	for {
		c.reqs = j.queue.take(c.reqs[:0])
		if len(c.reqs) == 0 {
			return
		}
		err := j.write(&c)
		if err == nil {
			// Publish before the callers wake: what is acknowledged is readable.
			j.publish(&c)
		}
		var bytes int64
		for _, r := range c.reqs {
			bytes += r.size
			r.err = err
			r.done <- struct{}{}
		}
		j.queue.freed(bytes)
		clear(c.reqs)
		clear(c.entries)
		c.entries = c.entries[:0]
	}
}

// write makes the requests of c durable as one batch with one fsync.
func (j *Journal) write(c *commit) error {
	if err := j.fault.err(); err != nil {
		return err
	}
	for i, p := range j.parts {
		c.next[i] = p.last + 1 // only the committer writes last
	}
	total := batchHead
	for _, r := range c.reqs {
		total += int(r.size)
	}
	// Made as large as it will be, and told so, or Pebble rounds up and moves.
	// It is never closed, which would hand its memory to the next batch: readers
	// hold that memory, and the collector takes it after them.
	b := j.db.NewBatchWithSize(total, pebble.WithInitialSizeBytes(total))
	for _, r := range c.reqs {
		for i := range r.recs {
			if err := j.put(b, c, &r.recs[i]); err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		j.fault.Fatalf("write: %v", err)
	}
	return j.fault.err()
}

// put gives r its offset and copies it into b, the only copy of its payload.
func (j *Journal) put(b *pebble.Batch, c *commit, r *attune.Record) error {
	partition := journal.Partition(r.Key, len(j.parts))
	offset := c.next[partition]
	c.next[partition]++
	n := valueLen(r)
	op := b.SetDeferred(keyLen, n)
	appendKey(op.Key[:0], partition, offset)
	payload, err := putValue(j.crc, op.Value, op.Key, r)
	if err != nil {
		return err
	}
	if err := op.Finish(); err != nil {
		return err
	}
	rec := *r
	rec.Offset, rec.Payload = offset, payload
	c.entries = append(c.entries, entry{partition: partition, rec: rec, size: int64(n + recordBytes)})
	return nil
}

// publish shows the written records to callers and readers.
func (j *Journal) publish(c *commit) {
	i := 0
	for _, r := range c.reqs {
		for k := range r.recs {
			r.recs[k].Offset = c.entries[i].rec.Offset
			i++
		}
	}
	for i := range c.entries {
		e := &c.entries[i]
		j.parts[e.partition].push(e.rec)
		j.tail.note(e.partition, e.size)
	}
	for _, p := range j.parts {
		if p.fresh {
			p.show()
		}
	}
	j.tail.evict(j.parts)
	j.commits.Add(1)
	j.records.Add(uint64(len(c.entries)))
}
