package node

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/console"
)

// The window on events keeps the newest ones and whoever came last, in memory
// of its own, however many come; what was there before the start is older.
func TestLive(t *testing.T) {
	l := newLive()
	const n, people = 5000, 300
	var want []string
	for i := range n {
		raw := fmt.Appendf(nil, `{"properties":{"n":%d}}`, i)
		e := attune.Event{
			Type: attune.Track, Name: "Seen", UserID: strconv.Itoa(i % people), ReceivedAt: attune.Millis(i) * keepTile, Raw: raw,
			Properties: raw[len(`{"properties":`) : len(raw)-1],
		}
		l.accepted([]attune.Event{e})
		clear(raw)
		want = append(want, fmt.Sprintf(`{"n":%d}`, i))
	}
	l.recall([]attune.Event{{Type: attune.Page, UserID: "299", ReceivedAt: 1}, {Type: attune.Page, UserID: "0", ReceivedAt: 1}})
	slices.Reverse(want)
	var got []string
	for _, e := range l.recent(maxLive) {
		got = append(got, string(e.Properties))
	}
	if !slices.Equal(got, want[:maxLive]) {
		t.Errorf("the newest are %q, want %q", got, want[:maxLive])
	}
	lately := l.lately(maxRecent)
	if len(lately) != maxRecent {
		t.Fatalf("%d people, want %d", len(lately), maxRecent)
	}
	for i, k := range lately {
		want := console.Known{Key: fmt.Sprintf("u:%d", (n-1-i)%people), LastSeen: attune.Millis(n-1-i) * keepTile, Last: "Seen"}
		if k != want {
			t.Fatalf("person %d is %v, want %v", i, k, want)
		}
	}
	if got := l.counts()["Seen"].Seen; got != n {
		t.Errorf("counted %d, want %d", got, n)
	}
}
