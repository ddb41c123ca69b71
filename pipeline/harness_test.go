package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	journaldisk "github.com/attune-io/attune/journal/disk"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
	profiledisk "github.com/attune-io/attune/profile/disk"
	"github.com/attune-io/attune/rule"
	"github.com/attune-io/attune/segment"
)

// tb is what the world needs of a test: *testing.T, *testing.B and *rapid.T
// are one.
type tb = rapid.TB

var errFault = errors.New("a fault on purpose")

// fuse breaks the process at one of its steps: once left is used up, nothing
// that leaves the process works. With late the last step is done, and said to
// have failed.
type fuse struct {
	left atomic.Int64 // steps; below 0 it never blows
	late atomic.Bool
	dead atomic.Bool
}

// step does one step that leaves the process.
func (f *fuse) step(do func() error) error {
	if f.dead.Load() {
		return errFault
	}
	if f.left.Load() >= 0 && f.left.Add(-1) < 0 {
		f.dead.Store(true)
		if f.late.Load() {
			return errors.Join(do(), errFault)
		}
		return errFault
	}
	return do()
}

// faultyJournal and faultyStore are the real ones behind a fuse.
type faultyJournal struct {
	journal.Journal
	*fuse
}

func (j *faultyJournal) Append(ctx context.Context, recs []attune.Record) error {
	return j.step(func() error { return j.Journal.Append(ctx, recs) })
}

type faultyStore struct {
	profile.Store
	*fuse

	get atomic.Int64 // how many of the next calls fail
}

// refused marks a context whose commits fail.
type refused struct{}

func refusing() context.Context { return context.WithValue(context.Background(), refused{}, true) }

func (s *faultyStore) Commit(ctx context.Context, b *profile.Batch) error {
	if ctx.Value(refused{}) != nil {
		return errFault
	}
	return s.step(func() error { return s.Store.Commit(ctx, b) })
}

func (s *faultyStore) Get(ctx context.Context, key []byte) ([]byte, error) {
	if s.get.Add(-1) >= 0 {
		return nil, errFault
	}
	return s.Store.Get(ctx, key)
}

// world is a pipeline over a real journal and a real store in dir.
type world struct {
	tb

	dir        string
	partitions int
	segments   *atomic.Pointer[segment.Set]
	features   *feature.Set // nil: the built-in ones
	cache      int64        // bytes of people
	now        *atomic.Int64
	ticks      time.Duration
	folded     func(*attune.Event)

	fuse    *fuse
	journal *journaldisk.Journal
	store   *faultyStore
	folder  *profile.Folder
	parts   *profile.Parts
	people  *profile.People
	catalog *catalog.Catalog
	models  Models
	pipe    *Pipeline
	cancel  context.CancelFunc
	done    chan error // one send, one receive
}

const start = attune.Millis(1_700_000_000_000)

