package node_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

type memberships struct {
	Segments []string `json:"segments"`
	Members  []struct {
		Segment string `json:"segment"`
		Since   string `json:"entered_at"`
	} `json:"memberships"`
	History []struct {
		Segment string `json:"segment"`
		Event   string `json:"event"`
		At      string `json:"at"`
	} `json:"history"`
}

func (r *running) memberships(user string) (m memberships) {
	r.t.Helper()
	r.call(http.MethodGet, "/v1/profiles/u:"+user+"/segments", config.DevServerSecret, nil, &m)
	return m
}

// did sends an event of a user's server that happened ago.
func (r *running) did(user, event, properties string, ago time.Duration) http.Header {
	r.t.Helper()
	at := attune.MillisOf(time.Now().Add(-ago)).String()
	status, h := r.call(http.MethodPost, "/v1/track", config.DevServerSecret,
		fmt.Sprintf(`{"userId":%q,"event":%q,"timestamp":%q,"properties":%s}`, user, event, at, properties), nil)
	if status != http.StatusOK {
		r.t.Fatalf("track answered %d", status)
	}
	return h
}

// TestSequenceSegment: "viewed shoes, then added something within an hour, and
// has not bought since", from the configuration to the segment and its history.
func TestSequenceSegment(t *testing.T) {
	cfg := testConfig(t.TempDir())
	hour := feature.Duration(time.Hour)
	cfg.Features = []feature.Definition{{
		Name: "left_behind", Kind: feature.KindSequence, Off: []string{"Order Completed"}, Window: 24 * hour,
		Steps: []feature.Step{{On: []string{"Product Viewed"}, Where: `event.properties.category == "shoes"`}, {On: []string{"Product Added"}, Within: hour}},
	}}
	cfg.Segments = []segment.Definition{{Name: "leavers", When: "features.left_behind != null"}}
	r := start(t, cfg, node.Options{})
	in := func(user string) func() bool {
		return func() bool {
			m := r.memberships(user)
			return slices.Equal(m.Segments, []string{"leavers"}) && len(m.Members) == 1 && m.Members[0].Segment == "leavers"
		}
	}
	// The view comes last, but happened first; on the way from the device.
	r.did("ada", "Product Added", `{"product_id":"p1"}`, 10*time.Minute)
	r.did("ada", "Product Viewed", `{"product_id":"p1","category":"shoes"}`, 30*time.Minute)
	r.did("bob", "Product Viewed", `{"product_id":"p1","category":"hats"}`, 30*time.Minute)
	r.did("bob", "Product Added", `{"product_id":"p1"}`, 10*time.Minute)
	r.did("eve", "Product Viewed", `{"product_id":"p1","category":"shoes"}`, 90*time.Minute)
	r.did("eve", "Product Added", `{"product_id":"p1"}`, 10*time.Minute)
	r.did("joe", "Product Viewed", `{"product_id":"p1","category":"shoes"}`, 50*time.Minute)
	r.did("joe", "Product Added", `{"product_id":"p1"}`, 40*time.Minute)
	within(t, "put ada into the segment", in("ada"))
	within(t, "put joe into the segment", in("joe"))
	for _, user := range []string{"bob", "eve"} {
		if m := r.memberships(user); len(m.Segments) != 0 || len(m.History) != 0 {
			t.Errorf("%s: %+v", user, m)
		}
	}
	r.did("joe", "Order Completed", `{"order_id":"o1","total":10,"products":[{"product_id":"p1"}]}`, 0)
	within(t, "take joe out", func() bool {
		m := r.memberships("joe")
		return len(m.Segments) == 0 && len(m.Members) == 0 && len(m.History) == 2 && m.History[0].Event == "exited" && m.History[1].Event == "entered"
	})
	look := func() {
		t.Helper()
		var one struct {
			Size   int      `json:"size"`
			Sample []string `json:"sample"`
			Hours  []struct {
				Size, Entered, Exited int
			} `json:"hours"`
		}
		r.call(http.MethodGet, "/v1/segments/leavers?limit=10", config.DevServerSecret, nil, &one)
		if one.Size != 1 || !slices.Equal(one.Sample, []string{"ada"}) || len(one.Hours) == 0 || one.Hours[len(one.Hours)-1].Size != 1 {
			t.Errorf("the segment: %+v", one)
		}
		var all struct {
			Segments []struct {
				Name string `json:"name"`
				Size int    `json:"size"`
			} `json:"segments"`
		}
		r.call(http.MethodGet, "/v1/segments", config.DevServerSecret, nil, &all)
		if len(all.Segments) != 1 || all.Segments[0].Size != 1 || all.Segments[0].Name != "leavers" {
			t.Errorf("all: %+v", all)
		}
	}
	look()
	r.stop()
	r = start(t, cfg, node.Options{})
	within(t, "know ada again", in("ada"))
	look()
}

// TestManySegments: with so many segments that only those are evaluated that an
// event concerns, everybody is in those that the rules say at this moment.
func TestManySegments(t *testing.T) {
	cfg := testConfig(t.TempDir())
	for i, when := range []string{
		`traits.plan == "vip"`, `traits.plan != "vip"`, `features.views_30d >= 2`, `features.adds_24h >= 1`, `features.purchases_30d >= 1`,
		`"s0" in segments && "s2" in segments`, `features.revenue_30d > 15`, `features.sessions_30d >= 1`, `!("s4" in segments)`, `features.searches != null`,
	} {
		cfg.Segments = append(cfg.Segments, segment.Definition{Name: "s" + strconv.Itoa(i), When: when})
	}
	r := start(t, cfg, node.Options{})
	const users = 4
	user := func(i int) string { return "u" + strconv.Itoa(i%users) }
	for i := range 60 {
		switch x := i * 7 % 11; x {
		case 0, 1:
			r.toggle(user(i), x == 0)
		case 2, 3, 4:
			r.track(device(i%users), "Product Viewed", `{"product_id":"p1"}`)
		case 5:
			r.did(user(i), "Product Added", `{"product_id":"p1"}`, 0)
		case 6:
			r.did(user(i), "Order Completed", fmt.Sprintf(`{"order_id":"o%d","total":10}`, i), 0)
		case 7:
			r.did(user(i), "Order Cancelled", fmt.Sprintf(`{"order_id":"o%d"}`, i-users*3), 0)
		default:
			r.call(http.MethodPost, "/v1/track", config.DevWriteKey, map[string]any{
				"userId": user(i), "anonymousId": device(i % users), "event": "Product Viewed", "properties": map[string]any{"product_id": "p2"},
				"context": map[string]any{"library": map[string]any{"name": "analytics.js"}},
			}, nil)
		}
	}
	for i := range users {
		within(t, "agree on "+user(i), func() bool {
			m := r.memberships(user(i))
			var seen []string
			for _, x := range m.Members {
				seen = append(seen, x.Segment)
			}
			return len(m.Segments) > 0 && slices.Equal(seen, m.Segments)
		})
	}
	within(t, "agree on how many", func() bool {
		want := map[string]int{}
		for i := range users {
			for _, s := range r.memberships(user(i)).Segments {
				want[s]++
			}
		}
		return maps.Equal(r.node.Members(), want)
	})
}
