package node

import (
	"cmp"
	"context"
	"slices"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/serve"
)

// identities reads the ids of people out of their parts.
type identities struct{ n *Node }

// Identities returns every id of p, and every edge of hers.
func (x identities) Identities(ctx context.Context, p *profile.Person) ([]serve.Identity, []serve.Alias, error) {
	ids := make([]serve.Identity, 0, len(p.Identities))
	var more, external []serve.Identity
	var aliases []serve.Alias
	for i := range p.Identities {
		id := &p.Identities[i]
		out := serve.Identity{Type: id.Type, ID: id.ID, Verified: id.Verified}
		key := identity.DeviceKey(id.ID)
		if id.Type == "user_id" {
			key = identity.UserKey(id.ID)
		}
		err := x.n.parts.View(ctx, key, func(part *profile.Part) {
			out.FirstSeen, out.LastSeen = seenOf(p, part)
			if id.Type != "user_id" {
				return
			}
			for _, device := range part.Evicted {
				more = append(more, serve.Identity{Type: "anonymous_id", ID: device, Evicted: true})
			}
			for _, e := range part.Edges {
				aliases = append(aliases, serve.Alias{From: e.From, To: e.To, At: e.Time, By: e.By, Removed: e.Removed})
			}
			external = append(external, externalOf(part)...)
		})
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, out)
	}
	ids = append(append(ids, more...), x.n.shown(external)...)
	return ids, distinct(aliases), nil
}

// seenOf returns the oldest and newest event times of what of part is p's.
func seenOf(p *profile.Person, part *profile.Part) (first, last attune.Millis) {
	for _, s := range spansOf(p, part) {
		if !s.hers || s.first == 0 {
			continue
		}
		if first == 0 || s.first < first {
			first = s.first
		}
		last = max(last, s.last)
	}
	return first, last
}

// externalOf returns the external ids of a user's part.
func externalOf(part *profile.Part) []serve.Identity {
	out := make([]serve.Identity, 0, len(part.Externals))
	for i := range part.Externals {
		e := &part.Externals[i]
		out = append(out, serve.Identity{Type: e.Type, ID: e.Value, Verified: e.Verified, FirstSeen: e.First, LastSeen: e.Last})
	}
	return out
}

// distinct returns aliases, which both users keep, once each, newest first. A
// pair of which the two know different things is as the newer of them.
func distinct(aliases []serve.Alias) []serve.Alias {
	slices.SortFunc(aliases, func(a, b serve.Alias) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(b.At, a.At))
	})
	aliases = slices.CompactFunc(aliases, func(a, b serve.Alias) bool { return a.From == b.From && a.To == b.To })
	slices.SortStableFunc(aliases, func(a, b serve.Alias) int { return cmp.Compare(b.At, a.At) })
	return aliases
}

// shown sorts external ids by type, verified ones first, then the newest, and
// drops those that a user it was merged with has too.
func (*Node) shown(ids []serve.Identity) []serve.Identity {
	slices.SortFunc(ids, func(a, b serve.Identity) int {
		verified := 0
		if a.Verified != b.Verified {
			verified = 1
			if a.Verified {
				verified = -1
			}
		}
		return cmp.Or(cmp.Compare(a.Type, b.Type), verified, cmp.Compare(b.LastSeen, a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	known := map[[2]string]bool{}
	return slices.DeleteFunc(ids, func(id serve.Identity) bool {
		key := [2]string{id.Type, id.ID}
		again := known[key]
		known[key] = true
		return again
	})
}

// Holder returns the user that has the external id.
func (x identities) Holder(ctx context.Context, kind, value string) (userID string, err error) {
	err = x.n.parts.View(ctx, identity.ExternalKey(kind, value), func(p *profile.Part) {
		if of := p.Holders(nil); len(of) > 0 {
			userID = of[0].User
		}
	})
	return userID, err
}
