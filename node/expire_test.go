package node

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

const (
	quietDevice  = "11111111-2222-4222-8222-222222222222"
	busyDevice   = "22222222-2222-4222-8222-222222222222"
	sharedDevice = "33333333-2222-4222-8222-222222222222"
)

// browserCall is a product view of a device, by user ("" is nobody).
func browserCall(id, device, user, product string) json.RawMessage {
	call := map[string]any{
		"messageId": id, "type": "track", "event": "Product Viewed", "anonymousId": device, "properties": map[string]any{"product_id": product},
		"context": map[string]any{"library": map[string]any{"name": "analytics.js"}},
	}
	if user != "" {
		call["userId"] = user
	}
	b, _ := json.Marshal(call) // it is made of plain values
	return b
}

// sweep takes a checkpoint, looks for quiet devices, and waits for the fold.
func (w *world) sweep(t *testing.T) int {
	t.Helper()
	if err := w.pipeline.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err := w.expireQuiet(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.pipeline.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestExpiry: what nobody claimed goes 90 days after the device's last event,
// what somebody claimed stays, a later event begins anew, and a replay gives
// the same bytes, over one partition and over four.
func TestExpiry(t *testing.T) {
	for _, partitions := range []int{1, 4} {
		t.Run(strconv.Itoa(partitions), func(t *testing.T) {
			dir := t.TempDir()
			w := openWorld(t, dir, partitions)
			w.feed(t, []json.RawMessage{
				browserCall("1", quietDevice, "", "p1"), browserCall("2", quietDevice, "", "p2"),
				browserCall("3", busyDevice, "", "p1"),
				browserCall("4", sharedDevice, "u1", "p1"), browserCall("5", sharedDevice, "", "p2"), browserCall("6", sharedDevice, "u2", "p3"),
			})
			if n := w.sweep(t); n != 0 {
				t.Fatalf("%d devices expire at once", n)
			}
			w.pass(89 * 24 * time.Hour)
			w.feed(t, []json.RawMessage{browserCall("7", busyDevice, "", "p2")})
			if n := w.sweep(t); n != 0 {
				t.Fatalf("%d devices expire after 89 days", n)
			}
			w.pass(2 * 24 * time.Hour)
			// The quiet one, and what was nobody's between u1 and u2.
			if n := w.sweep(t); n != 2 {
				t.Fatalf("%d devices expire after 91 days, want 2", n)
			}
			events := func(key string) int64 {
				p, err := w.Node.people.Read(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				return p.State.Events
			}
			for key, want := range map[string]int64{"a:" + quietDevice: 0, "a:" + busyDevice: 2, "u:u1": 1, "u:u2": 1} {
				if got := events(key); got != want {
					t.Errorf("%s has %d events, want %d", key, got, want)
				}
			}
			if n := w.sweep(t); n != 0 {
				t.Errorf("%d devices expire twice", n)
			}
			w.feed(t, []json.RawMessage{browserCall("8", quietDevice, "u3", "p9")})
			if got := events("u:u3"); got != 1 {
				t.Errorf("who comes after an expiry has %d events, want the 1 since", got)
			}
			before := w.states(t)
			cfg := *w.cfg.Load()
			w.close(t)
			rep, err := Replay(t.Context(), cfg, nil, nil)
			if err != nil || rep.Equal != rep.Parts || rep.Parts != len(before) {
				t.Errorf("replay: %+v, %v; want %d equal parts", rep, err, len(before))
			}
		})
	}
}

// TestExpiryRace: an event that comes after the look and before the record
// keeps its device; one behind the record begins anew.
func TestExpiryRace(t *testing.T) {
	w := openWorld(t, t.TempDir(), 2)
	defer w.close(t)
	w.feed(t, []json.RawMessage{browserCall("1", quietDevice, "", "p1"), browserCall("2", busyDevice, "", "p1")})
	if err := w.pipeline.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pass(91 * 24 * time.Hour)
	cutoff := w.at().Add(-90 * 24 * time.Hour)
	var found []attune.Record
	err := w.parts.Quiet(t.Context(), cutoff, func(key string, expired bool) error {
		if expired {
			found = append(found, attune.Record{Kind: attune.KindExpiry, Key: key, Time: cutoff, ReceivedAt: w.at()})
		}
		return nil
	})
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v, want both devices", found, err)
	}
	w.feed(t, []json.RawMessage{browserCall("3", busyDevice, "", "p2")})
	if err := w.journal.Append(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	w.feed(t, []json.RawMessage{browserCall("4", quietDevice, "", "p2")})
	for device, want := range map[string]int64{quietDevice: 1, busyDevice: 2} {
		err := w.parts.View(t.Context(), "a:"+device, func(p *profile.Part) {
			if p.Last.State.Events != want {
				t.Errorf("%s has %d events, want %d", device, p.Last.State.Events, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpiryOff: 0 keeps everything, and the configuration is read anew at each
// walk.
func TestExpiryOff(t *testing.T) {
	w := openWorld(t, t.TempDir(), 1)
	defer w.close(t)
	cfg := *w.cfg.Load()
	cfg.Profiles.UnclaimedTTL = 0
	w.cfg.Store(&cfg)
	w.feed(t, []json.RawMessage{browserCall("1", quietDevice, "", "p1")})
	w.pass(900 * 24 * time.Hour)
	if n := w.sweep(t); n != 0 {
		t.Errorf("%d devices expire, want none", n)
	}
	again := cfg
	again.Profiles.UnclaimedTTL = 1 << 40
	w.cfg.Store(&again)
	if n := w.sweep(t); n != 1 {
		t.Errorf("%d devices expire with a bound, want 1", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.expire(ended); err != nil {
		t.Errorf("asked to stop: %v", err)
	}
}
