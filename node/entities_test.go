package node_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/segment"
)

// entity returns the features of an entity, as the API prints them.
func (r *running) entity(scope, key string) string {
	r.t.Helper()
	var got struct {
		Features map[string]any `json:"features"`
	}
	if status, _ := r.call(http.MethodGet, "/v1/entities/"+scope+"/"+key+"/features", config.DevServerSecret, nil, &got); status != http.StatusOK {
		r.t.Errorf("%s %s: answered %d", scope, key, status)
	}
	return fmt.Sprint(got.Features)
}

// TestEntities: from the configuration to what the API and rules read, of every
// scope, over a restart.
func TestEntities(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Entities = []config.Entity{{Name: "store", Key: "properties.store_id"}}
	viewed, sold := []string{"Product Viewed"}, []string{"Order Completed"}
	for _, scope := range []string{"item", "item.category", "store", "global", "group", "device", "session"} {
		cfg.Features = append(cfg.Features,
			feature.Definition{Name: "views", Kind: feature.KindCount, On: viewed, Scope: scope},
			feature.Definition{Name: "sales", Kind: feature.KindCount, On: sold, Scope: scope},
		)
	}
	cfg.Features = append(cfg.Features,
		feature.Definition{Name: "conversion", Kind: feature.KindDerived, Expr: "features.sales / features.views", Scope: "item"},
		feature.Definition{Name: "keenness", Kind: feature.KindDerived, Expr: "features.views_24h * 10"},
	)
	cfg.Segments = []segment.Definition{{Name: "keen", When: "features.keenness >= 20"}}
	cfg.Placements = map[string]recommend.Placement{"liked": {
		Generators: []recommend.Generator{{Kind: "popular"}}, Limit: 5,
		Filter: "item.features.views >= 2 && global.views > 3",
	}}
	r := start(t, cfg, node.Options{})
	for i, p := range []string{"a", "a", "b", "c", "c"} {
		r.track(device(i), "Product Viewed", fmt.Sprintf(`{"product_id":%q,"category":"pots","store_id":"s%d"}`, p, i%2))
	}
	r.track(device(0), "Product Viewed", `{"product_id":"b","category":"pans","store_id":"null"}`)
	order := `{"order_id":"o1","total":9,"store_id":"s1","products":[{"product_id":"a","category":"pots"},{"product_id":"c","category":"pots"}]}`
	r.track(device(0), "Order Completed", order)
	r.did("ada", "Order Completed", order, 0) // the shop's server tells of it too
	r.call(http.MethodPost, "/v1/track", config.DevServerSecret, `{"userId":"ada","event":"Product Viewed","properties":{"product_id":"a","category":"pans"},"context":{"groupId":"acme"}}`, nil)
	want := map[[2]string]string{
		{"item", "a"}:             "map[conversion:0.3333333333333333 sales:1 views:3]",
		{"item", "b"}:             "map[conversion:0 sales:0 views:2]",
		{"item", "nobody-saw-it"}: "map[]",
		{"item.category", "pots"}: "map[sales:1 views:5]",
		{"store", "s1"}:           "map[sales:1 views:2]",
		{"global", "all"}:         "map[sales:1 views:7]",
		{"group", "acme"}:         "map[sales:0 views:1]",
		{"device", device(0)}:     "map[sales:1 views:2]",
		{"session", device(1)}:    "map[sales:0 views:1]",
		{"session", "u:ada"}:      "map[sales:1 views:1]",
	}
	check := func() {
		t.Helper()
		for at, w := range want {
			within(t, fmt.Sprintf("have %s of %s %s", w, at[0], at[1]), func() bool { return r.entity(at[0], at[1]) == w })
		}
		var got answer
		r.call(http.MethodPost, "/v1/decide", config.DevWriteKey, `{"placements":[{"id":"liked"}]}`, &got)
		ids := got.ids("liked")
		if slices.Sort(ids); !slices.Equal(ids, []string{"a", "b", "c"}) {
			t.Errorf("liked: got %v, want a, b and c", ids)
		}
	}
	check()
	var who struct {
		Segments []string `json:"segments"`
	}
	for range 2 {
		r.did("eve", "Product Viewed", `{"product_id":"d"}`, time.Minute)
	}
	want[[2]string{"global", "all"}] = "map[sales:1 views:9]"
	within(t, "see that eve is keen", func() bool {
		r.call(http.MethodGet, "/v1/profiles/u:eve/segments", config.DevServerSecret, nil, &who)
		return slices.Equal(who.Segments, []string{"keen"})
	})
	want[[2]string{"item", "d"}] = "map[conversion:0 sales:0 views:2]"
	// The lists of what is popular are made anew a moment after a view.
	within(t, "like d, which was viewed twice by now", func() bool {
		var got answer
		r.call(http.MethodPost, "/v1/decide", config.DevWriteKey, `{"placements":[{"id":"liked"}]}`, &got)
		return slices.Contains(got.ids("liked"), "d")
	})
	r.stop()
	r = start(t, cfg, node.Options{})
	for at, w := range want {
		if got := r.entity(at[0], at[1]); got != w {
			t.Errorf("%s %s after a restart: got %s, want %s", at[0], at[1], got, w)
		}
	}
	for path, status := range map[string]int{
		"/v1/entities/item/null/features": http.StatusBadRequest, "/v1/entities/stores/s1/features": http.StatusNotFound,
	} {
		if got, _ := r.call(http.MethodGet, path, config.DevServerSecret, nil, nil); got != status {
			t.Errorf("%s: answered %d, want %d", path, got, status)
		}
	}
}
