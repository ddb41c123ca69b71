package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	journaldisk "github.com/attune-io/attune/journal/disk"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/pipeline"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/profile/disk"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/rule"
	"github.com/attune-io/attune/serve"
)

const (
	writeKey  = "browser-key"
	secretKey = "server-secret"
	device    = "0b5f8c1e-2a3d-4c5b-8f6e-1a2b3c4d5e6f"
)

// engine lets *recommend.Engine be a serve.Decider.
type engine struct{ *recommend.Engine }

func (e engine) Decide(q *serve.Query) *attune.Answer {
	return e.Engine.Decide((*recommend.Query)(q))
}

func (e engine) Quick(q *serve.Query) *attune.Answer {
	return e.Engine.Quick((*recommend.Query)(q))
}

// ingester lets *collect.Collector be a serve.Ingester.
type ingester struct{ c *collect.Collector }

func (i ingester) Ingest(ctx context.Context, in *serve.Inline) (serve.Ingested, error) {
	b := &collect.Batch{Source: "inline", Device: in.Visitor, Verified: in.Server}
	if in.Server {
		b.Rank = attune.Server
	}
	if in.User != "" {
		b.Users = []string{in.User}
	}
	for _, e := range in.Events {
		b.Events = append(b.Events, e)
	}
	res, err := i.c.Accept(ctx, b)
	out := serve.Ingested{Token: res.Token, Accepted: res.Accepted}
	for _, x := range res.Rejected {
		out.Rejected = append(out.Rejected, serve.Rejection{Index: x.Index, ID: x.MessageID, Reason: x.Reason})
	}
	return out, err
}

// world is a whole server: the real road, and serve over it.
type world struct {
	tb        testing.TB
	server    *serve.Server
	http      *httptest.Server
	engine    engine
	collector *collect.Collector
	pipe      *pipeline.Pipeline
	catalog   *catalog.Catalog
	hub       *serve.Hub
	recorder  *serve.Recorder
	options   serve.Options
	now       atomic.Int64
	ids       int
}

func (w *world) clock() attune.Millis { return attune.Millis(w.now.Add(1)) }

// newWorld starts a server. change, when not nil, changes its options first.
func newWorld(tb testing.TB, change func(*serve.Options)) *world {
	tb.Helper()
	w := &world{tb: tb, hub: &serve.Hub{}}
	w.now.Store(1_767_225_600_000)
	j, err := journaldisk.Open(journaldisk.Options{Dir: tb.TempDir(), Partitions: 2})
	check(tb, err)
	tb.Cleanup(func() { check(tb, j.Close()) })
	store, err := disk.Open(disk.Options{Dir: tb.TempDir(), Cache: 1 << 20})
	check(tb, err)
	tb.Cleanup(func() { check(tb, store.Close()) })
	set, err := feature.Compile(feature.Defaults(), nil)
	check(tb, err)
	env, err := rule.New(rule.Names{})
	check(tb, err)
	w.catalog = catalog.New(catalog.Options{})
	models := pipeline.Models{
		Items:  model.NewItems(model.ItemsOptions{Category: func(n int32) int32 { return w.catalog.View().Category(n) }}),
		Viewed: model.NewPairs(model.PairsOptions{}), Bought: model.NewPairs(model.PairsOptions{}),
		Sessions: model.NewSessions(model.SessionsOptions{}),
	}
	folder := &profile.Folder{Features: set}
	parts := profile.NewParts(profile.PartsOptions{Folder: folder, Store: store})
	people := profile.NewPeople(parts, 0)
	w.pipe, err = pipeline.Open(tb.Context(), pipeline.Options{
		Journal: j, Store: store, Folder: folder, Parts: parts, People: people, Catalog: w.catalog,
		Models: models, Now: w.clock, Changed: w.hub.Changed,
	})
	check(tb, err)
	keys, err := collect.NewKeys([]collect.Source{{ID: "web", WriteKey: writeKey, Enabled: true}}, []string{secretKey})
	check(tb, err)
	w.collector, err = collect.New(collect.Options{Journal: j, Keys: keys, Now: w.clock})
	check(tb, err)
	placements := recommend.Defaults()
	for i := range placements {
		placements[i].DeadlineMS = recommend.MaxDeadlineMS // a busy machine is not what is tested
	}
	built, err := recommend.New(recommend.World{
		Catalog: w.catalog, Items: models.Items, Viewed: models.Viewed, Bought: models.Bought,
		Sessions: models.Sessions, Features: set, Rules: env, Version: 1,
	}, placements)
	check(tb, err)
	w.engine = engine{built}
	w.recorder = serve.NewRecorder(j, 0, nil)
	began := time.Now()
	w.options = serve.Options{
		Decider: w.engine, Ingester: ingester{w.collector}, Waiter: w.pipe, People: people,
		Catalog: w.catalog, Journal: j, Logger: w.recorder, Decisions: w.pipe, Notifier: w.hub,
		Clock: w.clock, Mono: func() time.Duration { return time.Since(began) },
		Keys: serve.Keys{
			Browser: map[string]string{writeKey: "web"}, Secrets: []string{secretKey},
			UserSecrets: [][]byte{[]byte("user")}, VisitorSecret: []byte("visitor"),
		},
	}
	if change != nil {
		change(&w.options)
	}
	w.server = serve.New(w.options)
	w.run(w.pipe.Run)
	w.run(w.recorder.Run)
	w.run(w.server.Run)
	w.http = httptest.NewServer(w.server.Handler())
	tb.Cleanup(w.http.Close)
	return w
}

