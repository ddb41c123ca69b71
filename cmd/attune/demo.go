package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/examples/shop"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/recommend"
	js "github.com/attune-io/attune/sdk/js"
	"github.com/attune-io/attune/segment"
)

// demoCommand is a whole node with well-known keys, a shop in front of it and
// real people in it: a slice of Online Retail, moved in time so that the last
// order is now. The invoices say what was bought and not what was looked at, so
// every line bought is also taken as a Product Viewed a few minutes before.
type demoCommand struct {
	Listen  string `help:"Address of the shop and the API; loopback only." default:"127.0.0.1:8080" placeholder:"ADDR"`
	DataDir string `help:"Folder of all state; without it one under the user's cache folder." placeholder:"DIR" type:"path"`
	Traffic bool   `help:"Add simulated visitors, who browse, add and buy through the HTTP API."`
	Rate    int    `help:"Events a second that the simulated visitors send." default:"20"`
}

// Run imports at the first start, then serves until a signal.
func (c *demoCommand) Run(a *app) error {
	if c.Rate < 1 || c.Rate > 1000 {
		return fmt.Errorf("--rate %d: want 1 to 1000 events a second", c.Rate)
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	// Before the import, which takes a while, and not after it.
	if err := free(a.ctx, cfg.Listen, "--listen 127.0.0.1:8090"); err != nil {
		return err
	}
	log, level := logger(a, cfg.Log)
	if err := stock(a, cfg, log); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(a.ctx)
	ready := make(chan string, 1) // the address, once; never closed
	tuneMemory(a.ctx, &cfg)
	n, err := node.Open(ctx, cfg, node.Options{
		Log: log, Level: level, Mount: mountShop,
		Ready: func(address string) {
			c.greet(a, address, cfg.DataDir)
			ready <- address
		},
	})
	if err != nil {
		return err
	}
	group.Go(func() error {
		if err := n.Run(ctx); err != nil {
			return err
		}
		return errStopped // so that the visitors stop too
	})
	if c.Traffic {
		group.Go(func() error {
			select {
			case address := <-ready:
				return visit(ctx, "http://"+address, c.Rate)
			case <-ctx.Done():
				return nil
			}
		})
	}
	if err := group.Wait(); !errors.Is(err, errStopped) {
		return err
	}
	return nil
}

func (c *demoCommand) config() (config.Config, error) {
	dir := c.DataDir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return config.Config{}, fmt.Errorf("%w; say where with --data-dir", err)
		}
		dir = filepath.Join(cache, "attune", "demo")
	}
	s := settings{DataDir: dir, Listen: c.Listen, Admin: "off", Dev: true}
	cfg, err := s.read()
	cfg.Log = config.Log{Level: "warn", Format: "text"}
	cfg.Placements = map[string]recommend.Placement{"for-you": welcome()}
	cfg.Segments = append(cfg.Segments, segment.Definition{
		Name: "big-spender", Description: "More than 200 in a month", When: "features.revenue_30d > 200.0",
	}, segment.Definition{
		Name: "regular", Description: "Three orders or more in a month", When: "features.purchases_30d >= 3",
	}, segment.Definition{
		Name: "vip", Description: "Both of these", When: `"big-spender" in segments && "regular" in segments`,
	})
	return cfg, err
}

// welcome is for-you as a shop would have it: nobody is shown the trending rail
// twice, who is new sees bestsellers, and half of a shelf at most is of one
// category.
func welcome() recommend.Placement {
	all := recommend.Defaults()
	p := all[slices.IndexFunc(all, func(p recommend.Placement) bool { return p.Name == "for-you" })]
	for i := range p.Generators {
		if p.Generators[i].Kind == recommend.Trending {
			p.Generators[i].Kind = recommend.Popular
		}
	}
	p.Fallback = []recommend.Step{{Kind: recommend.Popular}, {Kind: recommend.Trending}, {Kind: recommend.Newest}}
	p.Cap = recommend.Cap{Attribute: "category", Max: 6}
	return p
}

// free returns an error when address cannot be listened on; instead is the flag
// that gives another.
func free(ctx context.Context, address, instead string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w; another process may use it: give another address, as %s", err, instead)
	}
	return l.Close()
}

