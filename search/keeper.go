package search

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
)

// How a Keeper paces itself.
const (
	keepEvery  = 200 * time.Millisecond // between two looks at the catalog
	keepBatch  = 500                    // documents written at once
	maxBackoff = 10 * time.Second
)

// KeeperOptions make a Keeper. Every field but Every and Log is required.
type KeeperOptions struct {
	Index    Index
	Catalog  *catalog.Catalog
	Settings Settings
	// Every is how often the catalog is looked at; 0 is five times a second.
	Every time.Duration
	Log   *slog.Logger
}

// Keeper keeps an index the same as the items of a catalog that can be had now.
// Its queue is the catalog's feed of changes: a look at it that comes too late
// for the feed goes over all items, by their checksums. It holds 8 bytes an item.
type Keeper struct {
	o       KeeperOptions
	version uint64 // of the settings

	since uint64   // the catalog's version that the index reflects
	sums  []uint64 // by item number, of its document in the index; 0 is none
	total Sums

	ready   atomic.Bool
	doubted atomic.Bool
	written atomic.Uint64
	failed  atomic.Uint64

	// The batch that is being filled.
	batch   Batch
	pending []change
	changed []int32
	buffer  []byte
	doc     Document
}

// change is what becomes of an item's checksum when the batch is written.
type change struct {
	item int32
	sum  uint64
}

// NewKeeper returns a Keeper; Run makes it work.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Every == 0 {
		o.Every = keepEvery
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{o: o, version: o.Settings.Version()}
}

// Ready reports whether the index holds the catalog: it was brought up to it
// since Run began, and nothing has shown that it lost it.
func (k *Keeper) Ready() bool { return k.ready.Load() }

// Doubt says that the index failed to answer: it is compared with the catalog
// once more.
func (k *Keeper) Doubt() { k.doubted.Store(true) }

// Stats returns how many documents were written or deleted, and how many writes
// failed, since the start.
func (k *Keeper) Stats() (written, failed uint64) { return k.written.Load(), k.failed.Load() }

// Run keeps the index until ctx ends, and returns nil. What fails is logged and
// done again, after a pause that grows to ten seconds.
func (k *Keeper) Run(ctx context.Context) error {
	pause := k.o.Every
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := k.look(ctx)
		switch {
		case err == nil:
			pause = k.o.Every
		case ctx.Err() != nil:
			return nil
		default:
			k.failed.Add(1)
			pause = min(max(2*pause, time.Second), maxBackoff)
			k.o.Log.Warn("the search index did not follow the catalog; it is done again",
				slog.Duration("after", pause), slog.Any("error", err))
		}
		timer.Reset(pause)
	}
}

// look brings the index up to the catalog.
func (k *Keeper) look(ctx context.Context) error {
	if k.doubted.Swap(false) {
		k.ready.Store(false)
	}
	if !k.ready.Load() {
		if err := k.compare(ctx); err != nil {
			return err
		}
		k.ready.Store(true)
	}
	if k.o.Catalog.Version() == k.since {
		return nil
	}
	changed, version, ok := k.o.Catalog.Changes(k.since, k.changed[:0])
	k.changed = changed[:0]
	if !ok {
		changed = nil // the feed does not reach back: every item is looked at
	}
	if err := k.follow(ctx, changed); err != nil {
		if errors.Is(err, attune.ErrCorrupt) {
			k.Doubt()
		}
		return err
	}
	k.since = version
	return nil
}

// follow writes what differs of the changed items, of all when changed is nil.
func (k *Keeper) follow(ctx context.Context, changed []int32) error {
	view := k.o.Catalog.View()
	if changed != nil {
		slices.Sort(changed)
		for _, n := range slices.Compact(changed) {
			if err := k.item(ctx, view, n); err != nil {
				return err
			}
		}
		return k.write(ctx)
	}
	for n := range int32(view.Len()) { //nolint:gosec // item numbers are int32
		if err := k.item(ctx, view, n); err != nil {
			return err
		}
	}
	return k.write(ctx)
}

