package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
)

// decision is a decide request on its way to its answer. Two goroutines may
// meet in it: the worker fills results under mu, and whoever answers takes them,
// after which what comes late is dropped.
type decision struct {
	s      *Server
	engine Decider
	ask    *ask
	caller *caller
	who    subject
	id     string
	seed   uint64
	now    attune.Millis
	start  time.Duration // of the monotonic clock
	limit  time.Duration // how long it may take
	http   *http.Request // for inline events
	parts  bool          // results.parts is wanted

	late atomic.Bool // the answer was given

	done   chan struct{}   // closed by the worker; nil without one
	met    *profile.Person // whom the worker read; written before done is closed
	handed atomic.Bool     // see await

	mu      sync.Mutex
	taken   bool
	results results

	// What nearly every decision needs once is not allocated by itself.
	few   [1]*attune.Answer // results.answers of one placement
	asked Query             // what the engine was asked last, by the worker or whoever answers in its stead
}

// results is what the worker found out so far.
type results struct {
	version  uint64
	fresh    bool // what was asked to be reflected is
	ingested *Ingested
	refused  error // of the inline events
	answers  []*attune.Answer
	why      string   // why a fallback answers, "" when none does
	asked    subject  // whom the decision is about, as far as it may be said
	parts    []string // keys of the parts the person was made from, for streams
	person   *profile.Person
	segments []string // that the person was in
	ask      *ask
	log      *attune.DecisionLog // of the answer, which is part of it; finish makes it
}

// decide answers a within its deadline, whatever the engine, the store and
// the pipeline do.
func (s *Server) decide(r *http.Request, c *caller, a *ask, parts bool) (*attune.Decision, *results) {
	engine := s.engine()
	d := &decision{
		s: s, engine: engine, ask: a, caller: c, now: s.o.Clock(), start: s.o.Mono(),
		limit: time.Duration(a.deadline(engine)) * time.Millisecond, http: r, parts: parts,
	}
	d.id = newID(d.now)
	d.seed = attune.Hash(d.id)
	d.who = d.checked(c.subject(a.UserID, a.AnonymousID))
	d.results.asked = d.who
	if c.server && d.who.user != "" && a.AnonymousID != "" && identity.CheckID(a.AnonymousID) == nil {
		d.results.asked.device = a.AnonymousID
	}
	d.results.ask = a
	d.results.answers = d.few[:]
	if len(a.Placements) != len(d.few) {
		d.results.answers = make([]*attune.Answer, len(a.Placements))
	}
	select {
	case s.slots <- struct{}{}:
		d.decide(r.Context())
	default:
		d.results.why = "full"
	}
	return d.finish()
}

// decide makes the decision, or leaves it when the time is up. What may take
// long has a goroutine that can be left behind: making inline events durable,
// waiting for them, reading parts that are not in memory. What cannot be held
// up, the engine's work, is done on the caller's, whose stack has grown and
// which would only wait: handing it over costs as much as the decision. The
// engine looks at the deadline before each generator, and none of them waits.
func (d *decision) decide(ctx context.Context) {
	person := d.warm()
	if person == nil {
		d.done = make(chan struct{})
		within, cancel := context.WithTimeout(ctx, d.limit)
		defer cancel()
		go d.work(within)
		if !d.await(ctx) {
			return // the worker gives the slot back
		}
		if person = d.met; person == nil {
			<-d.s.slots
			return
		}
	}
	defer func() { <-d.s.slots }()
	defer d.mend()
	d.answer(person)
}

// warm returns the person when she can be read at once, and nothing has to be
// waited for before; else nil.
func (d *decision) warm() *profile.Person {
	switch {
	case d.ask.hasAfter || len(d.ask.Events) > 0:
		return nil
	case d.who == (subject{}):
		return d.s.nobody
	default:
		return d.s.o.People.Warm(d.who.user, d.who.device)
	}
}

// checked drops ids that nobody has: they are refused as events too.
func (d *decision) checked(who subject) subject {
	for _, id := range [...]*string{&who.user, &who.device} {
		if *id != "" && identity.CheckID(*id) != nil {
			d.caller.notice("id ignored: " + strconv.QuoteToASCII(clip(*id)) + " is nobody's")
			*id = ""
		}
	}
	return who
}

func clip(s string) string { return s[:min(len(s), 50)] }

