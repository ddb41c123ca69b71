package profile

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
)

// Outcome says what a record did to a part.
type Outcome uint8

// The outcomes. Only Counted events may go into statistics.
const (
	// Skipped: the record is not newer than what the part has applied.
	Skipped Outcome = iota
	// Repeat: an event whose messageId the part knows. Nothing but the
	// position moved.
	Repeat
	// Ignored: an event of a bot, an event whose sender denied consent (only
	// that was noted), or a record whose payload does not decode.
	Ignored
	// Counted: an event that is now in the part's state.
	Counted
	// Noted: a record other than an event was taken.
	Noted
)

// Folder folds records into parts. It is pure and may be used by many at once.
type Folder struct {
	// Features are the features that are kept. Not nil.
	Features *feature.Set
	// MaxLinks bounds the devices of a user; 0, or more than that, is 200.
	MaxLinks int
}

// NewPart returns the part of key before its first record.
func (*Folder) NewPart(key string) *Part { return newPart(key) }

// Merge makes dst the state of the union of dst's and src's events. src is
// neither changed nor kept.
func (f *Folder) Merge(dst, src *State) { merge(f.Features, dst, src) }

// Fold takes record r of p's routing id into p. e is the decoded event when r
// is a KindEvent, else nil; neither is kept. Records come in log order; one
// that was folded before is Skipped, so a tail of the log may be replayed any
// number of times. After any other outcome p.Applied is r.Offset, and p has
// to be stored.
func (f *Folder) Fold(p *Part, r *attune.Record, e *attune.Event) Outcome {
	if r.Offset <= p.Applied {
		return Skipped
	}
	p.Applied = r.Offset
	if r.Kind == attune.KindEvent {
		if e == nil {
			return Ignored
		}
		return f.event(p, r, e)
	}
	return f.note(p, r)
}

func (f *Folder) event(p *Part, r *attune.Record, e *attune.Event) Outcome {
	if e.Has(attune.Bot) {
		return Ignored
	}
	p.Received = max(p.Received, r.ReceivedAt)
	if e.MessageID != "" && !p.Seen.Add(e.Tie(), r.Offset, r.ReceivedAt) {
		return Repeat
	}
	p.stateAt = r.Offset
	f.own(p, e.UserID)
	st := &p.Last.State
	st.consent(e)
	if e.Has(attune.Denied) {
		return Ignored
	}
	if st.Events == 0 || e.Time < st.First {
		st.First = e.Time
	}
	if st.Events == 0 || e.Time > st.Last {
		st.Last = e.Time
	}
	st.Events++
	st.traits(e)
	f.Features.Fold(&st.Features, e)
	return Counted
}

func (f *Folder) maxLinks() int {
	if f.MaxLinks <= 0 {
		return maxLinks
	}
	return min(f.MaxLinks, maxLinks)
}

// own moves a device's ownership on. A user's part is hers for ever.
func (f *Folder) own(p *Part, userID string) {
	if _, device := identity.Device(p.Key); !device {
		return
	}
	next, step := p.Last.Next(userID)
	switch step {
	case identity.Take:
		p.Last.Ownership = next
	case identity.Close:
		f.close(p, next)
	case identity.Stay:
	}
}

// note takes a record that is not an event.
func (f *Folder) note(p *Part, r *attune.Record) Outcome {
	_, device := identity.Device(p.Key)
	switch r.Kind {
	case attune.KindLink:
		var l attune.Link
		if json.Unmarshal(r.Payload, &l) != nil || l.AnonymousID == "" || device {
			return Ignored
		}
		if p.link(l.AnonymousID, l.Verified, r.ReceivedAt, f.maxLinks()) {
			p.shapeAt = r.Offset
		}
	case attune.KindEdge:
		var e attune.Edge
		if json.Unmarshal(r.Payload, &e) != nil || device {
			return Ignored
		}
		if p.join(Edge{From: e.From, To: e.To, Time: r.Time, MessageID: e.MessageID, Removed: e.Removed, By: e.By}) {
			p.shapeAt = r.Offset
		}
	case attune.KindClaim:
		return f.claim(p, r)
	case attune.KindExternal:
		return p.external(r)
	case attune.KindVisitor:
		p.Visitor = max(p.Visitor, r.ReceivedAt)
	case attune.KindExpiry:
		p.expire(r)
	default:
		// A touch or a tick: the position is all that moves.
	}
	return Noted
}

// claim takes a server's word on whose a device is: as an event of that user
// would, but without an event. A claim that is sent again must not take the
// device back from whoever came after, so it is deduplicated like an event.
func (f *Folder) claim(p *Part, r *attune.Record) Outcome {
	var c attune.Claim
	if json.Unmarshal(r.Payload, &c) != nil || c.UserID == "" {
		return Ignored
	}
	if c.MessageID != "" && !p.Seen.Add(attune.Hash("claim "+c.MessageID), r.Offset, r.ReceivedAt) {
		return Repeat
	}
	p.stateAt = r.Offset
	f.own(p, c.UserID)
	return Noted
}

// expire drops what belongs to nobody, unless an event came after the record's
// cut-off: r.Time is the instant before which the device must have gone quiet,
// 0 for "whenever that was".
func (p *Part) expire(r *attune.Record) {
	if r.Time != 0 && p.Received >= r.Time {
		return
	}
	if p.Last.Owner == "" {
		p.Last.State = State{}
		p.stateAt = r.Offset
	}
	if p.closed("") != nil {
		p.Closed = p.Closed[1:] // "" sorts first
	}
}

// consent takes what e says about consent.
func (s *State) consent(e *attune.Event) {
	if !e.Has(attune.Denied) && !e.Has(attune.Granted) {
		return
	}
	c := Consent{Time: e.Time, Tie: e.Tie(), Granted: !e.Has(attune.Denied)}
	if categories := gjson.GetBytes(e.Context, "consent.categoryPreferences"); categories.IsObject() && len(categories.Raw) <= maxTraitValue {
		c.Categories = strings.Clone(categories.Raw)
	}
	if c.newer(s.Consent) {
		s.Consent = c
	}
}

// traits takes what e tells about the person: context.traits first, then, of
// an identify, its traits, which win. A group's traits are the group's.
func (s *State) traits(e *attune.Event) {
	of := Trait{Rank: e.Rank, Time: e.Time, Tie: e.Tie() &^ 1}
	if len(e.Context) > 0 {
		s.Traits.fold(gjson.GetBytes(e.Context, "traits"), of)
	}
	if e.Type == attune.Identify && len(e.Traits) > 0 {
		of.Tie |= 1
		s.Traits.fold(gjson.ParseBytes(e.Traits), of)
	}
}