// run runs fn until the test ends.
func (w *world) run(fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	w.tb.Cleanup(func() {
		cancel()
		check(w.tb, <-done)
	})
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) userToken(user string) string {
	return identity.UserToken([]byte("user"), user, attune.Millis(w.now.Load()+3_600_000))
}

func (w *world) visitorToken() string {
	return identity.Signer{Secret: []byte("visitor")}.Visitor(device, attune.Millis(w.now.Load()))
}

// track makes an event: of a user (a server's), or of a device (a browser's).
func (w *world) track(user, anonymous, name, item string) json.RawMessage {
	w.ids++
	e := map[string]any{
		"type": "track", "event": name, "messageId": fmt.Sprintf("m%d", w.ids),
		"properties": map[string]any{"product_id": item},
	}
	if user != "" {
		e["userId"] = user
	}
	if anonymous != "" {
		e["anonymousId"] = anonymous
		e["channel"] = "web"
		e["context"] = map[string]any{"library": map[string]any{"name": "analytics.js", "version": "1"}}
	}
	raw, err := json.Marshal(e)
	check(w.tb, err)
	return raw
}

func (w *world) send(events ...json.RawMessage) string {
	w.tb.Helper()
	b := &collect.Batch{Source: "test", Rank: attune.Server, Verified: true}
	for _, e := range events {
		b.Events = append(b.Events, e)
	}
	res, err := w.collector.Accept(w.tb.Context(), b)
	check(w.tb, err)
	if len(res.Rejected) > 0 {
		w.tb.Fatalf("rejected: %+v", res.Rejected)
	}
	check(w.tb, w.pipe.Wait(w.tb.Context(), res.Token))
	return res.Token.String()
}

// shop fills the catalog, and makes a little traffic.
func (w *world) shop() {
	w.tb.Helper()
	lines := `{"id":"spade","attributes":{"name":"Spade","category":"Garden"}}
{"id":"rake","attributes":{"name":"Rake","category":"Garden"}}
{"id":"pan","attributes":{"name":"Pan","category":"Kitchen"}}
{"id":"pot","attributes":{"name":"Pot","category":"Kitchen"}}
`
	if code, body, _ := w.call("POST", "/v1/items", lines, server); code != 200 {
		w.tb.Fatalf("bulk: %d %s", code, body)
	}
	for i := range 3 {
		user := fmt.Sprintf("s%d", i)
		w.send(w.track(user, "", "Product Viewed", "spade"), w.track(user, "", "Product Viewed", "rake"),
			w.track(user+"k", "", "Product Viewed", "pan"), w.track(user+"k", "", "Product Viewed", "pot"))
	}
}

// credential puts a credential on a request.
type credential func(*http.Request)

func none(*http.Request)      {}
func server(r *http.Request)  { r.SetBasicAuth(secretKey, "") }
func browser(r *http.Request) { r.SetBasicAuth(writeKey, "") }

func header(name, value string) credential {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (w *world) call(method, path, body string, creds ...credential) (int, []byte, http.Header) {
	w.tb.Helper()
	r, err := http.NewRequestWithContext(w.tb.Context(), method, w.http.URL+path, bytes.NewReader([]byte(body)))
	check(w.tb, err)
	for _, c := range creds {
		c(r)
	}
	res, err := http.DefaultClient.Do(r)
	check(w.tb, err)
	defer func() { check(w.tb, res.Body.Close()) }()
	b, err := io.ReadAll(res.Body)
	check(w.tb, err)
	return res.StatusCode, b, res.Header
}

// decide posts a decide request and returns the decision.
func (w *world) decide(body string, creds ...credential) (*attune.Decision, http.Header) {
	w.tb.Helper()
	code, b, h := w.call("POST", "/v1/decide", body, creds...)
	if code != 200 {
		w.tb.Fatalf("decide %s: %d %s", body, code, b)
	}
	d := new(attune.Decision)
	check(w.tb, json.Unmarshal(b, d))
	return d, h
}

func ids(a *attune.Answer) []string {
	list := []string{}
	for i := range a.Items {
		list = append(list, a.Items[i].ID)
	}
	return list
}
