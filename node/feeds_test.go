package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// merchant is a feed of items from..to, in stock, with more rows behind.
func merchant(from, to int, more string) string {
	var b strings.Builder
	b.WriteString("id\ttitle\tprice\n")
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "p%d\tThing %d\t%d EUR\n", i, i, i+1)
	}
	return b.String() + more
}

// TestFeed: a feed is taken on its schedule; broken rows are left out with a
// reason; items that left are out of stock, and come back; what is empty or lost
// more than half is refused until it is forced.
func TestFeed(t *testing.T) {
	var text atomic.Pointer[string]
	set := func(s string) { text.Store(&s) }
	set(merchant(0, 10, "bad\tBad\t-1 EUR\n"))
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(*text.Load())) }))
	defer shop.Close()
	cfg := testConfig(t.TempDir())
	feed := config.Feed{Name: "shop", URL: shop.URL, Format: "google-merchant"}
	cfg.Feeds = []config.Feed{feed}
	r := start(t, cfg, node.Options{})
	stock := func(id string) any {
		var got attune.Item
		if status, _ := r.call(http.MethodGet, "/v1/items/"+id, config.DevServerSecret, nil, &got); status != http.StatusOK {
			return status
		}
		if got.Deleted {
			return http.StatusNotFound
		}
		return got.Attributes["in_stock"]
	}
	state := filepath.Join(cfg.DataDir, "feeds", "shop.json")
	within(t, "take the feed", func() bool { _, err := os.Stat(state); return err == nil && stock("p9") == true })
	if got := stock("bad"); got != http.StatusNotFound {
		t.Errorf("an item with a price of -1 is there: %v", got)
	}
	rejects, err := os.ReadFile(filepath.Join(cfg.DataDir, "feeds", "shop.rejects.ndjson"))
	if err != nil || !strings.Contains(string(rejects), `is below 0`) {
		t.Errorf("rejects: got %s, %v", rejects, err)
	}
	take := func(what string, force bool, want node.FeedRead) {
		t.Helper()
		if got, err := r.node.Feed(t.Context(), &feed, force); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", what, got, err, want)
		}
	}
	take("the same again", false, node.FeedRead{Items: 10, Rejected: 1})
	set(merchant(3, 11, "p4\tTwice\t1 EUR\n"))
	take("three left", false, node.FeedRead{Items: 8, Changed: 1, Gone: 3, Rejected: 1})
	within(t, "see what left", func() bool { return stock("p2") == false && stock("p3") == true && stock("p10") == true })
	set(merchant(2, 11, ""))
	take("one is back", false, node.FeedRead{Items: 9, Changed: 1})
	within(t, "see it again", func() bool { return stock("p2") == true })
	for what, few := range map[string]string{"empty": merchant(0, 0, ""), "nothing": "", "less than half": merchant(2, 6, "")} {
		set(few)
		if _, err := r.node.Feed(t.Context(), &feed, false); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s: got %v, want it refused", what, err)
		}
	}
	set(merchant(2, 6, ""))
	feed.Gone = config.GoneDelete
	take("forced", true, node.FeedRead{Items: 4, Gone: 5})
	within(t, "see what was deleted", func() bool { return stock("p10") == http.StatusNotFound && stock("p5") == true })
}
