package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// split sorts records into partitions, in the order given.
func split(recs []attune.Record, n int) [][]attune.Record {
	parts := make([][]attune.Record, n)
	for i := range recs {
		p := journal.Partition(recs[i].Key, n)
		parts[p] = append(parts[p], recs[i])
	}
	return parts
}

// whole reads everything a journal holds.
func whole(t *testing.T, j journal.Journal) [][]attune.Record {
	t.Helper()
	s := j.Status()
	parts := make([][]attune.Record, s.Partitions())
	for p := range parts {
		n := int(s.Last[p] + 1 - s.First[p]) //nolint:gosec // small
		parts[p] = drain(t, mustRead(t, j, p, s.First[p]), n, 64)
		for i := range parts[p] {
			if got, want := parts[p][i].Offset, s.First[p]+uint64(i); got != want {
				t.Fatalf("partition %d: offset %d, want %d", p, got, want)
			}
		}
	}
	return parts
}

// order: a slice keeps its order in each partition, offsets rise by one.
func (k *kit) order(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	n := j.Status().Partitions()
	var want []attune.Record
	for i := range 20 {
		var recs []attune.Record
		for m := range i {
			recs = append(recs, record(fmt.Sprintf("a:%d", m%7), i*100+m))
		}
		want = append(want, mustAppend(t, j, recs...)...)
	}
	got := whole(t, j)
	for p, w := range split(want, n) {
		equal(t, got[p], w)
	}
}

// durable: a reopened journal is the same one, and its offsets go on.
func (k *kit) durable(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer func() { shut(t, j) }()
	before := j.Status()
	n := before.Partitions()
	var want []attune.Record
	for round := range 3 {
		for i := range 30 {
			want = append(want, mustAppend(t, j, record(fmt.Sprintf("u:%d", i), round), record("u:x", i))...)
		}
		last := j.Status()
		j = k.reopen(t, j)
		s := j.Status()
		if s.ID != before.ID || !slices.Equal(s.Last, last.Last) || !slices.Equal(s.First, last.First) {
			t.Fatalf("round %d: status %+v, want %+v", round, s, last)
		}
		got := whole(t, j)
		for p, w := range split(want, n) {
			equal(t, got[p], w)
		}
	}
}

// buffers: the caller may reuse its payloads after Append.
func (k *kit) buffers(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	key := keys(j.Status().Partitions())[0]
	buf := make([]byte, 100)
	for i := range 10 {
		for b := range buf {
			buf[b] = byte('a' + i)
		}
		rec := record(key, i)
		rec.Payload = buf
		mustAppend(t, j, rec)
		clear(buf)
	}
	for i, rec := range drain(t, mustRead(t, j, 0, 1), 10, 10) {
		if len(rec.Payload) != 100 || rec.Payload[0] != byte('a'+i) || rec.Payload[99] != byte('a'+i) {
			t.Errorf("record %d: payload %q, want what was appended", i, rec.Payload)
		}
	}
}

// kinds: every field of a record comes back, from memory and from storage.
func (k *kit) kinds(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer func() { shut(t, j) }()
	want := mustAppend(
		t, j,
		attune.Record{Kind: attune.KindTick, Key: "t:0"},
		attune.Record{Kind: attune.KindItem, Key: "i:\x00\xff", Payload: []byte{}},
		attune.Record{
			Kind: attune.KindLink, Workspace: "w", Key: "u:é", DataKey: 1 << 31,
			Time: -5, ReceivedAt: 1 << 50, Payload: make([]byte, 1<<20),
		},
		attune.Record{Kind: 255, Key: ""},
	)
	for range 2 {
		got := whole(t, j)
		for p, w := range split(want, len(got)) {
			equal(t, got[p], w)
		}
		j = k.reopen(t, j)
	}
}

// concurrent: nothing is lost or doubled, and each caller's records are in its
// own order in every partition.
func (k *kit) concurrent(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	const callers, each = 16, 40
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				recs := []attune.Record{record(fmt.Sprintf("a:%d", i%5), i), record("u:hot", i)}
				for m := range recs {
					recs[m].Workspace = strconv.Itoa(c)
				}
				if err := j.Append(patient(t), recs); err != nil {
					t.Errorf("caller %d: %v", c, err)
					return
				}
				if p := journal.Partition("u:hot", j.Status().Partitions()); j.Status().Last[p] < recs[1].Offset {
					t.Errorf("caller %d: status is behind offset %d, which was acknowledged", c, recs[1].Offset)
				}
			}
		})
	}
	wg.Wait()
	count := 0
	for p, recs := range whole(t, j) {
		next := map[string]attune.Millis{}
		for i := range recs {
			who := recs[i].Workspace + recs[i].Key
			if recs[i].Time <= next[who] {
				t.Fatalf("partition %d: %s of caller %s comes after its time %d", p, show(&recs[i]), recs[i].Workspace, next[who])
			}
			next[who] = recs[i].Time
			count++
		}
	}
	if want := callers * each * 2; count != want {
		t.Errorf("%d records, want %d", count, want)
	}
}

