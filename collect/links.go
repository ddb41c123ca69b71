package collect

import (
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// linkLife is how long an acknowledged link is not said again. A link's
// recency counts in days, so an hour loses nothing.
const linkLife = attune.Millis(time.Hour / time.Millisecond)

// linkCache knows the links this process has had acknowledged lately. An entry
// is made only after Append returned nil: a link that failed would otherwise
// be missing for an hour, and with it a device's whole history. Verified and
// claimed links are different entries, because only the verified one can evict.
type linkCache struct{ acked *aging[ackedLink] }

type ackedLink struct {
	at  attune.Millis
	pos journal.Position // part of every token that builds on the link
}

func newLinkCache(limit int) *linkCache { return &linkCache{newAging[ackedLink](limit)} }

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
