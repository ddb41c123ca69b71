package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
)

// decisionIndex finds a decision's record by the decision's id: rows from id
// to position, the newest of them in memory until a checkpoint has them.
type decisionIndex struct {
	store profile.Store

	mu      sync.Mutex
	fresh   map[string]journal.Position
	writing map[string]journal.Position
}

func (d *decisionIndex) init(s profile.Store) {
	d.store, d.fresh = s, map[string]journal.Position{}
}

// add indexes a decision record. One without an id cannot be asked for.
func (d *decisionIndex) add(r *attune.Record, partition int) {
	id := attune.LoggedID(r.Payload)
	if id == "" {
		id = gjson.GetBytes(r.Payload, "decision_id").Str // of an older build
	}
	if id == "" {
		return
	}
	d.mu.Lock()
	d.fresh[id] = journal.Position{Partition: partition, Offset: r.Offset}
	d.mu.Unlock()
}

func (d *decisionIndex) dirtyRows(put func(key, value []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, at := range d.fresh {
		b := binary.AppendUvarint(nil, uint64(at.Partition)) //nolint:gosec // partitions are not negative
		put([]byte(id), binary.AppendUvarint(b, at.Offset))
	}
	if d.writing == nil {
		d.writing = map[string]journal.Position{}
	}
	// What a checkpoint that failed took is still not in the store.
	maps.Copy(d.writing, d.fresh)
	d.fresh = map[string]journal.Position{}
}

func (d *decisionIndex) committed() {
	d.mu.Lock()
	d.writing = nil
	d.mu.Unlock()
}

func (d *decisionIndex) find(ctx context.Context, id string) (journal.Position, error) {
	d.mu.Lock()
	at, ok := d.fresh[id]
	if !ok {
		at, ok = d.writing[id]
	}
	d.mu.Unlock()
	if ok {
		return at, nil
	}
	b, err := d.store.Get(ctx, append([]byte(tableLog), id...))
	if err != nil {
		return journal.Position{}, fmt.Errorf("decision %q: %w", id, err)
	}
	partition, n := binary.Uvarint(b)
	if n <= 0 {
		return journal.Position{}, fmt.Errorf("decision %q: %w", id, attune.ErrNotFound)
	}
	offset, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return journal.Position{}, fmt.Errorf("decision %q: %w", id, attune.ErrCorrupt)
	}
	return journal.Position{Partition: int(partition), Offset: offset}, nil //nolint:gosec // an int was written
}

// Decision returns the journaled decision with this id. The error wraps
// attune.ErrNotFound when there is none, or the journal has let go of it.
func (p *Pipeline) Decision(ctx context.Context, id string) (*attune.DecisionLog, error) {
	at, err := p.log.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if at.Partition >= len(p.marks) || p.opt.Journal.Status().First[at.Partition] > at.Offset {
		return nil, fmt.Errorf("decision %q is older than the journal keeps: %w", id, attune.ErrNotFound)
	}
	reader, err := p.opt.Journal.Read(at.Partition, at.Offset)
	if err != nil {
		return nil, err
	}
	defer reader.Close() //nolint:errcheck // it only frees memory
	recs, err := reader.Next(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("decision %q: %w", id, err)
	}
	if recs[0].Offset != at.Offset {
		return nil, fmt.Errorf("decision %q is older than the journal keeps: %w", id, attune.ErrNotFound)
	}
	var d attune.DecisionLog
	if err := d.ReadLog(recs[0].Payload); err != nil {
		return nil, fmt.Errorf("decision %q: %w", id, err)
	}
	return &d, nil
}

// forgetBatch bounds the rows of one commit of Forget.
const forgetBatch = 10_000

// Forget drops from the index the decisions that the journal has let go of,
// and returns how many. It looks at the whole index: call it seldom.
func (p *Pipeline) Forget(ctx context.Context) (int, error) {
	first := p.opt.Journal.Status().First
	var gone [][]byte
	err := p.opt.Store.Scan(ctx, []byte(tableLog), func(k, v []byte) error {
		partition, n := binary.Uvarint(v)
		if n <= 0 {
			return nil
		}
		if offset, m := binary.Uvarint(v[n:]); m > 0 && partition < uint64(len(first)) && offset < first[partition] {
			gone = append(gone, bytes.Clone(k))
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for decisions to forget: %w", err)
	}
	// Only one goroutine may commit at a time.
	p.writing.Lock()
	defer p.writing.Unlock()
	for rows := range slices.Chunk(gone, forgetBatch) {
		var b profile.Batch
		for _, k := range rows {
			b.Delete(k)
		}
		if err := p.opt.Store.Commit(ctx, &b); err != nil {
			return 0, fmt.Errorf("forget decisions: %w", err)
		}
	}
	return len(gone), nil
}
