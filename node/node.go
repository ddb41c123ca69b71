// Package node builds one process of Attune from its configuration: it opens
// the backends, hands every room what it needs, listens, reloads and drains.
// It is the only package that names a backend, and the only one that starts
// goroutines for rooms; each of them ends before Run returns.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/geo"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/console"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	journaldisk "github.com/attune-io/attune/journal/disk"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/pipeline"
	"github.com/attune-io/attune/profile"
	profiledisk "github.com/attune-io/attune/profile/disk"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/segment"
	"github.com/attune-io/attune/serve"
)

// Options are what a node takes beside its configuration. The zero value is
// right for a server.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Level is the logger's level, set again when the configuration is
	// reloaded; nil leaves it alone.
	Level *slog.LevelVar
	// Clock replaces the edge's clock; nil is the configuration's, else the
	// real one.
	Clock func() attune.Millis
	// Tick is how often expiring windows are looked for; 0 is the pipeline's.
	Tick time.Duration
	// Expiry is how often devices that went quiet are looked for; 0 is six
	// hours.
	Expiry time.Duration
	// File is the configuration's file, watched for changes; "" is none.
	File string
	// Read gives the configuration again when File changed. Required with it.
	Read func() (config.Config, error)
	// Mount adds routes of the caller's own, such as the demo's shop.
	Mount func(n *Node, mux *http.ServeMux) error
	// Ready is called once with the public address, when the node listens.
	Ready func(address string)
}

// Node is one process. Make it with Open; call Run once, or Close.
type Node struct {
	opt   Options
	log   *slog.Logger
	clock func() attune.Millis
	start time.Time
	setup
	state
	edge
	eyes

	listening chan struct{} // closed once the node listens
	address   string        // the public one; written before listening is closed
	admins    string        // the admin one, "" when there is none; likewise
	closing   sync.Once
	closed    error
}

// setup is what a reload of the configuration exchanges.
type setup struct {
	reload  sync.Mutex // one reload at a time
	cfg     atomic.Pointer[config.Config]
	rules   atomic.Pointer[config.Compiled]
	engine  atomic.Pointer[recommend.Engine]
	browser atomic.Pointer[serve.Keys] // write key → source
	version atomic.Uint64
}

// state is what the pipeline writes and decisions read.
type state struct {
	journal   journal.Journal
	store     profile.Store
	parts     *profile.Parts
	people    *profile.People
	catalog   *catalog.Catalog
	models    pipeline.Models
	pipeline  *pipeline.Pipeline
	retriever *retriever // nil: names are looked through

	refolding bool // the parts were dropped, and are folded again
}

// edge is what speaks HTTP.
type edge struct {
	keys      *collect.Keys
	collector *collect.Collector
	server    *serve.Server
	recorder  *serve.Recorder
	hub       serve.Hub
	outlets   *destinations
	places    *geo.Places // nil: nothing is located
}

// eyes are what operators look through.
type eyes struct {
	metrics *metrics
	live    *live
	meter   *console.Meter
}

// Open opens the data directory and builds every room. A directory that
// another process uses is an error that wraps attune.ErrBusy. The
// configuration must be valid.
func Open(ctx context.Context, cfg config.Config, opt Options) (n *Node, err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	n = &Node{opt: opt, log: opt.Log, start: time.Now(), listening: make(chan struct{})}
	n.cfg.Store(&cfg)
	n.clock = clockOf(cfg, opt)
	n.metrics = newMetrics()
	n.live = newLive()
	n.meter = console.NewMeter()
	compiled, err := cfg.Compile()
	if err != nil {
		return nil, err
	}
	n.rules.Store(compiled)
	defer func(opened *Node) {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}(n)
	if err := n.openBackends(&cfg); err != nil {
		return nil, err
	}
	if err := n.openState(ctx, &cfg); err != nil {
		return nil, err
	}
	if err := n.openEdge(&cfg); err != nil {
		return nil, err
	}
	n.openEntities()
	if err := n.openDestinations(); err != nil {
		return nil, err
	}
	n.metrics.gauges(n)
	return n, nil
}

// clockOf returns the edge's clock. One that is set to an instant goes on from
// there, so that order is kept.
func clockOf(cfg config.Config, opt Options) func() attune.Millis {
	if opt.Clock != nil {
		return opt.Clock
	}
	if asOf := cfg.Clock.Now(); asOf != 0 {
		began := time.Now()
		return func() attune.Millis { return asOf.Add(time.Since(began)) }
	}
	return func() attune.Millis { return attune.MillisOf(time.Now()) }
}

