package destination

import (
	"fmt"
	"slices"
	"time"

	"github.com/attune-io/attune"
)

// bury makes the first message of l a dead letter; r.mu is held.
func (r *Runner) bury(l *line, e *entry, now time.Time, f *Failure) {
	r.counts.given++
	i := slices.IndexFunc(r.dead, func(d *DeadLetter) bool { return d.ID == e.m.ID })
	if i < 0 {
		if len(r.dead) >= r.def.DeadLetters {
			r.counts.dropped++
			r.dead = slices.Delete(r.dead, 0, 1+len(r.dead)-r.def.DeadLetters)
		}
		r.dead = append(r.dead, &DeadLetter{ID: e.m.ID, Type: e.m.Type, Person: e.m.Person, Time: e.m.Time, Body: e.m.Body})
		i = len(r.dead) - 1
	}
	d := r.dead[i]
	d.Reason, d.Status, d.GivenUp, d.retrying = f.Reason, f.Status, attune.MillisOf(now), false
	d.Attempts += e.attempts
	r.dirty.dead = true
	r.settle(l, e, now)
}

// forget drops a dead letter that was sent after all; r.mu is held.
func (r *Runner) forget(id string) {
	r.dead = slices.DeleteFunc(r.dead, func(d *DeadLetter) bool { return d.ID == id })
	r.dirty.dead = true
}

// DeadLetters returns at most limit of the dead letters, newest first, and how
// many there are.
func (r *Runner) DeadLetters(limit int) (newest []DeadLetter, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.dead) - 1; i >= 0 && len(newest) < limit; i-- {
		newest = append(newest, *r.dead[i])
	}
	return newest, len(r.dead)
}

// Retry tries the dead letters with those ids again, or all of them when there
// are none, and returns how many. Each goes behind what waits for its person
// now, and stays a dead letter until it is taken. An id that is not there is an
// error that wraps attune.ErrNotFound, and then nothing is tried.
func (r *Runner) Retry(ids []string) (int, error) {
	if !r.def.On() {
		return 0, fmt.Errorf("destination %s is off (enabled: false), so nothing is sent: %w", r.def.Name, attune.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*DeadLetter
	if len(ids) == 0 {
		found = slices.Clone(r.dead)
	}
	for _, id := range ids {
		i := slices.IndexFunc(r.dead, func(d *DeadLetter) bool { return d.ID == id })
		if i < 0 {
			return 0, fmt.Errorf("destination %s has no dead letter %q: %w", r.def.Name, id, attune.ErrNotFound)
		}
		found = append(found, r.dead[i])
	}
	n := 0
	for _, d := range found {
		if !d.retrying {
			d.retrying = true
			r.queue.add(&entry{m: d.message()}, r.opt.Now())
			n++
		}
	}
	r.nudge()
	return n, nil
}

// Status is how a destination does.
type Status struct {
	Name  string
	Kind  string
	URL   string
	State string // sending, paused, off
	// Pending are the messages in memory; Behind the records of the journal
	// that were not looked at yet.
	Pending int
	Behind  uint64
	Oldest  attune.Millis // of what is pending, when it was first tried; 0 is none

	Delivered   uint64 // since the start, as the others
	Failed      uint64 // attempts
	GivenUp     uint64
	Dropped     uint64 // dead letters that had no room
	Repeats     uint64 // transitions that were in the journal twice
	Skipped     uint64 // records that could not be looked at
	DeadLetters int    // kept

	LastError   string
	LastErrorAt attune.Millis
	LastTaken   attune.Millis
}

// Status returns how the destination does.
func (r *Runner) Status() Status {
	end := r.opt.Journal.Status().Last
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		Name: r.def.Name, Kind: r.def.Kind, URL: r.def.URL, State: "sending", Pending: r.queue.size,
		Delivered: r.counts.delivered, Failed: r.counts.failed, GivenUp: r.counts.given, Dropped: r.counts.dropped,
		Repeats: r.counts.repeats, Skipped: r.counts.skipped, DeadLetters: len(r.dead),
		LastError: r.health.last, LastErrorAt: millis(r.health.lastAt), LastTaken: millis(r.health.taken),
	}
	switch {
	case !r.def.On():
		s.State = "off"
	case r.health.down() || r.health.asked.After(r.opt.Now()):
		s.State = "paused"
	}
	open := 0 // some of it may not be in the queue again yet
	for _, at := range r.open {
		open += len(at)
	}
	s.Pending = max(s.Pending, open)
	for i, last := range end {
		if at := r.read[i]; last > at {
			s.Behind += last - at
		}
	}
	for _, l := range r.queue.lines {
		if at := millis(l.wait[0].began); at != 0 && (s.Oldest == 0 || at < s.Oldest) {
			s.Oldest = at
		}
	}
	return s
}

func millis(t time.Time) attune.Millis {
	if t.IsZero() {
		return 0
	}
	return attune.MillisOf(t)
}
