// Package shop is the demonstration shop: a small gift shop whose every rail is
// decided by Attune. It is static files, a cover artist and one JSON route; the
// page itself talks to Attune's public API with the browser SDK, as any other
// site would.
//
// It guarantees that it needs no network and no build step, and that what it
// serves depends on its Options and the request only. It keeps no state, takes
// no payment and decides nothing: rails, search and the person come from Attune.
package shop

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	js "github.com/attune-io/attune/sdk/js"
)

//go:embed web
var web embed.FS

// Options say where the shop lives and whom it speaks to. The zero value is a
// shop at /shop/ on the API's own origin that knows no demo people.
type Options struct {
	// WriteKey is the browser's key for the API.
	WriteKey string
	// Base is the path the shop is mounted at, with both slashes; "" is
	// "/shop/". The handler expects requests with the base still on.
	Base string
	// Host is the API's origin; "" is the page's own.
	Host string
	// People can be logged in as; none hides the log-in menu.
	People []Person
	// Item returns what the catalog knows of one item, for pages that are opened
	// by address. Nil leaves the page with what decisions told it.
	Item func(id string) (attune.Item, bool)
	// Browse returns the ids of a category's items, at most 500 of which are
	// used; the person's order is Attune's work. Nil: a category is searched for
	// by its name.
	Browse func(category string) []string
	// Me answers GET {Base}api/me?user_id=&anonymous_id= with what
	// GET /v1/profiles/{key} answers for that person. Nil answers 404 and the
	// drawer says that there is no profile to see.
	Me http.Handler
	// Decision answers GET {Base}api/decision/{id} with what
	// GET /v1/decisions/{id} answers; the drawer reads the server's own time
	// there. Nil answers 404 and the drawer shows the browser's times alone.
	Decision http.Handler
}

// Person is somebody a visitor of the demo can log in as.
type Person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	About string `json:"about"`
	// Token is a user token for ID (identity.UserToken); "" when the demo runs
	// without one, and then the page reads the device's profile only.
	Token string `json:"token,omitempty"`
}

// People returns the demo people: customers of the data slice with tastes that
// can be told apart, without tokens. The ids are the slice's CustomerID without
// its ".0"; the names are invented.
func People() []Person {
	return []Person{
		{ID: "16438", Name: "Ada", About: "Lanterns and candles, again and again"},
		{ID: "12646", Name: "Ben", About: "Bakes, and bakes, and bakes"},
		{ID: "14282", Name: "Cleo", About: "One more bag"},
		{ID: "14262", Name: "Dev", About: "Toys for a full house"},
	}
}

// config is what the page reads as window.SHOP.
type config struct {
	Host       string   `json:"host"`
	WriteKey   string   `json:"writeKey"`
	Base       string   `json:"base"`
	Categories []string `json:"categories"`
	People     []Person `json:"people"`
}

// Handler returns the shop. It may serve many requests at once. It fails only
// when the embedded page does not parse or the options do not encode.
func Handler(o Options) (http.Handler, error) {
	if o.Base == "" {
		o.Base = "/shop/"
	}
	if !strings.HasPrefix(o.Base, "/") || !strings.HasSuffix(o.Base, "/") {
		return nil, fmt.Errorf("shop base %q: want a path with both slashes, as /shop/: %w", o.Base, attune.ErrInvalid)
	}
	page, policy, err := render(o)
	if err != nil {
		return nil, fmt.Errorf("render shop page: %w", err)
	}
	mux := http.NewServeMux()
	for name, kind := range map[string]string{"app.js": "text/javascript", "view.js": "text/javascript", "drawer.js": "text/javascript", "style.css": "text/css"} {
		body, err := web.ReadFile("web/" + name)
		if err != nil {
			return nil, fmt.Errorf("read embedded %s: %w", name, err)
		}
		mux.Handle("GET "+o.Base+name, asset(kind+"; charset=utf-8", body))
	}
	mux.Handle("GET "+o.Base+"attune.js", asset("text/javascript; charset=utf-8", js.Source()))
	mux.HandleFunc("GET "+o.Base+"cover/{file}", serveCover)
	mux.HandleFunc("GET "+o.Base+"api/item/{id}", o.serveItem)
	mux.HandleFunc("GET "+o.Base+"api/category/{name}", o.serveCategory)
	if o.Me != nil {
		mux.Handle("GET "+o.Base+"api/me", o.Me)
	}
	if o.Decision != nil {
		mux.Handle("GET "+o.Base+"api/decision/{id}", o.Decision)
	}
	mux.HandleFunc("GET "+o.Base+"api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "the shop has no route "+r.URL.Path)
	})
	mux.HandleFunc("GET "+o.Base, func(w http.ResponseWriter, r *http.Request) {
		// A missing file must not come back as a page with 200.
		if path.Ext(r.URL.Path) != "" && !strings.HasPrefix(r.URL.Path, o.Base+"product/") {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(page)
	})
	return mux, nil
}

// render returns the page with its configuration, and the content security
// policy that lets only this page's own scripts run.
func render(o Options) (page []byte, policy string, err error) {
	c := config{Host: o.Host, WriteKey: o.WriteKey, Base: o.Base, Categories: Categories(), People: o.People}
	if c.People == nil {
		c.People = []Person{}
	}
	b, err := json.Marshal(c) // escapes <, > and &, so it cannot end the script
	if err != nil {
		return nil, "", fmt.Errorf("encode configuration: %w", err)
	}
	script := "window.SHOP = " + string(b)
	t, err := template.ParseFS(web, "web/index.html")
	if err != nil {
		return nil, "", fmt.Errorf("parse page: %w", err)
	}
	var buf bytes.Buffer
	data := struct {
		Base   string
		Script template.JS
	}{o.Base, template.JS(script)} //nolint:gosec // encoding/json escaped it two lines up
	if err := t.Execute(&buf, data); err != nil {
		return nil, "", fmt.Errorf("fill page: %w", err)
	}
	sum := sha256.Sum256([]byte(script))
	policy = "default-src 'self'; img-src 'self' data: https:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'" +
		"; script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'" +
		"; connect-src " + strings.TrimSpace("'self' "+o.Host)
	return buf.Bytes(), policy, nil
}

func asset(kind string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(body)
	})
}

func serveCover(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutSuffix(r.PathValue("file"), ".svg")
	if !ok || id == "" {
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=86400")
	_, _ = w.Write(Cover(id, q.Get("name"), q.Get("category")))
}

func (o Options) serveItem(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if o.Item == nil {
		refuse(w, http.StatusNotFound, "not_found", "this shop was given no catalog")
		return
	}
	it, ok := o.Item(id)
	if !ok || it.Deleted {
		refuse(w, http.StatusNotFound, "not_found", "no item "+id)
		return
	}
	b, err := json.Marshal(it)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "item "+id+" does not encode")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

// maxShelf bounds what a category page asks to be ordered.
const maxShelf = 500

func (o Options) serveCategory(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if o.Browse == nil || !slices.Contains(Categories(), name) {
		refuse(w, http.StatusNotFound, "not_found", "no shelf for category "+name)
		return
	}
	ids := o.Browse(name)
	if ids == nil {
		ids = []string{}
	}
	b, err := json.Marshal(map[string][]string{"ids": ids[:min(len(ids), maxShelf)]})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "the shelf does not encode")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

// refuse answers in the error form of the whole API.
func refuse(w http.ResponseWriter, status int, code, message string) {
	b, err := json.Marshal(map[string]map[string]string{"error": {"code": code, "message": message}})
	if err != nil {
		http.Error(w, code, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
