// Package profiletest is the conformance kit of profile.Store: what every
// backend has to pass. It tests behaviour that package profile relies on,
// nothing about speed.
package profiletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// Open opens the store called dir, an empty one the first time. The kit closes
// what it opens, and opens dir again only after that. For a backend without
// directories dir is a name.
type Open func(dir string) (profile.Store, error)

// Run runs the kit.
func Run(t *testing.T, open Open) {
	t.Helper()
	k := kit{open}
	for name, test := range map[string]func(*testing.T){
		"absent":    k.absent,
		"put":       k.put,
		"delete":    k.drop,
		"batch":     k.batch,
		"scan":      k.scan,
		"snapshot":  k.snapshot,
		"positions": k.positions,
		"reopen":    k.reopen,
		"closed":    k.closed,
		"context":   k.context,
		"model":     k.model,
	} {
		t.Run(name, test)
	}
}

type kit struct{ open Open }

func (k kit) store(t *testing.T, dir string) profile.Store {
	t.Helper()
	s, err := k.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, attune.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func commit(t *testing.T, s profile.Store, change func(b *profile.Batch)) {
	t.Helper()
	var b profile.Batch
	change(&b)
	if err := s.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s profile.Store, key, value string) {
	t.Helper()
	got, err := s.Get(t.Context(), []byte(key))
	if err != nil || got == nil || string(got) != value {
		t.Errorf("get %q: got %q, %v, want %q", key, got, err, value)
	}
}

func wantNone(t *testing.T, s profile.Store, key string) {
	t.Helper()
	if got, err := s.Get(t.Context(), []byte(key)); err != nil || got != nil {
		t.Errorf("get %q: got %q, %v, want nothing", key, got, err)
	}
}

func (k kit) absent(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	wantNone(t, s, "x")
	wantNone(t, s, "")
	journal, applied, err := s.Positions(t.Context())
	if journal != "" || applied != nil || err != nil {
		t.Errorf("positions of an empty store: got %q %v %v", journal, applied, err)
	}
}

func (k kit) put(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	long := string(bytes.Repeat([]byte("v"), 1<<20))
	commit(t, s, func(b *profile.Batch) {
		b.Put([]byte("a"), []byte("1"))
		b.Put([]byte("a\x00b\xff"), []byte{0, 255})
		b.Put([]byte("long"), []byte(long))
		b.Put([]byte("empty"), nil)
	})
	want(t, s, "a", "1")
	want(t, s, "a\x00b\xff", "\x00\xff")
	want(t, s, "long", long)
	want(t, s, "empty", "") // an empty value is a value
	got, err := s.Get(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'X' // the caller's
	want(t, s, "a", "1")
	commit(t, s, func(b *profile.Batch) { b.Put([]byte("a"), []byte("2")) })
	want(t, s, "a", "2")
}

func (k kit) drop(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	commit(t, s, func(b *profile.Batch) {
		b.Put([]byte("a"), []byte("1"))
		b.Put([]byte("ab"), []byte("2"))
	})
	commit(t, s, func(b *profile.Batch) {
		b.Delete([]byte("a"))
		b.Delete([]byte("never"))
	})
	wantNone(t, s, "a")
	want(t, s, "ab", "2")
}

func (k kit) batch(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	var b profile.Batch
	key, value := []byte("a"), []byte("1")
	b.Put(key, value)
	key[0], value[0] = 'X', 'X' // a batch copies
	b.Put([]byte("twice"), []byte("1"))
	b.Put([]byte("twice"), []byte("2"))
	b.Put([]byte("gone"), []byte("1"))
	b.Delete([]byte("gone"))
	b.Delete([]byte("back"))
	b.Put([]byte("back"), []byte("1"))
	if err := s.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Put([]byte("other"), []byte("XXXXXXXXXXXXXXXXXXXXXX")) // a store does not keep it
	want(t, s, "a", "1")
	want(t, s, "twice", "2")
	wantNone(t, s, "gone")
	want(t, s, "back", "1")
	wantNone(t, s, "other")
	commit(t, s, func(*profile.Batch) {})
}

func scan(t *testing.T, s profile.Store, prefix string) []string {
	t.Helper()
	var got []string
	err := s.Scan(t.Context(), []byte(prefix), func(k, v []byte) error {
		got = append(got, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (k kit) scan(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	commit(t, s, func(b *profile.Batch) {
		for _, key := range []string{"b", "a\xff\xff", "a", "a\x00", "ab", "a\xff\xffb", "b\xff"} {
			b.Put([]byte(key), []byte("1"))
		}
		b.Journal, b.Applied = "j", []uint64{1} // positions are not keys
	})
	for prefix, want := range map[string][]string{
		"":          {"a=1", "a\x00=1", "ab=1", "a\xff\xff=1", "a\xff\xffb=1", "b=1", "b\xff=1"},
		"a":         {"a=1", "a\x00=1", "ab=1", "a\xff\xff=1", "a\xff\xffb=1"},
		"a\xff\xff": {"a\xff\xff=1", "a\xff\xffb=1"},
		"c":         nil,
		"\xff":      nil,
	} {
		if got := scan(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("scan %q: got %q, want %q", prefix, got, want)
		}
	}
	enough := errors.New("enough")
	n := 0
	err := s.Scan(t.Context(), []byte("a"), func(_, _ []byte) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 2 {
		t.Errorf("scan that stops: got %v after %d, want %v after 2", err, n, enough)
	}
}

// snapshot: a scan sees whole commits, while another goroutine commits.
func (k kit) snapshot(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	set := func(n int) error {
		var b profile.Batch
		for i := range 20 {
			b.Put(fmt.Appendf(nil, "k%02d", i), fmt.Appendf(nil, "%d", n))
		}
		return s.Commit(context.WithoutCancel(t.Context()), &b)
	}
	if err := set(0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 100 {
			if err := set(n); err != nil {
				t.Error(err)
			}
		}
	})
	for range 50 {
		values := map[string]bool{}
		err := s.Scan(t.Context(), []byte("k"), func(_, v []byte) error {
			values[string(v)] = true
			return nil
		})
		if err != nil || len(values) != 1 {
			t.Errorf("scan while committing: got %d states, %v, want 1", len(values), err)
		}
	}
	wg.Wait()
}

func wantPositions(t *testing.T, s profile.Store, applied ...uint64) {
	t.Helper()
	j, a, err := s.Positions(t.Context())
	if j != "j1" || !slices.Equal(a, applied) || err != nil {
		t.Errorf("positions: got %q %v %v, want j1 %v", j, a, err, applied)
	}
}

func (k kit) positions(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	commit(t, s, func(b *profile.Batch) { b.Journal, b.Applied = "j1", []uint64{0, 7, 1 << 40} })
	wantPositions(t, s, 0, 7, 1<<40)
	commit(t, s, func(b *profile.Batch) { b.Put([]byte("a"), nil) })
	wantPositions(t, s, 0, 7, 1<<40)
	commit(t, s, func(b *profile.Batch) { b.Journal, b.Applied, b.Sync = "j1", []uint64{1, 8, 1 << 41}, true })
	wantPositions(t, s, 1, 8, 1<<41)
}

func (k kit) reopen(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	s := k.store(t, dir)
	commit(t, s, func(b *profile.Batch) {
		b.Put([]byte("a"), []byte("1"))
		b.Journal, b.Applied, b.Sync = "j1", []uint64{3}, true
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = k.store(t, dir)
	want(t, s, "a", "1")
	wantPositions(t, s, 3)
}

func (k kit) closed(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, getErr := s.Get(ctx, []byte("a"))
	_, _, posErr := s.Positions(ctx)
	for name, err := range map[string]error{
		"get":       getErr,
		"positions": posErr,
		"scan":      s.Scan(ctx, nil, func(_, _ []byte) error { return nil }),
		"commit":    s.Commit(ctx, &profile.Batch{}),
	} {
		if !errors.Is(err, attune.ErrClosed) {
			t.Errorf("%s after close: got %v, want %v", name, err, attune.ErrClosed)
		}
	}
}

func (k kit) context(t *testing.T) {
	t.Helper()
	s := k.store(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, []byte("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("get with a cancelled context: got %v", err)
	}
	var b profile.Batch
	b.Put([]byte("a"), nil)
	if err := s.Commit(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("commit with a cancelled context: got %v", err)
	}
}
