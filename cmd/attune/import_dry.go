package main

import (
	"context"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/journal"
)

// dry is the sink of a dry run: the collector looks at every event as it would,
// and what it takes goes nowhere.
type dry struct {
	collector *collect.Collector
	source    string
	seen      *notebook // nil: nobody asked
}

func newDry(source string, now func() attune.Millis) (*dry, error) {
	seen := newNotebook()
	keys, err := collect.NewKeys(nil, nil)
	if err != nil {
		return nil, err
	}
	c, err := collect.New(collect.Options{
		Journal: seen, Keys: keys, Now: now, Limits: collect.Limits{EventBytes: largeEvent},
	})
	if err != nil {
		return nil, err
	}
	if source == "" {
		source = collect.ServerSource
	}
	return &dry{collector: c, source: source, seen: seen}, nil
}

// Events returns the events that an import would refuse.
func (d *dry) Events(ctx context.Context, events [][]byte) ([]collect.Rejection, error) {
	res, err := d.collector.Accept(ctx, &collect.Batch{
		Source: d.source, Rank: attune.Server, Verified: true, Import: true, Events: events,
	})
	return res.Rejected, err
}

// Items takes everything.
func (d *dry) Items(_ context.Context, items []attune.Item) error {
	if d.seen != nil {
		d.seen.stock(items)
	}
	return nil
}

// nowhere is a journal that keeps nothing.
type nowhere struct{}

// Append gives records positions and forgets them.
func (nowhere) Append(context.Context, []attune.Record) error { return nil }

// Status is that of an empty journal of one partition.
func (nowhere) Status() journal.Status {
	return journal.Status{ID: "dry-run", First: []uint64{1}, Last: []uint64{0}}
}
