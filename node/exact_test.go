package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/profile"
)

// history makes a random schedule of calls: devices that several people use,
// log-ins and log-outs, servers that name a device, orders sent twice, aliases,
// repeats, late events.
func history(rng *rand.Rand, n int) []json.RawMessage {
	var out []json.RawMessage
	user := map[int]string{}
	for i := range n {
		dev := rng.IntN(12)
		call := map[string]any{"messageId": fmt.Sprintf("m%d", i), "type": "track"}
		at := time.Date(2026, 5, 1, 0, 0, i*7-rng.IntN(4000), 0, time.UTC)
		call["timestamp"] = at.Format(time.RFC3339Nano)
		switch rng.IntN(10) {
		case 0:
			user[dev] = fmt.Sprintf("u%d", rng.IntN(6))
		case 1:
			delete(user, dev)
		}
		server := rng.IntN(4) == 0
		if server {
			call["userId"] = fmt.Sprintf("u%d", rng.IntN(6))
			call["context"] = map[string]any{"library": map[string]any{"name": "@segment/analytics-node"}}
		} else {
			call["anonymousId"] = fmt.Sprintf("%08x-2222-4222-8222-222222222222", dev)
			if u := user[dev]; u != "" {
				call["userId"] = u
			}
			call["context"] = map[string]any{"library": map[string]any{"name": "analytics.js"}, "traits": map[string]any{"tier": rng.IntN(3)}}
		}
		switch r := rng.IntN(20); {
		case r < 2:
			call["event"] = "Order Completed"
			call["properties"] = map[string]any{
				"order_id": fmt.Sprintf("o%d", rng.IntN(30)), "revenue": rng.IntN(90) + 1,
				"products": []any{map[string]any{"product_id": fmt.Sprintf("p%d", rng.IntN(9)), "price": 3}},
			}
		case r < 3:
			call["event"] = "Order Cancelled"
			call["properties"] = map[string]any{"order_id": fmt.Sprintf("o%d", rng.IntN(30))}
		case r < 5:
			call["type"] = "identify"
			call["traits"] = map[string]any{"plan": []any{"free", "pro", nil}[rng.IntN(3)], "n": i}
		case r < 6 && server:
			call["type"], call["previousId"] = "alias", fmt.Sprintf("u%d", rng.IntN(6))
		case r < 9:
			call["event"], call["properties"] = "Product Added", map[string]any{"product_id": fmt.Sprintf("p%d", rng.IntN(9))}
		default:
			call["event"] = "Product Viewed"
			call["properties"] = map[string]any{"product_id": fmt.Sprintf("p%d", rng.IntN(9)), "category": fmt.Sprintf("c%d", rng.IntN(3))}
		}
		b, _ := json.Marshal(call) // it is made of plain values
		out = append(out, b)
		if rng.IntN(8) == 0 {
			out = append(out, out[rng.IntN(len(out))])
		}
	}
	return out
}

// world is a node that is fed by hand, at a clock that moves with the feed.
type world struct {
	*Node
	cancel context.CancelFunc
	done   chan error
	clock  atomic.Int64
}

// at is the instant of its clock.
func (w *world) at() attune.Millis { return attune.Millis(w.clock.Load()) }

// pass moves its clock.
func (w *world) pass(d time.Duration) { w.clock.Store(int64(w.at().Add(d))) }

func openWorld(t *testing.T, dir string, partitions int) *world {
	t.Helper()
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen, cfg.Partitions = true, dir, "127.0.0.1:0", "", partitions
	w := &world{done: make(chan error, 1)}
	w.clock.Store(time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC).UnixMilli())
	n, err := Open(t.Context(), cfg, Options{Clock: w.at})
	if err != nil {
		t.Fatal(err)
	}
	w.Node = n
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go func() { w.done <- n.pipeline.Run(ctx) }()
	return w
}