// openBackends is the one place where backends are chosen.
func (n *Node) openBackends(cfg *config.Config) error {
	switch cfg.Journal.Kind {
	case config.KindDisk:
		j, err := journaldisk.Open(journaldisk.Options{
			Dir: filepath.Join(cfg.DataDir, "journal"), Partitions: cfg.Partitions, Log: n.log,
			MaxPending: int64(cfg.Limits.PendingBytes), TailBytes: int64(cfg.Journal.TailBytes),
		})
		if err != nil {
			return err
		}
		n.journal = j
	default:
		return fmt.Errorf("journal.kind %q: want %s: %w", cfg.Journal.Kind, config.KindDisk, attune.ErrInvalid)
	}
	return n.openProfiles(cfg)
}

// profilesDir is the folder of the embedded profile store.
func profilesDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "profiles") }

func (n *Node) openProfiles(cfg *config.Config) error {
	switch cfg.Profiles.Kind {
	case config.KindDisk:
		// A commit need not reach the disk before it returns: what a power loss
		// takes back is folded again from the journal, which was synced first.
		s, err := profiledisk.Open(profiledisk.Options{Dir: profilesDir(cfg), NoSync: true, Log: n.log})
		if err != nil {
			return err
		}
		n.store = s
	default:
		return fmt.Errorf("profiles.kind %q: want %s: %w", cfg.Profiles.Kind, config.KindDisk, attune.ErrInvalid)
	}
	return nil
}

