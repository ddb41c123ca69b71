package profile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// TestReadersAndWriters: while one writer folds and checkpoints, parts leave
// memory and come back, and nobody ever sees a person go back or a link
// without what came before it.
func TestReadersAndWriters(t *testing.T) {
	store := &memory{disk: newPlatter()}
	w := &world{folder: &profile.Folder{Features: features(t)}}
	w.parts = profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: store, MemoryBytes: 64_000})
	pp := profile.NewPeople(w.parts, 64_000)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for r := range 3 {
		wg.Go(func() {
			var before *profile.Person
			for i := 0; ctx.Err() == nil; i++ {
				p, err := pp.User(context.WithoutCancel(ctx), "u1")
				if err != nil {
					t.Error(err)
					return
				}
				if before != nil {
					forward(t, before, p)
				}
				before = p
				if _, err := pp.Device(context.WithoutCancel(ctx), fmt.Sprintf("stranger%d-%d", r, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	saved := make(chan struct{}, 1) // never closed; holds one while no checkpoint is under way
	saved <- struct{}{}
	want := int64(0)
	for i := range 600 {
		d := fmt.Sprintf("d%d", i*i%11)
		w.note(t, attune.KindLink, fmt.Sprintf(`{"anonymous_id":%q}`, d))
		w.event(t, w.view(d, i))
		if want++; i%7 == 0 {
			w.note(t, attune.KindEdge, fmt.Sprintf(`{"from":"u1","to":"v%d"}`, i%3))
			e := w.view("", i)
			e.UserID, e.Flags = fmt.Sprintf("v%d", i%3), 0
			w.event(t, e)
			want++
		}
		if i%10 == 0 {
			// The checkpoint is encoded and committed beside the writer.
			<-saved
			w.parts.Mark()
			at := w.next
			wg.Go(func() {
				b := profile.Batch{Journal: "j", Applied: []uint64{at}}
				w.parts.Collect(&b)
				w.parts.Saved(store.Commit(context.WithoutCancel(ctx), &b))
				saved <- struct{}{}
			})
		}
	}
	stop()
	wg.Wait()
	p, err := pp.User(t.Context(), "u1")
	if err != nil || p.State.Events != want {
		t.Errorf("got %d events, %v, want %d", p.State.Events, err, want)
	}
	if st := w.parts.Stats(); st.Evictions == 0 {
		t.Error("no part left memory, so that nothing was tested of it")
	}
}

func checkpoint(t *testing.T, w *world, store profile.Store) {
	t.Helper()
	b := profile.Batch{Journal: "j", Applied: []uint64{w.next}}
	w.parts.Checkpoint(&b)
	err := store.Commit(t.Context(), &b)
	if w.parts.Saved(err); err != nil {
		t.Fatal(err)
	}
}

func forward(t *testing.T, before, p *profile.Person) {
	t.Helper()
	for _, a := range before.Vector {
		if now, there := p.Offset(a.Key); !there || now < a.Offset {
			t.Errorf("part %s at %d, %v, was at %d", a.Key, now, there, a.Offset)
		}
	}
	if p.Version < before.Version || p.State.Events < before.State.Events {
		t.Errorf("version %d with %d events, was %d with %d", p.Version, p.State.Events, before.Version, before.State.Events)
	}
}

// TestPersonIsKept: the same person as long as nothing moved; the same state
// when only positions moved.
func TestPersonIsKept(t *testing.T) {
	w := newWorld(t, 5, nil)
	pp := profile.NewPeople(w.parts, 0)
	get := func() *profile.Person {
		t.Helper()
		p, err := pp.User(t.Context(), "u1")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := get()
	if get() != first {
		t.Error("a person that did not move was merged again")
	}
	w.note(t, attune.KindTouch, "")
	if fresh, err := pp.Fresh(t.Context(), first); fresh || err != nil {
		t.Errorf("fresh after a touch: got %v, %v", fresh, err)
	}
	touched := get()
	if touched == first || touched.Version <= first.Version || touched.State != first.State {
		t.Error("a touch did not move the version alone")
	}
	w.event(t, w.view("d0", 0))
	if moved := get(); moved.State.Events != first.State.Events+1 || moved.Version <= touched.Version {
		t.Errorf("after an event: %d events, version %d", moved.State.Events, moved.Version)
	}
	if first.State.Events != 5*historyEach {
		t.Error("a person changed after it was handed out")
	}
}

// TestWarm: Warm gives what User gave for as long as nothing moved, and never
// an older person.
func TestWarm(t *testing.T) {
	w := newWorld(t, 3, nil)
	pp := profile.NewPeople(w.parts, 0)
	if p := pp.Warm("u1", ""); p != nil {
		t.Errorf("before a read: got %+v, want nil", p)
	}
	for range 2 {
		want, err := pp.User(t.Context(), "u1")
		if err != nil {
			t.Fatal(err)
		}
		if got := pp.Warm("u1", "d0"); got != want {
			t.Errorf("after a read: got %p, want %p", got, want)
		}
		w.event(t, w.view("d0", 0))
		if got := pp.Warm("u1", ""); got != nil {
			t.Errorf("after an event: got version %d, want nil", got.Version)
		}
	}
	want, err := pp.Device(t.Context(), "d0")
	if err != nil {
		t.Fatal(err)
	}
	if got := pp.Warm("", "d0"); got != want {
		t.Errorf("device: got %p, want %p", got, want)
	}
}

func TestNumbers(t *testing.T) {
	var p profile.Person
	if got, ok := p.Numbers(3); ok {
		t.Errorf("nothing kept: got %v", got)
	}
	p.KeepNumbers(3, []int32{5, 6})
	p.KeepNumbers(0, nil)
	p.KeepNumbers(3, []int32{7}) // the first stays
	if got, ok := p.Numbers(3); !ok || !slices.Equal(got, []int32{5, 6}) {
		t.Errorf("got %v %v, want 5 and 6", got, ok)
	}
	if got, ok := p.Numbers(0); !ok || len(got) != 0 {
		t.Errorf("an empty list: got %v %v, want it kept", got, ok)
	}
}

func TestPersonReads(t *testing.T) {
	w := newWorld(t, 3, nil)
	pp := profile.NewPeople(w.parts, 0)
	p, err := pp.User(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if city, ok := p.Trait("address.city"); city != "Ulm" || !ok {
		t.Errorf("address.city: got %v, %v", city, ok)
	}
	if got := fmt.Sprint(p.Traits()); got != "map[address:map[city:Ulm zip:89073] email:ann@example.com plan:pro]" {
		t.Errorf("traits: got %s", got)
	}
	now := p.Last() + 1
	if got := p.Feature("views_30d", now); got != int64(3*historyEach) {
		t.Errorf("views_30d: got %v, want %d", got, 3*historyEach)
	}
	if got := p.List(p.Features().Index("last_viewed"), nil, now); len(got) != 20 {
		t.Errorf("last_viewed: got %q", got)
	}
	if got := p.Weighted(p.Features().Index("category_affinity"), nil, now); len(got) == 0 {
		t.Error("category_affinity is empty")
	}
	var ids []string
	for _, id := range p.Identities {
		ids = append(ids, id.Type+" "+id.ID)
	}
	if want := []string{"user_id u1", "anonymous_id d0", "anonymous_id d1"}; !slices.Equal(ids, want) {
		t.Errorf("identities: got %q, want %q", ids, want)
	}
	stranger, err := pp.User(t.Context(), "nobody")
	if err != nil || stranger.Known() || stranger.Feature("last_viewed", now) != nil {
		t.Errorf("a stranger: got %+v, %v", stranger, err)
	}
}

// failing is a store whose reads fail while down is set.
type failing struct {
	memory

	down bool
	// reading is called before each read; nil is not.
	reading func(key string)
}

func (f *failing) Get(ctx context.Context, key []byte) ([]byte, error) {
	if f.down {
		return nil, attune.ErrBusy
	}
	if f.reading != nil {
		f.reading(string(key))
	}
	return f.memory.Get(ctx, key)
}

// TestStoreFails: a read that fails is an error, not an empty person, and the
// next one is right.
func TestStoreFails(t *testing.T) {
	store := &failing{memory: memory{disk: newPlatter()}}
	w := newWorld(t, 5, store)
	checkpoint(t, w, store)
	parts := profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: store})
	pp := profile.NewPeople(parts, 0)
	store.down = true
	if _, err := pp.User(t.Context(), "u1"); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("store down: got %v, want %v", err, attune.ErrBusy)
	}
	if err := parts.Update(t.Context(), "u:u1", func(*profile.Part) bool { t.Error("folded"); return true }); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("update with the store down: got %v, want %v", err, attune.ErrBusy)
	}
	store.down = false
	if p, err := pp.User(t.Context(), "u1"); err != nil || p.State.Events != 5*historyEach {
		t.Errorf("store up: got %v, %v", p, err)
	}
	n := 0
	if err := parts.Keys(t.Context(), "a:d", func(string) error { n++; return nil }); err != nil || n != 4 {
		t.Errorf("keys: got %d, %v, want 4", n, err)
	}
	store.disk.data[string(profile.PartKey("", "a:d1"))] = []byte("rubbish")
	parts = profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: store})
	if _, err := profile.NewPeople(parts, 0).User(t.Context(), "u1"); !errors.Is(err, attune.ErrCorrupt) {
		t.Errorf("a corrupt part: got %v, want %v", err, attune.ErrCorrupt)
	}
}

// TestLinkDuringMerge: a link that comes while its person is being merged is
// seen by the next read, although every part stands where it stood then.
func TestLinkDuringMerge(t *testing.T) {
	store := &failing{memory: memory{disk: newPlatter()}}
	w := newWorld(t, 3, store)
	w.event(t, w.view("d9", 1)) // not linked yet
	checkpoint(t, w, store)
	w.parts = profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: store})
	pp := profile.NewPeople(w.parts, 0)
	store.reading = func(key string) {
		if key == string(profile.PartKey("", "a:d0")) {
			store.reading = nil
			w.note(t, attune.KindLink, `{"anonymous_id":"d9"}`)
		}
	}
	first, err := pp.User(t.Context(), "u1")
	if err != nil || store.reading != nil {
		t.Fatal("the link did not come while merging", err)
	}
	second, err := pp.User(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := second.State.Events, first.State.Events+1; got != want {
		t.Errorf("after the link: got %d events, want %d", got, want)
	}
	forward(t, first, second)
}
