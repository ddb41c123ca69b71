package profile

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// External says that a user has an external id: an e-mail address, a phone's
// number, an id of another system. Both keep it: her part, and that of the id
// (x:<type>:<value>), by which she is found.
type External struct {
	Type, Value string
	User        string
	Verified    bool          // a server said so
	First       attune.Millis // of the first record, by receipt
	// Last is the newest record, cut to the day (UTC).
	Last attune.Millis
}

// The bounds of external ids. They are no part of the configuration, so that it
// never changes what a replay gives.
const (
	maxExternals      = 200 // of a part
	maxExternalOfType = 20  // of a user
	// An id that crowd users claim within a day is everybody's: a shop's own
	// address, a test number.
	crowd       = 5
	crowdWithin = day
)

// compareExternal is the order in which a part keeps them.
func compareExternal(a, b External) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value), cmp.Compare(a.User, b.User))
}

// external takes an external id's record, of the user's part or of the id's.
func (p *Part) external(r *attune.Record) Outcome {
	var x attune.External
	if json.Unmarshal(r.Payload, &x) != nil || x.Type == "" || x.Value == "" || x.UserID == "" {
		return Ignored
	}
	if p.Key != identity.UserKey(x.UserID) && p.Key != identity.ExternalKey(x.Type, x.Value) {
		return Ignored
	}
	one := External{Type: x.Type, Value: x.Value, User: x.UserID, Verified: x.Verified, First: r.ReceivedAt, Last: r.ReceivedAt - r.ReceivedAt%day}
	i, found := slices.BinarySearchFunc(p.Externals, one, compareExternal)
	if found {
		was := &p.Externals[i]
		was.Last, was.Verified, was.First = max(was.Last, one.Last), was.Verified || one.Verified, min(was.First, one.First)
		return Noted
	}
	p.Externals = slices.Insert(p.Externals, i, one)
	if _, user := identity.User(p.Key); user {
		p.evictExternal(func(o *External) bool { return o.Type == one.Type }, maxExternalOfType)
	} else {
		p.crowds(r.ReceivedAt)
	}
	p.evictExternal(func(*External) bool { return true }, maxExternals)
	return Noted
}

// crowds notes when too many users claimed the id of p lately.
func (p *Part) crowds(now attune.Millis) {
	n := 0
	for i := range p.Externals {
		if o := &p.Externals[i]; !o.Verified && o.First > now-crowdWithin {
			n++
		}
	}
	if n >= crowd {
		p.Crowded = max(p.Crowded, now)
	}
}

// evictExternal drops, of those that of names, the one that is first to go when
// there are more than most: claimed before verified, then the oldest, then in
// order.
func (p *Part) evictExternal(of func(*External) bool, most int) {
	n, first := 0, -1
	for i := range p.Externals {
		o := &p.Externals[i]
		if !of(o) {
			continue
		}
		if n++; first < 0 || o.weaker(&p.Externals[first]) {
			first = i
		}
	}
	if n > most {
		p.Externals = slices.Delete(p.Externals, first, first+1)
	}
}

// weaker is the order of eviction. Records come in the order of the log, and so
// the cut is the same in every replay.
func (x *External) weaker(o *External) bool {
	switch {
	case x.Verified != o.Verified:
		return !x.Verified
	case x.Last != o.Last:
		return x.Last < o.Last
	default:
		return compareExternal(*x, *o) < 0
	}
}

// Holders appends to dst the users that have the external id of p, the best
// first: verified before claimed, then who was seen last, then by id. When too
// many claimed it at once, only those who are verified have it.
func (p *Part) Holders(dst []External) []External {
	for i := range p.Externals {
		if o := p.Externals[i]; o.Verified || p.Crowded == 0 {
			dst = append(dst, o)
		}
	}
	slices.SortFunc(dst, func(a, b External) int {
		switch {
		case a.Verified != b.Verified:
			if a.Verified {
				return -1
			}
			return 1
		default:
			return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.First, b.First), cmp.Compare(a.User, b.User))
		}
	})
	return dst
}

func appendEdgeFlags(b []byte, e *Edge) []byte {
	var flags byte
	if e.Removed {
		flags |= edgeRemoved
	}
	if e.By == "" {
		return append(b, flags)
	}
	return appendString(append(b, flags|edgeBy), e.By)
}

func (d *decoder) edgeFlags(e *Edge) {
	flags := d.byte()
	if flags > edgeRemoved|edgeBy {
		d.fail()
	}
	e.Removed = flags&edgeRemoved != 0
	if flags&edgeBy != 0 {
		e.By = d.string()
	}
}

func appendExternals(b []byte, p *Part) []byte {
	b = binary.AppendUvarint(b, uint64(len(p.Externals)))
	if len(p.Externals) == 0 {
		return b
	}
	b = binary.AppendVarint(b, int64(p.Crowded))
	for i := range p.Externals {
		x := &p.Externals[i]
		b = appendString(appendString(appendString(b, x.Type), x.Value), x.User)
		b = appendBool(b, x.Verified)
		b = binary.AppendVarint(binary.AppendVarint(b, int64(x.First)), int64(x.Last))
	}
	return b
}

func (d *decoder) externals(p *Part) {
	n := d.count(maxExternals)
	if n == 0 {
		return
	}
	p.Crowded = d.millis()
	for range n {
		p.Externals = append(p.Externals, External{
			Type: d.string(), Value: d.string(), User: d.string(), Verified: d.bool(), First: d.millis(), Last: d.millis(),
		})
	}
}
