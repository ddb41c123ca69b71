package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

func searchConfig(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen = true, t.TempDir(), "127.0.0.1:0", ""
	cfg.Limits.EventBytes = 4 << 20
	return cfg
}

// search asks the built-in placement with the server's secret.
func (r *running) search(user, query string, more map[string]any) *attune.Answer {
	r.t.Helper()
	ask := map[string]any{"id": "search", "query": query}
	maps.Copy(ask, more)
	var d attune.Decision
	status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret,
		map[string]any{"user_id": user, "explain": true, "deadline_ms": 1000, "placements": []any{ask}}, &d)
	if status != http.StatusOK || d.Placements["search"] == nil {
		r.t.Fatalf("search %q answered %d", query, status)
	}
	return d.Placements["search"]
}

// indexed waits until the index answers.
func (r *running) indexed() {
	r.t.Helper()
	within(r.t, "the index holds the catalog", func() bool {
		s := r.search("", "anything", nil).Explain.Search
		return s != nil && s.Skipped == ""
	})
}

func ids(a *attune.Answer) []string {
	out := make([]string, len(a.Items))
	for i := range a.Items {
		out[i] = a.Items[i].ID
	}
	return out
}

func (r *running) put(id, attributes string) {
	r.t.Helper()
	if status, _ := r.call(http.MethodPut, "/v1/items/"+id, config.DevServerSecret, `{"attributes":`+attributes+`}`, nil); status != http.StatusOK {
		r.t.Fatalf("put %s answered %d", id, status)
	}
}

// TestSearch follows an item through the API: put, found, misspelt, filtered,
// counted, out of stock, deleted; and the index through a restart.
func TestSearch(t *testing.T) {
	cfg := searchConfig(t)
	r := start(t, cfg, node.Options{})
	for i, colour := range []string{"red", "red", "blue"} {
		r.put(fmt.Sprintf("bag-%d", i), fmt.Sprintf(`{"name":"Jumbo bag %s retrospot","category":"Bags","colour":%q,"price":%d}`, colour, colour, i+1))
	}
	r.put("tin", `{"name":"Cake tin","category":"Kitchen","colour":"red","price":9}`)
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "search")); err == nil {
		t.Error("an index was made before anybody searched")
	}
	// The first answer does not wait for the index.
	if a := r.search("", "jumbo bag red", nil); !slices.Equal(ids(a)[:2], []string{"bag-0", "bag-1"}) && a.Explain.Search.Skipped == "" {
		t.Errorf("the first search: got %v", ids(a))
	}
	r.indexed()
	found := func(query string, more map[string]any, want ...string) *attune.Answer {
		t.Helper()
		a := r.search("", query, more)
		got := ids(a)
		if slices.Sort(got); !slices.Equal(got, want) || a.Total == nil || *a.Total != len(want) {
			t.Errorf("%q, %v: got %v of %v, want %v", query, more, got, a.Total, want)
		}
		return a
	}
	found("retrospots", nil, "bag-0", "bag-1", "bag-2")
	if a := found("red retrospit", nil, "bag-0", "bag-1"); a.Explain.Search.Match != "typos" || a.Items[0].Reason != "matches red retrospit" {
		t.Errorf("got %+v, %q", a.Explain.Search, a.Items[0].Reason)
	}
	found("retro", map[string]any{"filters": map[string]any{"colour": "blue"}}, "bag-2")
	found("bag", map[string]any{"filters": map[string]any{"price": map[string]any{"max": 2}, "colour": []string{"red", "green"}}}, "bag-0", "bag-1")
	a := found("bag", map[string]any{"facets": []string{"colour", "category"}, "filters": map[string]any{"colour": "red"}}, "bag-0", "bag-1")
	if got, want := a.Facets["colour"], []attune.FacetCount{{Value: "red", Count: 2}, {Value: "blue", Count: 1}}; !slices.Equal(got, want) {
		t.Errorf("facet colour: got %v, want %v", got, want)
	}
	if got, want := a.Facets["category"], []attune.FacetCount{{Value: "Bags", Count: 2}}; !slices.Equal(got, want) {
		t.Errorf("facet category: got %v, want %v", got, want)
	}
	// Without words: what meets the filters.
	found("", map[string]any{"filters": map[string]any{"category": "Kitchen"}}, "tin")
	// By GET as well.
	var plain json.RawMessage
	path := "/v1/recommend/search?query=bag&facets=colour&filters=" + url.QueryEscape(`{"price":{"min":3}}`)
	if status, _ := r.call(http.MethodGet, path, config.DevServerSecret, nil, &plain); status != http.StatusOK || !strings.Contains(string(plain), `"bag-2"`) || strings.Contains(string(plain), `"bag-1"`) {
		t.Errorf("GET answered %d with %s", status, plain)
	}
	// What is gone is gone from the very next answer; the counts follow.
	r.put("bag-0", `{"in_stock":false}`)
	if got := ids(r.search("", "red retrospot", nil)); slices.Contains(got, "bag-0") {
		t.Errorf("out of stock, and shown: %v", got)
	}
	r.put("bag-2", `{"name":"Dinosaur"}`)
	within(t, "the counts and the new name are there", func() bool {
		a := r.search("", "retrospot", nil)
		return *a.Total == 1 && *r.search("", "dinosaur", nil).Total == 1
	})
	// Words put items that were given in order.
	if a := r.search("", "tin", map[string]any{"items": []string{"bag-1", "bag-2", "tin"}}); a.Items[0].ID != "tin" || len(a.Items) != 3 {
		t.Errorf("given items with words: got %v", ids(a))
	}
	r.stop()

	r = start(t, cfg, node.Options{})
	r.indexed()
	found("retrospot", nil, "bag-1")
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "search")); err != nil {
		t.Error("the index is not in the data directory")
	}
	if status, _ := r.call(http.MethodDelete, "/v1/items/bag-1", config.DevServerSecret, nil, nil); status != http.StatusOK {
		t.Errorf("delete answered %d", status)
	}
	if a := r.search("", "retrospot", nil); slices.Contains(ids(a), "bag-1") {
		t.Errorf("deleted, and shown: %v", ids(a))
	}
}

