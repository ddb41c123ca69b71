package node_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

// TestReadYourWrites: a decision that carries its event, or names its token,
// reflects it; also when the event was a repeat, and when another was refused.
// Thousands of decisions race with each other and with other people's events.
func TestReadYourWrites(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	const workers, rounds = 8, 320
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range rounds {
				dev, item := device(w*1000+rng.IntN(20)), fmt.Sprintf("item-%d-%d", w, i)
				event := map[string]any{
					"type": "track", "event": "Product Viewed", "messageId": item, "anonymousId": dev,
					"properties": map[string]any{"product_id": item}, "context": map[string]any{"library": map[string]any{"name": "analytics.js"}},
				}
				ask := map[string]any{
					"anonymous_id": dev, "deadline_ms": 1000,
					"placements": []any{map[string]any{"id": "recently-viewed"}},
				}
				if rng.IntN(2) == 0 { // inline; half of them once more, as a repeat; some beside a refused one
					events := []any{event}
					if rng.IntN(2) == 0 {
						events = append(events, map[string]any{"type": "nonsense", "anonymousId": dev})
					}
					ask["events"] = events
					if rng.IntN(2) == 0 {
						r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, ask, nil)
					}
				} else {
					_, h := r.call(http.MethodPost, "/v1/track", config.DevWriteKey, event, nil)
					if rng.IntN(2) == 0 {
						_, h = r.call(http.MethodPost, "/v1/track", config.DevWriteKey, event, nil)
					}
					ask["after"] = h.Get("X-Attune-Token")
				}
				var got answer
				r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, ask, &got)
				if got.Stale {
					t.Errorf("%s: stale with a second to spare", item)
				}
				// Two views of one millisecond are in the order of their ids, so the
				// item is first or shares its instant with the first.
				if ids := got.ids("recently-viewed"); !slices.Contains(ids, item) {
					t.Errorf("%s was viewed last, recently-viewed shows %v", item, ids)
				}
			}
		})
	}
	wg.Wait()
}

// TestStockAndDeletion: an item that is out of stock or deleted is in no
// decision that begins after its PUT or DELETE was answered; a later view does
// not bring it back.
func TestStockAndDeletion(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	for i := range 5 {
		r.track(device(i), "Product Viewed", fmt.Sprintf(`{"product_id":"p%d","name":"Thing %d","price":2}`, i%3, i%3))
	}
	token := r.track(device(9), "Product Viewed", `{"product_id":"p1"}`)
	shown := func(after string) []string {
		var got answer
		r.call(http.MethodPost, "/v1/decide", config.DevServerSecret,
			map[string]any{"anonymous_id": device(77), "after": after, "placements": []any{map[string]any{"id": "popular"}}}, &got)
		return got.ids("popular")
	}
	if got := shown(token); !slices.Contains(got, "p1") {
		t.Fatalf("popular shows %v before anything was taken out, want p1 in it", got)
	}
	if status, _ := r.call(http.MethodPut, "/v1/items/p1", config.DevServerSecret, `{"attributes":{"in_stock":false}}`, nil); status >= 300 {
		t.Fatalf("PUT answered %d", status)
	}
	if got := shown(""); slices.Contains(got, "p1") {
		t.Errorf("popular shows %v after p1 went out of stock", got)
	}
	if status, _ := r.call(http.MethodDelete, "/v1/items/p2", config.DevServerSecret, nil, nil); status >= 300 {
		t.Fatalf("DELETE answered %d", status)
	}
	if got := shown(""); slices.Contains(got, "p2") {
		t.Errorf("popular shows %v after p2 was deleted", got)
	}
	token = r.track(device(9), "Product Viewed", `{"product_id":"p2","in_stock":true}`)
	if got := shown(token); slices.Contains(got, "p2") {
		t.Errorf("popular shows %v: a view brought deleted p2 back", got)
	}
	r.call(http.MethodPut, "/v1/items/p1", config.DevServerSecret, `{"attributes":{"in_stock":true}}`, nil)
	if got := shown(""); !slices.Contains(got, "p1") {
		t.Errorf("popular shows %v after p1 came back in stock", got)
	}
}

// TestEmpty: nobody and nothing is known, and there is an answer all the same.
func TestEmpty(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	var got answer
	status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret,
		`{"user_id":"nobody-yet","placements":[{"id":"for-you"},{"id":"similar","item":"unknown"},{"id":"cart"}]}`, &got)
	if status != http.StatusOK {
		t.Fatalf("an empty world answered %d", status)
	}
	for name, p := range got.Placements {
		if len(p.Items) != 0 || p.Fallback == "" {
			t.Errorf("%s: got %d items and fallback %q, want none and the fallback named", name, len(p.Items), p.Fallback)
		}
	}
}

// TestSegmentExpires: a member leaves when the window passes, without an event,
// and the journal says so.
func TestSegmentExpires(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Segments = []segment.Definition{{Name: "browsing", When: "features.views_1h >= 3"}}
	r := start(t, cfg, node.Options{
		Clock: func() attune.Millis { return attune.Millis(now.Load()) }, Tick: 10 * time.Millisecond,
	})
	for i := range 3 {
		body := fmt.Sprintf(`{"userId":"u1","event":"Product Viewed","properties":{"product_id":"p%d"}}`, i)
		if status, _ := r.call(http.MethodPost, "/v1/track", config.DevServerSecret, body, nil); status != http.StatusOK {
			t.Fatalf("track answered %d", status)
		}
	}
	members := func() int { return r.node.Members()["browsing"] }
	within(t, "enter", func() bool { return members() == 1 })
	var got struct {
		Segments []string `json:"segments"`
	}
	if r.call(http.MethodGet, "/v1/profiles/u:u1", config.DevServerSecret, nil, &got); !slices.Equal(got.Segments, []string{"browsing"}) {
		t.Errorf("profile has segments %v, want browsing", got.Segments)
	}
	now.Add((66 * time.Minute).Milliseconds())
	within(t, "leave", func() bool { return members() == 0 })
	if r.call(http.MethodGet, "/v1/profiles/u:u1", config.DevServerSecret, nil, &got); len(got.Segments) != 0 {
		t.Errorf("profile still has segments %v", got.Segments)
	}
	r.stop()
	by, all := journaled(t, dir)
	if moves := by["u1"]; all != 2 || len(moves) != 2 || !strings.HasPrefix(moves[0], "entered browsing ") || !strings.HasPrefix(moves[1], "exited browsing ") {
		t.Errorf("the journal holds %v, want that u1 entered browsing and exited it", by)
	}
}

