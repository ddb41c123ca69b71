package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tidwall/sjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
)

// histories reads people's timelines out of the journal: their parts remember
// where their newest messages are.
type histories struct{ n *Node }

// placed is a message of one of a person's parts.
type placed struct {
	key string
	profile.Message
}

// Events returns the newest events of p as JSON, newest first, at most limit.
// Of a device that others use too only p's own events are shown. Events that
// the journal has let go of are left out.
func (h histories) Events(ctx context.Context, p *profile.Person, limit int) ([]json.RawMessage, error) {
	var all []placed
	spans := map[string][]span{}
	for _, part := range p.Vector {
		var at []profile.Message
		err := h.n.parts.Update(ctx, part.Key, func(x *profile.Part) bool {
			at, spans[part.Key] = x.Seen.Newest(nil, limit), spansOf(p, x)
			return false
		})
		if err != nil {
			return nil, err
		}
		for _, m := range at {
			all = append(all, placed{part.Key, m})
		}
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(b.ReceivedAt, a.ReceivedAt), cmp.Compare(b.Offset, a.Offset), cmp.Compare(a.key, b.key))
	})
	var out []json.RawMessage
	for _, m := range all[:min(len(all), limit)] {
		e, err := h.event(ctx, m)
		if errors.Is(err, attune.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !hers(p, m.key, e, spans[m.key]) {
			continue
		}
		raw, err := parsed(e)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}

// span is when a stretch of a device was, and whether it is the person's.
type span struct {
	hers        bool
	first, last attune.Millis
}

// spansOf returns the stretches of a part as p sees them: a visitor's is the
// last one, a user's are those she owns.
func spansOf(p *profile.Person, part *profile.Part) []span {
	_, visitor := identity.Device(p.Key)
	out := make([]span, 0, len(part.Closed)+1)
	for i := range part.Closed {
		s := &part.Closed[i]
		out = append(out, span{!visitor && isHers(p, s.Owner), s.State.First, s.State.Last})
	}
	return append(out, span{visitor || isHers(p, part.Last.Owner), part.Last.State.First, part.Last.State.Last})
}

func isHers(p *profile.Person, userID string) bool {
	return userID != "" && slices.ContainsFunc(p.Identities, func(id profile.Identity) bool {
		return id.Type == "user_id" && id.ID == userID
	})
}

// hers reports whether an event of one of p's parts is p's. On a device that
// is what names her. What names nobody is hers when it was in a stretch of hers
// and in no other: an event is always within the times of its own stretch, so
// nobody is shown another one's, and where two overlap nobody is shown either.
func hers(p *profile.Person, key string, e *attune.Event, spans []span) bool {
	if _, device := identity.Device(key); !device {
		return true
	}
	if _, visitor := identity.Device(p.Key); !visitor && e.UserID != "" {
		return isHers(p, e.UserID)
	}
	found := false
	for _, s := range spans {
		if s.first != 0 && s.first <= e.Time && e.Time <= s.last {
			if !s.hers {
				return false
			}
			found = true
		}
	}
	return found
}

// event reads one event of the journal.
func (h histories) event(ctx context.Context, m placed) (*attune.Event, error) {
	status := h.n.journal.Status()
	partition := journal.Partition(m.key, status.Partitions())
	if m.Offset < status.First[partition] || m.Offset > status.Last[partition] {
		return nil, attune.ErrNotFound
	}
	reader, err := h.n.journal.Read(partition, m.Offset)
	if err != nil {
		return nil, err
	}
	defer reader.Close() //nolint:errcheck // it only frees memory
	recs, err := reader.Next(ctx, 1)
	if err != nil {
		return nil, err
	}
	if recs[0].Offset != m.Offset || recs[0].Kind != attune.KindEvent {
		return nil, attune.ErrNotFound
	}
	var e attune.Event
	if err := e.UnmarshalBinary(slices.Clone(recs[0].Payload)); err != nil {
		return nil, err
	}
	return &e, nil
}

// parsed returns e as it was sent, with what the edge settled and added under
// the names that the wire has for it.
func parsed(e *attune.Event) (json.RawMessage, error) {
	out := slices.Clone(e.Raw)
	if len(out) == 0 {
		out = []byte("{}")
	}
	for _, f := range []struct {
		path  string
		value any
	}{
		{"type", e.Type.String()},
		{"messageId", e.MessageID},
		{"timestamp", e.Time.String()},
		{"receivedAt", e.ReceivedAt.String()},
		{"_attune.source", e.Source},
		{"_attune.server", e.Rank == attune.Server},
		{"_attune.bot", e.Has(attune.Bot)},
		{"_attune.device", e.Has(attune.Device)},
	} {
		var err error
		if out, err = sjson.SetBytes(out, f.path, f.value); err != nil {
			return nil, err
		}
	}
	if len(e.Enriched) > 0 {
		return sjson.SetRawBytes(out, "_attune.enriched", e.Enriched)
	}
	return out, nil
}
