package collect

import (
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// ExternalType is a kind of external ids that is taken from events of users:
// from context.externalIds, as Segment writes them, and from traits.
type ExternalType struct {
	Type   string
	Traits []string // whose values are such ids
}

// externalsOfEvent bounds the external ids one event tells.
const externalsOfEvent = 10

// How well an external id is founded, in the cache of links.
const (
	externalClaimed proof = byServer + 1 + iota
	externalVerified
)

// externals appends the external ids that e tells of its user. A value that
// stands for a missing one, or is not of its type's form, is left out.
func (c *Collector) externals(w *work, b *Batch, e *attune.Event) {
	p := externalClaimed
	if b.Rank >= attune.Server && b.Verified {
		p = externalVerified
	}
	left := externalsOfEvent
	for i := range c.o.Externals {
		t := &c.o.Externals[i]
		take := func(v gjson.Result) {
			value, err := identity.NormalizeExternal(t.Type, scalar(v))
			if err == nil && left > 0 {
				left--
				c.external(w, e, t.Type, value, p)
			}
		}
		gjson.GetBytes(e.Context, "externalIds").ForEach(func(_, v gjson.Result) bool {
			whose, how := v.Get("collection").Str, v.Get("encoding").Str
			if v.Get("type").Str == t.Type && (whose == "" || whose == "users") && (how == "" || how == "none") {
				take(v.Get("id"))
			}
			return left > 0
		})
		for _, name := range t.Traits {
			take(gjson.GetBytes(e.Context, "traits."+name))
			if e.Type == attune.Identify {
				take(gjson.GetBytes(e.Traits, name))
			}
		}
	}
}

// external appends one external id to its user and to the id, unless it is
// known.
func (c *Collector) external(w *work, e *attune.Event, kind, value string, p proof) {
	id := identity.ExternalKey(kind, value)
	w.key = appendLinkKey(w.key[:0], e.UserID, id, p)
	if _, said := w.said[string(w.key)]; said {
		return
	}
	if pos, ok := c.links.find(w.key, e.ReceivedAt); ok {
		w.known = append(w.known, pos)
		return
	}
	from := len(w.buf)
	w.buf = append(w.buf, `{"type":`...)
	w.buf = gjson.AppendJSONString(w.buf, kind)
	w.buf = append(w.buf, `,"value":`...)
	w.buf = gjson.AppendJSONString(w.buf, value)
	w.buf = append(w.buf, `,"user_id":`...)
	w.buf = gjson.AppendJSONString(w.buf, e.UserID)
	if p == externalVerified {
		w.buf = append(w.buf, `,"verified":true`...)
	}
	w.buf = append(w.buf, '}')
	payload := span{from, len(w.buf)}
	key := string(w.key)
	w.say(key)
	w.record(attune.KindExternal, identity.UserKey(e.UserID), e.Time, e.ReceivedAt, payload)
	w.news = append(w.news, newLink{key: key, rec: len(w.recs), user: e.UserID, proof: p})
	w.record(attune.KindExternal, id, e.Time, e.ReceivedAt, payload)
}
