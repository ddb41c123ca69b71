package collect

import (
	"sync"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// linkLife is how long an acknowledged link is not said again. A link's
// recency counts in days, so an hour loses nothing.
const linkLife = attune.Millis(time.Hour / time.Millisecond)

// linkCache knows the links this process has had acknowledged lately. An entry
// is made only after Append returned nil: a link that failed would otherwise
// be missing for an hour, and with it a device's whole history. Verified and
// claimed links are different entries, because only the verified one can evict.
//
// It also keeps pace: a user or a device that gets more than limit new claimed
// links within the hour is quarantined for the rest of it, and its further
// claimed links are left out. That is what guessing ids or sharing one looks
// like. Verified links have no such bound.
type linkCache struct {
	acked *aging[ackedLink]
	limit int

	mu    sync.Mutex // makes a count and its change one step
	paces *aging[pace]
}

// pace is how many claimed links an id got in the hour that began at start.
type pace struct {
	start attune.Millis
	n     int
}

type ackedLink struct {
	at  attune.Millis
	pos journal.Position // part of every token that builds on the link
}

func newLinkCache(l Limits) *linkCache {
	return &linkCache{acked: newAging[ackedLink](l.Links), limit: l.ClaimedLinks, paces: newAging[pace](l.Links)}
}

// admit counts a claimed link against both of its ids, and reports whether
// neither is over the limit. What is not durable in the end is given back.
func (l *linkCache) admit(user, device string, now attune.Millis) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, d := identity.UserKey(user), identity.DeviceKey(device)
	pu, pd := l.pace(u, now), l.pace(d, now)
	if pu.n >= l.limit || pd.n >= l.limit {
		return false
	}
	pu.n++
	pd.n++
	l.paces.put(u, pu)
	l.paces.put(d, pd)
	return true
}

// giveBack undoes an admit whose link was not stored.
func (l *linkCache) giveBack(user, device string, now attune.Millis) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range [...]string{identity.UserKey(user), identity.DeviceKey(device)} {
		p := l.pace(key, now)
		p.n = max(p.n-1, 0)
		l.paces.put(key, p)
	}
}

func (l *linkCache) pace(key string, now attune.Millis) pace {
	p, ok := l.paces.get([]byte(key))
	if !ok || now-p.start >= linkLife || now < p.start {
		return pace{start: now}
	}
	return p
}

// proof is how well a link or claim is founded.
type proof byte

const (
	claimed  proof = iota // the device says so
	verified              // the sender proved device or user
	byServer              // a server's claim of a device
)

// proofOf is what the sender's proof of e's ids makes of a link.
func proofOf(e *attune.Event) proof {
	if e.Has(attune.Verified) {
		return verified
	}
	return claimed
}

// appendLinkKey appends the cache's key of a link. An id has no control
// characters, so the parts cannot run into each other.
func appendLinkKey(b []byte, user, device string, p proof) []byte {
	b = append(b, user...)
	b = append(b, byte(p))
	return append(b, device...)
}

// find returns where the link is in the journal when it was acknowledged less
// than linkLife before now.
func (l *linkCache) find(key []byte, now attune.Millis) (journal.Position, bool) {
	a, ok := l.acked.get(key)
	if !ok || now-a.at >= linkLife || now < a.at {
		return journal.Position{}, false
	}
	return a.pos, true
}

func (l *linkCache) acknowledge(key string, at attune.Millis, pos journal.Position) {
	l.acked.put(key, ackedLink{at: at, pos: pos})
}
