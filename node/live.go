package node

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// maxLive bounds the newest events kept for whoever looks, and what a slow
// looker may fall behind before events pass it by.
const maxLive = 256

// live is the window on events as they come in: a ring of the newest ones and
// a channel a looker. While nobody looks it copies nothing but those few.
type live struct {
	lookers atomic.Int32

	mu    sync.Mutex
	ring  []attune.Event // newest last
	names map[string]uint64
	ears  map[chan attune.Event]struct{}
}

func newLive() *live {
	return &live{names: map[string]uint64{}, ears: map[chan attune.Event]struct{}{}}
}

// maxNames bounds the event names that are counted; what comes after is
// counted as "other".
const maxNames = 500

// accepted shows durable events to lookers. The events are the caller's.
func (l *live) accepted(events []attune.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		name := events[i].On()
		if _, ok := l.names[name]; !ok && len(l.names) >= maxNames {
			name = "other"
		}
		l.names[name]++
	}
	// Of a large batch only the newest are of interest to eyes.
	for i := max(0, len(events)-maxLive); i < len(events); i++ {
		e := clone(&events[i])
		l.ring = append(l.ring, e)
		for ear := range l.ears {
			select {
			case ear <- e:
			default:
			}
		}
	}
	if n := len(l.ring); n > maxLive {
		l.ring = slices.Delete(l.ring, 0, n-maxLive)
	}
}

// seen counts the name of an event that was folded, for readiness: an event
// that was imported did not pass accepted's eyes.
func (l *live) seen(*attune.Event) {}

// clone returns e with memory of its own.
func clone(e *attune.Event) attune.Event {
	c := *e
	c.Raw = slices.Clone(e.Raw)
	c.Properties, c.Traits, c.Context = slices.Clone(e.Properties), slices.Clone(e.Traits), slices.Clone(e.Context)
	c.Enriched = slices.Clone(e.Enriched)
	return c
}

// recent returns the newest events, newest first, at most limit.
func (l *live) recent(limit int) []attune.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.ring[max(0, len(l.ring)-limit):])
	slices.Reverse(out)
	return out
}

// watch returns a channel of events as they come, and a function that ends it.
// A looker that does not keep up misses events; nobody waits for it.
func (l *live) watch() (events <-chan attune.Event, stop func()) {
	ear := make(chan attune.Event, maxLive)
	l.mu.Lock()
	l.ears[ear] = struct{}{}
	l.mu.Unlock()
	return ear, func() {
		l.mu.Lock()
		delete(l.ears, ear)
		l.mu.Unlock()
	}
}

// counts returns how often each event name came in since the start.
func (l *live) counts() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]uint64, len(l.names))
	for k, v := range l.names {
		out[k] = v
	}
	return out
}
