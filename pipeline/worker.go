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
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
)

// worker is the one writer of a partition's parts.
type worker struct {
	p         *Pipeline
	partition int

	// Of the batch at hand; kept to be used again.
	changed  []string
	counted  []attune.Event // for Options.Folded
	decoded  attune.Event   // of the record at hand
	products []attune.Product
	numbers  []int32
	session  []int32
	users    map[string]*reason // whose segments to evaluate, and why
	on, told []string           // of the event at hand
	strings  map[string]string  // see intern

	torn   bool // it failed inside a batch
	joined bool // join was
}

// work folds partition until ctx ends.
func (p *Pipeline) work(ctx context.Context, partition int) error {
	w := &worker{p: p, partition: partition, session: make([]int32, 0, 64)}
	for {
		err := w.read(ctx)
		switch {
		case w.torn:
			// Whatever the store said, it is not for a record to step over.
			return fmt.Errorf("partition %d: %w", partition, err)
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
		// Nobody goes past what was there at the start before everybody is
		// there: whoever is evaluated then is whole again.
		head := 0
		for head < len(recs) && w.replayed(recs[head].Offset) {
			head++
		}
		if head > 0 {
			if err := w.batch(ctx, recs[:head]); err != nil {
				return err
			}
		}
		if head < len(recs) {
			if err := w.join(ctx); err != nil {
				return err
			}
			if err := w.batch(ctx, recs[head:]); err != nil {
				return err
			}
		}
	}
}

// replayed reports whether the record at offset is of an earlier process.
func (w *worker) replayed(offset uint64) bool { return offset <= w.p.seg.published[w.partition] }

// join waits until every partition has folded what was there at the start.
func (w *worker) join(ctx context.Context) error {
	for i := range w.p.marks {
		if w.joined || w.p.opt.Segments == nil {
			break
		}
		if err := w.p.marks[i].wait(ctx, w.p.seg.published[i]); err != nil {
			return err
		}
	}
	w.joined = true
	return nil
}

// batch folds recs and publishes that they are applied. Once it has begun, the
// end of ctx does not stop it: a batch that is folded in part cannot be taken
// up again, since its events would be skipped as known and nobody would look
// at the segments of those who caused them.
func (w *worker) batch(ctx context.Context, recs []attune.Record) error {
	w.changed, w.counted = w.changed[:0], w.counted[:0]
	mark := &w.p.marks[w.partition]
	last := recs[len(recs)-1].Offset
	if err := w.p.seg.room(ctx); err != nil {
		return err
	}
	w.p.gate.RLock()
	if err := w.fold(context.WithoutCancel(ctx), recs); err != nil {
		w.torn = true
		w.p.torn.Store(true)
		w.p.gate.RUnlock()
		return err
	}
	// Inside the gate: a checkpoint's positions and state are one moment.
	mark.advance(last)
	w.p.gate.RUnlock()
	w.p.changed()
	if w.p.opt.Changed != nil && len(w.changed) > 0 {
		w.p.opt.Changed(w.changed)
	}
	for i := range w.counted {
		w.p.opt.Folded(&w.counted[i])
	}
	return nil
}

// fold applies recs and looks at the segments of whom they touched.
func (w *worker) fold(ctx context.Context, recs []attune.Record) error {
	for i := range recs {
		if err := w.record(ctx, &recs[i]); err != nil {
			return fmt.Errorf("offset %d: %w", recs[i].Offset, err)
		}
	}
	return w.segments(ctx, recs[len(recs)-1].Offset)
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
			w.look(user, &reason{at: r.ReceivedAt, time: true})
		}
	case attune.KindTouch:
		if user, ok := identity.User(r.Key); ok {
			why := reasonOf(r)
			w.look(user, &why)
		}
	case attune.KindLink, attune.KindClaim, attune.KindEdge, attune.KindVisitor, attune.KindExpiry, attune.KindExternal:
		return w.note(ctx, r)
	case attune.KindTransition:
		return w.transition(ctx, r)
	}
	return nil
}

// event folds an event into its part, and, when it counts, into the statistics.
func (w *worker) event(ctx context.Context, r *attune.Record) error {
	e := &w.decoded
	if err := e.UnmarshalBinary(r.Payload); err != nil {
		w.p.corrupt.Add(1)
		w.p.opt.Log.Error("stepped over an event that does not decode", slog.Int("partition", w.partition), slog.Uint64("offset", r.Offset))
		return nil //nolint:nilerr // said and counted; the rest goes on
	}
	var outcome profile.Outcome
	moved := false // the device has another owner than before
	err := w.p.opt.Parts.Update(ctx, r.Key, func(part *profile.Part) bool {
		owner, closed := part.Last.Owner, len(part.Closed)
		outcome = w.p.opt.Folder.Fold(part, r, e)
		moved = part.Last.Owner != owner || len(part.Closed) != closed
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
	w.observe(r.Key, e)
	if err := w.p.entities.fold(ctx, w.partition, r.Key, e, false); err != nil {
		return err
	}
	if w.p.opt.Folded != nil {
		w.counted = append(w.counted, *e)
	}
	if _, user := identity.User(r.Key); (user || e.UserID != "") && !w.p.seg.none() {
		why := w.because(r, e, moved)
		w.touch(r, e.UserID, &why)
	}
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
	w.touch(r, claim.UserID, &reason{at: r.ReceivedAt, all: true})
	return nil
}

// touch asks for a look at the segments of whoever r's part belongs to: here,
// when she is a user of this partition, else by a record to hers.
func (w *worker) touch(r *attune.Record, owner string, why *reason) {
	if user, ok := identity.User(r.Key); ok {
		w.look(user, why)
	} else if owner != "" && !w.p.seg.none() {
		w.p.seg.later(owner, why)
		if !w.replayed(r.Offset) {
			w.p.seg.signal()
		}
	}
}

// look notes that the segments of user, of this partition, are to be
// evaluated when the batch is folded: once, however many events.
func (w *worker) look(user string, why *reason) {
	if w.p.seg.none() {
		return
	}
	if w.users == nil {
		w.users = map[string]*reason{}
	}
	of := w.users[user]
	if of == nil {
		of = &reason{}
		w.users[user] = of
	}
	of.add(why)
}

// segments evaluates whoever look noted, in a batch that ends at offset.
//
// The records that were there when this process started may have been folded
// by one before it, and their transitions be in the journal further on. So as
// long as those records last nobody is evaluated, but asked for again behind
// them, by a touch; by then take was told what was published.
func (w *worker) segments(ctx context.Context, offset uint64) error {
	replayed := w.replayed(offset)
	for _, user := range slices.Sorted(maps.Keys(w.users)) {
		if replayed {
			w.p.seg.later(user, w.users[user])
			continue
		}
		c := cause{Position: journal.Position{Partition: w.partition, Offset: offset}, reason: w.users[user]}
		if err := w.p.seg.look(ctx, user, c); err != nil {
			return err
		}
	}
	clear(w.users)
	return nil
}

// transition takes a transition that an earlier process published: its
// checkpoint may not know of it. Those of this process are known.
func (w *worker) transition(ctx context.Context, r *attune.Record) error {
	if !w.replayed(r.Offset) {
		return nil
	}
	var t attune.Transition
	if err := json.Unmarshal(r.Payload, &t); err != nil {
		w.p.corrupt.Add(1)
		return nil //nolint:nilerr // counted; the rest goes on
	}
	return w.p.seg.take(ctx, t, r.Time)
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