func features(t tb) *feature.Set {
	t.Helper()
	set, err := feature.Compile(feature.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// segments compiles definitions given as name, condition, name, condition and so on.
func segments(t tb, defs ...string) *segment.Set {
	t.Helper()
	names := rule.Names{Traits: []string{"plan"}}
	var known []segment.Feature
	for _, d := range feature.Defaults() {
		names.Features = append(names.Features, d.Name)
		known = append(known, segment.Feature{Name: d.Name, Moves: d.Moving(), Steps: d.Stepping()})
	}
	var list []segment.Definition
	for d := range slices.Chunk(defs, 2) {
		names.Segments = append(names.Segments, d[0])
		list = append(list, segment.Definition{Name: d[0], When: d[1]})
	}
	env, err := rule.New(names)
	if err != nil {
		t.Fatal(err)
	}
	set, err := segment.Compile(list, env, known)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newWorld(t tb, dir string, partitions int) *world {
	t.Helper()
	w := &world{tb: t, dir: dir, partitions: partitions, segments: &atomic.Pointer[segment.Set]{}, now: &atomic.Int64{}, ticks: time.Hour}
	w.now.Store(int64(start))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// open opens the directory as a new process would, without folding anything.
func (w *world) open() error {
	w.Helper()
	w.fuse = &fuse{}
	w.fuse.left.Store(-1)
	var err error
	w.journal, err = journaldisk.Open(journaldisk.Options{Dir: w.dir + "/journal", Partitions: w.partitions})
	w.must(err)
	store, err := profiledisk.Open(profiledisk.Options{Dir: w.dir + "/profiles", NoSync: true, Cache: 1 << 20})
	w.must(err)
	w.store = &faultyStore{Store: store, fuse: w.fuse}
	if w.features == nil {
		w.features = features(w)
	}
	w.folder = &profile.Folder{Features: w.features}
	w.parts = profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: w.store})
	w.people = profile.NewPeople(w.parts, max(1<<20, w.cache))
	w.catalog = catalog.New(catalog.Options{})
	w.models = Models{
		Items: model.NewItems(model.ItemsOptions{}), Viewed: model.NewPairs(model.PairsOptions{}),
		Bought: model.NewPairs(model.PairsOptions{}), Sessions: model.NewSessions(model.SessionsOptions{}),
	}
	w.pipe, err = Open(context.Background(), Options{
		Journal: &faultyJournal{w.journal, w.fuse}, Store: w.store, Folder: w.folder, Parts: w.parts, People: w.people,
		Catalog: w.catalog, Models: w.models, Segments: w.segments.Load, Folded: w.folded,
		Now:  func() attune.Millis { return attune.Millis(w.now.Load()) },
		Tick: w.ticks, Checkpoint: time.Hour,
	})
	return err
}

// start opens and runs.
func (w *world) start() *world {
	w.Helper()
	w.must(w.open())
	w.run()
	return w
}

func (w *world) run() {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.done = make(chan error, 1)
	go func() { w.done <- w.pipe.Run(ctx) }()
}

// stop ends the process in good order.
func (w *world) stop() {
	w.Helper()
	w.cancel()
	w.must(<-w.done)
	w.close()
}

// kill ends the process at once: nothing of what it held in memory is kept.
func (w *world) kill() {
	w.Helper()
	w.fuse.dead.Store(true)
	w.cancel()
	if err := <-w.done; err == nil && w.pipe.Lag() == 0 {
		w.Log("it ended before it was killed")
	}
	w.close()
}

func (w *world) close() {
	w.Helper()
	w.must(errors.Join(w.journal.Close(), w.store.Close()))
}

// settle waits until everything is folded, and what that asked for too.
func (w *world) settle() {
	w.Helper()
	for range 3 {
		w.must(w.pipe.CaughtUp(context.Background()))
		w.must(w.pipe.Checkpoint(context.Background()))
	}
}

// append journals recs as collect would, past the fuse.
func (w *world) append(recs ...attune.Record) {
	w.Helper()
	w.must(w.journal.Append(context.Background(), recs))
}

// send journals e with the records that collect gives it, and returns them.
func (w *world) send(e *attune.Event) []attune.Record {
	w.Helper()
	recs := records(w, e)
	w.append(recs...)
	return recs
}

func records(t tb, e *attune.Event) []attune.Record {
	t.Helper()
	key, err := identity.Route(e)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := e.AppendBinary(nil) // its error is always nil
	var recs []attune.Record
	if e.Has(attune.Device) && e.UserID != "" && !e.Has(attune.Bot) {
		link, _ := json.Marshal(attune.Link{AnonymousID: e.AnonymousID}) // plain values
		recs = append(recs, attune.Record{Kind: attune.KindLink, Key: identity.UserKey(e.UserID), Time: e.Time, ReceivedAt: e.ReceivedAt, Payload: link})
	}
	recs = append(recs, attune.Record{Kind: attune.KindEvent, Key: key, Time: e.Time, ReceivedAt: e.ReceivedAt, Payload: payload})
	var p struct {
		OrderID string `json:"order_id"`
	}
	if json.Unmarshal(e.Properties, &p) == nil && p.OrderID != "" && attune.IsOrder(e.On()) && !e.Has(attune.Bot) {
		recs = append(recs, attune.Record{Kind: attune.KindOrder, Key: identity.OrderKey(p.OrderID), Time: e.Time, ReceivedAt: e.ReceivedAt, Payload: payload})
	}
	return recs
}

// browser and server make an event of a device or of a user. Who is "device",
// or "device user".
func browser(id, who, name string, at attune.Millis, properties string) *attune.Event {
	device, user, _ := strings.Cut(who, " ")
	return &attune.Event{
		Type: attune.Track, Name: name, MessageID: id, AnonymousID: device, UserID: user, Flags: attune.Device,
		Time: at, ReceivedAt: at, Properties: []byte(properties),
	}
}

func server(id, user, name string, at attune.Millis, properties string) *attune.Event {
	return &attune.Event{
		Type: attune.Track, Name: name, MessageID: id, UserID: user, Rank: attune.Server,
		Time: at, ReceivedAt: at, Properties: []byte(properties),
	}
}

// counts returns the totals of an item.
func (w *world) counts(item string) model.Counts {
	n, ok := w.catalog.Number(item)
	if !ok {
		return model.Counts{}
	}
	return w.models.Items.Counts(n)
}

// together returns in how many sets of p both items are.
func (w *world) together(p *model.Pairs, a, b string) int {
	x, ok := w.catalog.Number(a)
	y, also := w.catalog.Number(b)
	if !ok || !also {
		return 0
	}
	return p.Count(x, y)
}

// statistics describes everything that is counted of items, by line.
func (w *world) statistics() []string {
	var out, ids []string
	for n := range int32(w.catalog.Len()) {
		ids = append(ids, w.catalog.ID(n))
	}
	slices.Sort(ids)
	for i, id := range ids {
		n, _ := w.catalog.Number(id)
		out = append(out, fmt.Sprintf("%s %+v viewed in %d, bought in %d", id, w.counts(id), w.models.Viewed.Support(n), w.models.Bought.Support(n)))
		for _, other := range ids[:i] {
			if v, b := w.together(w.models.Viewed, id, other), w.together(w.models.Bought, id, other); v+b > 0 {
				out = append(out, fmt.Sprintf("%s with %s: %d views, %d orders", id, other, v, b))
			}
		}
	}
	for _, p := range w.models.Items.Placements() {
		out = append(out, fmt.Sprintf("%+v", p))
	}
	return append(out, fmt.Sprintf("%d sessions, %d orders", w.models.Viewed.Sets(), w.models.Bought.Sets()))
}

// same compares two descriptions.
func same(t tb, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: %q is missing", what, want[i])
		case i >= len(want):
			t.Fatalf("%s: %q is too much", what, got[i])
		case got[i] != want[i]:
			t.Fatalf("%s:\n got %s\nwant %s", what, got[i], want[i])
		}
	}
}

// transitions returns those that are in the journal, by partition in order.
func (w *world) transitions() (all []attune.Transition) {
	w.Helper()
	for p, last := range w.journal.Status().Last {
		r, err := w.journal.Read(p, 1)
		w.must(err)
		for next := uint64(1); next <= last; {
			recs, err := r.Next(context.Background(), 100)
			w.must(err)
			for i := range recs {
				next = recs[i].Offset + 1
				if recs[i].Kind != attune.KindTransition {
					continue
				}
				var t attune.Transition
				w.must(json.Unmarshal(recs[i].Payload, &t))
				all = append(all, t)
			}
		}
		w.must(r.Close())
	}
	return all
}