// await returns when the worker is done, or the time is up, and reports
// whether the slot is the caller's again. Whoever comes first to d.handed says
// whose it is.
func (d *decision) await(ctx context.Context) bool {
	timer := time.NewTimer(d.limit)
	defer timer.Stop()
	select {
	case <-d.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return !d.handed.CompareAndSwap(false, true)
}

// finish takes what there is and fills the rest from the fallback list.
func (d *decision) finish() (*attune.Decision, *results) {
	d.late.Store(true)
	d.mu.Lock()
	d.taken = true
	d.mu.Unlock()
	// From here the worker leaves results alone.
	res := &d.results
	wanted := d.ask.hasAfter || len(d.ask.Events) > 0
	res.log = new(attune.DecisionLog)
	out := &res.log.Decision
	*out = attune.Decision{
		ID: d.id, ProfileVersion: res.version, Stale: wanted && !res.fresh,
		Placements: make(map[string]*attune.Answer, len(res.answers)),
	}
	for i := range d.ask.Placements {
		why := cmp.Or(res.why, "late")
		if answer := res.answers[i]; answer != nil {
			why = answer.Fallback
		} else {
			res.answers[i] = d.quick(i)
		}
		out.Placements[d.ask.Placements[i].ID] = res.answers[i]
		if m := d.s.o.Metrics; m != nil {
			m.Decided(d.ask.Placements[i].ID, why, d.s.o.Mono()-d.start)
		}
	}
	return out, res
}

// quick answers placement i without the person. Even a fault there is an
// answer: an empty one.
func (d *decision) quick(i int) (a *attune.Answer) {
	defer func() {
		if p := recover(); p != nil {
			d.s.panicked(p)
			a = &attune.Answer{Fallback: "none"}
		}
	}()
	q := d.query(i, d.s.nobody)
	q.Expired, q.Explain = nil, false
	a = d.engine.Quick(&q)
	if a == nil {
		a = &attune.Answer{Fallback: "none"}
	}
	if a.Fallback == "" {
		a.Fallback = "popular"
	}
	return a
}

// nobody is the person of whom nothing is known.
func nobody() *profile.Person { return &profile.Person{State: &profile.State{}} }

func (d *decision) query(i int, p *profile.Person) Query {
	one := &d.ask.Placements[i]
	q := Query{
		Placement: one.ID, Person: p, Now: d.now, Seed: d.seed,
		Limit: one.Limit, Item: one.Item, Items: one.Items, Text: one.Query,
		Filters: one.Filters, Facets: one.Facets,
		Context: d.ask.Context, Explain: d.ask.Explain,
		Expired: d.expired,
		Narrow:  one.Narrow, Above: d.results.answers[:i], Dedup: d.ask.Dedup,
	}
	if q.Explain || q.Text != "" || len(q.Filters)+len(q.Facets) > 0 {
		q.Micros = d.micros // only a trace has times, and only an index is told how long it has
		q.Until = (d.start + d.limit - d.limit/10).Microseconds()
	}
	return q
}

func (d *decision) micros() int64 { return d.s.o.Mono().Microseconds() }

// expired tells the engine to hurry a little before the answer is given, so
// that its own fallback, which knows the person, comes first.
func (d *decision) expired() bool {
	return d.late.Load() || d.s.o.Mono()-d.start > d.limit-d.limit/10
}

// work does what may take long.
func (d *decision) work(ctx context.Context) {
	defer func() {
		// Left behind, the slot is given back here; else by whoever waits.
		if !d.handed.CompareAndSwap(false, true) {
			<-d.s.slots
		}
		close(d.done)
	}()
	defer d.mend()
	d.catchUp(ctx)
	d.met = d.person(ctx)
}

// mend is deferred by whoever decides. A panic on the way is logged, and the
// fallback answers.
func (d *decision) mend() {
	if p := recover(); p != nil {
		d.s.panicked(p)
		d.set(func(r *results) { r.why = "panic" })
	}
}

// answer decides every placement for person.
func (d *decision) answer(person *profile.Person) {
	if d.parts {
		keys := make([]string, 0, len(person.Vector))
		for i := range person.Vector {
			keys = append(keys, person.Vector[i].Key)
		}
		d.set(func(r *results) { r.parts = keys })
	}
	segments := d.s.segments(person, d.now)
	for i := range d.ask.Placements {
		if d.late.Load() {
			return
		}
		d.asked = d.query(i, person)
		d.asked.Segments = segments
		answer := d.engine.Decide(&d.asked)
		d.mu.Lock()
		if !d.taken {
			d.results.answers[i], d.results.version = answer, person.Version
			d.results.person, d.results.segments = person, segments
		}
		d.mu.Unlock()
	}
}

// set changes the results unless they were taken.
func (d *decision) set(change func(*results)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.taken {
		change(&d.results)
	}
}

// catchUp makes the inline events durable and waits until everything that the
// answer has to reflect is applied. It leaves a fifth of the time for the
// decision itself.
func (d *decision) catchUp(ctx context.Context) {
	a := d.ask
	if !a.hasAfter && len(a.Events) == 0 {
		return
	}
	fresh, wanted := true, a.after
	if a.hasAfter && d.s.foreign(wanted) {
		// What it names can never arrive here; it must not be mixed with ours.
		fresh, wanted = false, journal.Token{}
	}
	if len(a.Events) > 0 {
		in, err := d.ingest(ctx)
		d.set(func(r *results) { r.ingested, r.refused = in, err })
		if err != nil {
			fresh = false
		} else {
			for _, p := range in.Token.Positions {
				wanted.Add(p)
			}
			if wanted.Journal == "" {
				wanted.Journal = in.Token.Journal
			}
		}
	}
	if len(wanted.Positions) > 0 {
		ctx, cancel := context.WithTimeout(ctx, d.limit*4/5-(d.s.o.Mono()-d.start))
		defer cancel()
		fresh = d.s.o.Waiter != nil && d.s.o.Waiter.Wait(ctx, wanted) == nil && fresh
	}
	d.set(func(r *results) { r.fresh = fresh })
}

// foreign reports whether t is of another journal than this server writes.
func (s *Server) foreign(t journal.Token) bool {
	return s.o.Journal != nil && !t.Of(s.o.Journal.Status().ID)
}

func (d *decision) ingest(ctx context.Context) (*Ingested, error) {
	if d.s.o.Ingester == nil {
		return nil, fmt.Errorf("inline events are not taken here; send them to /v1/batch: %w", attune.ErrInvalid)
	}
	in, err := d.s.o.Ingester.Ingest(ctx, &Inline{
		Events: d.ask.Events, UserID: d.ask.UserID, AnonymousID: d.ask.AnonymousID,
		Key: d.caller.key, Server: d.caller.server, Visitor: d.caller.visitor, User: d.caller.user,
		Request: d.http,
	})
	if err != nil {
		return nil, err
	}
	if in.Visitor != "" && d.who == (subject{}) && (d.ask.AnonymousID == "" || d.ask.AnonymousID == in.VisitorID) {
		// The first contact: the token that goes out with this answer proves the
		// device, so this answer may know it.
		d.who.device = in.VisitorID
	}
	return &in, nil
}

// person reads whom the caller may read. A store that fails is logged: the
// answer is a cold one.
func (d *decision) person(ctx context.Context) *profile.Person {
	p, err := d.s.read(ctx, d.who)
	if err != nil {
		d.s.log.LogAttrs(ctx, slog.LevelWarn, "person not read; answering as for nobody", slog.Any("error", err))
		d.set(func(r *results) { r.fresh = false })
		return d.s.nobody
	}
	return p
}

func (s *Server) read(ctx context.Context, who subject) (*profile.Person, error) {
	var p *profile.Person
	var err error
	switch {
	case who.user != "":
		p, err = s.o.People.User(ctx, who.user)
	case who.device != "":
		p, err = s.o.People.Device(ctx, who.device)
	}
	switch {
	case errors.Is(err, attune.ErrNotFound):
		return s.nobody, nil
	case err != nil:
		return nil, err
	case p == nil:
		return s.nobody, nil
	default:
		return p, nil
	}
}

func (s *Server) segments(p *profile.Person, now attune.Millis) []string {
	if s.o.Segments == nil || !p.Known() {
		return nil
	}
	return s.o.Segments.Segments(p, now)
}

func (s *Server) panicked(p any) {
	s.log.LogAttrs(context.Background(), slog.LevelError, "decision panicked; the fallback answers",
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
}
