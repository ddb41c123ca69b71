package node

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/console"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/recommend"
)

// The events that the recommenders learn from.
const (
	eventViewed  = "Product Viewed"
	eventAdded   = "Product Added"
	eventOrdered = "Order Completed"
)

// Readiness says what every placement's generators and every feature need, and
// what came in of it.
func (s *status) Readiness(context.Context) console.Readiness {
	n := s.n
	r := console.Readiness{Catalog: s.catalogHealth(), Since: attune.Millis(n.live.since.Load()), Events: []console.EventCount{}}
	for _, c := range n.live.counts() {
		r.Events = append(r.Events, c)
	}
	slices.SortFunc(r.Events, func(a, b console.EventCount) int {
		return cmp.Or(cmp.Compare(b.Seen, a.Seen), strings.Compare(a.Name, b.Name))
	})
	k := &n.live.kinds
	r.Identity = console.IdentityHealth{
		Anonymous: k[kindAnonymous].Load(), Known: k[kindKnown].Load(), Both: k[kindBoth].Load(),
		Bots: k[kindBot].Load(), Denied: k[kindDenied].Load(), NoID: n.meter.NoID(),
	}
	definitions := n.rules.Load().Features.Definitions()
	engine := n.engine.Load()
	for _, name := range engine.Placements() {
		p, _ := engine.Placement(name)
		r.Placements = append(r.Placements, needsOf(&p, definitions))
	}
	for i := range definitions {
		d := &definitions[i]
		r.Features = append(r.Features, console.FeatureNeeds{Name: d.Name, Kind: d.Kind, Events: canonical(d.On), Where: d.Where})
	}
	return r
}

func canonical(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = attune.CanonicalName(name)
	}
	return out
}

func needsOf(p *recommend.Placement, definitions []feature.Definition) console.PlacementNeeds {
	out := console.PlacementNeeds{Name: p.Name, Generators: []console.GeneratorNeeds{}, Fallback: []string{}}
	for i := range p.Generators {
		out.Generators = append(out.Generators, generatorNeeds(&p.Generators[i], definitions))
	}
	chain := p.Fallback
	if chain == nil && len(p.Generators) > 0 {
		chain = []recommend.Step{{Kind: recommend.Trending}, {Kind: recommend.Popular}, {Kind: recommend.Newest}}
	}
	for _, step := range chain {
		out.Fallback = append(out.Fallback, step.Kind)
	}
	return out
}

// generatorNeeds is the one list of what each kind lives on.
func generatorNeeds(g *recommend.Generator, definitions []feature.Definition) console.GeneratorNeeds {
	v := console.GeneratorNeeds{Name: g.Kind, Kind: g.Kind, Weight: cmp.Or(g.Weight, 1), Events: []string{}}
	if g.From != "" {
		v.Name += " of " + g.From
	}
	switch g.Kind {
	case recommend.Popular, recommend.Trending, recommend.PopularBy:
		v.Events = []string{eventViewed, eventAdded, eventOrdered}
	case recommend.ViewedTogether, recommend.SessionKNN, recommend.RecentlyViewed:
		v.Events = []string{eventViewed}
	case recommend.BoughtTogether:
		v.Events = []string{eventOrdered}
	case recommend.CartComplement:
		v.Events, v.All = []string{eventAdded, eventOrdered}, true
	case recommend.CompleteLook:
		v.Note = "an item in the request or in the cart, and items that share its " + cmp.Or(g.Attribute, "look")
	case recommend.Newest:
		v.Note = "any item in the catalog"
	case recommend.Items:
		v.Note = "items in the request"
	case recommend.Match:
		v.Note = "a query in the request, and items with names"
	}
	switch {
	case g.From == "item":
		v.Note = "an item in the request"
	case g.From != "":
		from(g.From, definitions, &v)
	}
	return v
}

// from adds what the source a generator reads lives on.
func from(name string, definitions []feature.Definition, v *console.GeneratorNeeds) {
	plain, trait := strings.CutPrefix(name, "traits.")
	if !trait {
		plain = strings.TrimPrefix(name, "features.")
		for i := range definitions {
			if definitions[i].Name == plain && v.Kind == recommend.List {
				v.Events = canonical(definitions[i].On)
				return
			}
		}
	}
	if v.Kind == recommend.List {
		v.Events, v.Note = []string{"identify"}, "the trait "+plain+", a list of item ids"
	}
}

const (
	healthPause = 10 * time.Second
	healthLimit = 200_000 // items that are looked at
)

// catalogHealth counts what items lack, anew after a while.
func (s *status) catalogHealth() console.CatalogHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.n.catalog.View()
	if s.catalog.Items == view.Len() && time.Since(s.items) < time.Second || s.catalog.Items > 10_000 && time.Since(s.items) < healthPause {
		return s.catalog
	}
	h := console.CatalogHealth{Items: view.Len()}
	for i := int32(0); int(i) < min(view.Len(), healthLimit); i++ {
		h.Looked++
		if view.Available(i) {
			h.Available++
		}
		for _, lack := range [...]struct {
			attribute string
			count     *int
		}{{"name", &h.NoName}, {"price", &h.NoPrice}, {"category", &h.NoCategory}, {"image_url", &h.NoImage}} {
			if view.Attr(i, lack.attribute) == nil {
				*lack.count++
			}
		}
	}
	s.catalog, s.items = h, time.Now()
	return h
}

// recallLimit bounds the records of the journal that are looked at after a
// start, so that the console knows what there was before it.
const recallLimit = 100_000

// recall counts the events that were journaled before the start, the newest of
// them, and shows the very newest. It ends with ctx, and gives way to whoever
// serves: a console that knows less is no fault.
func (n *Node) recall(ctx context.Context, before journal.Status) {
	var newest []attune.Event
	for partition, last := range before.Last {
		from := max(before.First[partition], 1)
		if share := uint64(recallLimit / len(before.Last)); last > share {
			from = max(from, last-share+1)
		}
		events, err := n.recallPartition(ctx, partition, from, last)
		if err != nil {
			n.log.Debug("look back for the console", slog.Int("partition", partition), slog.Any("error", err))
		}
		newest = append(newest, events...)
	}
	slices.SortStableFunc(newest, func(a, b attune.Event) int { return cmp.Compare(a.ReceivedAt, b.ReceivedAt) })
	n.live.recall(newest[max(0, len(newest)-maxLive):])
}

// recallPartition counts the events of one partition and returns the newest.
func (n *Node) recallPartition(ctx context.Context, partition int, from, last uint64) (newest []attune.Event, err error) {
	if from > last {
		return nil, nil
	}
	reader, err := n.journal.Read(partition, from)
	if err != nil {
		return nil, err
	}
	defer reader.Close() //nolint:errcheck // it only frees memory
	for {
		recs, err := reader.Next(ctx, 512)
		if err != nil {
			return newest, err
		}
		for i := range recs {
			if recs[i].Offset > last {
				return newest, nil
			}
			var e attune.Event
			if recs[i].Kind != attune.KindEvent || e.UnmarshalBinary(recs[i].Payload) != nil {
				continue
			}
			n.live.count(&e)
			if last-recs[i].Offset < maxLive {
				newest = append(newest, clone(&e))
			}
		}
		if recs[len(recs)-1].Offset >= last {
			return newest, nil
		}
	}
}
