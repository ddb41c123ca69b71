package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
)

// readBytes bounds the payload memory of one Next that reads Pebble.
const readBytes = 4 << 20

// reader is a journal.Reader. It holds no Pebble iterator between calls, so a
// slow reader keeps no dropped table alive.
type reader struct {
	j         *Journal
	p         *partition
	partition int
	next      uint64 // offset of the record that Next returns first
	recs      []attune.Record
	bytes     []byte // payloads of recs that came from Pebble
	broken    error  // damage at next

	done  chan struct{} // closed by Close
	close sync.Once
}

// where is what a reader finds when it looks at its partition.
type where int

const (
	ready  where = iota // records in memory
	behind              // records in Pebble only
	ahead               // none yet
)

// Next is journal.Reader's.
func (r *reader) Next(ctx context.Context, limit int) ([]attune.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("read at most %d records: %w", limit, attune.ErrInvalid)
	}
	clear(r.recs)
	r.recs = r.recs[:0]
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read partition %d: %w", r.partition, err)
		}
		w, last, wake, err := r.look(limit)
		if err != nil {
			return nil, err
		}
		switch w {
		case ready:
			return r.recs, nil
		case behind:
			if err := r.catchUp(last, limit); err != nil || len(r.recs) > 0 {
				return r.recs, err
			}
			// Trimmed under our feet: look again, from the new first record.
		case ahead:
			select {
			case <-wake:
			case <-r.done:
			case <-ctx.Done():
			}
		}
	}
}

// look takes records from memory, or says where they are. last is the newest
// published offset; wake closes when there is news.
func (r *reader) look(limit int) (w where, last uint64, wake <-chan struct{}, err error) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-r.done:
		return 0, 0, nil, fmt.Errorf("reader of partition %d: %w", r.partition, attune.ErrClosed)
	default:
	}
	if p.closed {
		return 0, 0, nil, errClosed()
	}
	if r.next < p.first {
		r.next, r.broken = p.first, nil
	}
	if r.next > p.last {
		if p.wake == nil {
			p.wake = make(chan struct{})
		}
		return ahead, p.last, p.wake, nil
	}
	oldest := p.last - uint64(p.recent.n) + 1 //nolint:gosec // a length
	if r.next < oldest {
		return behind, p.last, nil, nil
	}
	for i := int(r.next - oldest); i < p.recent.n && len(r.recs) < limit; i++ { //nolint:gosec // below n
		r.recs = append(r.recs, *p.recent.at(i))
	}
	r.next += uint64(len(r.recs))
	return ready, p.last, nil, nil
}

// catchUp reads records from next to last out of Pebble. Pebble may already
// show records behind last that are not durable yet, hence the bound. No
// records and no error means that next was trimmed meanwhile.
func (r *reader) catchUp(last uint64, limit int) error {
	if r.broken != nil {
		return r.broken
	}
	r.j.reads.RLock()
	defer r.j.reads.RUnlock()
	if r.j.closed {
		return errClosed()
	}
	r.j.behind.Add(1)
	it, err := r.j.db.NewIter(&pebble.IterOptions{
		LowerBound: appendKey(nil, r.partition, r.next),
		UpperBound: appendKey(nil, r.partition, last+1),
	})
	if err != nil {
		return r.unreadable(err)
	}
	damage := r.collect(it, limit)
	if err := it.Close(); damage == nil && err != nil {
		damage = err
	}
	if len(r.recs) > 0 {
		return nil // the damage is the next call's
	}
	if damage == nil {
		damage = fmt.Errorf("nothing is stored up to offset %d: %w", last, attune.ErrCorrupt)
	}
	return r.unreadable(damage)
}

// collect moves records from it to recs until limit, readBytes, the end or
// damage.
func (r *reader) collect(it *pebble.Iterator, limit int) error {
	r.bytes = r.bytes[:0]
	for ok := it.First(); ok && len(r.recs) < limit && len(r.bytes) < readBytes; ok = it.Next() {
		if at := binary.BigEndian.Uint64(it.Key()[2:]); at != r.next {
			return fmt.Errorf("the next stored offset is %d: %w", at, attune.ErrCorrupt)
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		// Growth leaves the records before it in the old array, which lives as
		// long as they do.
		from := len(r.bytes)
		r.bytes = append(r.bytes, v...)
		rec := attune.Record{Offset: r.next}
		if err := readValue(r.j.crc, r.bytes[from:len(r.bytes):len(r.bytes)], it.Key(), &rec); err != nil {
			return err
		}
		r.recs = append(r.recs, rec)
		r.next++
	}
	return it.Error()
}

// unreadable names the place of damage and remembers it; nil when the record
// was trimmed meanwhile.
func (r *reader) unreadable(err error) error {
	r.p.mu.Lock()
	trimmed := r.next < r.p.first
	r.p.mu.Unlock()
	if trimmed {
		return nil
	}
	err = fmt.Errorf("journal partition %d, offset %d: %w", r.partition, r.next, err)
	if pebble.IsCorruptionError(err) && !errors.Is(err, attune.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", err, attune.ErrCorrupt)
	}
	if errors.Is(err, attune.ErrCorrupt) {
		r.broken = err
	}
	return err
}

// Close is journal.Reader's.
func (r *reader) Close() error {
	r.close.Do(func() { close(r.done) })
	return nil
}
