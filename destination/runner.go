package destination

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune/journal"
)

// Journal is what a Runner reads; a journal.Journal is one.
type Journal interface {
	Read(partition int, from uint64) (journal.Reader, error)
	Status() journal.Status
}

// Options say what a Runner works on. All but Log are required.
type Options struct {
	Definition Definition
	Sender     Sender
	Journal    Journal
	// Dir holds the files of its place; it is made when it is not there.
	Dir string
	// Now is the real clock: attempts are paced by it.
	Now func() time.Time
	// Chance returns a number in [0, 1), to spread attempts.
	Chance func() float64
	Log    *slog.Logger // nil: nothing is logged
}

// Runner sends the messages of one destination. Make it with Open, then call
// Run once. The other methods may be called by any number of goroutines,
// before, while and after.
type Runner struct {
	opt Options
	def Definition
	log *slog.Logger

	mu     sync.Mutex
	queue  queue
	room   *sync.Cond // the queue has room, or the runner ends
	read   []uint64   // a partition: what was looked at
	open   []map[uint64]struct{}
	again  [][]uint64 // what was open when the process before ended
	recent recent
	dead   []*DeadLetter // oldest first
	counts counts
	dirty  dirt
	health health

	changed chan struct{} // one token: the dispatcher looks again; never closed
	saving  sync.Mutex    // one save at a time
}

// dirt says what has changed since it was saved.
type dirt struct{ read, open, dead bool }

// counts are what a Runner has done since it was opened.
type counts struct {
	delivered, failed, given, dropped, repeats, skipped uint64
}

// health is how the receiver does.
type health struct {
	// sick are people whose messages it did not take since it took one, up to
	// troubled of them: one person's alone say nothing of the receiver.
	sick     map[string]struct{}
	failures int       // since there are so many
	until    time.Time // nothing is sent before; a success ends that
	asked    time.Time // nothing is sent before, as the receiver asked
	running  int       // attempts at this moment
	last     string    // the newest failure
	lastAt   time.Time
	taken    time.Time // the newest success
}

// Open reads the place of the destination, or makes one at the end of the
// journal when it has none: it gets what comes. An error that wraps
// attune.ErrCorrupt or attune.ErrInvalid names a file that somebody has to look
// at.
func Open(opt Options) (*Runner, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{
		opt: opt, def: opt.Definition.Filled(), queue: newQueue(), changed: make(chan struct{}, 1),
		log: opt.Log.With(slog.String("destination", opt.Definition.Name)),
	}
	r.health.sick = make(map[string]struct{}, troubled)
	r.room = sync.NewCond(&r.mu)
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("destination %s: %w", r.def.Name, err)
	}
	if err := errors.Join(clean(r.file(placeSuffix)), clean(r.file(lettersSuffix))); err != nil {
		return nil, fmt.Errorf("destination %s: %w", r.def.Name, err)
	}
	status := opt.Journal.Status()
	var p place
	found, err := readJSON(r.file(placeSuffix), &p)
	if err == nil && found {
		err = p.check(r.file(placeSuffix), status)
	}
	var l letters
	if err == nil {
		_, err = readJSON(r.file(lettersSuffix), &l)
	}
	if err != nil {
		return nil, fmt.Errorf("destination %s: %w", r.def.Name, err)
	}
	if !found {
		p = *placeAtEnd(status)
		if err := writeJSON(r.file(placeSuffix), &p); err != nil {
			return nil, fmt.Errorf("destination %s: %w", r.def.Name, err)
		}
	}
	r.dead, r.read, r.again = l.Letters, p.Read, p.Open
	r.open = make([]map[uint64]struct{}, len(p.Read))
	for i := range r.open {
		r.open[i] = map[uint64]struct{}{}
		for _, at := range p.Open[i] {
			r.open[i][at] = struct{}{}
		}
	}
	return r, nil
}

// The files of a destination: its name and one of these.
const (
	placeSuffix   = ".place.json"
	lettersSuffix = ".dead-letters.json"
)

