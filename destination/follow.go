package destination

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/attune-io/attune"
)

// chunk bounds the records that are read at once.
const chunk = 512

// follow reads a partition and queues its transitions until ctx ends.
func (r *Runner) follow(ctx context.Context, partition int) {
	if !r.reopen(ctx, partition) {
		return
	}
	for {
		err := r.records(ctx, partition)
		switch {
		case ctx.Err() != nil, errors.Is(err, attune.ErrClosed):
			return
		case errors.Is(err, attune.ErrCorrupt):
			r.mu.Lock()
			r.read[partition]++
			at := r.read[partition]
			r.counts.skipped++
			r.mu.Unlock()
			r.log.Error("stepped over a record that does not read", slog.Int("partition", partition), slog.Uint64("offset", at), slog.Any("error", err))
		default:
			r.log.Error("read the journal; it is tried again", slog.Int("partition", partition), slog.Any("error", err))
			pause := time.NewTimer(time.Second)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
}

// records queues what is behind the place until the reader fails.
func (r *Runner) records(ctx context.Context, partition int) error {
	r.mu.Lock()
	from := r.read[partition] + 1
	r.mu.Unlock()
	reader, err := r.opt.Journal.Read(partition, from)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // it only frees memory
	for next := from; ; {
		recs, err := reader.Next(ctx, chunk)
		if err != nil {
			return err
		}
		if gone := recs[0].Offset - next; gone > 0 {
			r.gone(partition, gone)
		}
		for i := range recs {
			if recs[i].Kind == attune.KindTransition && !r.offer(ctx, partition, &recs[i]) {
				return ctx.Err()
			}
		}
		last := recs[len(recs)-1].Offset
		r.mu.Lock()
		r.read[partition], r.dirty.read = max(r.read[partition], last), true
		r.mu.Unlock()
		next = last + 1
	}
}

// gone says that the journal let go of records that were not looked at.
func (r *Runner) gone(partition int, n uint64) {
	r.mu.Lock()
	r.counts.skipped += n
	r.mu.Unlock()
	r.log.Error("the journal's retention let go of records before they were looked at; their changes are not sent",
		slog.Int("partition", partition), slog.Uint64("records", n))
}

// reopen queues what was open when the process before ended, in order, and
// reports whether there is anything left to live for.
func (r *Runner) reopen(ctx context.Context, partition int) bool {
	for _, at := range r.again[partition] {
		rec, err := r.one(ctx, partition, at)
		if ctx.Err() != nil {
			return false
		}
		if err != nil || rec.Offset != at {
			r.gone(partition, 1)
			r.shut(partition, at)
			continue
		}
		if !r.offer(ctx, partition, rec) {
			return false
		}
	}
	r.again[partition] = nil
	return true
}

// one reads the record at offset, or the first one behind it.
func (r *Runner) one(ctx context.Context, partition int, offset uint64) (*attune.Record, error) {
	reader, err := r.opt.Journal.Read(partition, offset)
	if err != nil {
		return nil, err
	}
	defer reader.Close() //nolint:errcheck // it only frees memory
	recs, err := reader.Next(ctx, 1)
	if err != nil {
		return nil, err
	}
	rec := recs[0]
	rec.Payload = append([]byte(nil), rec.Payload...)
	return &rec, nil
}

// shut drops an offset that was open.
func (r *Runner) shut(partition int, offset uint64) {
	r.mu.Lock()
	delete(r.open[partition], offset)
	r.dirty.open = true
	r.mu.Unlock()
}

// offer looks at a transition: one that is wanted waits in the queue, once that
// has room. It reports false when ctx ended before.
func (r *Runner) offer(ctx context.Context, partition int, rec *attune.Record) bool {
	m := r.message(partition, rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m != nil && !r.recent.repeat(m.ID) {
		for r.queue.size >= r.def.MaxPending && ctx.Err() == nil {
			r.room.Wait()
		}
		if ctx.Err() != nil {
			return false
		}
		r.open[partition][rec.Offset] = struct{}{}
		r.queue.add(&entry{m: m, partition: partition, offset: rec.Offset}, r.opt.Now())
		r.dirty.open = true
		r.nudge()
	} else {
		if m != nil {
			r.counts.repeats++
		}
		// It may have been open before the configuration changed.
		delete(r.open[partition], rec.Offset)
	}
	r.read[partition] = max(r.read[partition], rec.Offset)
	r.dirty.read = true
	return true
}

// message returns what to send of a transition, nil when it is not wanted.
func (r *Runner) message(partition int, rec *attune.Record) *Message {
	var t attune.Transition
	err := json.Unmarshal(rec.Payload, &t)
	if err == nil && !r.def.wants(&t) {
		return nil
	}
	m, bad := messageOf(rec, &t)
	if err = errors.Join(err, bad); err != nil {
		r.log.Error("stepped over a transition that does not decode", slog.Int("partition", partition), slog.Uint64("offset", rec.Offset))
		return nil
	}
	return m
}