// mountShop serves the shop at /shop/ beside the API.
func mountShop(n *node.Node, mux *http.ServeMux) error {
	// A token that lasts for the demonstration: it is signed with a secret
	// that everybody knows, on a server that only this machine reaches.
	expires := attune.MillisOf(time.Now()).Add(365 * 24 * time.Hour)
	people := shop.People()
	for i := range people {
		people[i].Token = identity.UserToken([]byte(config.DevServerSecret), people[i].ID, expires)
	}
	handler, err := shop.Handler(shop.Options{
		WriteKey: config.DevWriteKey, People: people,
		Item:   n.Catalog().Item,
		Browse: func(category string) []string { return browse(n, category) },
		Me:     me(mux), Decision: decision(mux),
	})
	if err != nil {
		return err
	}
	mux.Handle("/shop/", handler)
	mux.Handle("GET /{$}", http.RedirectHandler("/shop/", http.StatusFound))
	probe := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/attune.js"}}
	if _, taken := mux.Handler(probe); taken == "" {
		mux.HandleFunc("GET /attune.js", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write(js.Source()) // the browser has gone: nothing to do
		})
	}
	return nil
}

// maxBrowse is as many items of a category as the shop uses.
const maxBrowse = 500

// browse returns items of a category that can be had, the newest known first.
func browse(n *node.Node, category string) []string {
	view := n.Catalog().View()
	word := n.Catalog().Word(category)
	var ids []string
	for i := int32(view.Len()) - 1; i >= 0 && len(ids) < maxBrowse && word != 0; i-- { //nolint:gosec // item numbers are int32
		if view.Category(i) == word && view.Available(i) {
			ids = append(ids, view.ID(i))
		}
	}
	return ids
}

// me answers with the profile of whoever the page names: it asks the API with
// the server secret, which no page has. It is for the demonstration alone.
func me(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := identity.DeviceKey(r.FormValue("anonymous_id"))
		if user := r.FormValue("user_id"); user != "" {
			key = identity.UserKey(user)
		}
		passOn(api, w, r, "/v1/profiles/"+url.PathEscape(key))
	})
}

// decision answers with what is kept of a decision, for the drawer: how long it
// took the server.
func decision(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passOn(api, w, r, "/v1/decisions/"+url.PathEscape(r.PathValue("id")))
	})
}

// passOn asks api for path with the server secret, on behalf of r.
func passOn(api http.Handler, w http.ResponseWriter, r *http.Request, path string) {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, path, http.NoBody) //nolint:gosec // it goes to a handler of this process, not over a network
	if err != nil {
		http.Error(w, "there is no such thing", http.StatusNotFound)
		return
	}
	ask.Host, ask.RemoteAddr = r.Host, r.RemoteAddr
	ask.SetBasicAuth(config.DevServerSecret, "")
	api.ServeHTTP(w, ask)
}

// named lists the names of people, for a sentence.
func named(people []shop.Person) string {
	var b strings.Builder
	for i, p := range people {
		switch {
		case i > 0 && i == len(people)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
	}
	return b.String()
}

// greet says where everything is.
func (c *demoCommand) greet(a *app, address, dir string) {
	at := "http://" + address
	fmt.Fprintf(a.stdout, `
  The shop     %s/shop/
  The console  %s/console   (server secret: %s)

  Try:
    view a product, and look at the home page: its rails have changed
    put something into the cart: what goes with it is below it
    buy, and open the drawer (under the hood): recent_five_purchases has it
    log in, above on the right, as one of %s: they are real customers, with real orders

  The orders are a slice of Online Retail (UCI; Chen, Sain, Guo 2012; CC BY 4.0),
  moved in time. What people only looked at is not in it, so each line bought
  also counts as a product viewed a few minutes before the order.

  From a terminal:
    curl -u %s: '%s/v1/profiles/u:%s'
    curl -u %s: '%s/v1/recommend/for-you?user_id=%s&limit=5'

`, at, at, config.DevServerSecret, named(shop.People()), config.DevServerSecret, at, shop.People()[0].ID, config.DevServerSecret, at, shop.People()[0].ID)
	if c.Traffic {
		fmt.Fprintf(a.stdout, "  %d simulated visitors send about %d events a second.\n", visitors, c.Rate)
	}
	fmt.Fprintf(a.stdout, "  State: %s (remove it to start afresh). Stop with Ctrl-C.\n", dir)
}
