package search_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/bleve"
)

func openIndex(t *testing.T, dir string) *bleve.Index {
	t.Helper()
	ix, err := bleve.Open(bleve.Options{Dir: dir, Settings: search.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func put(t *testing.T, c *catalog.Catalog, at attune.Millis, id string, fields map[string]any) {
	t.Helper()
	if err := c.Put(id, fields, catalog.Stamp{Rank: attune.Given, At: at}); err != nil {
		t.Fatal(err)
	}
}

func shop(t *testing.T, n int) *catalog.Catalog {
	t.Helper()
	c := catalog.New(catalog.Options{})
	c.Tick(1000)
	for i := range n {
		put(t, c, 1, fmt.Sprintf("p%d", i), map[string]any{
			"name": fmt.Sprintf("Lamp %d", i), "category": []string{"Home", "Garden"}[i%2], "price": float64(i),
		})
	}
	return c
}

// keep runs a Keeper until the test or the caller ends it.
func keep(t *testing.T, ix search.Index, c *catalog.Catalog) (stop func()) {
	t.Helper()
	k := search.NewKeeper(search.KeeperOptions{Index: ix, Catalog: c, Settings: search.Defaults(), Every: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}) // closed when the Keeper returned
	go func() {
		defer close(done)
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	var ended atomic.Bool
	stop = func() {
		if !ended.Swap(true) {
			cancel()
			<-done
		}
	}
	t.Cleanup(stop)
	eventually(t, "the keeper is ready", k.Ready)
	return stop
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("it did not come about that %s", what)
}

func ids(t *testing.T, ix search.Index, text string) []string {
	t.Helper()
	var r search.Result
	if err := search.Find(t.Context(), ix, text, &search.Query{Limit: 100}, &r); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	slices.Sort(out)
	return out
}

func TestKeeperFollows(t *testing.T) {
	c := shop(t, 40)
	ix := openIndex(t, "")
	defer ix.Close() //nolint:errcheck // in memory
	keep(t, ix, c)
	if got := ids(t, ix, "lamp 7"); !slices.Equal(got, []string{"p7"}) {
		t.Errorf("got %v, want p7", got)
	}
	put(t, c, 2, "new", map[string]any{"name": "Dinosaur"})
	put(t, c, 2, "p7", map[string]any{"name": "Dinosaur lamp"})
	eventually(t, "dinosaurs are found", func() bool { return slices.Equal(ids(t, ix, "dinosaur"), []string{"new", "p7"}) })
	c.Delete("new", catalog.Stamp{At: 3})
	put(t, c, 3, "p7", map[string]any{"in_stock": false})
	eventually(t, "nothing is found that cannot be had", func() bool { return len(ids(t, ix, "dinosaur")) == 0 })
	put(t, c, 4, "p7", map[string]any{"in_stock": true})
	eventually(t, "it is back", func() bool { return slices.Equal(ids(t, ix, "dinosaur"), []string{"p7"}) })
	put(t, c, 5, "p8", map[string]any{"expires_at": 2000.0 * 1e9, "name": "Mammoth"})
	eventually(t, "it is there before its time", func() bool { return len(ids(t, ix, "mammoth")) == 1 })
}

// TestKeeperOverrun changes more items than the catalog's feed remembers.
func TestKeeperOverrun(t *testing.T) {
	c := shop(t, 10)
	ix := openIndex(t, "")
	defer ix.Close() //nolint:errcheck // in memory
	slow := &faulty{Index: ix}
	keep(t, slow, c)
	slow.fails.Store(true)
	for i := range 70_000 {
		put(t, c, attune.Millis(10+i), fmt.Sprintf("p%d", i%10), map[string]any{"price": float64(i)})
	}
	put(t, c, 100_000, "p3", map[string]any{"name": "Dinosaur"})
	slow.fails.Store(false)
	eventually(t, "the newest state is found", func() bool { return slices.Equal(ids(t, ix, "dinosaur"), []string{"p3"}) })
}

// faulty fails to write while it is told to.
type faulty struct {
	search.Index

	fails   atomic.Bool
	written atomic.Int64
}

func (f *faulty) Apply(ctx context.Context, b *search.Batch) error {
	if f.fails.Load() {
		return errors.New("the disk is full")
	}
	f.written.Add(int64(len(b.Put) + len(b.Delete)))
	return f.Index.Apply(ctx, b)
}

// TestKeeperRestarts: what the index has is not written again; what changed
// while it was closed is, and nothing is left of what is gone.
func TestKeeperRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "search")
	c := shop(t, 3000)
	ix := openIndex(t, dir)
	stop := keep(t, ix, c)
	stop()
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	again := func(c *catalog.Catalog) (written int64) {
		t.Helper()
		ix := openIndex(t, dir)
		defer ix.Close() //nolint:errcheck // looked at again
		f := &faulty{Index: ix}
		stop := keep(t, f, c)
		defer stop()
		var r search.Result
		if err := ix.Search(t.Context(), &search.Query{}, &r); err != nil {
			t.Fatal(err)
		}
		available := 0
		for n := range int32(c.Len()) {
			if c.View().Available(n) {
				available++
			}
		}
		if r.Total != available {
			t.Errorf("%d documents, want %d", r.Total, available)
		}
		return f.written.Load()
	}
	if n := again(shop(t, 3000)); n != 0 {
		t.Errorf("%d documents were written again", n)
	}
	other := shop(t, 2990) // the last ten were never heard of
	put(t, other, 2, "p5", map[string]any{"name": "Dinosaur"})
	other.Delete("p6", catalog.Stamp{At: 2})
	if n := again(other); n == 0 || n > 200 {
		t.Errorf("%d documents were written for twelve changes, want those of some buckets", n)
	}
	if n := again(other); n != 0 {
		t.Errorf("%d documents were written again", n)
	}
}

// TestDamage: whatever happened to the files, the index is made again.
func TestDamage(t *testing.T) {
	damage := map[string]func(t *testing.T, name string){
		"a flipped byte": func(t *testing.T, name string) {
			t.Helper()
			b, err := os.ReadFile(name)
			if err == nil && len(b) > 0 {
				b[len(b)/2] ^= 0xff
				err = os.WriteFile(name, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, name string) {
			t.Helper()
			info, err := os.Stat(name)
			if err == nil {
				err = os.Truncate(name, info.Size()*2/3)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, name string) {
			t.Helper()
			if err := os.Truncate(name, 0); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, name string) {
			t.Helper()
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, pattern := range []string{"store/*.zap", "store/root.bolt", "index_meta.json"} {
		for name, harm := range damage {
			if name == "a flipped byte" && pattern == "store/root.bolt" {
				continue // most of its bytes are of no use, and say nothing
			}
			t.Run(pattern+" "+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "search")
				c := shop(t, 100)
				ix := openIndex(t, dir)
				stop := keep(t, ix, c)
				stop()
				if err := ix.Close(); err != nil {
					t.Fatal(err)
				}
				files, err := filepath.Glob(filepath.Join(dir, pattern))
				if err != nil || len(files) == 0 {
					t.Fatalf("no files %s: %v", pattern, err)
				}
				for _, f := range files {
					harm(t, f)
				}
				ix = openIndex(t, dir)
				defer ix.Close() //nolint:errcheck // it is thrown away
				keep(t, ix, c)
				if got := ids(t, ix, "lamp 42"); !slices.Equal(got, []string{"p42"}) {
					t.Errorf("got %v, want p42", got)
				}
			})
		}
	}
}

// TestOtherSettings: an index that was made under others is made again.
func TestOtherSettings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "search")
	ix := openIndex(t, dir)
	stop := keep(t, ix, shop(t, 10))
	stop()
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	settings := search.Defaults()
	settings.Fields = map[string]int{"name": 1}
	other, err := bleve.Open(bleve.Options{Dir: dir, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // it is thrown away
	if s, err := other.State(t.Context()); err != nil || s.Documents != 0 {
		t.Errorf("got %d documents, %v; want none", s.Documents, err)
	}
}
