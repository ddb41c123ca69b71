package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// worker is the one writer of a partition's parts.
type worker struct {
	p         *Pipeline
	partition int

	// Of the batch at hand; kept to be used again.
	changed  []string
	counted  []attune.Event
	products []attune.Product
	numbers  []int32
	session  []int32
	users    map[string]attune.Millis // whose segments to evaluate, as of when
}

// work folds partition until ctx ends.
func (p *Pipeline) work(ctx context.Context, partition int) error {
	w := &worker{p: p, partition: partition, session: make([]int32, 0, 64)}
	for {
		err := w.read(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, attune.ErrClosed):
			return nil //nolint:nilerr // it was asked to stop
		case errors.Is(err, attune.ErrCorrupt):
			// One record that does not read must not stop the rest. It is
			// said, counted, and stepped over.
			p.corrupt.Add(1)
			at := p.marks[partition].applied.Load() + 1
			p.opt.Log.Error("stepped over a record that does not read", slog.Int("partition", partition), slog.Uint64("offset", at), slog.Any("error", err))
			p.marks[partition].advance(at)
		default:
			return fmt.Errorf("partition %d: %w", partition, err)
		}
	}
}

// read folds from the first record that is not applied until the reader fails.
func (w *worker) read(ctx context.Context) error {
	mark := &w.p.marks[w.partition]
	reader, err := w.p.opt.Journal.Read(w.partition, mark.applied.Load()+1)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // nothing to do about it: the reader only frees memory
	for {
		recs, err := reader.Next(ctx, w.p.opt.Batch)
		if err != nil {
			return err
		}
		if err := w.batch(ctx, recs); err != nil {
			return err
		}
	}
}

// batch folds recs and publishes that they are applied.
func (w *worker) batch(ctx context.Context, recs []attune.Record) error {
	w.changed, w.counted = w.changed[:0], w.counted[:0]
	mark := &w.p.marks[w.partition]
	last := recs[len(recs)-1].Offset
	for w.p.seg.full() {
		if err := w.p.seg.flush(ctx); err != nil && !errors.Is(err, attune.ErrBusy) {
			return err
		}
	}
	w.p.gate.RLock()
	for i := range recs {
		if err := w.record(ctx, &recs[i]); err != nil {
			w.p.gate.RUnlock()
			return fmt.Errorf("offset %d: %w", recs[i].Offset, err)
		}
	}
	if err := w.segments(ctx); err != nil {
		w.p.gate.RUnlock()
		return err
	}
	// Inside the gate: a checkpoint's positions and state are one moment.
	mark.advance(last)
	w.p.gate.RUnlock()
	select {
	case w.p.dirty <- struct{}{}:
	default:
	}
	if w.p.opt.Changed != nil && len(w.changed) > 0 {
		w.p.opt.Changed(w.changed)
	}
	if w.p.opt.Folded != nil {
		for i := range w.counted {
			w.p.opt.Folded(&w.counted[i])
		}
	}
	return nil
}

// record applies one record. An error means that nothing after it may be
// applied either.
func (w *worker) record(ctx context.Context, r *attune.Record) error {
	switch r.Kind {
	case attune.KindEvent:
		return w.event(ctx, r)
	case attune.KindOrder:
		return w.order(ctx, r)
	case attune.KindItem:
		w.item(r)
	case attune.KindDecision:
		w.p.log.add(r, w.partition)
	case attune.KindTick:
		for _, user := range w.p.seg.expired(w.partition, r.ReceivedAt) {
			w.look(user, r.ReceivedAt)
		}
	case attune.KindTouch:
		if user, ok := identity.User(r.Key); ok {
			w.look(user, r.ReceivedAt)
		}
	case attune.KindLink, attune.KindClaim, attune.KindEdge, attune.KindVisitor, attune.KindExpiry:
		return w.note(ctx, r)
	case attune.KindTransition:
	}
	return nil
}

// event folds an event into its part, and, when it counts, into the statistics.
func (w *worker) event(ctx context.Context, r *attune.Record) error {
	var e attune.Event
	if err := e.UnmarshalBinary(r.Payload); err != nil {
		w.p.corrupt.Add(1)
		w.p.opt.Log.Error("stepped over an event that does not decode", slog.Int("partition", w.partition), slog.Uint64("offset", r.Offset))
		return nil //nolint:nilerr // said and counted; the rest goes on
	}
	var outcome profile.Outcome
	err := w.p.opt.Parts.Update(ctx, r.Key, func(part *profile.Part) bool {
		outcome = w.p.opt.Folder.Fold(part, r, &e)
		return outcome != profile.Skipped
	})
	if err != nil {
		return err
	}
	if outcome == profile.Skipped {
		return nil
	}
	w.changed = append(w.changed, r.Key)
	if outcome != profile.Counted {
		return nil
	}
	w.observe(r.Key, &e)
	w.counted = append(w.counted, e)
	w.touch(r, e.UserID)
	return nil
}

// note folds a record that is not an event.
func (w *worker) note(ctx context.Context, r *attune.Record) error {
	var outcome profile.Outcome
	err := w.p.opt.Parts.Update(ctx, r.Key, func(part *profile.Part) bool {
		outcome = w.p.opt.Folder.Fold(part, r, nil)
		return outcome != profile.Skipped
	})
	if err != nil || outcome == profile.Skipped {
		return err
	}
	w.changed = append(w.changed, r.Key)
	var claim attune.Claim
	if r.Kind == attune.KindClaim {
		_ = json.Unmarshal(r.Payload, &claim) // the fold has said what it thinks of a bad one
	}
	w.touch(r, claim.UserID)
	return nil
}

// touch asks for a look at the segments of whoever r's part belongs to: here,
// when she is a user of this partition, else by a record to hers.
func (w *worker) touch(r *attune.Record, owner string) {
	if user, ok := identity.User(r.Key); ok {
		w.look(user, r.ReceivedAt)
	} else if owner != "" && !w.p.seg.none() {
		w.p.seg.elsewhere(owner, r.ReceivedAt)
	}
}

// look notes that the segments of user, of this partition, are to be
// evaluated as of at when the batch is folded: once, however many events.
func (w *worker) look(user string, at attune.Millis) {
	if w.p.seg.none() {
		return
	}
	if w.users == nil {
		w.users = map[string]attune.Millis{}
	}
	w.users[user] = max(w.users[user], at)
}

// segments evaluates whoever look noted.
func (w *worker) segments(ctx context.Context) error {
	for _, user := range slices.Sorted(maps.Keys(w.users)) {
		if err := w.p.seg.look(ctx, w.partition, user, w.users[user]); err != nil {
			return err
		}
	}
	clear(w.users)
	return nil
}

// item applies what the API or a feed said of an item. It outranks whatever
// events say. A record that does not decode changes nothing.
func (w *worker) item(r *attune.Record) {
	var it attune.Item
	if err := json.Unmarshal(r.Payload, &it); err != nil {
		w.p.corrupt.Add(1)
		return
	}
	id, ok := strings.CutPrefix(r.Key, identity.ItemKey(""))
	if !ok {
		return
	}
	// The partition's order settles two puts of the same millisecond.
	stamp := catalog.Stamp{Rank: attune.Given, At: r.Time, Tie: r.Offset}
	if it.Deleted {
		w.p.opt.Catalog.Delete(id, stamp)
		return
	}
	if err := w.p.opt.Catalog.Put(id, it.Attributes, stamp); err != nil {
		w.p.opt.Log.Warn("refused an item", slog.String("item", id), slog.Any("error", err))
	}
}
