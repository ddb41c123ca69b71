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
	for _, part := range p.Vector {
		var at []profile.Message
		err := h.n.parts.Update(ctx, part.Key, func(x *profile.Part) bool {
			at = x.Seen.Newest(nil, limit)
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
		if !hers(p, m.key, e) {
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

// hers reports whether an event of one of p's parts is p's: on a device, those
// that name nobody or one of her user ids.
func hers(p *profile.Person, key string, e *attune.Event) bool {
	if _, device := identity.Device(key); !device || e.UserID == "" {
		return true
	}
	for _, id := range p.Identities {
		if id.Type == "user_id" && id.ID == e.UserID {
			return true
		}
	}
	_, visitor := identity.Device(p.Key)
	return visitor
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
