package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/recommend"
)

// merchandised is what the tests below look at of a decision.
type merchandised struct {
	ID         string `json:"decision_id"`
	Placements map[string]struct {
		Model string `json:"model"`
		Items []struct {
			ID         string  `json:"id"`
			Propensity float64 `json:"propensity"`
		} `json:"items"`
		Content *struct {
			Name    string          `json:"name"`
			Payload json.RawMessage `json:"payload"`
		} `json:"content"`
		Explain *struct {
			Rules []struct {
				Name  string   `json:"name"`
				Items []string `json:"items"`
			} `json:"rules"`
		} `json:"explain"`
	} `json:"placements"`
}

func (m *merchandised) ids(placement string) []string {
	out := []string{}
	for _, it := range m.Placements[placement].Items {
		out = append(out, it.ID)
	}
	return out
}

// TestMerchandisingOverTheAPI: rules of a configuration take effect in what the
// API answers, its request options too, and the log of decisions has the
// propensities that were answered.
func TestMerchandisingOverTheAPI(t *testing.T) {
	cfg := testConfig(t.TempDir())
	newest := []recommend.Generator{{Kind: recommend.Newest}}
	cfg.Features = append(cfg.Features, feature.Definition{
		Name: "impressions", Kind: feature.KindLast, On: []string{"Recommendation Viewed"}, Value: "item.id", N: 500,
	})
	cfg.Placements = map[string]recommend.Placement{
		"home": {
			Generators: newest, Limit: 3,
			Rules:   []recommend.Rule{{Name: "launch", Pin: 1, Items: []string{"p3"}}, {Name: "wine", AtMost: 1, When: `item.category == "Wine"`}},
			Content: []recommend.Content{{Name: "hello", Payload: recommend.Payload(`{"code":"X"}`)}},
			Overrides: []recommend.Override{
				{Name: "phones", When: `context.device == "phone"`, As: "small"},
			},
		},
		"small":   {Generators: newest, Limit: 1},
		"seen":    {Generators: newest, Limit: 2, Frequency: recommend.Frequency{Max: 1, Within: feature.Duration(24 * time.Hour)}},
		"explore": {Generators: newest, Limit: 2, Explore: recommend.Explore{Share: 1}},
	}
	r := start(t, cfg, node.Options{})
	for i := range 6 {
		category := "Cheese"
		if i%2 == 1 {
			category = "Wine"
		}
		body := fmt.Sprintf(`{"attributes":{"category":%q,"price":%d}}`, category, i+1)
		if status, _ := r.call(http.MethodPut, fmt.Sprintf("/v1/items/p%d", i), config.DevServerSecret, body, nil); status >= 300 {
			t.Fatalf("PUT answered %d", status)
		}
	}
	decide := func(body string) *merchandised {
		got := new(merchandised)
		if status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, body, got); status != http.StatusOK {
			t.Fatalf("%s answered %d", body, status)
		}
		return got
	}
	expect := func(body, placement string, want ...string) *merchandised {
		t.Helper()
		got := decide(body)
		if ids := got.ids(placement); !slices.Equal(ids, want) {
			t.Errorf("%s\ngot  %v\nwant %v", body, ids, want)
		}
		return got
	}

	got := expect(`{"explain":true,"placements":[{"id":"home"}]}`, "home", "p3", "p4", "p2")
	home := got.Placements["home"]
	if home.Content == nil || home.Content.Name != "hello" || string(home.Content.Payload) != `{"code":"X"}` {
		t.Errorf("content %+v, want hello", home.Content)
	}
	if home.Explain == nil || len(home.Explain.Rules) == 0 || home.Explain.Rules[0].Name != "launch" || !slices.Equal(home.Explain.Rules[0].Items, []string{"p3"}) {
		t.Errorf("rules %+v, want launch to have moved p3", home.Explain)
	}
	expect(`{"context":{"device":"phone"},"placements":[{"id":"home"}]}`, "home", "p5")
	got = expect(`{"dedup":true,"placements":[{"id":"home"},{"id":"seen"}]}`, "seen", "p5", "p1")
	if got.ids("home")[0] != "p3" {
		t.Errorf("home shows %v", got.ids("home"))
	}
	expect(`{"placements":[{"id":"small","limit":9,"offset":1,"blacklist":["p3"],"fields":[{"name":"category","values":["Wine"],"bias":-1}]}]}`,
		"small", "p1")

	var page merchandised
	r.call(http.MethodGet, "/v1/recommend/small?limit=2&offset=1&blacklist=p3,p0", config.DevServerSecret, nil, &page)
	if got := page.ids("small"); !slices.Equal(got, []string{"p4", "p2"}) {
		t.Errorf("the page has %v, want p4 and p2", got)
	}

	token := r.track(device(1), "Recommendation Viewed", `{"placement":"seen","products":[{"product_id":"p5"}]}`)
	expect(fmt.Sprintf(`{"anonymous_id":%q,"after":%q,"placements":[{"id":"seen"}]}`, device(1), token), "seen", "p4", "p3")

	got = decide(`{"placements":[{"id":"explore","offset":1}]}`)
	var logged merchandised
	for range 100 {
		if status, _ := r.call(http.MethodGet, "/v1/decisions/"+got.ID, config.DevServerSecret, nil, nil); status == http.StatusOK {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.call(http.MethodGet, "/v1/decisions/"+got.ID, config.DevServerSecret, nil, &logged)
	a, b := got.Placements["explore"].Items, logged.Placements["explore"].Items
	if !slices.Equal(a, b) || len(a) != 2 || a[0].Propensity != 1.0/5 || a[1].Propensity != 1.0/4 {
		t.Errorf("answered %+v, logged %+v; want propensities of 1/5 and 1/4 in both", a, b)
	}

	for body, want := range map[string]string{
		`{"placements":[{"id":"home","offset":-1}]}`:                                                          "placements[0].offset",
		`{"placements":[{"id":"home","offset":"x"}]}`:                                                         "placements.offset",
		`{"placements":[{"id":"home","fields":[{"name":"a"}]}]}`:                                              "placements[0].fields[0].values",
		`{"placements":[{"id":"home","date_range":{"name":"d","after":"2026-02-01","before":"2026-01-01"}}]}`: "placements[0].date_range",
		`{"placements":[{"id":"home","date_range":{"name":"d","after":"yesterday"}}]}`:                        "placements[0].date_range.after",
		`{"placements":[{"id":"home","blacklst":["p1"]}]}`:                                                    "blacklst",
	} {
		var fault struct {
			Error struct {
				Path string `json:"path"`
			} `json:"error"`
		}
		status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, body, &fault)
		if status != http.StatusBadRequest || fault.Error.Path != want {
			t.Errorf("%s answered %d and path %q, want 400 and %s", body, status, fault.Error.Path, want)
		}
	}
}
