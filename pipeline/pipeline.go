// Package pipeline turns the journal into state: one worker a partition reads
// its records in order, drops repeats, folds every event into the part its
// routing id owns, and feeds the catalog and the live statistics of items.
//
// It guarantees that a record counts once, whatever crashes: parts, statistics
// and the positions they reflect are checkpointed in one atomic batch, and
// after a crash the journal's tail is folded again on top of it. It does not
// decide who may read, and it answers nobody: readers look at profile.People,
// catalog and model, and use Wait to be sure those reflect what they ask for.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/segment"
)

// Models are the live recommenders the pipeline feeds. None may be nil.
type Models struct {
	Items    *model.Items
	Viewed   *model.Pairs // items seen in one session
	Bought   *model.Pairs // items in one order
	Sessions *model.Sessions
}

// Options say what a Pipeline works on. Everything but Segments, Changed,
// Folded and Log is required.
type Options struct {
	Journal journal.Journal
	Store   profile.Store
	Folder  *profile.Folder
	Parts   *profile.Parts
	People  *profile.People
	Catalog *catalog.Catalog
	Models  Models

	// Entities are the features of what is not a person; nil is none.
	Entities *profile.Entities
	// Workspace is part of the keys of entities in Store.
	Workspace string

	// Segments returns the audiences of this moment; nil is none. They may be
	// others at each call, when the configuration changes.
	Segments func() *segment.Set
	// Replay folds without outputs: no transitions, touches or ticks.
	Replay bool
	// Tick is how often expiring windows are looked for; 0 is ten seconds.
	Tick time.Duration
	// Changed sees the routing ids whose parts changed, after the batch that
	// changed them is visible to readers. It must not block; keys is good
	// until it returns. Nil is nobody.
	Changed func(keys []string)
	// Folded sees every counted event after it is visible to readers; it must
	// not block nor keep e. Nil is nobody.
	Folded func(e *attune.Event)
	// Now is the edge's clock: it stamps ticks and transitions, never state.
	Now func() attune.Millis
	// Checkpoint is the pause between two checkpoints; 0 is one second.
	Checkpoint time.Duration
	// Batch bounds the records of one micro-batch; 0 is 512.
	Batch int
	Log   *slog.Logger // nil: nothing is logged
}

// Pipeline folds one journal. Make it with Open, then call Run once. Wait, Lag
// and the look-ups may be called by any number of goroutines.
type Pipeline struct {
	opt   Options
	id    string // the journal's
	token string // its short form, as tokens have it
	marks []watermark

	// gate lets workers fold together and the checkpoint alone: what it
	// writes is one moment of all partitions.
	gate     sync.RWMutex
	dirty    chan struct{} // one token: something was folded since the last checkpoint; never closed
	orders   orders
	clicks   clicks
	log      decisionIndex
	entities *Entities
	seg      members

	passages passages
	swept    sweep

	writing sync.Mutex    // one checkpoint at a time
	batch   profile.Batch // the checkpoint's, used again

	// torn says that a worker failed inside a batch: positions and state are
	// no longer one moment, so nothing may be written until a restart.
	torn atomic.Bool

	// corrupt counts records that could not be read and were stepped over.
	corrupt atomic.Uint64
}

// Open loads the statistics and positions of the last checkpoint. The journal
// has to be the one the checkpoint was made from; with another one it returns
// an error that says so.
func Open(ctx context.Context, opt Options) (*Pipeline, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Checkpoint <= 0 {
		opt.Checkpoint = time.Second
	}
	if opt.Batch <= 0 {
		opt.Batch = 512
	}
	status := opt.Journal.Status()
	p := &Pipeline{
		opt: opt, id: status.ID, token: journal.ShortID(status.ID),
		marks: make([]watermark, status.Partitions()),
		dirty: make(chan struct{}, 1),
	}
	p.orders.init(opt.Store)
	p.clicks.init()
	p.log.init(opt.Store)
	p.entities = newEntities(opt.Entities, opt.Store, opt.Workspace, len(p.marks))
	p.passages.init(opt.Store)
	p.swept.again = make(chan struct{}, 1)
	p.seg.init(&p.opt, status.Last)
	p.seg.passages = &p.passages
	id, applied, err := opt.Store.Positions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint's positions: %w", err)
	}
	if id != "" && (id != status.ID || len(applied) != len(p.marks)) {
		return nil, fmt.Errorf("profiles were made from journal %s with %d partitions, this one is %s with %d: that is a migration; "+
			"start with an empty profile folder to fold the journal again: %w", id, len(applied), status.ID, len(p.marks), attune.ErrInvalid)
	}
	for i, at := range applied {
		if at > status.Last[i] {
			return nil, fmt.Errorf("profiles reflect offset %d of partition %d, the journal ends at %d: the journal lost records: %w",
				at, i, status.Last[i], attune.ErrCorrupt)
		}
		p.marks[i].applied.Store(at)
	}
	for i, first := range status.First {
		// What was let go cannot be folded: nobody waits for it.
		p.marks[i].applied.Store(max(p.marks[i].applied.Load(), first-1))
	}
	if err := p.load(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Run folds until ctx ends, then checkpoints once more and returns nil. Any
// other return is a fault of the store or the journal, after which the process
// should start again: what was acknowledged is in the journal.
func (p *Pipeline) Run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	for i := range p.marks {
		group.Go(func() error { return p.work(running, i) })
	}
	group.Go(func() error { return p.checkpoints(running) })
	if p.opt.Segments != nil {
		group.Go(func() error { return p.seg.run(running) })
		group.Go(func() error { return p.sweeps(running) })
	}
	err := group.Wait()
	if err != nil && ctx.Err() == nil {
		return err
	}
	// Everybody has stopped: the last checkpoint sees a still pipeline.
	return errors.Join(quiet(err), p.Checkpoint(context.WithoutCancel(ctx)))
}

// quiet drops the error of a context that was ended on purpose.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// The pause between two checkpoints is at least costShare times what the last
// one took, but no longer than maxPause unless the configuration says so: what
// is not in a checkpoint is folded again after a crash.
const (
	costShare = 10
	maxPause  = 5 * time.Second
)

// checkpoints writes one checkpoint each interval in which something was
// folded. An idle pipeline sleeps on dirty and costs nothing.
func (p *Pipeline) checkpoints(ctx context.Context) error {
	pause := time.NewTimer(p.opt.Checkpoint)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.dirty:
		}
		began := time.Now() //nolint:forbidigo // how long it took is no part of any state
		switch err := p.Checkpoint(ctx); {
		case errors.Is(err, attune.ErrBusy):
			// The journal has no room for segment changes. It will: what was
			// folded since the last checkpoint is in the journal anyway.
			p.opt.Log.Warn("the journal is busy; the checkpoint waits", slog.Any("error", err))
			p.changed()
		case err != nil:
			return quiet(err)
		}
		// Under load the parts that change in a second take long to encode: then
		// the pause grows with them, so that checkpoints cost a tenth at most.
		pause.Reset(max(p.opt.Checkpoint, min(maxPause, costShare*time.Since(began))))
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// changed notes that there is something to checkpoint.
func (p *Pipeline) changed() {
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

// Corrupt returns how many records could not be read and were stepped over.
func (p *Pipeline) Corrupt() uint64 { return p.corrupt.Load() }

// Applied returns, per partition, the newest offset readers see.
func (p *Pipeline) Applied() []uint64 {
	at := make([]uint64, len(p.marks))
	for i := range p.marks {
		at[i] = p.marks[i].applied.Load()
	}
	return at
}
