package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
)

// Trim is journal.Journal's.
func (j *Journal) Trim(ctx context.Context, before attune.Millis, keep []uint64) error {
	if len(keep) != len(j.parts) {
		return fmt.Errorf("trim: %d offsets to keep for %d partitions: %w", len(keep), len(j.parts), attune.ErrInvalid)
	}
	j.trimming.Lock()
	defer j.trimming.Unlock()
	j.reads.RLock()
	defer j.reads.RUnlock()
	if j.closed {
		return errClosed()
	}
	for i := range j.parts {
		if err := j.trim(ctx, i, before, keep[i]); err != nil {
			return err
		}
	}
	return nil
}

// trim drops the front of one partition.
func (j *Journal) trim(ctx context.Context, partition int, before attune.Millis, keep uint64) error {
	p := j.parts[partition]
	p.mu.Lock()
	first, last := p.first, p.last
	p.mu.Unlock()
	cut, err := j.trimPoint(ctx, partition, first, min(last, keep), before)
	if err != nil || cut == first {
		return err
	}
	// First moves before the records go: a reader that meets the hole finds
	// there that it was made on purpose.
	p.mu.Lock()
	p.first = cut
	p.mu.Unlock()
	b := j.db.NewBatch()
	err = errors.Join(
		b.DeleteRange(appendKey(nil, partition, first), appendKey(nil, partition, cut), nil),
		b.Set(trimKey(partition), binary.BigEndian.AppendUint64(nil, cut), nil),
	)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err = errors.Join(err, j.fault.err()); err != nil {
		return fmt.Errorf("trim journal %s: %w", j.dir, err)
	}
	return nil
}

// trimPoint returns the offset of the first record, from first up to last, that
// was received at before or later. Records that do not read are dropped with
// those around them.
func (j *Journal) trimPoint(ctx context.Context, partition int, first, last uint64, before attune.Millis) (uint64, error) {
	if last < first {
		return first, nil
	}
	it, err := j.db.NewIter(&pebble.IterOptions{
		LowerBound: appendKey(nil, partition, first),
		UpperBound: appendKey(nil, partition, last+1),
	})
	if err != nil {
		return 0, fmt.Errorf("trim journal %s: %w", j.dir, err)
	}
	cut := last + 1
	for ok := it.First(); ok; ok = it.Next() {
		var rec attune.Record
		v, err := it.ValueAndErr()
		if err == nil {
			err = j.stopped(ctx)
		}
		if err != nil {
			return 0, errors.Join(fmt.Errorf("trim journal %s, partition %d: %w", j.dir, partition, err), it.Close())
		}
		if readValue(j.crc, v, it.Key(), &rec) == nil && rec.ReceivedAt >= before {
			cut = binary.BigEndian.Uint64(it.Key()[2:])
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, fmt.Errorf("trim journal %s, partition %d: %w", j.dir, partition, err)
	}
	return cut, nil
}

// stopped says whether long work has to end.
func (j *Journal) stopped(ctx context.Context) error {
	select {
	case <-j.done:
		return errClosed()
	default:
		return ctx.Err()
	}
}
