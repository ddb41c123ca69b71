package profiletest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune/profile"
)

// model: a store does what a map does, also when it is closed and opened.
func (k kit) model(t *testing.T) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{open: k.open, dir: t.TempDir(), state: map[string]string{}}
		m.reopen(rt)
		defer func() { _ = m.store.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"commit": m.commit,
			"get":    m.get,
			"scan":   m.scan,
			"reopen": m.reopen,
			"":       m.check,
		})
	})
}

type machine struct {
	open    Open
	dir     string
	store   profile.Store
	state   map[string]string
	journal string
	applied []uint64
}

func keys() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abÿ\x00")), 0, 3, -1)
}

func (m *machine) commit(t *rapid.T) {
	var b profile.Batch
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		key := keys().Draw(t, "key")
		if rapid.Bool().Draw(t, "delete") {
			b.Delete([]byte(key))
			delete(m.state, key)
		} else {
			value := rapid.StringN(0, 5, -1).Draw(t, "value")
			b.Put([]byte(key), []byte(value))
			m.state[key] = value
		}
	}
	if rapid.Bool().Draw(t, "positions") {
		b.Journal = "j"
		b.Applied = rapid.SliceOfN(rapid.Uint64(), 1, 4).Draw(t, "applied")
		m.journal, m.applied = b.Journal, b.Applied
	}
	b.Sync = rapid.Bool().Draw(t, "sync")
	if err := m.store.Commit(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) get(t *rapid.T) {
	key := keys().Draw(t, "key")
	want, there := m.state[key]
	got, err := m.store.Get(context.Background(), []byte(key))
	if err != nil || (got != nil) != there || string(got) != want {
		t.Fatalf("get %q: got %q, %v, want %q, %v", key, got, err, want, there)
	}
}

func (m *machine) scan(t *rapid.T) {
	prefix := keys().Draw(t, "prefix")
	var want, got []string
	for _, key := range slices.Sorted(maps.Keys(m.state)) {
		if bytes.HasPrefix([]byte(key), []byte(prefix)) {
			want = append(want, fmt.Sprintf("%q=%q", key, m.state[key]))
		}
	}
	err := m.store.Scan(context.Background(), []byte(prefix), func(k, v []byte) error {
		got = append(got, fmt.Sprintf("%q=%q", k, v))
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("scan %q: got %s, %v, want %s", prefix, got, err, want)
	}
}

func (m *machine) reopen(t *rapid.T) {
	if m.store != nil {
		if err := m.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	store, err := m.open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	m.store = store
}

func (m *machine) check(t *rapid.T) {
	journal, applied, err := m.store.Positions(context.Background())
	if journal != m.journal || !slices.Equal(applied, m.applied) || err != nil {
		t.Fatalf("positions: got %q %v %v, want %q %v", journal, applied, err, m.journal, m.applied)
	}
}
