package serve_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

func TestItems(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	code, body, h := w.call("PUT", "/v1/items/wok%2F1", `{"attributes":{"name":"Wok <1>","price":12.5,"tags":["a","b"],"in_stock":true}}`, server)
	if code != 200 || h.Get("X-Attune-Token") == "" {
		t.Fatalf("put: %d %s", code, body)
	}
	code, body, _ = w.call("PUT", "/v1/items/wok%2F1", `{"attributes":{"price":null,"brand":"Acme"}}`, server)
	it := new(attune.Item)
	check(t, json.Unmarshal(body, it))
	if code != 200 || it.ID != "wok/1" || it.Attributes["name"] != "Wok <1>" || it.Attributes["brand"] != "Acme" || it.Attributes["price"] != nil {
		t.Errorf("second put: %d %s, want name and brand, no price", code, body)
	}
	d, _ := w.decide(`{"placements":[{"id":"search","items":["wok/1"]}]}`, browser)
	if got := ids(d.Placements["search"]); len(got) != 1 {
		t.Errorf("decision after put: %v, want the wok", got)
	}
	code, body, _ = w.call("PUT", "/v1/items/wok%2F1", `{"attributes":{"in_stock":false}}`, server)
	if d, _ = w.decide(`{"placements":[{"id":"search","items":["wok/1"]}]}`, browser); code != 200 || len(d.Placements["search"].Items) != 0 {
		t.Errorf("out of stock (%d %s): still shown", code, body)
	}
	if code, body, _ = w.call("DELETE", "/v1/items/pan", "", server); code != 200 || !strings.Contains(string(body), `"deleted":true`) {
		t.Errorf("delete: %d %s", code, body)
	}
	if code, _, _ = w.call("GET", "/v1/items/pan", "", browser); code != 404 {
		t.Errorf("a deleted item for a browser: %d, want 404", code)
	}
	if code, _, _ = w.call("GET", "/v1/items/pan", "", server); code != 200 {
		t.Errorf("a deleted item for the server: %d, want 200", code)
	}
	if code, _, _ = w.call("DELETE", "/v1/items/never", "", server); code != 404 {
		t.Errorf("delete of nothing: %d, want 404", code)
	}
	for _, bad := range []string{``, `[]`, `{"price":3}`, `{"id":"other"}`, `{"attributes":{"a":{"b":1}}}`, `{"attributes":{"a":[1]}}`, `{"deleted":true}`, `{} {}`} {
		if code, body, _ := w.call("PUT", "/v1/items/x", bad, server); code != 400 || !json.Valid(body) {
			t.Errorf("put %s: %d %s, want 400", bad, code, body)
		}
	}
	if code, body, _ := w.call("PUT", "/v1/items/null", `{"attributes":{"a":1}}`, server); code != 200 && code != 400 {
		t.Errorf("put null: %d %s", code, body)
	}
}

func TestItemList(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	var got []string
	cursor := ""
	for range 10 {
		code, body, _ := w.call("GET", "/v1/items?limit=3&cursor="+cursor, "", browser)
		var page struct {
			Items []attune.Item `json:"items"`
			Next  string        `json:"next"`
		}
		check(t, json.Unmarshal(body, &page))
		if code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		for _, it := range page.Items {
			got = append(got, it.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	slices.Sort(got)
	if want := []string{"pan", "pot", "rake", "spade"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if code, body, _ := w.call("GET", "/v1/items?q=ra", "", browser); code != 200 || !strings.Contains(string(body), `"rake"`) || strings.Contains(string(body), `"pan"`) {
		t.Errorf("q=ra: %d %s, want the rake", code, body)
	}
}

func TestBulk(t *testing.T) {
	w := newWorld(t, nil)
	var lines strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&lines, `{"id":"b%d","attributes":{"name":"B %d"}}`+"\n", i, i)
		if i == 1000 {
			lines.WriteString("not json\n\n" + `{"attributes":{}}` + "\n" + strings.Repeat("x", 70_000) + "\n")
		}
	}
	lines.WriteString(`{"id":"b0","deleted":true}`) // no newline at the end
	code, body, h := w.call("POST", "/v1/items", lines.String(), server)
	var answer struct {
		Accepted int  `json:"accepted"`
		Applied  bool `json:"applied"`
		Rejected []struct {
			Index  int    `json:"index"`
			Reason string `json:"reason"`
		} `json:"rejected"`
	}
	check(t, json.Unmarshal(body, &answer))
	if code != 200 || answer.Accepted != 2501 || !answer.Applied || h.Get("X-Attune-Token") == "" {
		t.Errorf("%d %.300s, want 2501 applied", code, body)
	}
	var at []int
	for _, r := range answer.Rejected {
		at = append(at, r.Index)
		if r.Reason == "" {
			t.Errorf("line %d is rejected without a reason", r.Index)
		}
	}
	if want := []int{1001, 1003, 1004}; !slices.Equal(at, want) {
		t.Errorf("rejected lines %v, want %v", at, want)
	}
	if _, ok := w.catalog.Item("b2499"); !ok {
		t.Errorf("the last item is not there")
	}
	if it, _ := w.catalog.Item("b0"); !it.Deleted {
		t.Errorf("b0 is not deleted")
	}
	if code, body, _ := w.call("POST", "/v1/items", "x\ny\n", server); code != 400 || !strings.Contains(string(body), `"error"`) {
		t.Errorf("nothing good: %d %s, want 400", code, body)
	}
}

func TestProfile(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"),
		json.RawMessage(`{"type":"identify","userId":"u1","messageId":"i1","traits":{"plan":"gold","address":{"city":"Oslo"}}}`))
	code, body, _ := w.call("GET", "/v1/profiles/u:u1", "", server)
	var p struct {
		Key      string         `json:"key"`
		Version  uint64         `json:"version"`
		Traits   map[string]any `json:"traits"`
		Features map[string]any `json:"features"`
		Segments []string       `json:"segments"`
		Last     string         `json:"last_seen"`
	}
	check(t, json.Unmarshal(body, &p))
	if code != 200 || p.Key != "u:u1" || p.Version == 0 || p.Traits["plan"] != "gold" || p.Features["views_24h"] != 1.0 || p.Segments == nil || p.Last == "" {
		t.Errorf("%d %s, want u1 with her plan and her view", code, body)
	}
	for path, want := range map[string]string{
		"/traits": `"plan":"gold"`, "/features": `"last_viewed":["pan"]`, "/segments": `[]`,
	} {
		if code, body, _ := w.call("GET", "/v1/profiles/u:u1"+path, "", server); code != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	if code, _, _ := w.call("GET", "/v1/profiles/u:nobody", "", server); code != 404 {
		t.Errorf("nobody: %d, want 404", code)
	}
	if code, _, _ := w.call("GET", "/v1/profiles/u1", "", server); code != 400 {
		t.Errorf("a key without its kind: %d, want 400", code)
	}
	if code, body, _ := w.call("GET", "/v1/profiles/u:u1", "", browser, header("X-Attune-User", w.userToken("u1"))); code != 200 {
		t.Errorf("her own: %d %s, want 200", code, body)
	}
}

func TestOperations(t *testing.T) {
	w := newWorld(t, nil)
	for path, want := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready"`, "/openapi.json": `"openapi": "3.1.0"`} {
		if code, body, _ := w.call("GET", path, ""); code != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.80s, want %s", path, code, body, want)
		}
	}
}
