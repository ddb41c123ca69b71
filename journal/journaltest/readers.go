package journaltest

import (
	"context"
	"errors"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

func (k *kit) empty(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	s := j.Status()
	if s.ID == "" || s.Partitions() < 2 || len(s.First) != len(s.Last) {
		t.Fatalf("status %+v: want an id and at least two partitions", s)
	}
	for i := range s.Last {
		if s.First[i] != 1 || s.Last[i] != 0 {
			t.Errorf("partition %d: first %d, last %d; want 1, 0", i, s.First[i], s.Last[i])
		}
	}
	mustAppend(t, j)
	quiet(t, mustRead(t, j, 0, 0))
}

// woken: a reader that waits before the append gets it.
func (k *kit) woken(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	n := j.Status().Partitions()
	for p, key := range keys(n) {
		const readers = 3
		got := make(chan error, readers)
		for range readers {
			r := mustRead(t, j, p, 1)
			go func() {
				for range 5 {
					if _, err := r.Next(patient(t), 1); err != nil {
						got <- err
						return
					}
				}
				got <- nil
			}()
		}
		for i := range 5 {
			mustAppend(t, j, record(key, i))
		}
		for range readers {
			if err := <-got; err != nil {
				t.Errorf("partition %d: %v", p, err)
			}
		}
	}
}

// readers: several of one partition, at different places and paces, some while
// records come.
func (k *kit) readers(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	key := keys(j.Status().Partitions())[0]
	const total = 300
	var want []attune.Record
	for i := range total / 2 {
		want = append(want, mustAppend(t, j, record(key, i))...)
	}
	type answer struct {
		from uint64
		got  []attune.Record
		err  error
	}
	answers := make(chan answer)
	starts := []uint64{0, 1, 2, 77, total / 2, total/2 + 1, total}
	for i, from := range starts {
		r := mustRead(t, j, 0, from)
		go func() {
			a := answer{from: max(from, 1)}
			a.got, a.err = take(patient(t), r, total-int(a.from)+1, 1+i*7) //nolint:gosec // small
			answers <- a
		}()
	}
	for i := total / 2; i < total; i++ {
		want = append(want, mustAppend(t, j, record(key, i))...)
	}
	for range starts {
		a := <-answers
		if a.err != nil {
			t.Errorf("reader from %d: %v", a.from, a.err)
			continue
		}
		equal(t, a.got, want[a.from-1:])
	}
}

// future: a reader beyond the end waits for its offset.
func (k *kit) future(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	key := keys(j.Status().Partitions())[1]
	r := mustRead(t, j, 1, 4)
	for i := range 3 {
		mustAppend(t, j, record(key, i))
	}
	quiet(t, r)
	want := mustAppend(t, j, record(key, 3), record(key, 4))
	equal(t, drain(t, r, 2, 10), want)
}

// context: it ends the wait of Next and of Append, and loses nothing.
func (k *kit) context(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	key := keys(j.Status().Partitions())[0]
	r := mustRead(t, j, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := r.Next(ctx, 1)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("next: got %v, want context.Canceled", err)
	}
	recs := []attune.Record{record(key, 0)}
	if err := j.Append(ctx, recs); !errors.Is(err, context.Canceled) || recs[0].Offset != 0 {
		t.Errorf("append: got %v and offset %d, want context.Canceled and 0", err, recs[0].Offset)
	}
	want := mustAppend(t, j, record(key, 1))
	equal(t, drain(t, r, 1, 1), want)
}

// invalid: what no journal accepts.
func (k *kit) invalid(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer shut(t, j)
	n := j.Status().Partitions()
	for _, p := range []int{-1, n} {
		if _, err := j.Read(p, 1); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("read partition %d of %d: got %v, want ErrInvalid", p, n, err)
		}
	}
	if _, err := mustRead(t, j, 0, 1).Next(patient(t), 0); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("next of at most 0: got %v, want ErrInvalid", err)
	}
	if err := j.Trim(patient(t), 1, make([]uint64, n+1)); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("trim with a wrong keep: got %v, want ErrInvalid", err)
	}
}

// closed: Close ends who waits, and everything after it says so.
func (k *kit) closed(t *testing.T) {
	t.Helper()
	j := k.open(t)
	n := j.Status().Partitions()
	rec := mustAppend(t, j, record(keys(n)[0], 0))
	one, all := mustRead(t, j, 0, 2), mustRead(t, j, 1, 1)
	ended := make(chan error)
	next := func(r journal.Reader) {
		_, err := r.Next(patient(t), 1)
		ended <- err
	}
	go next(one)
	if err := one.Close(); err != nil {
		t.Errorf("close reader: %v", err)
	}
	if err := <-ended; !errors.Is(err, attune.ErrClosed) {
		t.Errorf("next of a closed reader: got %v, want ErrClosed", err)
	}
	go next(all)
	shut(t, j)
	if err := <-ended; !errors.Is(err, attune.ErrClosed) {
		t.Errorf("next of a closed journal: got %v, want ErrClosed", err)
	}
	shut(t, j)
	if err := j.Append(patient(t), rec); !errors.Is(err, attune.ErrClosed) {
		t.Errorf("append: got %v, want ErrClosed", err)
	}
	if err := j.Append(patient(t), nil); !errors.Is(err, attune.ErrClosed) {
		t.Errorf("append of nothing: got %v, want ErrClosed", err)
	}
	if _, err := j.Read(0, 1); !errors.Is(err, attune.ErrClosed) {
		t.Errorf("read: got %v, want ErrClosed", err)
	}
	if err := j.Trim(patient(t), 1, make([]uint64, n)); !errors.Is(err, attune.ErrClosed) {
		t.Errorf("trim: got %v, want ErrClosed", err)
	}
}
