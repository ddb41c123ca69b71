package node

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/console"
	"github.com/attune-io/attune/identity"
)

// Bounds of the window on events.
const (
	// maxLive bounds the newest events kept for whoever looks, and what a slow
	// looker may fall behind before events pass it by.
	maxLive = 256
	// maxNames bounds the event names that are counted; what comes after is
	// counted as "other".
	maxNames = 500
	// maxRecent bounds who is remembered as having been here last.
	maxRecent = 200
	// maxKept bounds how many events a tile of keepTile are copied: eyes do not
	// follow more, and copies cost the ones who send.
	maxKept  = 64
	keepTile = attune.Millis(100)
)

// live is the window on events as they come in: counters by name and by ids,
// a ring of the newest events, and a channel a looker. Counting takes no lock;
// of a flood of events only some are copied.
type live struct {
	// names is replaced whole when a new one comes: readers take no lock.
	names  atomic.Pointer[map[string]*seenName]
	kinds  [5]atomic.Uint64 // see the constants
	since  atomic.Int64     // the oldest event counted
	tile   atomic.Int64     // the tile of time at hand
	budget atomic.Int64     // copies left in it

	mu     sync.Mutex
	ring   []attune.Event // full, the newest takes the place of the oldest
	oldest int            // in ring
	ears   map[chan attune.Event]struct{}
	people []console.Known // newest last; whoever came again is there again
}

// The events counted by the ids they carry.
const (
	kindAnonymous = iota
	kindKnown
	kindBoth
	kindBot
	kindDenied
)

type seenName struct {
	n    atomic.Uint64
	last atomic.Int64
}

func newLive() *live {
	l := &live{ears: map[chan attune.Event]struct{}{}}
	l.names.Store(&map[string]*seenName{})
	return l
}

// accepted counts durable events and shows them to lookers. The events are the
// caller's.
func (l *live) accepted(events []attune.Event) {
	for i := range events {
		l.count(&events[i])
	}
	// Of a large batch only the newest are of interest to eyes.
	first := len(events) - l.allowed(events)
	if first == len(events) {
		return
	}
	copies := make([]attune.Event, 0, len(events)-first)
	for i := first; i < len(events); i++ {
		copies = append(copies, clone(&events[i]))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(copies)
}

// allowed returns how many of events may be copied now.
func (l *live) allowed(events []attune.Event) int {
	if len(events) == 0 {
		return 0
	}
	tile := int64(events[len(events)-1].ReceivedAt / keepTile)
	if was := l.tile.Load(); tile != was && l.tile.CompareAndSwap(was, tile) {
		l.budget.Store(maxKept)
	}
	want := int64(min(len(events), maxKept))
	left := l.budget.Add(-want)
	return int(max(0, min(want, left+want)))
}

// keep puts events into the ring and before lookers; l.mu is held.
func (l *live) keep(events []attune.Event) {
	for i := range events {
		e := &events[i]
		if len(l.ring) < maxLive {
			l.ring = append(l.ring, *e)
		} else {
			l.ring[l.oldest] = *e
			l.oldest = (l.oldest + 1) % maxLive
		}
		l.meet(e)
		for ear := range l.ears {
			select {
			case ear <- *e:
			default:
			}
		}
	}
}

// newest returns the newest events, oldest first, at most limit; l.mu is held.
func (l *live) newest(limit int) []attune.Event {
	out := append(slices.Clone(l.ring[l.oldest:]), l.ring[:l.oldest]...)
	return out[max(0, len(out)-limit):]
}

// meet notes who e is of; l.mu is held. Looking for her among the others can
// wait until somebody asks, or there are too many.
func (l *live) meet(e *attune.Event) {
	who := console.Known{LastSeen: e.ReceivedAt, Last: e.On()}
	switch {
	case e.UserID != "":
		who.Key = identity.UserKey(e.UserID)
	case e.AnonymousID != "" && e.Has(attune.Device):
		who.Key = identity.DeviceKey(e.AnonymousID)
	default:
		return
	}
	if len(l.people) >= 4*maxRecent {
		l.people = once(l.people)
	}
	l.people = append(l.people, who)
}

// once returns each of people where she was last, at most the newest maxRecent
// of them, newest last. It uses the memory of people.
func once(people []console.Known) []console.Known {
	seen := make(map[string]struct{}, maxRecent)
	at := len(people)
	for i := len(people) - 1; i >= 0 && len(seen) < maxRecent; i-- {
		if _, ok := seen[people[i].Key]; !ok {
			seen[people[i].Key] = struct{}{}
			at--
			people[at] = people[i]
		}
	}
	n := copy(people, people[at:])
	clear(people[n:])
	return people[:n]
}

// count counts e by its name and its ids.
func (l *live) count(e *attune.Event) {
	at := int64(e.ReceivedAt)
	if since := l.since.Load(); at != 0 && (since == 0 || at < since) {
		l.since.CompareAndSwap(since, at)
	}
	s := l.name(e.On())
	s.n.Add(1)
	if at > s.last.Load() {
		s.last.Store(at)
	}
	switch {
	case e.UserID != "" && e.AnonymousID != "":
		l.kinds[kindBoth].Add(1)
	case e.UserID != "":
		l.kinds[kindKnown].Add(1)
	default:
		l.kinds[kindAnonymous].Add(1)
	}
	if e.Has(attune.Bot) {
		l.kinds[kindBot].Add(1)
	}
	if e.Has(attune.Denied) {
		l.kinds[kindDenied].Add(1)
	}
}

// name returns the counters of an event name.
func (l *live) name(name string) *seenName {
	if s := (*l.names.Load())[name]; s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := *l.names.Load()
	if len(old) >= maxNames {
		name = "other"
	}
	if s := old[name]; s != nil {
		return s
	}
	next := maps.Clone(old)
	s := &seenName{}
	next[strings.Clone(name)] = s
	l.names.Store(&next)
	return s
}

// clone returns e with memory of its own.
func clone(e *attune.Event) attune.Event {
	c := *e
	c.Raw, c.Enriched = slices.Clone(e.Raw), slices.Clone(e.Enriched)
	for _, part := range [...]*[]byte{&c.Properties, &c.Traits, &c.Context} {
		// A part of Raw ends inside its capacity, at a distance that cap tells.
		at, n := cap(e.Raw)-cap(*part), len(*part)
		if n > 0 && at >= 0 && at+n <= len(e.Raw) && &e.Raw[at] == &(*part)[0] {
			*part = c.Raw[at : at+n : at+n]
		} else {
			*part = slices.Clone(*part)
		}
	}
	return c
}

// recent returns the newest events, newest first, at most limit.
func (l *live) recent(limit int) []attune.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.newest(limit)
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

// lately returns who was here last, newest first.
func (l *live) lately(limit int) []console.Known {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.people = once(l.people)
	out := slices.Clone(l.people[max(0, len(l.people)-limit):])
	slices.Reverse(out)
	return out
}

// counts returns how often each event name came in.
func (l *live) counts() map[string]console.EventCount {
	out := map[string]console.EventCount{}
	for name, s := range *l.names.Load() {
		out[name] = console.EventCount{Name: name, Seen: s.n.Load(), Last: attune.Millis(s.last.Load())}
	}
	return out
}

// recall puts events from before the start, oldest first, behind whatever came
// in since.
func (l *live) recall(events []attune.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ring, people := l.newest(maxLive), l.people
	l.people = nil
	for i := range events {
		l.meet(&events[i])
	}
	l.people = append(l.people, people...)
	l.ring, l.oldest = append(slices.Clone(events), ring...), 0
	l.ring = l.ring[max(0, len(l.ring)-maxLive):]
}
