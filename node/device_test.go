package node_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
)

// TestTokenOfAnOldDevice: a device that never asked for a token is given none
// once it is old: whoever asks may have read its id somewhere.
func TestTokenOfAnOldDevice(t *testing.T) {
	s := newStage(t)
	ask := fmt.Sprintf(`{"anonymous_id":%q}`, victimLaptop())
	s.now.Add((2 * time.Minute).Milliseconds())
	if x := s.raw("old device", http.MethodPost, "/v1/visitor", ask, basic(config.DevWriteKey)...); x.status != http.StatusConflict || strings.Contains(x.body, "a1.") || len(x.header["Set-Cookie"]) > 0 {
		t.Errorf("a token of an old device: %d %s %v, want 409 without one", x.status, x.body, x.header)
	}
}

// TestForgedRankIsNotRanked: ranking u1's own items tells a stranger nothing
// of u1's taste: the order and the scores are nobody's.
func TestForgedRankIsNotRanked(t *testing.T) {
	s := newStage(t)
	const items = `"items":["crowd-3","stove-zq7","crowd-1","boots-zq7","rope-zq7","crowd-2"],"deadline_ms":1000`
	order := func(body string, headers ...string) string {
		var d struct {
			Placements map[string]attune.Answer `json:"placements"`
		}
		s.call(http.MethodPost, "/v1/rank", config.DevWriteKey, body, &d, headers...)
		var out strings.Builder
		for _, it := range d.Placements["search"].Items {
			fmt.Fprintf(&out, "%s %.6g %s\n", it.ID, it.Score, it.Reason)
		}
		return out.String()
	}
	nobody := order(`{` + items + `}`)
	if nobody == "" {
		t.Fatal("rank answered nothing")
	}
	for name, proof := range s.proofs() {
		if !slices.Equal(proof[:min(2, len(proof))], basic(config.DevWriteKey)) {
			continue
		}
		if got := order(fmt.Sprintf(`{"user_id":"u1","anonymous_id":%q,%s}`, victimPhone(), items), proof[2:]...); got != nobody {
			t.Errorf("%s: ranked\n%swant nobody's order\n%s", name, got, nobody)
		}
	}
	if got := order(`{"user_id":"u1",`+items+`}`, "X-Attune-User", s.userToken(victim, time.Hour)); got == nobody {
		t.Errorf("u1's own order is nobody's, so the test shows nothing:\n%s", got)
	}
}

// TestSharedDevice: u1, nobody, u2 and u1 again on one device. The visitor sees
// the stretch that runs, and the users see theirs.
func TestSharedDevice(t *testing.T) {
	s := newStage(t)
	tablet := device(0xc1)
	token := s.visitor(tablet)
	step := func(user, item string, visitor ...string) {
		t.Helper()
		s.now.Add(time.Minute.Milliseconds())
		ids := fmt.Sprintf(`"anonymousId":%q`, tablet)
		if user != "" {
			ids += fmt.Sprintf(`,"userId":%q`, user)
		}
		s.event(config.DevWriteKey, `{"type":"track","event":"Product Viewed",%s,"properties":{"product_id":%q},"context":{"library":{"name":"attune.js"}}}`, ids, item)
		if got := s.recent("X-Attune-Visitor", token); !slices.Equal(got, visitor) {
			t.Errorf("after %q viewed %s: the visitor sees %v, want %v", user, item, got, visitor)
		}
	}
	step("", "before", "before")
	step("s1", "one", "one", "before") // the first user takes what nobody claimed
	step("", "between", "between")
	step("s2", "two", "two")
	step("s2", "three", "three", "two")
	step("s1", "four", "four")
	step("", "after", "after")
	step("s1", "five", "five", "after") // the same user takes it back
	for user, want := range map[string][]string{"s1": {"five", "after", "four", "one", "before"}, "s2": {"three", "two"}} {
		if got := s.recent("X-Attune-User", s.userToken(user, time.Hour)); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", user, got, want)
		}
	}
}
