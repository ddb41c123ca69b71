package node_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// known are a person's ids as the API says them.
type known struct {
	Canonical  string `json:"canonical"`
	Identities []struct {
		Type      string `json:"type"`
		ID        string `json:"id"`
		Verified  bool   `json:"verified"`
		Evicted   bool   `json:"evicted"`
		FirstSeen string `json:"first_seen"`
		LastSeen  string `json:"last_seen"`
	} `json:"identities"`
	Aliases []struct {
		From    string `json:"previous_id"`
		To      string `json:"user_id"`
		By      string `json:"by"`
		Removed bool   `json:"removed"`
	} `json:"aliases"`
}

// say sends an event and waits until it is folded.
func (r *running) say(key, path, body string) {
	r.t.Helper()
	status, h := r.call(http.MethodPost, path, key, body, nil)
	if status != http.StatusOK {
		r.t.Fatalf("%s with %s answered %d", path, body, status)
	}
	ask := map[string]any{"after": h.Get("X-Attune-Token"), "deadline_ms": 1000, "placements": []any{map[string]any{"id": "popular"}}}
	var got answer
	if status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, ask, &got); status != http.StatusOK || got.Stale {
		r.t.Fatalf("%s: a decision after it answered %d, stale %v", body, status, got.Stale)
	}
}

func (r *running) known(key string) (k known, status int) {
	r.t.Helper()
	status, _ = r.call(http.MethodGet, "/v1/profiles/"+key+"/identities", config.DevServerSecret, nil, &k)
	return k, status
}

// list writes ids in a line.
func (k *known) list() string {
	var s strings.Builder
	for _, id := range k.Identities {
		fmt.Fprintf(&s, "%s=%s", id.Type, id.ID)
		if id.Verified {
			s.WriteByte('!')
		}
		s.WriteByte(' ')
	}
	return s.String()
}

// TestIdentities: what a person is made of, by all of her ids.
func TestIdentities(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	const secret = config.DevServerSecret
	lib := `"context":{"library":{"name":"analytics.js"}}`
	r.say(config.DevWriteKey, "/v1/track", fmt.Sprintf(`{"event":"X","anonymousId":%q,%s}`, device(1), lib))
	r.say(config.DevWriteKey, "/v1/track", fmt.Sprintf(`{"event":"X","anonymousId":%q,"userId":"ann",%s}`, device(1), lib))
	r.say(secret, "/v1/identify", fmt.Sprintf(`{"userId":"ann","anonymousId":%q}`, device(2)))
	r.say(secret, "/v1/alias", `{"userId":"ann","previousId":"old-ann"}`)
	k, status := r.known("u:ann")
	want := map[string]bool{"user_id=ann": true, "user_id=old-ann": true, "anonymous_id=" + device(1): false, "anonymous_id=" + device(2): true}
	if status != http.StatusOK || k.Canonical != "ann" || len(k.Identities) != len(want) {
		t.Fatalf("answered %d, canonical %q: %s", status, k.Canonical, k.list())
	}
	for _, id := range k.Identities {
		verified, ok := want[id.Type+"="+id.ID]
		if !ok || id.Verified != verified || id.Evicted {
			t.Errorf("%+v, want verified %v", id, verified)
		}
		if seen := id.ID == "ann" || id.ID == device(1); seen != (id.FirstSeen != "") || seen != (id.LastSeen != "") {
			t.Errorf("%s: seen from %q to %q", id.ID, id.FirstSeen, id.LastSeen)
		}
	}
	if len(k.Aliases) != 1 || k.Aliases[0].From != "old-ann" || k.Aliases[0].To != "ann" || k.Aliases[0].Removed {
		t.Errorf("aliases: %+v", k.Aliases)
	}
}

// TestUnmerge: two users that an alias joined fall apart at the next read, each
// with her own events, and a later alias joins them again.
func TestUnmerge(t *testing.T) {
	// What is said later is later by the clock too, however fast this is.
	var ticks atomic.Int64
	from := attune.MillisOf(time.Now())
	r := start(t, testConfig(t.TempDir()), node.Options{Clock: func() attune.Millis { return from + attune.Millis(10*ticks.Add(1)) }})
	const secret = config.DevServerSecret
	events := func(user string) int {
		var got struct {
			Events []any `json:"events"`
		}
		r.call(http.MethodGet, "/v1/profiles/u:"+user+"/events", secret, nil, &got)
		return len(got.Events)
	}
	type answered struct{ Unmerged, Joined bool }
	part := func(a, b string) (got answered) {
		t.Helper()
		if status, _ := r.call(http.MethodPost, "/v1/unmerge", secret, fmt.Sprintf(`{"previous_id":%q,"user_id":%q}`, a, b), &got); status != http.StatusOK {
			t.Fatalf("answered %d", status)
		}
		return got
	}
	r.say(secret, "/v1/track", `{"userId":"a","event":"X"}`)
	r.say(secret, "/v1/track", `{"userId":"b","event":"X"}`)
	r.say(secret, "/v1/track", `{"userId":"b","event":"X"}`)
	if got, want := part("a", "b"), (answered{}); got != want {
		t.Errorf("who was never joined: %+v, want %+v", got, want)
	}
	join := `{"userId":"b","previousId":"a"}`
	r.say(secret, "/v1/alias", join)
	if a, b := events("a"), events("b"); a != b || a != 4 {
		t.Fatalf("joined, a has %d events and b %d, want 4 both", a, b)
	}
	if got, want := part("b", "a"), (answered{Unmerged: true}); got != want {
		t.Errorf("joined: %+v, want %+v", got, want)
	}
	if a, b := events("a"), events("b"); a != 1 || b != 3 { // the alias is b's
		t.Errorf("apart, a has %d events and b %d, want 1 and 3", a, b)
	}
	k, _ := r.known("u:a")
	if k.Canonical != "a" || len(k.Identities) != 1 || len(k.Aliases) != 2 || !k.Aliases[0].Removed || !k.Aliases[1].Removed {
		t.Errorf("apart, a is %+v", k)
	}
	if got, want := part("a", "b"), (answered{}); got != want {
		t.Errorf("once more: %+v, want %+v", got, want)
	}
	r.say(secret, "/v1/alias", join)
	if a, b := events("a"), events("b"); a != b || a != 5 {
		t.Errorf("joined again, a has %d events and b %d, want 5 both", a, b)
	}
	// Through a third they stay one.
	r.say(secret, "/v1/alias", `{"userId":"c","previousId":"a"}`)
	r.say(secret, "/v1/alias", `{"userId":"c","previousId":"b"}`)
	if got, want := part("a", "b"), (answered{Unmerged: true, Joined: true}); got != want {
		t.Errorf("joined by a third: %+v, want %+v", got, want)
	}
}
