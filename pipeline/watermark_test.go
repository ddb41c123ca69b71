package pipeline

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/model"
)

// TestWatermark: each of many waiters wakes when its offset is applied and not
// before, and those whose context ends are forgotten.
func TestWatermark(t *testing.T) {
	var mark watermark
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			want := uint64(i)
			if err := mark.wait(t.Context(), want); err != nil || mark.applied.Load() < want {
				t.Errorf("woke at %d with %v, want %d", mark.applied.Load(), err, want)
			}
		})
	}
	ended, end := context.WithCancel(t.Context())
	for range 50 {
		wg.Go(func() {
			if err := mark.wait(ended, 1_000_000); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
		})
	}
	for i := range uint64(200) {
		mark.advance(i)
	}
	end()
	wg.Wait()
	if n := len(mark.waiters); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// TestWait: a token of this journal waits for its positions; that of another,
// and a partition that is not there, for nothing.
func TestWait(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2)
	w.must(w.open())
	recs := w.send(browser("m1", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	at := journal.Position{Partition: journal.Partition(recs[0].Key, 2), Offset: recs[0].Offset}
	token := journal.Token{Journal: journal.ShortID(w.journal.Status().ID), Positions: []journal.Position{at}}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.pipe.Wait(ended, token); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing is folded, and Wait returned %v", err)
	}
	if err := w.pipe.CaughtUp(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing is folded, and CaughtUp returned %v", err)
	}
	if lag := w.pipe.Lag(); lag != 1 {
		t.Errorf("lag %d, want 1", lag)
	}
	for _, free := range []journal.Token{
		{Journal: "00000000", Positions: token.Positions},
		{Journal: token.Journal, Positions: []journal.Position{{Partition: 7, Offset: 1}, {Partition: -1, Offset: 1}}},
	} {
		if err := w.pipe.Wait(ended, free); err != nil {
			t.Errorf("%+v: got %v, want nothing to wait for", free, err)
		}
	}
	w.run()
	if err := w.pipe.Wait(t.Context(), token); err != nil || w.counts("p1") == (model.Counts{}) {
		t.Errorf("Wait returned %v, p1 has %+v", err, w.counts("p1"))
	}
	if w.pipe.Applied()[at.Partition] != 1 || w.pipe.Lag() != 0 {
		t.Errorf("applied %v, lag %d", w.pipe.Applied(), w.pipe.Lag())
	}
	w.stop()
}

// TestOpenRefuses: profiles of another journal, of another number of
// partitions, or ahead of the journal.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world) (id string, applied []uint64)
		want  error
	}{
		{"another journal", func(*world) (string, []uint64) { return "other", []uint64{0, 0} }, attune.ErrInvalid},
		{"other partitions", func(w *world) (string, []uint64) { return w.journal.Status().ID, []uint64{0} }, attune.ErrInvalid},
		{"ahead", func(w *world) (string, []uint64) { return w.journal.Status().ID, []uint64{0, 5} }, attune.ErrCorrupt},
	} {
		w := newWorld(t, t.TempDir(), 2)
		w.must(w.open())
		b := &w.pipe.batch
		b.Journal, b.Applied = c.spoil(w)
		w.must(w.store.Store.Commit(t.Context(), b))
		w.close()
		if err := w.open(); !errors.Is(err, c.want) {
			t.Errorf("%s: Open returned %v, want %v", c.name, err, c.want)
		}
		w.close()
	}
}
