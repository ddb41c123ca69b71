package shop_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/examples/shop"
)

// get asks a shop for path and returns status, headers and body.
func get(t *testing.T, o shop.Options, path string) (status int, header http.Header, body string) {
	t.Helper()
	h, err := shop.Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	res, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestHandlerRoutes(t *testing.T) {
	o := shop.Options{
		WriteKey: "dev",
		Item: func(id string) (attune.Item, bool) {
			return attune.Item{ID: id, Attributes: map[string]any{"name": "MUG"}}, id == "a.b/c"
		},
		Browse: func(category string) []string { return []string{"of " + category} },
		Me:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) }),
	}
	for _, c := range []struct {
		path, kind string
		status     int
		has        string
	}{
		{"/shop/", "text/html", 200, `src="/shop/app.js"`},
		{"/shop/product/a.b%2Fc", "text/html", 200, "window.SHOP"},
		{"/shop/search?q=mug", "text/html", 200, "window.SHOP"},
		{"/shop/app.js", "text/javascript", 200, "createAttune"},
		{"/shop/view.js", "text/javascript", 200, "class Rail"},
		{"/shop/drawer.js", "text/javascript", 200, "class Drawer"},
		{"/shop/attune.js", "text/javascript", 200, "export function createAttune"},
		{"/shop/style.css", "text/css", 200, ":focus-visible"},
		{"/shop/cover/1.svg?name=RED+MUG&category=Kitchen", "image/svg+xml", 200, "<title>RED MUG</title>"},
		{"/shop/api/item/a.b%2Fc", "application/json", 200, `{"id":"a.b/c","attributes":{"name":"MUG"}}`},
		{"/shop/api/category/Lighting%20&%20Candles", "application/json", 200, `{"ids":["of Lighting \u0026 Candles"]}`},
		{"/shop/api/category/Cars", "application/json", 404, `"code":"not_found"`},
		{"/shop/api/me?user_id=u1", "", 200, "user_id=u1"},
		{"/shop/api/item/nothing", "application/json", 404, `"code":"not_found"`},
		{"/shop/api/nothing", "application/json", 404, `"code":"not_found"`},
		{"/shop/missing.js", "text/plain", 404, ""},
		{"/shop/cover/1.png", "text/plain", 404, ""},
		{"/shop/cover/.svg", "text/plain", 404, ""},
		{"/elsewhere", "text/plain", 404, ""},
	} {
		status, header, body := get(t, o, c.path)
		if status != c.status || !strings.HasPrefix(header.Get("Content-Type"), c.kind) || !strings.Contains(body, c.has) {
			t.Errorf("GET %s = %d %s %.80q, want %d %s with %q", c.path, status, header.Get("Content-Type"), body, c.status, c.kind, c.has)
		}
	}
}

func TestPageCarriesItsOptions(t *testing.T) {
	o := shop.Options{
		WriteKey: `</script><script>alert(1)`, Base: "/gifts/", Host: "https://attune.example.com",
		People: []shop.Person{{ID: "u1", Name: "Ada", Token: "t"}},
	}
	_, header, body := get(t, o, "/gifts/")
	found := regexp.MustCompile(`<script>window\.SHOP = (\{.*\})</script>`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no configuration in %s", body)
	}
	var got struct {
		Host, WriteKey, Base string
		Categories           []string
		People               []shop.Person
	}
	if err := json.Unmarshal([]byte(found[1]), &got); err != nil {
		t.Fatal(err)
	}
	if got.WriteKey != o.WriteKey || got.Base != o.Base || got.Host != o.Host || len(got.People) != 1 || got.People[0] != o.People[0] || len(got.Categories) != len(shop.Categories()) {
		t.Errorf("configuration = %+v, want that of %+v", got, o)
	}
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' https://attune.example.com") || !strings.Contains(policy, "'sha256-") {
		t.Errorf("policy = %s", policy)
	}
}

func TestHandlerRefusesABadBase(t *testing.T) {
	for _, base := range []string{"shop/", "/shop", "x"} {
		if _, err := shop.Handler(shop.Options{Base: base}); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("Handler with base %q: %v, want attune.ErrInvalid", base, err)
		}
	}
}
