package collect

import (
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
	// Raw is what was sent, cut to Limits.DeadRaw bytes, so not always JSON.
	Raw string `json:"raw"`
}

// deadLetters is a ring of the newest dead letters, bounded in number and in
// bytes. When it is full the oldest leaves.
type deadLetters struct {
	mu       sync.Mutex
	ring     []DeadLetter // grows up to limit, then wraps
	start, n int
	bytes    int
	total    uint64 // ever added

	limit, maxBytes, maxRaw int
}

// deadOverhead is what an entry costs beside its text.
const deadOverhead = 128

func newDeadLetters(l Limits) *deadLetters {
	return &deadLetters{limit: l.DeadLetters, maxBytes: l.DeadBytes, maxRaw: l.DeadRaw}
}

// add keeps a copy of d.
func (l *deadLetters) add(d *DeadLetter) {
	c := *d
	c.Raw = strings.Clone(cut(d.Raw, l.maxRaw))
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
	return deadOverhead + len(d.Raw) + len(d.Reason) + len(d.MessageID) + len(d.Source)
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
