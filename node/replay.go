package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/pipeline"
	"github.com/attune-io/attune/profile"
)

// Replayed says how a fold of the whole journal compares with the profiles on
// disk, part by part.
type Replayed struct {
	Records uint64 `json:"records"`
	Parts   int    `json:"parts"` // in either
	Equal   int    `json:"equal"`
	// Behind are records that the profiles on disk do not reflect yet, and
	// that were left out on both sides.
	Behind uint64 `json:"behind"`
	// Differences are the first parts that are not equal, by routing id.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is a part that is not what the journal says.
type Difference struct {
	Key  string `json:"key"`
	What string `json:"what"`
}

// maxDifferences bounds those that are listed.
const maxDifferences = 20

// Replay folds the journal in cfg's data directory again, from its first
// record up to where the profiles on disk are, into memory, and compares. It
// changes nothing. It holds every part in memory. progress, nil or not, hears
// how many of how many records are folded.
//
// A journal whose beginning was trimmed cannot be folded again: the error says
// so, and wraps attune.ErrInvalid.
func Replay(ctx context.Context, cfg config.Config, log *slog.Logger, progress func(done, all uint64)) (rep Replayed, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	compiled, err := cfg.Compile()
	if err != nil {
		return rep, err
	}
	n := &Node{log: log}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.openBackends(&cfg); err != nil {
		return rep, err
	}
	status := n.journal.Status()
	id, applied, err := n.store.Positions(ctx)
	if err != nil {
		return rep, fmt.Errorf("read the checkpoint's positions: %w", err)
	}
	if err := replayable(status, id, applied); err != nil {
		return rep, err
	}
	for p, at := range applied {
		rep.Records += at
		rep.Behind += status.Last[p] - at
	}
	folder := &profile.Folder{Features: compiled.Features}
	again, keys, err := refold(ctx, &bounded{Journal: n.journal, last: applied}, folder, func(done uint64) {
		if progress != nil {
			progress(done, rep.Records)
		}
	})
	if err != nil {
		return rep, err
	}
	disk := profile.NewParts(profile.PartsOptions{Folder: folder, Store: n.store, Workspace: cfg.Workspace})
	return rep, rep.compare(ctx, disk, again, keys)
}

// replayable returns why the journal cannot give the profiles again, or nil.
func replayable(s journal.Status, id string, applied []uint64) error {
	if id == "" {
		return fmt.Errorf("there are no profiles yet to compare with; start the server once: %w", attune.ErrInvalid)
	}
	if id != s.ID || len(applied) != len(s.Last) {
		return fmt.Errorf("the profiles were made from journal %s with %d partitions, this one is %s with %d: %w",
			id, len(applied), s.ID, len(s.Last), attune.ErrInvalid)
	}
	for p, first := range s.First {
		if first > 1 {
			return fmt.Errorf("the journal of partition %d begins at offset %d: retention (journal.retention) has let go of what was before, "+
				"so the profiles cannot be folded again from it; keep everything, or restore a backup from before: %w", p, first, attune.ErrInvalid)
		}
	}
	for p, at := range applied {
		if at > s.Last[p] {
			return fmt.Errorf("profiles reflect offset %d of partition %d, the journal ends at %d: %w", at, p, s.Last[p], attune.ErrCorrupt)
		}
	}
	return nil
}

// refold runs the real pipeline over j into memory, and returns the parts and
// the routing ids of those there are.
func refold(ctx context.Context, j journal.Journal, folder *profile.Folder, progress func(done uint64)) (*profile.Parts, map[string]struct{}, error) {
	var mu sync.Mutex
	keys := map[string]struct{}{}
	parts := profile.NewParts(profile.PartsOptions{Folder: folder})
	items := catalog.New(catalog.Options{})
	p, err := pipeline.Open(ctx, pipeline.Options{
		Journal: j, Store: &rows{}, Folder: folder, Parts: parts, People: profile.NewPeople(parts, 1<<20), Catalog: items,
		Models: pipeline.Models{
			Items:  model.NewItems(model.ItemsOptions{}),
			Viewed: model.NewPairs(model.PairsOptions{}), Bought: model.NewPairs(model.PairsOptions{}),
			Sessions: model.NewSessions(model.SessionsOptions{}),
		},
		Replay: true,
		Changed: func(changed []string) {
			mu.Lock()
			defer mu.Unlock()
			for _, k := range changed {
				if _, known := keys[k]; !known {
					keys[strings.Clone(k)] = struct{}{}
				}
			}
		},
		Now: func() attune.Millis { return 0 },
	})
	if err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1) // one send, one receive
	go func() { ended <- p.Run(running) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var all uint64
	for _, last := range j.Status().Last {
		all += last
	}
	for p.Lag() > 0 {
		progress(all - p.Lag())
		select {
		case <-tick.C:
		case err := <-ended:
			return nil, nil, errors.Join(err, ctx.Err())
		}
	}
	progress(all)
	stop()
	if err := <-ended; err != nil {
		return nil, nil, err
	}
	if n := p.Corrupt(); n > 0 {
		return nil, nil, fmt.Errorf("%d records of the journal do not read, so nothing can be said: %w", n, attune.ErrCorrupt)
	}
	return parts, keys, ctx.Err()
}

// compare looks at every part of either side. The parts' states are compared
// as bytes, without positions.
func (rep *Replayed) compare(ctx context.Context, disk, again *profile.Parts, keys map[string]struct{}) error {
	var stored []string
	if err := disk.Keys(ctx, "", func(key string) error {
		stored = append(stored, key)
		return nil
	}); err != nil {
		return fmt.Errorf("list the profiles on disk: %w", err)
	}
	onDisk := make(map[string]struct{}, len(stored))
	for _, k := range stored {
		onDisk[k] = struct{}{}
	}
	var alone []string
	for k := range keys {
		if _, ok := onDisk[k]; !ok {
			alone = append(alone, k)
		}
	}
	slices.Sort(alone)
	for _, k := range alone {
		rep.differ(k, "the journal gives it, the disk has none")
	}
	var a, b []byte
	for _, k := range stored {
		if _, ok := keys[k]; !ok {
			rep.differ(k, "the disk has it, the journal gives none")
			continue
		}
		var err error
		if a, err = stateOf(ctx, disk, k, a[:0]); errors.Is(err, attune.ErrCorrupt) {
			rep.differ(k, "the disk has what does not read: "+err.Error())
			continue
		}
		if err != nil {
			return err
		}
		if b, err = stateOf(ctx, again, k, b[:0]); err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			rep.differ(k, fmt.Sprintf("the disk has %d bytes of state, the journal gives %d; they part at byte %d", len(a), len(b), parting(a, b)))
			continue
		}
		rep.Equal++
	}
	rep.Parts = len(stored) + len(alone)
	return nil
}

