package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// The bounds of the decision log.
const (
	maxLogged   = 8192 // decisions that wait for the journal
	loggedBatch = 512  // decisions of one append
)

// decisionLog journals decisions behind the answers' backs: a bounded queue
// and one goroutine. A decision that finds the queue full is dropped and
// counted by whoever made it; nobody waits for the disk to be answered.
type decisionLog struct {
	journal journal.Journal
	find    func(ctx context.Context, id string) (*attune.DecisionLog, error)
	queue   chan attune.DecisionLog // never closed; run drains it
	log     *slog.Logger
}

func newDecisionLog(j journal.Journal, log *slog.Logger) *decisionLog {
	return &decisionLog{journal: j, queue: make(chan attune.DecisionLog, maxLogged), log: log}
}

// Logged takes d, or returns false when the queue is full.
func (l *decisionLog) Logged(d attune.DecisionLog) bool {
	select {
	case l.queue <- d:
		return true
	default:
		return false
	}
}

// Decision returns the journaled decision with id.
func (l *decisionLog) Decision(ctx context.Context, id string) (*attune.DecisionLog, error) {
	return l.find(ctx, id)
}

// run appends what is queued until ctx ends, and then what is left.
func (l *decisionLog) run(ctx context.Context) error {
	recs := make([]attune.Record, 0, loggedBatch)
	for {
		select {
		case <-ctx.Done():
			return l.append(context.WithoutCancel(ctx), l.gather(recs[:0]))
		case d := <-l.queue:
			recs = l.gather(append(recs[:0], l.record(&d)))
		}
		if err := l.append(ctx, recs); err != nil {
			return err
		}
	}
}

// gather adds what is queued at this moment.
func (l *decisionLog) gather(recs []attune.Record) []attune.Record {
	for len(recs) < loggedBatch {
		select {
		case d := <-l.queue:
			recs = append(recs, l.record(&d))
		default:
			return recs
		}
	}
	return recs
}

// record leaves the items' attributes out: they are the catalog's, not the
// decision's. The answer is still being written to its reader, so what it
// points to is not touched.
func (*decisionLog) record(d *attune.DecisionLog) attune.Record {
	placements := make(map[string]*attune.Answer, len(d.Placements))
	for name, a := range d.Placements {
		bare := *a
		bare.Items = slices.Clone(a.Items)
		for i := range bare.Items {
			bare.Items[i].Attributes = nil
		}
		placements[name] = &bare
	}
	d.Placements = placements
	payload, err := json.Marshal(d)
	if err != nil { // a number that is no number: the decision still happened
		payload, _ = json.Marshal(attune.DecisionLog{Decision: attune.Decision{ID: d.ID}, At: d.At}) //nolint:errchkjson // plain fields
	}
	key := identity.UserKey(d.UserID)
	if d.UserID == "" {
		key = identity.DeviceKey(d.AnonymousID)
	}
	return attune.Record{Kind: attune.KindDecision, Key: key, Time: d.At, ReceivedAt: d.At, Payload: payload}
}

// append retries while the journal is busy: the queue fills meanwhile, and its
// bound is what gives.
func (l *decisionLog) append(ctx context.Context, recs []attune.Record) error {
	for {
		err := l.journal.Append(ctx, recs)
		if !errors.Is(err, attune.ErrBusy) {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		l.log.Warn("the journal is busy; decisions wait", slog.Int("waiting", len(l.queue)))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}