// openState builds what the pipeline writes and decisions read.
func (n *Node) openState(ctx context.Context, cfg *config.Config) error {
	compiled := n.rules.Load()
	if err := n.prepare(ctx, cfg, sets(compiled)); err != nil {
		return err
	}
	folder := &profile.Folder{Features: compiled.Features}
	// The cache is counted by what is stored of a part; in memory that takes half
	// as much again, and the stores' own blocks belong to it too.
	n.parts = profile.NewParts(profile.PartsOptions{
		Folder: folder, Store: n.store, Workspace: cfg.Workspace, MemoryBytes: int64(cfg.Profiles.CacheBytes) / 2,
	})
	n.people = profile.NewPeople(n.parts, int64(cfg.Profiles.CacheBytes)/4)
	n.catalog = catalog.New(catalog.Options{})
	n.models = pipeline.Models{
		Items: model.NewItems(model.ItemsOptions{Category: func(item int32) int32 { return n.catalog.View().Category(item) }}),
		// One session alone proves nothing about two items, and would tell a
		// stranger what its visitor looked at.
		Viewed: model.NewPairs(model.PairsOptions{MinCount: 2}), Bought: model.NewPairs(model.PairsOptions{}),
		Sessions: model.NewSessions(model.SessionsOptions{}),
	}
	p, err := pipeline.Open(ctx, pipeline.Options{
		Journal: n.journal, Store: n.store, Folder: folder, Parts: n.parts, People: n.people,
		Catalog: n.catalog, Models: n.models,
		Entities: entitiesOf(compiled), Workspace: cfg.Workspace,
		Segments: func() *segment.Set { return n.rules.Load().Segments },
		Changed:  n.hub.Changed, Folded: n.folded,
		Now: n.clock, Checkpoint: time.Duration(cfg.Profiles.Checkpoint), Tick: n.opt.Tick, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.pipeline = p
	n.models.Items.Refresh(n.clock())
	n.retriever = newRetriever(n, cfg)
	return n.buildEngine(compiled)
}

// buildEngine makes the engine of the compiled configuration, over the same
// world.
func (n *Node) buildEngine(c *config.Compiled) error {
	engine, err := recommend.New(recommend.World{
		Catalog: n.catalog, Items: n.models.Items, Viewed: n.models.Viewed, Bought: n.models.Bought, Sessions: n.models.Sessions,
		Features: c.Features, Rules: c.Rules.With(entities{n.pipeline.Entities(), n.log}), Search: n.searcher(), Version: n.version.Add(1),
	}, c.Placements)
	if err != nil {
		return err
	}
	n.engine.Store(engine)
	return nil
}

// openEdge builds what listens: collect and serve.
func (n *Node) openEdge(cfg *config.Config) error {
	secrets := cfg.EffectiveKeys()
	var err error
	if n.keys, err = collect.NewKeys(sources(secrets, n.rules.Load().Gates), secrets.ServerSecrets); err != nil {
		return err
	}
	if err = n.openPlaces(cfg); err != nil {
		return err
	}
	n.collector, err = collect.New(collect.Options{
		Journal: n.journal, Keys: n.keys, Now: n.clock,
		Signer:      identity.Signer{Secret: []byte(secrets.VisitorSecret)},
		UserSecrets: userSecrets(secrets),
		Devices:     devices{n.parts}, Items: items{n.catalog},
		Lag:        func() bool { return n.pipeline.Lag() > uint64(n.cfg.Load().Limits.LagEvents) }, //nolint:gosec // validated above 0
		Log:        n.log,
		Metrics:    counted{n.metrics, n.meter},
		OnAccepted: n.live.accepted,
		Limits: collect.Limits{
			RequestBytes: int64(cfg.Limits.RequestBytes), EventBytes: int(cfg.Limits.EventBytes), BatchEvents: cfg.Limits.BatchEvents,
			InFlightBytes: int64(cfg.Limits.PendingBytes), DeadLetters: cfg.Limits.DeadLetters,
		},
		Consent:       collect.Consent{Categories: cfg.Identity.ConsentCategories, GPC: cfg.Identity.SecGPC},
		Externals:     externals(cfg.Identity.ExternalIDs),
		VerifiedLinks: cfg.Identity.Links == config.LinksVerified,
		TrustProxy:    cfg.TrustProxy,
		Geo:           n.geo(), AnonymizeIP: cfg.Collect.Geo.AnonymizeIP,
		Robots: collect.Robots{Agents: cfg.Collect.Bots.Patterns(), Networks: cfg.Collect.Bots.Prefixes()},
	})
	if err != nil {
		return err
	}
	n.recorder = serve.NewRecorder(n.journal, 0, n.log)
	keys := serveKeys(secrets)
	n.browser.Store(&keys)
	n.server = serve.New(serve.Options{
		Decider:  decider{n.engine.Load()},
		Ingester: ingester{n},
		Waiter:   n.pipeline,
		People:   n.people, Segments: segments{n}, Histories: histories{n},
		Catalog: n.catalog, Journal: n.journal, Logger: n.recorder, Decisions: n.pipeline, Notifier: &n.hub, Metrics: counted{n.metrics, n.meter},
		Keys:  keys,
		Clock: n.clock, Mono: func() time.Duration { return time.Since(n.start) },
		Ready: n.ready, Log: n.log,
		Limits: serve.Limits{MaxBody: int64(cfg.Limits.RequestBytes)},
	})
	n.server.SetIdentities(identities{n})
	n.server.SetEveryone(&everyone{n: n, workers: 1}) // the other cores are for those who wait
	return nil
}

// ready returns why the node should not get traffic, or nil.
func (n *Node) ready() error {
	if lag := n.pipeline.Lag(); lag > uint64(n.cfg.Load().Limits.LagEvents) { //nolint:gosec // validated above 0
		return fmt.Errorf("the pipeline is %d records behind: %w", lag, attune.ErrBusy)
	}
	return nil
}

// Run serves until ctx ends, then drains: no new requests, what is being
// answered is answered, what is queued is journaled, and a last checkpoint is
// written. It closes the node.
func (n *Node) Run(ctx context.Context) error {
	// Rooms stop after the listeners, so that what is being answered still
	// finds a pipeline that folds.
	rooms, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, failed := errgroup.WithContext(rooms)
	group.Go(func() error { return n.pipeline.Run(rooms) })
	group.Go(func() error { return n.recorder.Run(rooms) })
	group.Go(func() error { return n.housekeep(rooms) })
	group.Go(func() error { return n.expire(rooms) })
	group.Go(func() error { return n.outlets.run(rooms) })
	group.Go(func() error { return n.retriever.run(rooms) })
	group.Go(func() error { return n.readFeeds(rooms) })
	group.Go(func() error { return n.watchPlaces(rooms) })
	group.Go(func() error { return n.meter.Run(rooms, n.clock, n.pipeline.Lag) })
	before := n.journal.Status()
	group.Go(func() error { n.recall(rooms, before); return nil })
	if n.opt.File != "" {
		group.Go(func() error { return n.watch(rooms) })
	}
	serving, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unhook := context.AfterFunc(failed, func() { cancel(context.Cause(failed)) })
	defer unhook()
	// The server stops first of all: open streams would hold the listeners.
	group.Go(func() error { return n.server.Run(serving) })
	err := n.refold(serving)
	switch {
	case serving.Err() != nil:
		err = nil // asked to stop meanwhile, or a room failed and says so itself
	case err == nil:
		err = n.listen(serving)
	}
	stop()
	return errors.Join(err, group.Wait(), n.Close())
}

// Listening is closed once the node takes requests; Address is known then.
func (n *Node) Listening() <-chan struct{} { return n.listening }

// Address returns the public address, host and port, "" before Listening.
func (n *Node) Address() string {
	select {
	case <-n.listening:
		return n.address
	default:
		return ""
	}
}

// AdminAddress returns the address of metrics and profiles, "" before Listening
// or when there is none.
func (n *Node) AdminAddress() string {
	select {
	case <-n.listening:
		return n.admins
	default:
		return ""
	}
}

// Members returns how many users are in each segment, as their workers last
// saw it.
func (n *Node) Members() map[string]int { return n.pipeline.Members() }

// Close frees the backends. It is for a node that was opened and not run; Run
// closes by itself. More than once is fine.
func (n *Node) Close() error {
	n.closing.Do(func() {
		if n.journal != nil {
			n.closed = errors.Join(n.closed, n.journal.Close())
		}
		if n.store != nil {
			n.closed = errors.Join(n.closed, n.store.Close())
		}
	})
	return n.closed
}