func (r *Runner) file(suffix string) string { return filepath.Join(r.opt.Dir, r.def.Name+suffix) }

// grace is how long attempts may go on after the end.
const grace = 2 * time.Second

// Run sends until ctx ends, then lets attempts end for a moment, and saves its
// place. An error is that of the last save.
func (r *Runner) Run(ctx context.Context) error {
	if !r.def.On() {
		<-ctx.Done()
		return nil
	}
	group := errgroup.Group{}
	unhook := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.room.Broadcast()
	})
	defer unhook()
	for partition := range r.read {
		group.Go(func() error { r.follow(ctx, partition); return nil })
	}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	late := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			stop()
		case <-sending.Done():
		}
	})
	defer late()
	work := make(chan *line) // closed by dispatch
	for range r.def.Concurrency {
		group.Go(func() error {
			for l := range work {
				r.attempt(sending, l)
			}
			return nil
		})
	}
	group.Go(func() error { r.dispatch(ctx, work); return nil })
	group.Go(func() error { r.keep(ctx); return nil })
	_ = group.Wait() // none of them returns an error
	return r.save()
}

// dispatch hands lines that are due to work until ctx ends, then closes it.
func (r *Runner) dispatch(ctx context.Context, work chan<- *line) {
	defer close(work)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.mu.Lock()
		l, wait := r.take()
		r.mu.Unlock()
		if l != nil {
			select {
			case work <- l:
				continue
			case <-ctx.Done():
				return // its place is saved as open
			}
		}
		if wait < 0 {
			wait = time.Hour // changed says when
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-timer.C:
		}
	}
}

// A receiver that took nothing of troubled people in a row is asked by one
// attempt at a time, at most probePause after the one before: it is not beaten
// while it is down, and heard of soon when it is back.
const (
	troubled   = 10
	probePause = 5 * time.Second
)

func (h *health) down() bool { return len(h.sick) >= troubled }

// take returns the line to try next, or how long to wait; r.mu is held.
func (r *Runner) take() (*line, time.Duration) {
	now := r.opt.Now()
	h := &r.health
	if wait := max(h.until.Sub(now), h.asked.Sub(now)); wait > 0 {
		return nil, wait
	}
	if h.down() && h.running > 0 {
		return nil, -1 // its end says when
	}
	l, wait := r.queue.next(now)
	if l == nil && h.down() {
		l = r.queue.probe() // so that it is soon known when the receiver is back
	}
	if l != nil {
		h.running++
	}
	return l, wait
}

func (r *Runner) nudge() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// attempt sends the first message of l once.
func (r *Runner) attempt(ctx context.Context, l *line) {
	r.mu.Lock()
	e := l.wait[0] // nobody else takes from a line that is out of the order
	if e.attempts == 0 {
		e.began = r.opt.Now()
	}
	e.attempts++
	r.mu.Unlock()
	trying, cancel := context.WithTimeout(ctx, time.Duration(r.def.Timeout))
	err := r.opt.Sender.Send(trying, e.m)
	cancel()
	if err != nil && ctx.Err() != nil {
		return // the process ends: its place is saved as open
	}
	now := r.opt.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.nudge()
	r.health.running--
	if err == nil {
		r.delivered(l, e, now)
		return
	}
	r.failed(l, e, now, err)
}

// delivered notes that the receiver has e; r.mu is held.
func (r *Runner) delivered(l *line, e *entry, now time.Time) {
	r.counts.delivered++
	if r.health.down() {
		r.queue.hurry(now) // it is back
	}
	r.answers()
	r.health.taken = now
	if e.offset == 0 {
		r.forget(e.m.ID)
	}
	r.settle(l, e, now)
}

// answers notes that the receiver does; r.mu is held.
func (r *Runner) answers() {
	clear(r.health.sick)
	r.health.failures, r.health.until = 0, time.Time{}
}

