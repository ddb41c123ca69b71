package recommend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	journaldisk "github.com/attune-io/attune/journal/disk"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/pipeline"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/profile/disk"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/rule"
)

// start is the instant at which every test world begins.
const start = attune.Millis(1_767_225_600_000) // 2026-01-01

// world is the real road from an event to a person: collect, journal on disk,
// pipeline, profile on disk, models.
type world struct {
	recommend.World

	collector *collect.Collector
	journal   *journaldisk.Journal
	pipe      *pipeline.Pipeline
	people    *profile.People
	now       attune.Millis
	ids       int
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{now: start}
	j, err := journaldisk.Open(journaldisk.Options{Dir: tb.TempDir(), Partitions: 2})
	check(tb, err)
	tb.Cleanup(func() { check(tb, j.Close()) })
	store, err := disk.Open(disk.Options{Dir: tb.TempDir(), Cache: 1 << 20})
	check(tb, err)
	tb.Cleanup(func() { check(tb, store.Close()) })
	set, err := feature.Compile(append(feature.Defaults(), feature.Definition{
		Name: "impressions", Kind: feature.KindLast, On: []string{"Recommendation Viewed"}, Value: "item.id", N: 500,
	}), nil)
	check(tb, err)
	env, err := rule.New(rule.Names{})
	check(tb, err)
	cat := catalog.New(catalog.Options{})
	category := func(item int32) int32 { return cat.View().Category(item) }
	w.World = recommend.World{
		Catalog: cat, Items: model.NewItems(model.ItemsOptions{Category: category}),
		Viewed: model.NewPairs(model.PairsOptions{}), Bought: model.NewPairs(model.PairsOptions{}),
		Sessions: model.NewSessions(model.SessionsOptions{}), Features: set, Rules: env, Version: 1,
	}
	folder := &profile.Folder{Features: set}
	parts := profile.NewParts(profile.PartsOptions{Folder: folder, Store: store})
	w.people = profile.NewPeople(parts, 0)
	w.pipe, err = pipeline.Open(tb.Context(), pipeline.Options{
		Journal: j, Store: store, Folder: folder, Parts: parts, People: w.people, Catalog: cat,
		Models: pipeline.Models{Items: w.Items, Viewed: w.Viewed, Bought: w.Bought, Sessions: w.Sessions},
		Now:    func() attune.Millis { return w.now },
	})
	check(tb, err)
	w.journal = j
	keys, err := collect.NewKeys(nil, []string{"secret"})
	check(tb, err)
	w.collector, err = collect.New(collect.Options{
		Journal: j, Keys: keys, Items: attributes{cat}, Now: func() attune.Millis { return w.now },
	})
	check(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.pipe.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		check(tb, <-done)
	})
	return w
}

// attributes lets a catalog be collect's Items.
type attributes struct{ c *catalog.Catalog }

func (a attributes) Attributes(id string) (category, brand string, ok bool) {
	n, ok := a.c.Number(id)
	if !ok {
		return "", "", false
	}
	v := a.c.View()
	return a.c.WordOf(v.Category(n)), a.c.WordOf(v.Brand(n)), true
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// event is one event of a test.
type event struct {
	User   string         `yaml:"user"`
	Name   string         `yaml:"event"`
	Item   string         `yaml:"item"`
	Items  []string       `yaml:"items"`
	Order  string         `yaml:"order"`
	Traits map[string]any `yaml:"traits"` // of an identify, instead
	After  string         `yaml:"after"`  // since the event before; "1m" when empty
}

func (w *world) send(tb testing.TB, events ...event) {
	tb.Helper()
	batch := &collect.Batch{Source: "test", Rank: attune.Server, Verified: true, Import: true}
	for _, e := range events {
		step := time.Minute
		if e.After != "" {
			d, err := time.ParseDuration(e.After)
			check(tb, err)
			step = d
		}
		w.now += attune.Millis(step.Milliseconds())
		w.ids++
		props := map[string]any{}
		if e.Item != "" {
			props["product_id"] = e.Item
		}
		if e.Order != "" {
			props["order_id"] = e.Order
		}
		var products []map[string]any
		for _, id := range e.Items {
			products = append(products, map[string]any{"product_id": id, "price": 10, "quantity": 1})
		}
		if products != nil {
			props["products"] = products
		}
		call := map[string]any{
			"type": "track", "event": e.Name, "userId": e.User, "messageId": fmt.Sprintf("m%d", w.ids),
			"timestamp": w.now.String(), "properties": props,
		}
		if e.Traits != nil {
			call["type"], call["traits"] = "identify", e.Traits
		}
		raw, err := json.Marshal(call)
		check(tb, err)
		batch.Events = append(batch.Events, raw)
	}
	batch.ReceivedAt = w.now
	res, err := w.collector.Accept(tb.Context(), batch)
	check(tb, err)
	if len(res.Rejected) > 0 {
		tb.Fatalf("rejected: %+v", res.Rejected)
	}
	check(tb, w.pipe.Wait(tb.Context(), res.Token))
}

func (w *world) put(tb testing.TB, items ...attune.Item) {
	tb.Helper()
	var recs []attune.Record
	for _, it := range items {
		w.now++
		payload, err := json.Marshal(it)
		check(tb, err)
		recs = append(recs, attune.Record{
			Kind: attune.KindItem, Key: identity.ItemKey(it.ID), Time: w.now, ReceivedAt: w.now, Payload: payload,
		})
	}
	check(tb, w.journal.Append(tb.Context(), recs))
	st := w.journal.Status()
	check(tb, w.pipe.Wait(tb.Context(), journal.TokenOf(st.ID, st.Partitions(), recs)))
}

func (w *world) person(tb testing.TB, user string) *profile.Person {
	tb.Helper()
	if user == "" {
		return &profile.Person{State: &profile.State{}}
	}
	p, err := w.people.User(tb.Context(), user)
	check(tb, err)
	return p
}

func (w *world) engine(tb testing.TB, placements ...recommend.Placement) *recommend.Engine {
	tb.Helper()
	e, err := recommend.New(w.World, recommend.Merge(placements))
	check(tb, err)
	return e
}

func item(id, name, category string, more ...any) attune.Item {
	it := attune.Item{ID: id, Attributes: map[string]any{"name": name, "category": category}}
	for i := 0; i+1 < len(more); i += 2 {
		key, _ := more[i].(string)
		it.Attributes[key] = more[i+1]
	}
	return it
}

func viewed(user string, items ...string) []event {
	var events []event
	for _, id := range items {
		events = append(events, event{User: user, Name: "Product Viewed", Item: id})
	}
	return events
}

func bought(user, order string, items ...string) event {
	return event{User: user, Name: "Order Completed", Order: order, Items: items}
}

func ids(a *attune.Answer) []string {
	list := []string{}
	for i := range a.Items {
		list = append(list, a.Items[i].ID)
	}
	return list
}