// within waits for what another goroutine is about to do.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("did not %s", what)
}

// TestGoodAndBad: of ten thousand events one in a hundred is bad, in every way
// there is; the good are counted and each bad one is a dead letter with why.
func TestGoodAndBad(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	bad := []string{
		`{"type":"track","event":"X"}`,                               // nobody's
		`{"type":"track","event":"X","userId":"null"}`,               // junk
		`{"type":"dance","userId":"u"}`,                              // no such type
		`{"type":"track","userId":"u"}`,                              // a track without a name
		`{"type":"track","event":"X","userId":"u","properties":[1]}`, // properties that are none
		`{"type":"identify","userId":"u","traits":"blue"}`,           // traits that are none
		`"text"`, // no object
		`{"type":"track","event":"X","userId":"u","context":7}`,               // context that is none
		`{"type":"track","event":"X","userId":"u","p":"` + pad(70<<10) + `"}`, // too large
	}
	const batches, size = 100, 100
	var want int
	for b := range batches {
		events := make([]string, size)
		for i := range events {
			events[i] = fmt.Sprintf(`{"type":"track","event":"Product Viewed","userId":"good-%d","messageId":"g-%d-%d","properties":{"product_id":"p"}}`, i%50, b, i)
		}
		events[b%size] = bad[b%len(bad)]
		body := `{"batch":[` + strings.Join(events, ",")
		var got struct {
			Accepted int `json:"accepted"`
			Rejected []struct {
				Index  int    `json:"index"`
				Reason string `json:"reason"`
			} `json:"rejected"`
		}
		if status, _ := r.call(http.MethodPost, "/v1/batch", config.DevServerSecret, body+`]}`, &got); status != http.StatusOK {
			t.Fatalf("batch %d answered %d", b, status)
		}
		want += got.Accepted
		if got.Accepted != size-1 || len(got.Rejected) != 1 || got.Rejected[0].Index != b%size || got.Rejected[0].Reason == "" {
			t.Errorf("batch %d: accepted %d, rejected %v; want %d and the one at %d with a reason", b, got.Accepted, got.Rejected, size-1, b%size)
		}
	}
	var dead struct {
		DeadLetters []struct {
			Reason string `json:"reason"`
		} `json:"dead_letters"`
	}
	r.call(http.MethodGet, "/v1/dead-letters?limit=1000", config.DevServerSecret, nil, &dead)
	if len(dead.DeadLetters) != batches {
		t.Errorf("%d dead letters, want %d", len(dead.DeadLetters), batches)
	}
	for _, d := range dead.DeadLetters {
		if d.Reason == "" {
			t.Errorf("a dead letter without a reason: %+v", d)
		}
	}
	var total int
	for i := range 50 {
		key := fmt.Sprintf("/v1/profiles/u:good-%d", i)
		var got struct {
			Features totals `json:"features"`
		}
		within(t, "fold "+key, func() bool {
			r.call(http.MethodGet, key, config.DevServerSecret, nil, &got)
			return got.Features.Views >= 198
		})
		total += got.Features.Views
	}
	if total != want {
		t.Errorf("profiles count %d events, %d were accepted", total, want)
	}
}

func pad(n int) string { return string(slices.Repeat([]byte("x"), n)) }

// TestNoTokenForSomebodysDevice: whoever has read a device's id somewhere gets
// no visitor token for it, however young it is, once somebody is logged in.
func TestNoTokenForSomebodysDevice(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	victim := device(7)
	body := fmt.Sprintf(`{"anonymousId":%q,"userId":"victim","event":"Product Viewed","properties":{"product_id":"private"},"context":{"library":{"name":"analytics.js"}}}`, victim)
	_, h := r.call(http.MethodPost, "/v1/track", config.DevWriteKey, body, nil)
	// The event is folded before the attacker asks.
	r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, map[string]any{
		"anonymous_id": victim, "after": h.Get("X-Attune-Token"), "placements": []any{map[string]any{"id": "popular"}},
	}, nil)
	status, h := r.call(http.MethodPost, "/v1/visitor", config.DevWriteKey, map[string]any{"anonymous_id": victim}, nil)
	if status != http.StatusConflict || h.Get("X-Attune-Visitor") != "" {
		t.Errorf("asking for somebody's device answered %d with token %q, want 409 and none", status, h.Get("X-Attune-Visitor"))
	}
	// A fresh device, nobody's yet, is the asker's: another library may have
	// sent its first event.
	r.track(device(8), "Product Viewed", `{"product_id":"p"}`)
	if status, _ := r.call(http.MethodPost, "/v1/visitor", config.DevWriteKey, map[string]any{"anonymous_id": device(8)}, nil); status != http.StatusOK {
		t.Errorf("asking for a fresh device answered %d, want 200", status)
	}
}