// failed puts l back, or gives its first message up; r.mu is held.
func (r *Runner) failed(l *line, e *entry, now time.Time, err error) {
	f := &Failure{Reason: err.Error()}
	_ = errors.As(err, &f) // what is no *Failure has its text alone
	r.counts.failed++
	h := &r.health
	h.last, h.lastAt = f.Reason, now
	if f.Final {
		r.answers()
		r.bury(l, e, now, f)
		return
	}
	if !h.down() {
		h.sick[l.person] = struct{}{}
	}
	if h.down() {
		h.failures++
		pause := min(probePause, 50*time.Millisecond<<min(h.failures, 10))
		h.until = now.Add(pause/2 + time.Duration(r.opt.Chance()*float64(pause/2)))
	}
	if f.After > 0 && f.Everyone {
		h.asked = now.Add(f.After)
	}
	if now.Sub(e.began) >= time.Duration(r.def.GiveUp) {
		f.Reason = fmt.Sprintf("tried for %s: %s", r.def.GiveUp, f.Reason)
		r.bury(l, e, now, f)
		return
	}
	pause := backoff(e.attempts, r.opt.Chance())
	r.queue.later(l, now.Add(max(pause, f.After)), f.After > pause)
}

// settle takes e out of its line; r.mu is held.
func (r *Runner) settle(l *line, e *entry, now time.Time) {
	if e.offset != 0 {
		delete(r.open[e.partition], e.offset)
		r.dirty.open = true
	}
	r.queue.settled(l, now)
	r.room.Broadcast()
}

// keep saves the place when it has changed, until ctx ends.
func (r *Runner) keep(ctx context.Context) {
	const soon, rarely = 250 * time.Millisecond, 20
	tick := time.NewTicker(soon)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		due := r.dirty.open || r.dirty.dead || r.dirty.read && n%rarely == 0
		r.mu.Unlock()
		if !due {
			continue
		}
		if err := r.save(); err != nil {
			r.log.Error("save how far it is; after a crash messages are sent again", slog.Any("error", err))
		}
	}
}

// save writes the dead letters, then the place: what is given up is in the one
// before it is gone from the other.
func (r *Runner) save() error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	was := r.dirty
	r.dirty = dirt{}
	p := &place{Format: placeFormat, Journal: r.opt.Journal.Status().ID, Read: slices.Clone(r.read), Open: make([][]uint64, len(r.open))}
	for i, open := range r.open {
		for at := range open {
			p.Open[i] = append(p.Open[i], at)
		}
		slices.Sort(p.Open[i])
	}
	l := &letters{Format: placeFormat, Letters: make([]*DeadLetter, len(r.dead))}
	for i, d := range r.dead {
		one := *d
		l.Letters[i] = &one
	}
	r.mu.Unlock()
	var err error
	if was.dead {
		err = writeJSON(r.file(lettersSuffix), l)
	}
	if err == nil && was != (dirt{}) {
		err = writeJSON(r.file(placeSuffix), p)
	}
	if err != nil {
		r.mu.Lock()
		r.dirty.read, r.dirty.open, r.dirty.dead = r.dirty.read || was.read, r.dirty.open || was.open, r.dirty.dead || was.dead
		r.mu.Unlock()
		return fmt.Errorf("destination %s: %w", r.def.Name, err)
	}
	return nil
}

// recent are IDs of the last messages, so that a transition that is in the
// journal twice is sent once.
type recent struct {
	known map[string]struct{}
	ring  []string
	next  int
}

// maxRecent bounds them. The repeats of an append that the journal could not
// answer for are next to each other.
const maxRecent = 4096

// repeat reports whether id was there lately, and notes it.
func (r *recent) repeat(id string) bool {
	if _, known := r.known[id]; known {
		return true
	}
	if r.known == nil {
		r.known = make(map[string]struct{}, maxRecent)
		r.ring = make([]string, maxRecent)
	}
	delete(r.known, r.ring[r.next])
	r.ring[r.next], r.known[id] = id, struct{}{}
	r.next = (r.next + 1) % maxRecent
	return false
}
