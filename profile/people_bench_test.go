package profile_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// world is a user with n parts: her own, and devices linked to her, each with
// a typical history.
type world struct {
	parts  *profile.Parts
	folder *profile.Folder
	next   uint64
}

const historyEach = 30

func newWorld(tb testing.TB, n int, store profile.Store) *world {
	tb.Helper()
	w := &world{folder: &profile.Folder{Features: features(tb)}}
	w.parts = profile.NewParts(profile.PartsOptions{Folder: w.folder, Store: store, MemoryBytes: 1 << 30})
	for i := range n - 1 {
		d := fmt.Sprintf("d%d", i)
		w.note(tb, attune.KindLink, fmt.Sprintf(`{"anonymous_id":%q}`, d))
		for j := range historyEach {
			w.event(tb, w.view(d, j))
		}
	}
	for j := range historyEach {
		e := w.view("", j)
		e.Flags = 0
		w.event(tb, e)
	}
	return w
}

func (w *world) view(device string, j int) *attune.Event {
	at := start + attune.Millis(w.next)*60_000
	return &attune.Event{
		Type: attune.Track, Name: "Product Viewed", MessageID: fmt.Sprint("m", w.next),
		UserID: "u1", AnonymousID: device, Flags: attune.Device, Time: at, ReceivedAt: at,
		Context: []byte(`{"traits":{"email":"ann@example.com","plan":"pro","address":{"city":"Ulm","zip":"89073"}},"page":{"path":"/x"}}`),
		Properties: fmt.Appendf(nil, `{"product_id":"p%d","name":"Shoe","category":"c%d","brand":"b%d","price":9.5}`,
			(w.next*7+uint64(j))%300, j%8, j%5),
	}
}

func (w *world) event(tb testing.TB, e *attune.Event) {
	tb.Helper()
	key, err := identity.Route(e)
	if err != nil {
		tb.Fatal(err)
	}
	w.fold(tb, attune.Record{Kind: attune.KindEvent, Key: key, Time: e.Time, ReceivedAt: e.ReceivedAt}, e)
}

func (w *world) note(tb testing.TB, kind attune.Kind, payload string) {
	tb.Helper()
	w.fold(tb, attune.Record{Kind: kind, Key: "u:u1", ReceivedAt: start, Payload: []byte(payload)}, nil)
}

func (w *world) fold(tb testing.TB, r attune.Record, e *attune.Event) {
	tb.Helper()
	w.next++
	r.Offset = w.next
	err := w.parts.Update(context.Background(), r.Key, func(p *profile.Part) bool {
		return w.folder.Fold(p, &r, e) != profile.Skipped
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func read(b *testing.B, pp *profile.People) *profile.Person {
	b.Helper()
	p, err := pp.User(context.Background(), "u1")
	if err != nil || p.State.Events == 0 {
		b.Fatal(p, err)
	}
	return p
}

// BenchmarkPerson is what reading a person of some parts costs: for the first
// time, after one part changed, and when nothing did.
func BenchmarkPerson(b *testing.B) {
	for _, n := range []int{1, 5, 50} {
		w := newWorld(b, n, nil)
		b.Run(fmt.Sprintf("first/parts=%d", n), func(b *testing.B) {
			for b.Loop() {
				read(b, profile.NewPeople(w.parts, 0))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/part")
		})
		b.Run(fmt.Sprintf("changed/parts=%d", n), func(b *testing.B) {
			pp := profile.NewPeople(w.parts, 0)
			read(b, pp)
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				e := w.view(fmt.Sprintf("d%d", max(0, n-2)), i)
				if n == 1 {
					e.Flags = 0
				}
				w.event(b, e)
				b.StartTimer()
				read(b, pp)
			}
		})
		b.Run(fmt.Sprintf("unchanged/parts=%d", n), func(b *testing.B) {
			pp := profile.NewPeople(w.parts, 0)
			for b.Loop() {
				read(b, pp)
			}
		})
	}
}

// BenchmarkFold is one event into one of a thousand devices.
func BenchmarkFold(b *testing.B) {
	w := newWorld(b, 1, nil)
	events := make([]*attune.Event, 1000)
	for i := range events {
		events[i] = w.view(fmt.Sprintf("d%d", i), i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := events[i%len(events)]
		e.MessageID = strconv.Itoa(i)
		e.Time += 60_000
		e.ReceivedAt = e.Time
		w.event(b, e)
	}
}

// BenchmarkCheckpoint is what writers wait for: a thousand dirty parts into a
// batch.
func BenchmarkCheckpoint(b *testing.B) {
	w := newWorld(b, 1000, nil)
	var batch profile.Batch
	for b.Loop() {
		batch.Reset()
		if got := w.parts.Checkpoint(&batch); got != 1000 {
			b.Fatal(got)
		}
		w.parts.Saved(attune.ErrBusy)
	}
	b.ReportMetric(float64(batch.Size())/1000, "bytes/part")
}