func (rep *Replayed) differ(key, what string) {
	if len(rep.Differences) < maxDifferences {
		rep.Differences = append(rep.Differences, Difference{Key: key, What: what})
	}
}

// stateOf appends the state of a part, with what it knows of messages: Update
// loads that.
func stateOf(ctx context.Context, ps *profile.Parts, key string, b []byte) ([]byte, error) {
	err := ps.Update(ctx, key, func(p *profile.Part) bool {
		b = ps.Folder().AppendState(p, b)
		return false
	})
	return b, err
}

func parting(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// bounded is a journal that ends where the profiles on disk do.
type bounded struct {
	journal.Journal

	last []uint64
}

// Status says that the journal ends at the bound.
func (b *bounded) Status() journal.Status {
	s := b.Journal.Status()
	s.Last = slices.Clone(b.last)
	return s
}

// Append refuses: a replay has no outputs.
func (*bounded) Append(context.Context, []attune.Record) error {
	return fmt.Errorf("append to a journal that is being replayed: %w", attune.ErrForbidden)
}

// Read returns a reader that waits for ever at the bound.
func (b *bounded) Read(partition int, from uint64) (journal.Reader, error) {
	r, err := b.Journal.Read(partition, from)
	if err != nil {
		return nil, err
	}
	return &boundedReader{Reader: r, next: from, last: b.last[partition]}, nil
}

type boundedReader struct {
	journal.Reader

	next, last uint64
}

// Next returns records up to the bound.
func (r *boundedReader) Next(ctx context.Context, limit int) ([]attune.Record, error) {
	if r.next > r.last {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	recs, err := r.Reader.Next(ctx, limit)
	if err != nil {
		return nil, err
	}
	for len(recs) > 0 && recs[len(recs)-1].Offset > r.last {
		recs = recs[:len(recs)-1]
	}
	if len(recs) == 0 { // the journal has a gap at the bound
		r.next = r.last + 1
		return r.Next(ctx, limit)
	}
	r.next = recs[len(recs)-1].Offset + 1
	return recs, nil
}

// rows is a profile.Store in memory for the tables that the pipeline reads back
// row by row. It drops parts and their messages, which stay in Parts.
type rows struct {
	mu      sync.RWMutex
	of      map[string][]byte
	journal string
	applied []uint64
}

// Get returns a row.
func (r *rows) Get(_ context.Context, key []byte) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return bytes.Clone(r.of[string(key)]), nil
}

// Scan finds nothing: only a pipeline that starts scans, and this one starts
// empty.
func (*rows) Scan(context.Context, []byte, func(key, value []byte) error) error { return nil }

// Commit keeps rows that will be asked for.
func (r *rows) Commit(_ context.Context, b *profile.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string][]byte{}
	}
	if b.Journal != "" {
		r.journal, r.applied = b.Journal, slices.Clone(b.Applied)
	}
	return b.Each(func(key, value []byte) error {
		if bytes.HasPrefix(key, []byte("x/")) {
			r.of[string(key)] = bytes.Clone(value)
		}
		return nil
	}, func(key []byte) error {
		delete(r.of, string(key))
		return nil
	})
}

// Positions returns those of the newest commit.
func (r *rows) Positions(context.Context) (id string, applied []uint64, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.journal, slices.Clone(r.applied), nil
}

// Close does nothing.
func (*rows) Close() error { return nil }
