package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
)

// crowded is a configuration with features of every scope.
func crowded(dir string, partitions int) config.Config {
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen, cfg.Partitions = true, dir, "127.0.0.1:0", "", partitions
	cfg.Entities = []config.Entity{{Name: "brand", Key: "properties.category"}}
	all := []string{"*"}
	for _, scope := range []string{"item", "item.category", "brand", "global", "group", "device", "session"} {
		cfg.Features = append(cfg.Features,
			feature.Definition{Name: "events", Kind: "count", On: all, Scope: scope},
			feature.Definition{Name: "events_1h", Kind: "count", On: all, Scope: scope, Window: feature.Duration(time.Hour)},
			feature.Definition{Name: "items", Kind: "distinct", On: all, Value: "item.id", Scope: scope},
			feature.Definition{Name: "spread", Kind: "stddev", On: all, Value: "properties.revenue", Scope: scope},
			feature.Definition{Name: "top", Kind: "top", On: all, By: "item.id", N: 3, Scope: scope},
			feature.Definition{Name: "last", Kind: "last", On: all, Value: "item.id", N: 5, Scope: scope},
			feature.Definition{Name: "sold", Kind: "ratio", On: []string{"Order Completed"}, Of: []string{"Product Viewed"}, Scope: scope},
		)
	}
	return cfg
}

func openCrowd(t *testing.T, dir string, partitions int) *world {
	t.Helper()
	w := &world{done: make(chan error, 1)}
	w.clock.Store(time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC).UnixMilli())
	n, err := Open(t.Context(), crowded(dir, partitions), Options{Clock: w.at})
	if err != nil {
		t.Fatal(err)
	}
	w.Node = n
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go func() { w.done <- n.pipeline.Run(ctx) }()
	return w
}

// crowd returns what is read of every entity of history.
func (w *world) crowd(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	read := func(scope, key string) {
		got, err := entities{w.pipeline.Entities(), w.log}.EntityFeatures(t.Context(), scope, key, w.at())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		out[scope+" "+key] = string(b)
	}
	read("global", feature.GlobalKey)
	for i := range 12 {
		id := fmt.Sprintf("%08x-2222-4222-8222-222222222222", i)
		read("device", id)
		read("session", id)
		read("session", fmt.Sprintf("u:u%d", i))
		read("item", fmt.Sprintf("p%d", i))
		read("item.category", fmt.Sprintf("c%d", i))
		read("brand", fmt.Sprintf("c%d", i))
	}
	return out
}

// TestEntitiesPartitions: one partition or sixteen give the same entities, and
// so do a restart in the middle and the journal folded again.
func TestEntitiesPartitions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	calls := history(rand.New(rand.NewPCG(seed, 0)), 400)
	var want map[string]string
	for _, partitions := range []int{1, 4, 16} {
		dir := t.TempDir()
		w := openCrowd(t, dir, partitions)
		w.feed(t, calls[:len(calls)/2])
		w.close(t)
		w = openCrowd(t, dir, partitions)
		w.feed(t, calls[len(calls)/2:])
		got := w.crowd(t)
		w.close(t)
		if want == nil {
			want = got
		}
		same(t, fmt.Sprintf("entities at %d partitions", partitions), got, want)
		if err := os.RemoveAll(filepath.Join(dir, "profiles")); err != nil {
			t.Fatal(err)
		}
		w = openCrowd(t, dir, partitions)
		if err := w.pipeline.CaughtUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		same(t, "replayed entities", w.crowd(t), want)
		w.close(t)
	}
	if len(want["global all"]) < 100 {
		t.Errorf("the world is too thin to show anything: %s", want["global all"])
	}
}
