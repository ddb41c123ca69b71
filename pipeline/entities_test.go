package pipeline

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/profile"
	profiledisk "github.com/attune-io/attune/profile/disk"
)

// shop is entities of items over a store on disk, in four partitions.
func shop(tb testing.TB) *Entities {
	tb.Helper()
	store, err := profiledisk.Open(profiledisk.Options{Dir: tb.TempDir(), NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	set, err := feature.Compile([]feature.Definition{
		{Name: "views", Kind: "count", On: []string{"*"}, Scope: "item"},
		{Name: "views_24h", Kind: "count", On: []string{"*"}, Window: feature.Duration(24 * 3600e9), Scope: "item"},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	of, err := feature.NewScope(feature.ScopeItem, "")
	if err != nil {
		tb.Fatal(err)
	}
	return newEntities(profile.NewEntities([]profile.EntityScope{{Scope: of, Features: set}}), store, "", 4)
}

func (es *Entities) view1(tb testing.TB, i int) {
	tb.Helper()
	e := &attune.Event{
		Type: attune.Track, Name: "Product Viewed", MessageID: strconv.Itoa(i), Time: attune.Millis(i),
		Properties: fmt.Appendf(nil, `{"product_id":"p%d"}`, i),
	}
	if err := es.fold(tb.Context(), i%4, "a:x", e, false); err != nil {
		tb.Fatal(err)
	}
}

func (es *Entities) save(tb testing.TB) {
	tb.Helper()
	var b profile.Batch
	putRows(&b, "", es.dirtyRows)
	if err := es.store.Commit(tb.Context(), &b); err != nil {
		tb.Fatal(err)
	}
	es.committed()
}

func (es *Entities) held() (n int) {
	for i := range es.tables {
		n += len(es.tables[i].held)
	}
	return n
}

// TestEntitiesAreForgotten: more keys than memory takes are on disk, and count
// on from there.
func TestEntitiesAreForgotten(t *testing.T) {
	es := shop(t)
	const keys, rounds = 120_000, 2
	for round := range rounds {
		for i := range keys {
			es.view1(t, i)
			if i%10_000 == 9_999 {
				es.save(t)
			}
		}
		if n := es.held(); n > 4*maxEntities+10_000 {
			t.Errorf("round %d: %d entities in memory, want at most %d", round, n, 4*maxEntities+10_000)
		}
	}
	for i := 0; i < keys; i += 997 {
		var got any
		if err := es.Read(t.Context(), "item", "p"+strconv.Itoa(i), func(set *feature.Set, st *feature.State) {
			if st != nil {
				got = set.Read(st, "views", 0)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if got != int64(rounds) {
			t.Fatalf("p%d: got %v, want %d", i, got, rounds)
		}
	}
}

func BenchmarkReadEntity(b *testing.B) {
	es := shop(b)
	for i := range 1000 {
		es.view1(b, i)
	}
	for i := 0; b.Loop(); i++ {
		if err := es.Read(b.Context(), "item", "p"+strconv.Itoa(i%1000), func(set *feature.Set, st *feature.State) {
			set.ReadAt(st, 1, 1000)
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFoldEntity(b *testing.B) {
	es := shop(b)
	for i := 0; b.Loop(); i++ {
		es.view1(b, i%1000)
	}
}
