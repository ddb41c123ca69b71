// Package journaltest is the conformance kit of the journal seam: what every
// backend must do, as tests. A backend passes it with one line,
//
//	journaltest.Run(t, open, reopen)
//
// It covers order, offsets without gaps, durability over a reopen, all or
// nothing, readers of every kind, the end of a context, trimming, closing, and
// a random walk against a model. It does not cover crashes and damaged files:
// those are the backend's own tests.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// Open makes a new, empty journal with at least two partitions. The kit closes
// it.
type Open func(t *testing.T) journal.Journal

// Reopen closes j and opens the same journal again.
type Reopen func(t *testing.T, j journal.Journal) journal.Journal

// kit is what the tests share.
type kit struct {
	open   Open
	reopen Reopen
}

// Run runs the kit: the rules, and the random walk.
func Run(t *testing.T, open Open, reopen Reopen) {
	t.Helper()
	Rules(t, open, reopen)
	k := kit{open: open, reopen: reopen}
	t.Run("Model", k.model)
}

// Rules runs the kit without the random walk, which takes most of its time: for
// a second set of options of a backend that passes Run.
func Rules(t *testing.T, open Open, reopen Reopen) {
	t.Helper()
	k := kit{open: open, reopen: reopen}
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"Empty", k.empty},
		{"Order", k.order},
		{"Reopen", k.durable},
		{"Buffers", k.buffers},
		{"Kinds", k.kinds},
		{"Woken", k.woken},
		{"Readers", k.readers},
		{"Future", k.future},
		{"Context", k.context},
		{"Concurrent", k.concurrent},
		{"AllOrNothing", k.allOrNothing},
		{"Trim", k.trim},
		{"Invalid", k.invalid},
		{"Close", k.closed},
		{"CloseUnderLoad", k.closeUnderLoad},
		{"Token", k.token},
	} {
		t.Run(c.name, c.run)
	}
}

// patience is how long the kit waits for what must happen at once. It bounds a
// broken backend; a working one never comes near it.
const patience = 30 * time.Second

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// record returns the n-th record of key.
func record(key string, n int) attune.Record {
	return attune.Record{
		Kind:       attune.KindEvent,
		Key:        key,
		Time:       attune.Millis(1000 + n),
		ReceivedAt: attune.Millis(2000 + n),
		Payload:    fmt.Appendf(nil, "%s #%d", key, n),
	}
}

// keys returns one key of each partition.
func keys(n int) []string {
	ks := make([]string, n)
	for i, left := 0, n; left > 0; i++ {
		k := fmt.Sprintf("u:%d", i)
		if p := journal.Partition(k, n); ks[p] == "" {
			ks[p] = k
			left--
		}
	}
	return ks
}

// same reports whether two records are equal, offsets too.
func same(a, b *attune.Record) bool {
	return a.Offset == b.Offset && a.Kind == b.Kind && a.Workspace == b.Workspace && a.Key == b.Key &&
		a.DataKey == b.DataKey && a.Time == b.Time && a.ReceivedAt == b.ReceivedAt && string(a.Payload) == string(b.Payload)
}

func show(r *attune.Record) string {
	return fmt.Sprintf("%d %s %q", r.Offset, r.Key, r.Payload)
}

func mustAppend(t *testing.T, j journal.Journal, recs ...attune.Record) []attune.Record {
	t.Helper()
	if err := j.Append(patient(t), recs); err != nil {
		t.Fatalf("append %d records: %v", len(recs), err)
	}
	return recs
}

func mustRead(t *testing.T, j journal.Journal, partition int, from uint64) journal.Reader {
	t.Helper()
	r, err := j.Read(partition, from)
	if err != nil {
		t.Fatalf("read partition %d from %d: %v", partition, from, err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// drain reads n records and returns copies of them.
func drain(t *testing.T, r journal.Reader, n, limit int) []attune.Record {
	t.Helper()
	got, err := take(patient(t), r, n, limit)
	if err != nil {
		t.Fatalf("after %d of %d records: %v", len(got), n, err)
	}
	return got
}

func take(ctx context.Context, r journal.Reader, n, limit int) ([]attune.Record, error) {
	var got []attune.Record
	for len(got) < n {
		recs, err := r.Next(ctx, min(limit, n-len(got)))
		if err != nil {
			return got, err
		}
		if len(recs) == 0 || len(recs) > limit {
			return got, fmt.Errorf("next returned %d records, want 1 to %d", len(recs), limit)
		}
		for i := range recs {
			rec := recs[i]
			rec.Payload = append([]byte(nil), rec.Payload...)
			got = append(got, rec)
		}
	}
	return got, nil
}

// quiet checks that r has nothing to give.
func quiet(t *testing.T, r journal.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if recs, err := r.Next(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("next at the end: %d records, error %v; want a wait", len(recs), err)
	}
}

// equal compares what was read with what was appended.
func equal(t *testing.T, got, want []attune.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !same(&got[i], &want[i]) {
			t.Fatalf("record %d: got %s, want %s", i, show(&got[i]), show(&want[i]))
		}
	}
}

func shut(t *testing.T, j journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