// feed accepts calls one by one, in order, and waits until they are folded.
func (w *world) feed(t *testing.T, calls []json.RawMessage) {
	t.Helper()
	for i, c := range calls {
		res, err := w.collector.Accept(t.Context(), &collect.Batch{
			Source: "test", Rank: rankOf(c), Verified: rankOf(c) == attune.Server,
			ReceivedAt: w.at().Add(time.Duration(i) * time.Second), Events: [][]byte{c},
		})
		if err != nil || res.Accepted != 1 {
			t.Fatalf("%s: %v %v", c, res.Rejected, err)
		}
		if err := w.pipeline.Wait(t.Context(), res.Token); err != nil {
			t.Fatal(err)
		}
	}
}

func rankOf(call json.RawMessage) attune.Rank {
	if bytes.Contains(call, []byte("analytics-node")) {
		return attune.Server
	}
	return attune.Public
}

func (w *world) close(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// states returns the state bytes of every part, positions left out.
func (w *world) states(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := w.pipeline.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.parts.Keys(t.Context(), "", func(key string) error {
		return w.parts.View(t.Context(), key, func(p *profile.Part) {
			out[key] = string(w.parts.Folder().AppendState(p, nil))
		})
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// people returns what is read of everybody.
func (w *world) people(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i := range 6 {
		p, err := w.Node.people.User(t.Context(), fmt.Sprintf("u%d", i))
		if err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprint("u", i)] = describe(t, p, w.at())
	}
	for i := range 12 {
		id := fmt.Sprintf("%08x-2222-4222-8222-222222222222", i)
		p, err := w.Node.people.Device(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		out[id] = describe(t, p, w.at())
	}
	return out
}

func describe(t *testing.T, p *profile.Person, now attune.Millis) string {
	t.Helper()
	features := map[string]any{}
	p.Each(now, func(name string, v any) { features[name] = v })
	b, err := json.Marshal(map[string]any{"key": p.Key, "traits": p.Traits(), "features": features, "first": p.First(), "last": p.Last()})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d, want %d", what, len(got), len(want))
	}
	for key, w := range want {
		if got[key] != w {
			t.Errorf("%s of %s differ:\n got %q\nwant %q", what, key, got[key], w)
		}
	}
}

// TestPartitions: one partition or sixteen give the same parts, byte for byte,
// and the same people.
func TestPartitions(t *testing.T) {
	calls := history(rand.New(rand.NewPCG(Seed(t), 0)), 600)
	var states, people map[string]string
	for _, partitions := range []int{1, 4, 16} {
		w := openWorld(t, t.TempDir(), partitions)
		w.feed(t, calls)
		gotStates, gotPeople := w.states(t), w.people(t)
		w.close(t)
		if states == nil {
			states, people = gotStates, gotPeople
			continue
		}
		same(t, fmt.Sprintf("parts at %d partitions", partitions), gotStates, states)
		same(t, fmt.Sprintf("people at %d partitions", partitions), gotPeople, people)
	}
	if len(states) < 15 {
		t.Errorf("only %d parts: the history is too thin to show anything", len(states))
	}
}

// TestReplayIsExact: the journal folded again from its beginning gives the
// same parts, byte for byte; and so does a restart in the middle.
func TestReplayIsExact(t *testing.T) {
	calls := history(rand.New(rand.NewPCG(Seed(t), 0)), 500)
	dir := t.TempDir()
	w := openWorld(t, dir, 4)
	w.feed(t, calls[:len(calls)/2])
	w.close(t)
	w = openWorld(t, dir, 4)
	w.feed(t, calls[len(calls)/2:])
	want, people := w.states(t), w.people(t)
	w.close(t)

	if err := os.RemoveAll(filepath.Join(dir, "profiles")); err != nil {
		t.Fatal(err)
	}
	w = openWorld(t, dir, 4)
	if err := w.pipeline.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "replayed parts", w.states(t), want)
	same(t, "replayed people", w.people(t), people)
	w.close(t)
}
