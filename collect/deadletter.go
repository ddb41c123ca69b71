package collect

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/attune-io/attune"
)

// DeadLetter is an event, or a whole request, that was refused for good.
type DeadLetter struct {
	Time      attune.Millis `json:"time"` // the edge's clock, milliseconds
	Source    string        `json:"source"`
	Reason    string        `json:"reason"`
	Code      string        `json:"code"`
	Index     int           `json:"index"` // place in its batch; -1: the whole request
	MessageID string        `json:"messageId"`
	// Raw is what was sent, without credentials. What is larger than
	// Limits.DeadRaw is cut, so not always JSON.
	Raw string `json:"raw"`
	// ID names it for a retry, for as long as the process runs.
	ID string `json:"id"`
	// Outcome is what its last retry came to: "accepted", "dropped" or
	// "rejected", which has left its reason in Reason; "" before the first.
	Outcome string        `json:"outcome,omitempty"`
	Retried attune.Millis `json:"-"` // when that was

	from *Batch // how it came, without its events; nil: it cannot be retried
	busy bool   // is being retried
}

// The outcomes of a retry.
const (
	outcomeAccepted = "accepted"
	outcomeDropped  = "dropped"
	outcomeRejected = "rejected"
)

// done reports whether d came through after all.
func (d *DeadLetter) done() bool { return d.Outcome == outcomeAccepted || d.Outcome == outcomeDropped }

// deadLetters is a ring of the newest dead letters, bounded in number and in
// bytes. When it is full the oldest leaves.
type deadLetters struct {
	mu       sync.Mutex
	ring     []DeadLetter // grows up to limit, then wraps
	start, n int
	bytes    int
	total    uint64 // ever added
	epoch    string // of this process, so that ids of another mean nothing

	limit, maxBytes, maxRaw int
}

// deadOverhead is what an entry costs beside its text.
const deadOverhead = 128

// maxCut is how much is kept of what is too large to be kept whole.
const maxCut = 4 << 10

func newDeadLetters(l Limits, began attune.Millis) *deadLetters {
	return &deadLetters{limit: l.DeadLetters, maxBytes: l.DeadBytes, maxRaw: l.DeadRaw, epoch: strconv.FormatInt(int64(began), 36)}
}

// add keeps a copy of d.
func (l *deadLetters) add(d *DeadLetter) {
	c := *d
	if len(d.Raw) > l.maxRaw {
		c.Raw, c.from = strings.Clone(cut(d.Raw, min(maxCut, l.maxRaw))), nil
	} else {
		c.Raw = strings.Clone(d.Raw)
	}
	c.Reason = strings.Clone(cut(d.Reason, l.maxRaw))
	c.MessageID = strings.Clone(cut(d.MessageID, maxMessageID*utf8.UTFMax))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == len(l.ring) && l.n < l.limit {
		l.grow()
	}
	if l.n == len(l.ring) {
		l.drop()
	}
	c.ID = l.epoch + "-" + strconv.FormatUint(l.total, 36)
	l.ring[(l.start+l.n)%len(l.ring)] = c
	l.n++
	l.total++
	l.bytes += c.size()
	for l.bytes > l.maxBytes && l.n > 1 {
		l.drop()
	}
}

// grow doubles the ring, up to limit, with its oldest entry first.
func (l *deadLetters) grow() {
	next := make([]DeadLetter, min(max(2*len(l.ring), 64), l.limit))
	for i := range l.n {
		next[i] = l.ring[(l.start+i)%len(l.ring)]
	}
	l.ring, l.start = next, 0
}

// drop forgets the oldest entry.
func (l *deadLetters) drop() {
	l.bytes -= l.ring[l.start].size()
	l.ring[l.start] = DeadLetter{}
	l.start = (l.start + 1) % len(l.ring)
	l.n--
}

func (d *DeadLetter) size() int {
	n := deadOverhead + len(d.Raw) + len(d.Reason) + len(d.MessageID) + len(d.Source)
	if d.from != nil {
		n += len(d.from.Context) + len(d.from.Integrations) // counted for each, though a batch shares it
	}
	return n
}

func (l *deadLetters) newest(limit int) []DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]DeadLetter, 0, max(min(limit, l.n), 0))
	for i := l.n - 1; i >= 0 && len(out) < limit; i-- {
		out = append(out, l.ring[(l.start+i)%len(l.ring)])
	}
	return out
}

// counts returns how many are kept, and how many there ever were.
func (l *deadLetters) counts() (kept int, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n, l.total
}

// cut returns at most n bytes of s, and no half of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
