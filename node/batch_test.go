package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
	"github.com/attune-io/attune/serve"
)

// batched is what a batch over HTTP said.
type batched struct {
	users  []string
	items  map[string][]string
	ids    map[string]string // of decisions
	cursor string
	done   bool
}

func (r *running) everyone(query string) batched {
	r.t.Helper()
	x := r.raw("batch", http.MethodGet, "/v1/recommend/for-you/all"+query, "", basic(config.DevServerSecret)...)
	if x.status != http.StatusOK {
		r.t.Fatalf("the batch answered %d %s", x.status, x.body)
	}
	got := batched{items: map[string][]string{}, ids: map[string]string{}}
	for text := range strings.SplitSeq(strings.TrimSpace(x.body), "\n") {
		var line serve.ServedLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			r.t.Fatalf("%q: %v", text, err)
		}
		if line.UserID == "" {
			got.cursor, got.done = line.Cursor, line.Done
			continue
		}
		got.users = append(got.users, line.UserID)
		got.ids[line.UserID] = line.DecisionID
		for _, item := range line.Items {
			got.items[line.UserID] = append(got.items[line.UserID], item.ID)
		}
	}
	return got
}

// batchWorld is 600 users: two shares and a part of one, who each viewed two
// items; every tenth pays.
func batchWorld(t *testing.T) *running {
	t.Helper()
	cfg := testConfig(t.TempDir())
	cfg.Segments = []segment.Definition{{Name: "paying", When: `traits.plan == "paid"`}}
	r := start(t, cfg, node.Options{})
	var events []string
	for i := range 600 {
		for k := range 2 {
			events = append(events, fmt.Sprintf(`{"type":"track","event":"Product Viewed","userId":"user-%03d","properties":{"product_id":"p%d"}}`, i, (i+k)%40))
		}
		if i%10 == 0 {
			events = append(events, fmt.Sprintf(`{"type":"identify","userId":"user-%03d","traits":{"plan":"paid"}}`, i))
		}
	}
	if status, _ := r.call(http.MethodPost, "/v1/batch", config.DevServerSecret, `{"batch":[`+strings.Join(events, ",")+`]}`, nil); status != http.StatusOK {
		t.Fatalf("batch answered %d", status)
	}
	if err := r.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryone: a batch has every user once, in the order of their ids, with
// what she would be shown; it goes on from any cursor, keeps to a segment and a
// limit, and is not logged unless that is asked for.
func TestEveryone(t *testing.T) {
	r := batchWorld(t)
	all := r.everyone("?limit=3")
	if len(all.users) != 600 || !slices.IsSorted(all.users) || len(slices.Compact(slices.Clone(all.users))) != 600 || !all.done {
		t.Fatalf("got %d users, sorted %v, done %v; want 600", len(all.users), slices.IsSorted(all.users), all.done)
	}
	var one answer
	r.call(http.MethodGet, "/v1/recommend/for-you?user_id=user-123&limit=3", config.DevServerSecret, nil, &one)
	if want := one.ids("for-you"); len(want) != 3 || !slices.Equal(all.items["user-123"], want) {
		t.Errorf("user-123 got %v, alone she is shown %v", all.items["user-123"], want)
	}
	rest := r.everyone("?limit=3&cursor=user-299")
	if !slices.Equal(rest.users, all.users[300:]) || rest.cursor != "user-599" {
		t.Errorf("behind user-299 there are %d users, want 300; the last mark is %q", len(rest.users), rest.cursor)
	}
	if end := r.everyone("?cursor=user-599"); len(end.users) != 0 || !end.done {
		t.Errorf("behind the last one: got %+v, want nobody and done", end)
	}
	if paying := r.everyone("?segment=paying"); len(paying.users) != 60 || paying.users[1] != "user-010" || paying.ids["user-010"] != "" {
		t.Errorf("paying: got %d users %v, want every tenth, not logged", len(paying.users), paying.users[:min(3, len(paying.users))])
	}
	logged := r.everyone("?segment=paying&log=true")
	within(t, "find a logged answer", func() bool {
		status, _ := r.call(http.MethodGet, "/v1/decisions/"+logged.ids["user-590"], config.DevServerSecret, nil, nil)
		return status == http.StatusOK
	})
	for path, want := range map[string]int{
		"/v1/recommend/nonsense/all": 404, "/v1/recommend/for-you/all?segment=nonsense": 404,
		"/v1/recommend/for-you/all?limit=0": 400, "/v1/recommend/for-you/all?log=maybe": 400, "/v1/recommend/for-you/all?user_id=x": 400,
	} {
		if x := r.raw("batch", http.MethodGet, path, "", basic(config.DevServerSecret)...); x.status != want {
			t.Errorf("%s: answered %d %s, want %d", path, x.status, x.body, want)
		}
	}
}

// TestEveryoneAlone: one batch at a time; one that is given up frees its place.
func TestEveryoneAlone(t *testing.T) {
	r := batchWorld(t)
	everyone := r.node.Everyone()
	ask := &serve.EveryoneAsk{Placement: "for-you"}
	enough := errors.New("enough")
	shares := 0
	err := everyone.Everyone(t.Context(), ask, func(*serve.Share) error {
		shares++
		if err := everyone.Everyone(t.Context(), ask, func(*serve.Share) error { return nil }); !errors.Is(err, attune.ErrBusy) {
			t.Errorf("a second batch: got %v, want busy", err)
		}
		return enough
	})
	if !errors.Is(err, enough) || shares != 1 {
		t.Errorf("got %v after %d shares, want the error of take after the first", err, shares)
	}
	ctx, cancel := context.WithCancel(t.Context())
	looked := 0
	if err := everyone.Everyone(ctx, ask, func(s *serve.Share) error {
		looked += s.Looked
		cancel()
		return nil
	}); !errors.Is(err, context.Canceled) || looked == 0 || looked > 600 {
		t.Errorf("given up: got %v after %d users", err, looked)
	}
	if n, err := everyone.Users(t.Context(), "user-589"); n != 10 || err != nil {
		t.Errorf("behind user-589: got %d users, %v", n, err)
	}
}
