package profile

import (
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// The bounds of a part. Every cut follows a total order of what the part has
// seen in its log, so that a replay cuts the same.
const (
	maxLinks   = 200  // devices of a user
	maxEvicted = 1000 // devices a user had, kept for erasure
	maxEdges   = 1000 // edges of a user
	maxClosed  = 500  // former owners of one device
)

// Part is the state of one routing id. It is a fold of that id's records and
// of nothing else. One goroutine at a time may fold into it; Parts says how
// others read meanwhile.
type Part struct {
	// Key is the routing id: a:<anonymousId> or u:<userId>.
	Key string
	// Applied is the offset of the newest record that was folded. It is a
	// position in the journal, not state: with another number of partitions
	// it is another number.
	Applied uint64
	// Received is the newest ReceivedAt of an event of the part, even of a
	// repeated one: what an unclaimed stretch expires by.
	Received attune.Millis
	// Visitor is when the device was last given a visitor token; 0 is never.
	Visitor attune.Millis
	// Closed holds, of a device, the closed stretches: merged, one an owner,
	// sorted by owner. Owner "" is nobody.
	Closed []Stretch
	// Last is the newest stretch of a device. A user's part has only this
	// one, and it is hers.
	Last Stretch
	// Links are the devices of a user, sorted by id; at most maxLinks.
	Links []Link
	// Evicted are ids of devices that made room for others, oldest first.
	// No person reads them; erasure does.
	Evicted []string
	// Edges join users; kept by both. Sorted by (From, To).
	Edges []Edge
	// Externals are, of a user, her external ids, and, of an external id, the
	// users that have it; sorted. See External.
	Externals []External
	// Crowded says of an external id that too many users claimed it at once:
	// then only who is verified has it. It is when that was; 0 is never.
	Crowded attune.Millis
	// Seen is the deduplication set.
	Seen Seen

	// stateAt and shapeAt are the offsets at which the state of a stretch,
	// and who is joined to whom, last changed. They save readers work and
	// are not stored.
	stateAt, shapeAt uint64
}

// Stretch is a run of a device's history with one owner.
type Stretch struct {
	identity.Ownership

	State State
}

// Link says that a device is a user's.
type Link struct {
	Device   string // anonymousId
	Verified bool   // by secret key, visitor token or user token
	// Time is the newest link record, cut to the day (UTC): recency.
	Time attune.Millis
}

// Edge says that two users are one person: From is left behind, To stays.
type Edge struct {
	From, To  string
	Time      attune.Millis
	MessageID string
	// Removed says that they are not.
	Removed bool
	// By is the type of the external id that joined them; "" says that
	// somebody did.
	By string
}

// newPart returns the part of key before its first record.
func newPart(key string) *Part {
	p := &Part{Key: key}
	if u, ok := identity.User(key); ok {
		p.Last.Owner = u
	}
	return p
}

// stamp is how far a part, its state and its shape have come, and about what
// it takes in memory (0 when that was not asked).
type stamp struct {
	applied, state, shape uint64
	size                  int64
}

func (p *Part) stamp() stamp { return stamp{applied: p.Applied, state: p.stateAt, shape: p.shapeAt} }

// Known reports whether any record was ever folded into p.
func (p *Part) Known() bool { return p.Applied > 0 }

// closed returns the merged closed stretch of owner, or nil.
func (p *Part) closed(owner string) *Stretch {
	i, found := slices.BinarySearchFunc(p.Closed, owner, compareOwner)
	if !found {
		return nil
	}
	return &p.Closed[i]
}

func compareOwner(s Stretch, owner string) int { return strings.Compare(s.Owner, owner) }

const day = attune.Millis(24 * 60 * 60 * 1000)

// link takes a link record; a device beyond most costs one its place. Recency
// is refreshed daily, so that most link records change nothing.
func (p *Part) link(device string, verified bool, at attune.Millis, most int) (changed bool) {
	at -= at % day
	i, found := slices.BinarySearchFunc(p.Links, device, compareDevice)
	if found {
		l := &p.Links[i]
		changed = at > l.Time || verified && !l.Verified
		l.Time, l.Verified = max(l.Time, at), l.Verified || verified
		return changed
	}
	p.Links = slices.Insert(p.Links, i, Link{Device: device, Verified: verified, Time: at})
	if at := slices.Index(p.Evicted, device); at >= 0 {
		p.Evicted = slices.Delete(p.Evicted, at, at+1)
	}
	if len(p.Links) > most {
		p.evict()
	}
	return true
}

func compareDevice(l Link, device string) int { return strings.Compare(l.Device, device) }

// evict drops the link that is first to go: claimed before verified, then the
// oldest, then by id. So a claimed link never costs a verified one its place.
func (p *Part) evict() {
	first := 0
	for i := range p.Links {
		if p.Links[i].weaker(&p.Links[first]) {
			first = i
		}
	}
	p.Evicted = append(p.Evicted, p.Links[first].Device)
	p.Evicted = p.Evicted[max(0, len(p.Evicted)-maxEvicted):]
	p.Links = slices.Delete(p.Links, first, first+1)
}

// weaker is the total order of eviction.
func (l *Link) weaker(o *Link) bool {
	switch {
	case l.Verified != o.Verified:
		return !l.Verified
	case l.Time != o.Time:
		return l.Time < o.Time
	default:
		return l.Device < o.Device
	}
}

// newer is the order of edges: what somebody said goes before what follows from
// an external id, then (time, messageId), made total by the ends and, of one
// message, by the removal.
func (e *Edge) newer(o *Edge) bool {
	switch {
	case (e.By == "") != (o.By == ""):
		return e.By == ""
	case e.Time != o.Time:
		return e.Time > o.Time
	case e.MessageID != o.MessageID:
		return e.MessageID > o.MessageID
	case compareEnds(*e, *o) != 0:
		return compareEnds(*e, *o) > 0
	default:
		return e.Removed && !o.Removed
	}
}

func compareEnds(a, b Edge) int {
	if c := strings.Compare(a.From, b.From); c != 0 {
		return c
	}
	return strings.Compare(a.To, b.To)
}

// join takes an edge record. The set only grows; of a pair the newest record is
// kept, also when it says that the two are not joined: then an older one that
// comes later joins nobody. A full set takes no new pair.
func (p *Part) join(e Edge) (changed bool) {
	if e.From == "" || e.To == "" || e.From == e.To {
		return false
	}
	i, found := slices.BinarySearchFunc(p.Edges, e, compareEnds)
	switch {
	case found && e.newer(&p.Edges[i]):
		p.Edges[i] = e
		return true
	case found || len(p.Edges) >= maxEdges:
		return false
	default:
		p.Edges = slices.Insert(p.Edges, i, e)
		return true
	}
}

// close ends the newest stretch: its owner keeps it among the closed ones, and
// an empty one with the ownership next begins.
func (f *Folder) close(p *Part, next identity.Ownership) {
	old := p.Last
	p.Last = Stretch{Ownership: next}
	if old.State.Empty() {
		return
	}
	i, found := slices.BinarySearchFunc(p.Closed, old.Owner, compareOwner)
	if found {
		merge(f.Features, &p.Closed[i].State, &old.State)
		return
	}
	old.Prev = ""
	p.Closed = slices.Insert(p.Closed, i, old)
	if len(p.Closed) > maxClosed {
		p.dropOldest()
	}
}

// dropOldest forgets the closed stretch whose owner was here longest ago. Only
// a device that hundreds of people share comes here; its part would grow
// without end. It is dropped, not given to nobody, so that erasing its owner
// leaves nothing behind.
func (p *Part) dropOldest() {
	first := 0
	for i := range p.Closed {
		if p.Closed[i].State.Last < p.Closed[first].State.Last {
			first = i
		}
	}
	p.Closed = slices.Delete(p.Closed, first, first+1)
}