// item adds item n to the batch if its document is another than the index has.
func (k *Keeper) item(ctx context.Context, view catalog.View, n int32) error {
	for int(n) >= len(k.sums) {
		k.sums = append(k.sums, 0)
	}
	sum := k.sum(view, n)
	if sum == k.sums[n] {
		return nil
	}
	if sum == 0 {
		k.batch.Delete = append(k.batch.Delete, view.ID(n))
	} else {
		d := Document{ID: k.doc.ID}
		d.Text = append(d.Text, k.doc.Text...)
		d.Keywords = append(d.Keywords, k.doc.Keywords...)
		d.Numbers = append(d.Numbers, k.doc.Numbers...)
		k.batch.Put = append(k.batch.Put, d)
	}
	k.pending = append(k.pending, change{n, sum})
	if len(k.pending) >= keepBatch {
		return k.write(ctx)
	}
	return nil
}

// sum makes k.doc the document of item n and returns its checksum, 0 when it is
// not to be found now.
func (k *Keeper) sum(view catalog.View, n int32) (sum uint64) {
	if !view.Available(n) {
		return 0
	}
	k.o.Settings.Document(view, n, &k.doc)
	sum, k.buffer = k.doc.Sum(k.version, k.buffer)
	return sum
}

// write applies the batch. Only what was written counts as there.
func (k *Keeper) write(ctx context.Context) error {
	if len(k.pending) == 0 {
		return nil
	}
	view, total := k.o.Catalog.View(), k.total
	for _, c := range k.pending {
		total[BucketOf(view.ID(c.item))] ^= k.sums[c.item] ^ c.sum
	}
	b := k.batch
	b.Sums = &total
	err := k.o.Index.Apply(ctx, &b)
	if err == nil {
		for _, c := range k.pending {
			k.sums[c.item] = c.sum
		}
		k.total = total
		k.written.Add(uint64(len(k.pending)))
	}
	clear(k.batch.Put)
	k.batch = Batch{Put: k.batch.Put[:0], Delete: k.batch.Delete[:0]}
	k.pending = k.pending[:0]
	return err
}

// compare makes the index hold exactly what the catalog has, knowing nothing of
// it: whole buckets whose checksums are equal are left as they are. Items that
// change meanwhile are in the feed.
func (k *Keeper) compare(ctx context.Context) error {
	state, err := k.o.Index.State(ctx)
	if err != nil {
		return err
	}
	k.since = k.o.Catalog.Version()
	view := k.o.Catalog.View()
	sums := make([]uint64, view.Len())
	var want Sums
	for n := range sums {
		item := int32(n)
		if sums[n] = k.sum(view, item); sums[n] != 0 {
			want[BucketOf(view.ID(item))] ^= sums[n]
		}
	}
	k.sums, k.total = sums, want
	var differs [Buckets]bool
	for i := range want {
		if differs[i] = want[i] != state.Sums[i]; differs[i] {
			// Until all of the bucket is written its checksum says that it is not.
			k.total[i] = unfinished
		}
	}
	if k.total == want {
		return nil
	}
	k.o.Log.Info("the search index is brought up to the catalog", slog.Int("items", len(sums)), slog.Int("indexed", state.Documents))
	for n := range sums {
		if differs[BucketOf(view.ID(int32(n)))] {
			sums[n] = 0
		}
	}
	stale, err := k.stale(ctx, view, &differs, state)
	if err != nil {
		return err
	}
	if err := k.o.Index.Apply(ctx, &Batch{Delete: stale, Sums: &k.total}); err != nil {
		return err
	}
	if err := k.follow(ctx, nil); err != nil {
		return err
	}
	for i := range differs {
		if differs[i] {
			k.total[i] ^= unfinished
		}
	}
	return k.o.Index.Apply(ctx, &Batch{Sums: &k.total})
}

// unfinished is in the checksum of a bucket that is being written.
const unfinished = 0x9e3779b97f4a7c15

// stale returns the ids in differing buckets that the catalog does not have to
// be found.
func (k *Keeper) stale(ctx context.Context, view catalog.View, differs *[Buckets]bool, state State) ([]string, error) {
	if state.Documents == 0 {
		return nil, nil
	}
	var stale []string
	for bucket, is := range differs {
		if !is {
			continue
		}
		ids, err := k.o.Index.IDs(ctx, bucket)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if n, ok := k.o.Catalog.Number(id); !ok || !view.Available(n) {
				stale = append(stale, id)
			}
		}
	}
	return stale, nil
}