// TestSearchBadInput: what nobody should send is refused with its place, and
// what people type is never a fault.
func TestSearchBadInput(t *testing.T) {
	cfg := searchConfig(t)
	cfg.Search.Backend = config.SearchBleve
	r := start(t, cfg, node.Options{})
	r.put("a", `{"name":"Lamp"}`)
	r.indexed()
	for filters, want := range map[string]string{
		`[]`: "filters: want an object", `{"price":{"from":1}}`: "filters.price", `{"price":{}}`: "filters.price",
		`{"a":[]}`: "filters.a", `{"a":null}`: "filters.a", `{"a":[[1]]}`: "filters.a", `{"":1}`: "without a name",
		`{"a":"` + strings.Repeat("x", 600) + `"}`: "at most 512 bytes",
	} {
		var fault struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		status, _ := r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, `{"placements":[{"id":"search","query":"x","filters":`+filters+`}]}`, &fault)
		if raw, _ := json.Marshal(fault); status != http.StatusBadRequest || !strings.Contains(fault.Error.Message, want) {
			t.Errorf("filters %s: answered %d %s, want %q", filters, status, raw, want)
		}
	}
	for _, query := range []string{"*", "name:lamp", `{"match_all":{}}`, `"`, "a AND", "\u0000", "🎈", strings.Repeat("lamp ", 190), "-lamp", "((", `\`} {
		r.search("", query, nil)
	}
}

// TestSearchIsPersonal searches Online Retail for "red retrospot" as two of its
// customers: the same items are found for both, in an order that what each has
// bought explains. The slice that the repository holds always, the whole file
// when it is there.
func TestSearchIsPersonal(t *testing.T) {
	t.Run("slice", func(t *testing.T) {
		personalSearch(t, filepath.Join("..", "examples", "shop", "data", "online-retail-slice.csv.gz"))
	})
	t.Run("whole", func(t *testing.T) {
		if testing.Short() || underRace {
			t.Skip("NOT TESTED in short mode or under the race detector: the whole of Online Retail; its slice is")
		}
		personalSearch(t, node.Outside(t, "online-retail/online_retail.csv.gz"))
	})
}

func personalSearch(t *testing.T, path string) {
	t.Helper()
	cfg := searchConfig(t)
	cfg.Search.Backend = config.SearchBleve
	text, err := os.ReadFile("../examples/online-retail/mapping.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := file.ParseMapping(text)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Work(t.Context(), func(ctx context.Context) error {
		_, err := file.Run(ctx, file.Import{Files: []string{path}, Options: file.Options{Mapping: mapping}, Sink: n.Sink(""), Batch: 500})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg, node.Options{})
	r.indexed()
	within(t, "the retrospots are found", func() bool { a := r.search("", "red retrospot", nil); return a.Total != nil && *a.Total > 5 })

	// A customer of many invoices each; any two that bought different things do.
	var before *attune.Answer
	different := 0
	for _, customer := range []string{"17841", "14911", "12748", "15311", "14606", "13089"} {
		a := r.search(customer, "red retrospot", map[string]any{"limit": 200})
		if s := a.Explain.Search; s == nil || s.Skipped != "" || s.Match != "exact" || s.Total != *a.Total {
			t.Fatalf("customer %s: explained as %+v", customer, s)
		}
		for _, it := range a.Items {
			if name := strings.ToLower(string(it.Attributes)); !strings.Contains(name, "retrospot") || !strings.Contains(name, "red") {
				t.Errorf("customer %s: found %s", customer, it.Attributes)
			}
		}
		bought := boughtFirst(t, r, customer, a)
		if before == nil {
			before = a
			continue
		}
		x, y := ids(before), ids(a)
		same := slices.Equal(x, y)
		slices.Sort(x)
		if slices.Sort(y); !slices.Equal(x, y) {
			t.Errorf("customer %s: found %v, another %v", customer, y, x)
		}
		if !same && bought {
			different++
		}
	}
	if different < 2 {
		t.Errorf("%d customers saw another order than the first, explained by what they bought; want at least 2", different)
	}
}

// boughtFirst reports whether an item is told to go with something that the
// customer did buy, and the explanation says what it and the text counted.
func boughtFirst(t *testing.T, r *running, customer string, a *attune.Answer) bool {
	t.Helper()
	list, _ := a.Explain.Inputs["features.recent_five_purchases"].([]any)
	for _, c := range a.Explain.Candidates {
		if c.From["match"] <= 0 {
			t.Errorf("customer %s, %s: nothing counted for its text: %v", customer, c.ID, c.From)
		}
		with, ok := strings.CutPrefix(c.Reason, "often bought with ")
		if !ok {
			continue
		}
		if c.From["bought_together of recent_five_purchases"] <= 0 {
			t.Errorf("customer %s, %s: %q, by %v", customer, c.ID, c.Reason, c.From)
		}
		for _, id := range list {
			var item attune.Item
			r.call(http.MethodGet, "/v1/items/"+url.PathEscape(fmt.Sprint(id)), config.DevServerSecret, nil, &item)
			if item.Attributes["name"] == with {
				return true
			}
		}
		t.Errorf("customer %s, %s: %q is none of %v", customer, c.ID, with, list)
	}
	return false
}

// TestSearchWithoutIndex: with a server that is not there, or none at all, names
// are looked through, and the answer says why.
func TestSearchWithoutIndex(t *testing.T) {
	for name, set := range map[string]func(*config.Config){
		"not there": func(c *config.Config) {
			c.Search.Backend, c.Search.Elastic.URL = config.SearchElastic, "http://127.0.0.1:1"
		},
		"none": func(c *config.Config) { c.Search.Backend = config.SearchNone },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := searchConfig(t)
			cfg.AdminListen = "127.0.0.1:0"
			set(&cfg)
			r := start(t, cfg, node.Options{})
			r.put("lamp", `{"name":"Reading lamp"}`)
			a := r.search("", "reading", nil)
			if !slices.Equal(ids(a), []string{"lamp"}) || a.Total != nil {
				t.Errorf("got %v of %v", ids(a), a.Total)
			}
			if s := a.Explain.Search; (s == nil) != (name == "none") || s != nil && s.Skipped == "" {
				t.Errorf("explained as %+v", s)
			}
			if got := r.metrics(); strings.Contains(got, `attune_searches_total{how="unready"} 1`) != (name == "not there") {
				t.Errorf("metrics of %s do not say so", name)
			}
		})
	}
}

// TestSearchOnServer is TestSearch's core with an Elasticsearch or OpenSearch.
func TestSearchOnServer(t *testing.T) {
	address := os.Getenv("ATTUNE_ELASTIC")
	if address == "" {
		t.Skip("NOT TESTED: a node with a search server; set ATTUNE_ELASTIC to the address of an Elasticsearch or OpenSearch")
	}
	cfg := searchConfig(t)
	cfg.Search.Backend, cfg.Search.Elastic.URL = config.SearchElastic, address
	cfg.Search.Elastic.Index = fmt.Sprintf("attune-test-%d", os.Getpid())
	t.Cleanup(func() {
		for _, name := range []string{"", "-state"} {
			req, err := http.NewRequest(http.MethodDelete, address+"/"+cfg.Search.Elastic.Index+name, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if res, err := http.DefaultClient.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}
	})
	r := start(t, cfg, node.Options{})
	r.put("a", `{"name":"Jumbo bag red retrospot","colour":"red"}`)
	r.put("b", `{"name":"Lunch bag pink polkadot","colour":"pink"}`)
	r.indexed()
	within(t, "both are found", func() bool { a := r.search("", "bags", nil); return a.Total != nil && *a.Total == 2 })
	a := r.search("", "red retrospit", map[string]any{"facets": []string{"colour"}})
	if !slices.Equal(ids(a), []string{"a"}) || a.Explain.Search.Match != "typos" || !slices.Equal(a.Facets["colour"], []attune.FacetCount{{Value: "red", Count: 1}}) {
		t.Errorf("got %v, %+v, %v", ids(a), a.Explain.Search, a.Facets)
	}
}
