package node

import (
	"context"
	"encoding/json"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/serve"
)

// The rooms on the road do not know each other. What is below turns what one
// offers into what another asks for, and does nothing else.

func sources(k config.Keys, gates map[string]*config.Gate) []collect.Source {
	out := make([]collect.Source, len(k.Sources))
	for i := range k.Sources {
		s := &k.Sources[i]
		out[i] = collect.Source{ID: s.ID, Name: s.Name, WriteKey: s.WriteKey, Enabled: s.On(), Origins: s.Origins, Rate: s.RateLimit, Gate: gateOf(gates[s.ID])}
	}
	return out
}

func userSecrets(k config.Keys) [][]byte {
	out := make([][]byte, len(k.UserTokenSecrets))
	for i, s := range k.UserTokenSecrets {
		out[i] = []byte(s)
	}
	return out
}

func serveKeys(k config.Keys) serve.Keys {
	out := serve.Keys{
		Browser: map[string]string{}, Secrets: k.ServerSecrets,
		UserSecrets: userSecrets(k), VisitorSecret: []byte(k.VisitorSecret),
	}
	for i := range k.Sources {
		s := &k.Sources[i]
		if !s.On() {
			continue
		}
		out.Browser[s.WriteKey] = s.ID
		if len(s.Origins) == 0 {
			out.Origins = append(out.Origins, "*")
		}
		out.Origins = append(out.Origins, s.Origins...)
	}
	return out
}

// decider is the engine as serve asks for it.
type decider struct{ *recommend.Engine }

// Decide answers q.
func (d decider) Decide(q *serve.Query) *attune.Answer {
	return d.Engine.Decide((*recommend.Query)(q))
}

// Quick answers q from the precomputed list.
func (d decider) Quick(q *serve.Query) *attune.Answer {
	return d.Engine.Quick((*recommend.Query)(q))
}

// devices is what collect asks of parts.
type devices struct{ parts *profile.Parts }

// Device says when the device's first event was received, and whether it was
// ever given a visitor token.
func (d devices) Device(ctx context.Context, anonymousID string) (first attune.Millis, issued bool, err error) {
	err = d.parts.View(ctx, identity.DeviceKey(anonymousID), func(p *profile.Part) {
		issued = p.Visitor != 0
		first = seenSince(p)
	})
	return first, issued, err
}

// seenSince returns a time at or before which the device was first heard of, 0
// when it never was. An event's time is never after its receipt, so the oldest
// event there is will do; a device whose history was dropped is as old as can be,
// and so is one that somebody is logged in on: her history is on it.
func seenSince(p *profile.Part) attune.Millis {
	if !p.Known() {
		return 0
	}
	if p.Last.Owner != "" {
		return 1
	}
	first := p.Last.State.First
	for i := range p.Closed {
		if t := p.Closed[i].State.First; t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	return max(first, 1)
}

// items is what collect asks of the catalog.
type items struct{ catalog *catalog.Catalog }

// Attributes returns what the catalog knows of an item at this moment.
func (i items) Attributes(id string) (category, brand string, ok bool) {
	n, ok := i.catalog.Number(id)
	if !ok {
		return "", "", false
	}
	view := i.catalog.View()
	category, _ = view.Attr(n, "category").(string)
	brand, _ = view.Attr(n, "brand").(string)
	return category, brand, category != "" || brand != ""
}

// segments evaluates audiences at read.
type segments struct{ n *Node }

// Segments returns the names of the segments p is in at now, sorted.
func (s segments) Segments(p *profile.Person, now attune.Millis) []string {
	return s.n.rules.Load().Segments.Evaluate(p, now)
}

// ingester is collect's Accept as serve asks for it.
type ingester struct{ n *Node }

// Ingest makes inline events durable.
func (g ingester) Ingest(ctx context.Context, in *serve.Inline) (serve.Ingested, error) {
	b := &collect.Batch{
		Source: g.n.browser.Load().Browser[in.Key], Verified: in.Server, Device: in.Visitor,
		Agent:  in.Request.UserAgent(),
		Denied: g.n.cfg.Load().Identity.SecGPC && in.Request.Header.Get("Sec-GPC") == "1",
		Events: make([][]byte, len(in.Events)),
	}
	if in.Server {
		b.Rank, b.Agent, b.Source = attune.Server, "", collect.ServerSource
	} else {
		b.Address = g.n.collector.Address(in.Request)
	}
	if in.User != "" {
		b.Users = []string{in.User}
	}
	for i, e := range in.Events {
		b.Events[i] = named(e, in)
	}
	res, err := g.n.collector.Accept(ctx, b)
	if err != nil {
		return serve.Ingested{}, err
	}
	out := serve.Ingested{Token: res.Token, Accepted: res.Accepted}
	for _, r := range res.Rejected {
		out.Rejected = append(out.Rejected, serve.Rejection{Index: r.Index, ID: r.MessageID, Reason: r.Reason})
	}
	return out, nil
}

// named fills in the ids of the decision where an inline event has none of its
// own: it is about the same person.
func named(e json.RawMessage, in *serve.Inline) []byte {
	root := gjson.Parse(unsafe.String(unsafe.SliceData(e), len(e))) //nolint:gosec // nobody writes to a request's body
	if !root.IsObject() {
		return e
	}
	own, empty := false, true
	root.ForEach(func(k, _ gjson.Result) bool {
		empty = false
		own = k.Str == "userId" || k.Str == "anonymousId"
		return !own
	})
	if own || !gjson.ValidBytes(e) {
		return e
	}
	head, err := json.Marshal(struct {
		UserID      string `json:"userId,omitempty"`
		AnonymousID string `json:"anonymousId,omitempty"`
	}{in.UserID, in.AnonymousID})
	if err != nil || len(head) <= 2 {
		return e
	}
	out := head[:len(head)-1]
	if !empty {
		out = append(out, ',')
	}
	return append(out, root.Raw[1:]...)
}
