package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// TestBadPayloads: a record whose payload does not decode is counted and
// stepped over, and what is around it is folded.
func TestBadPayloads(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1).start()
	w.send(browser("m1", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.append(
		attune.Record{Kind: attune.KindEvent, Key: "a:d1", Payload: []byte("no event")},
		attune.Record{Kind: attune.KindOrder, Key: "o:1", Payload: nil},
		attune.Record{Kind: attune.KindItem, Key: "i:p9", Payload: []byte("{")},
		attune.Record{Kind: attune.KindLink, Key: "u:u1", Payload: []byte("{")},
		attune.Record{Kind: attune.KindDecision, Key: "t:0", Payload: []byte("{")},
		attune.Record{Kind: attune.KindTransition, Key: "u:u1", Payload: []byte("{")},
		attune.Record{Kind: 99, Key: "x"},
	)
	w.send(browser("m2", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.settle()
	if got := w.counts("p1").Views; got != 2 || w.pipe.Corrupt() != 3 {
		t.Errorf("%d views and %d corrupt records, want 2 and 3", got, w.pipe.Corrupt())
	}
	w.stop()
}

// silence is a pebble.Logger.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(string, ...any) {}

// TestDamagedRecord: a stored record that does not read is stepped over.
func TestDamagedRecord(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	w.must(w.open())
	for i := range 9 {
		w.send(browser(fmt.Sprint("m", i), "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	}
	w.close()
	// The journal's rows are looked for by what is in them: their keys are its
	// own business.
	db, err := pebble.Open(w.dir+"/journal", &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: silence{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	w.must(err)
	n := 0
	for it.First(); it.Valid() && n < 4; it.Next() {
		if v, err := it.ValueAndErr(); err == nil && len(v) > 60 {
			if n++; n == 4 {
				w.must(db.Set(it.Key(), v[:20], pebble.Sync))
			}
		}
	}
	w.must(errors.Join(it.Close(), db.Close()))
	w.start()
	w.settle()
	if got := w.counts("p1").Views; got != 8 || w.pipe.Corrupt() != 1 {
		t.Errorf("%d views and %d corrupt records, want 8 and 1", got, w.pipe.Corrupt())
	}
	w.stop()
}

// TestStoreFault: when the store fails, Run says so, nothing behind is
// published nor checkpointed, and the next process goes on where it was.
func TestStoreFault(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	w.must(w.open())
	w.send(browser("m1", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.send(browser("m2", "d2", "Product Viewed", start, `{"product_id":"p1"}`))
	w.store.get.Store(1)
	w.run()
	if err := <-w.done; !errors.Is(err, errFault) {
		t.Errorf("Run returned %v, want the store's error", err)
	}
	if at := w.pipe.Applied()[0]; at != 0 {
		t.Errorf("%d is published", at)
	}
	w.close()
	w.start()
	w.settle()
	if got := w.counts("p1").Views; got != 2 {
		t.Errorf("%d views, want 2", got)
	}
	w.stop()
}

// TestShutdownWrites: the end of the context in the middle of a commit loses
// nothing of what the tables had given it.
func TestShutdownWrites(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2).start()
	w.send(browser("m1", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.send(server("m2", "u1", "Order Completed", start, `{"order_id":"o1","products":[{"product_id":"p1"}]}`))
	w.send(server("m4", "u1", "Order Completed", start, `{"order_id":"o2","products":[{"product_id":"p2"}]}`))
	w.append(attune.Record{Kind: attune.KindDecision, Key: "t:1", Payload: []byte(`{"decision_id":"x1"}`)})
	w.must(w.pipe.CaughtUp(t.Context()))
	for range 2 {
		if err := w.pipe.Checkpoint(refusing()); !errors.Is(err, errFault) {
			t.Fatalf("got %v, want the store's error", err)
		}
	}
	if _, err := w.pipe.Decision(t.Context(), "x1"); err != nil {
		t.Errorf("between checkpoints: %v", err)
	}
	w.send(server("m5", "u1", "Order Cancelled", start, `{"order_id":"o2"}`))
	w.must(w.pipe.CaughtUp(t.Context()))
	if c := w.counts("p2"); c.Purchases != 0 {
		t.Errorf("p2 has %+v after its order was cancelled", c)
	}
	want := w.statistics()
	w.stop()
	w.start()
	same(t, "statistics", w.statistics(), want)
	w.send(server("m3", "u1", "Order Cancelled", start, `{"order_id":"o1"}`))
	w.settle()
	if c := w.counts("p1"); c.Purchases != 0 || c.Views != 1 {
		t.Errorf("p1 has %+v, want one view", c)
	}
	if _, err := w.pipe.Decision(t.Context(), "x1"); err != nil {
		t.Errorf("after the checkpoint: %v", err)
	}
	w.stop()
}

// TestSynced: it returns the positions of the very checkpoint it wrote.
func TestSynced(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1).start()
	w.send(browser("m1", "d1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.must(w.pipe.CaughtUp(t.Context()))
	applied, err := w.pipe.Synced(t.Context())
	if err != nil || len(applied) != 1 || applied[0] != 1 {
		t.Errorf("got %v, %v", applied, err)
	}
	w.stop()
}

// TestDecisions: a decision is found at once, while a checkpoint is written,
// after it, and after a restart; and not when the journal has let go of it,
// after which Forget drops it from the index.
func TestDecisions(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2).start()
	key := func(i int) string { return fmt.Sprintf("t:%d", i) }
	for i := range 6 {
		w.append(attune.Record{
			Kind: attune.KindDecision, Key: key(i), Time: start, ReceivedAt: start + attune.Millis(i),
			Payload: fmt.Appendf(nil, `{"decision_id":"x%d","placement":"home"}`, i),
		})
	}
	w.must(w.pipe.CaughtUp(t.Context()))
	find := func(when string) {
		t.Helper()
		for i := range 6 {
			d, err := w.pipe.Decision(t.Context(), fmt.Sprint("x", i))
			if err != nil || d.ID != fmt.Sprint("x", i) {
				t.Errorf("%s: x%d: got %+v, %v", when, i, d, err)
			}
		}
	}
	find("fresh")
	w.pipe.writing.Lock()                      // one checkpoint at a time: this is it
	w.pipe.log.dirtyRows(func(_, _ []byte) {}) // as it does before its commit
	find("while a checkpoint is written")
	w.pipe.log.mu.Lock()
	w.pipe.log.fresh = w.pipe.log.writing
	w.pipe.log.writing = nil
	w.pipe.log.mu.Unlock()
	w.pipe.writing.Unlock()
	w.settle()
	find("after it")
	w.stop()
	w.start()
	find("after a restart")
	if _, err := w.pipe.Decision(t.Context(), "other"); !errors.Is(err, attune.ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	if n, err := w.pipe.Forget(t.Context()); n != 0 || err != nil {
		t.Errorf("forgot %d (%v), when the journal has all", n, err)
	}
	keep, err := w.pipe.Synced(t.Context())
	w.must(err)
	w.must(w.journal.Trim(t.Context(), start+3, keep))
	if _, err := w.pipe.Decision(t.Context(), "x1"); !errors.Is(err, attune.ErrNotFound) {
		t.Errorf("one that the journal let go of: %v", err)
	}
	if n, err := w.pipe.Forget(t.Context()); n != 3 || err != nil {
		t.Errorf("forgot %d (%v), want 3", n, err)
	}
	if d, err := w.pipe.Decision(t.Context(), "x5"); err != nil || d.ID != "x5" {
		t.Errorf("x5 is kept: got %v", err)
	}
	w.stop()
}

// TestTrimmedStart: an empty profile folder beside a journal whose beginning
// is gone folds what there is, and nobody waits for the rest.
func TestTrimmedStart(t *testing.T) {
	w := newWorld(t, t.TempDir(), 3)
	w.segments.Store(segments(t, audiences(t)...))
	w.must(w.open())
	var last [3]uint64
	for i := range 20 {
		for _, r := range w.send(browser(fmt.Sprint("m", i), fmt.Sprint("d", i), "Product Viewed", start, `{"product_id":"p1"}`)) {
			last[journal.Partition(r.Key, 3)] = r.Offset
		}
	}
	w.must(w.journal.Trim(t.Context(), start+1, last[:]))
	w.close()
	w.start()
	w.send(browser("n", "d1", "Product Viewed", start, `{"product_id":"p2"}`))
	ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	if err := w.pipe.CaughtUp(ctx); err != nil || w.pipe.Lag() != 0 || w.counts("p2").Views != 1 {
		t.Errorf("caught up: %v, lag %d, p2 has %+v", err, w.pipe.Lag(), w.counts("p2"))
	}
	w.stop()
}

// TestItems: what the API says of an item outranks what events say, and a
// deleted one stays deleted.
func TestItems(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2).start()
	w.append(attune.Record{Kind: attune.KindItem, Key: identity.ItemKey("p1"), Time: start, Payload: []byte(`{"id":"p1","attributes":{"name":"Shoe"}}`)})
	w.append(attune.Record{Kind: attune.KindItem, Key: identity.ItemKey("p2"), Time: start, Payload: []byte(`{"id":"p2","deleted":true}`)})
	w.settle()
	w.send(browser("m1", "d1", "Product Viewed", start+1, `{"product_id":"p1","name":"Boot"}`))
	w.send(browser("m2", "d1", "Product Viewed", start+1, `{"product_id":"p2","name":"Hat"}`))
	w.settle()
	w.stop()
	w.start()
	if it, ok := w.catalog.Item("p1"); !ok || it.Attributes["name"] != "Shoe" {
		t.Errorf("p1 is %+v, want the name that was put", it)
	}
	if it, ok := w.catalog.Item("p2"); ok && !it.Deleted {
		t.Errorf("p2 is %+v, want it deleted", it)
	}
	w.stop()
}