// allOrNothing: appends whose context ends at any moment are stored whole or
// not at all, and stored if they were acknowledged.
func (k *kit) allOrNothing(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer func() { shut(t, j) }()
	const callers, each, size = 8, 25, 9
	acked := make([][]bool, callers)
	var wg sync.WaitGroup
	for c := range callers {
		acked[c] = make([]bool, each)
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(patient(t))
				if i%2 == 1 {
					go cancel()
				}
				acked[c][i] = appendMarked(ctx, t, j, fmt.Sprintf("%d/%d", c, i), size)
				cancel()
			}
		})
	}
	wg.Wait()
	j = k.reopen(t, j)
	seen := map[string]int{}
	for _, recs := range whole(t, j) {
		for i := range recs {
			seen[recs[i].Workspace]++
		}
	}
	for c := range callers {
		for i := range each {
			n := seen[fmt.Sprintf("%d/%d", c, i)]
			if n != 0 && n != size || n == 0 && acked[c][i] {
				t.Errorf("append %d of caller %d (acknowledged: %v): %d of %d records", i, c, acked[c][i], n, size)
			}
		}
	}
}

// appendMarked appends size records marked with name, and reports whether they
// were acknowledged. The context may end meanwhile.
func appendMarked(ctx context.Context, t *testing.T, j journal.Journal, name string, size int) bool {
	t.Helper()
	recs := make([]attune.Record, size)
	for m := range recs {
		recs[m] = record(fmt.Sprintf("u:%d", m), m)
		recs[m].Workspace = name
	}
	err := j.Append(ctx, recs)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	return err == nil
}

// closeUnderLoad: Close while others append and read. What was acknowledged is
// there afterwards.
func (k *kit) closeUnderLoad(t *testing.T) {
	t.Helper()
	j := k.open(t)
	a := acks{seen: map[string]bool{}, enough: make(chan struct{})}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() { a.appendUntilClosed(t, j, fmt.Sprintf("u:%d", c)) })
	}
	for p := range j.Status().Partitions() {
		r := mustRead(t, j, p, 1)
		wg.Go(func() { readUntilClosed(t, r, p) })
	}
	<-a.enough
	shut(t, j)
	wg.Wait()
	j = k.reopen(t, j)
	defer shut(t, j)
	for _, recs := range whole(t, j) {
		for i := range recs {
			delete(a.seen, string(recs[i].Payload))
		}
	}
	if len(a.seen) > 0 {
		t.Errorf("%d acknowledged records are gone", len(a.seen))
	}
}

// acks collects the payloads that were acknowledged.
type acks struct {
	mu     sync.Mutex
	seen   map[string]bool
	enough chan struct{} // closed at the fiftieth, or when an append failed
	once   sync.Once
}

func (a *acks) appendUntilClosed(t *testing.T, j journal.Journal, key string) {
	t.Helper()
	for i := 0; ; i++ {
		recs := []attune.Record{record(key, i)}
		if err := j.Append(patient(t), recs); err != nil {
			if !errors.Is(err, attune.ErrClosed) {
				t.Errorf("append: got %v, want ErrClosed", err)
			}
			a.once.Do(func() { close(a.enough) })
			return
		}
		a.mu.Lock()
		a.seen[string(recs[0].Payload)] = true
		n := len(a.seen)
		a.mu.Unlock()
		if n >= 50 {
			a.once.Do(func() { close(a.enough) })
		}
	}
}

func readUntilClosed(t *testing.T, r journal.Reader, partition int) {
	t.Helper()
	for next := uint64(1); ; {
		recs, err := r.Next(patient(t), 3)
		if err != nil {
			if !errors.Is(err, attune.ErrClosed) {
				t.Errorf("next: got %v, want ErrClosed", err)
			}
			return
		}
		if recs[0].Offset != next {
			t.Errorf("partition %d: offset %d, want %d", partition, recs[0].Offset, next)
		}
		next = recs[len(recs)-1].Offset + 1
	}
}

// token: what an ack names is readable, and survives its text.
func (k *kit) token(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	s := j.Status()
	var recs []attune.Record
	for i, key := range keys(s.Partitions()) {
		recs = append(recs, record(key, i), record(key, i+1))
	}
	recs = mustAppend(t, j, recs...)
	token, err := journal.ParseToken(journal.TokenOf(s.ID, s.Partitions(), recs).String())
	if err != nil {
		t.Fatal(err)
	}
	if !token.Of(s.ID) || len(token.Positions) != s.Partitions() {
		t.Errorf("token %+v, want one position a partition of journal %s", token, s.ID)
	}
	last := j.Status().Last
	for _, p := range token.Positions {
		if p.Offset != 2 || last[p.Partition] < p.Offset {
			t.Errorf("position %+v, journal at %d; want offset 2", p, last[p.Partition])
		}
	}
}
