package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/identity"
)

// Sink takes what files say into a node of this process; file.Import wants
// one. Any number of goroutines may use it.
type Sink struct {
	n      *Node
	source string
}

// Sink returns a sink whose events are marked as source's; "" is the server's.
// Run or Work has to be running, or nothing is ever folded and the sink stays
// busy.
func (n *Node) Sink(source string) *Sink {
	if source == "" {
		source = collect.ServerSource
	}
	return &Sink{n: n, source: source}
}

// Places remembers, in the data directory, how far imports of source came.
func (n *Node) Places(source string) *file.Places {
	return &file.Places{Dir: filepath.Join(n.cfg.Load().DataDir, "imports"), Journal: n.journal.Status().ID, Source: source}
}

// importLag is how many records an import may be ahead of the pipeline: few
// enough that the journal still has them in memory, so that they are folded
// without being read from disk again.
const importLag = 20_000

// Events makes events durable, with the trust of the server secret: whoever
// can write into the data directory needs no other.
func (s *Sink) Events(ctx context.Context, events [][]byte) ([]collect.Rejection, error) {
	if lag := s.n.pipeline.Lag(); lag > importLag {
		return nil, fmt.Errorf("the pipeline is %d records behind: %w", lag, attune.ErrBusy)
	}
	res, err := s.n.collector.Accept(ctx, &collect.Batch{
		Source: s.source, Rank: attune.Server, Verified: true, Import: true, Events: events,
	})
	return res.Rejected, err
}

// Items makes what a feed says of items durable.
func (s *Sink) Items(ctx context.Context, items []attune.Item) error {
	now := s.n.clock()
	recs := make([]attune.Record, 0, len(items))
	for i := range items {
		it := &items[i]
		if err := identity.CheckID(it.ID); err != nil {
			return fmt.Errorf("item %q: %w", it.ID, err)
		}
		payload, err := json.Marshal(it)
		if err != nil {
			return fmt.Errorf("encode item %q: %w", it.ID, err)
		}
		recs = append(recs, attune.Record{Kind: attune.KindItem, Key: identity.ItemKey(it.ID), Time: now, ReceivedAt: now, Payload: payload})
	}
	return s.n.journal.Append(ctx, recs)
}

// Work runs the pipeline, without listening, while do runs; then it waits until
// everything is folded, writes a checkpoint that survives a power loss, and
// closes the node. It is called once, instead of Run. When ctx ends, what is
// durable stays so, and is folded at the next start.
func (n *Node) Work(ctx context.Context, do func(context.Context) error) error {
	rooms, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	doing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1) // one send, one receive
	go func() {
		err := n.pipeline.Run(rooms)
		if err != nil {
			cancel(err) // nobody folds any more: do must not wait for it
		}
		ended <- err
	}()
	err := do(doing)
	if err == nil {
		err = n.caughtUp(doing)
	}
	if err == nil {
		_, err = n.pipeline.Synced(doing)
	}
	stop(nil)
	if folded := <-ended; folded != nil {
		err = errors.Join(folded, err)
	}
	return errors.Join(err, n.Close())
}

// caughtUp waits until everything journaled is folded.
func (n *Node) caughtUp(ctx context.Context) error {
	// What is folded may add records of its own: segment changes.
	for n.pipeline.Lag() > 0 {
		if err := n.pipeline.CaughtUp(ctx); err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Folded returns how many events were folded and counted since the node was
// opened. Those known already, of bots, or without consent are not among them.
func (n *Node) Folded() uint64 { return n.meter.Totals().Folded }

// Catalog returns the items, for what is mounted beside the API.
func (n *Node) Catalog() *catalog.Catalog { return n.catalog }
