package serve

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/profile"
)

// Query is one placement to decide. Its fields are those of recommend.Query,
// in the same order, so that one converts to the other at no cost.
type Query struct {
	Placement string
	Person    *profile.Person // never nil
	Segments  []string        // that the person is in, sorted
	Now       attune.Millis
	Seed      uint64
	Limit     int      // 0: the placement's
	Item      string   // the item the page is about
	Items     []string // items to re-rank, or a cart
	Text      string   // what was searched for
	Filters   attune.Filters
	Facets    []string // attributes to count over what matches
	Context   json.RawMessage
	Explain   bool
	// Expired reports whether the answer is late; nil is never.
	Expired func() bool
	// Micros is a monotonic clock for traces; nil is no times.
	Micros func() int64
	// Until is when, by Micros, the answer is late; 0 is never.
	Until int64
	// Narrow are the request's own options; nil is none.
	Narrow *attune.Narrow
	// Above are the answers of the placements before this one in the request;
	// with Dedup the placement leaves out what they show.
	Above []*attune.Answer
	Dedup bool
}

// Decider decides; *recommend.Engine does, by way of a conversion. Every
// method may be called at once by many.
type Decider interface {
	// Decide answers q, or nil when its placement is unknown.
	Decide(q *Query) *attune.Answer
	// Deadline returns a placement's own deadline in milliseconds, 0 when it
	// has none, and false when there is no such placement.
	Deadline(placement string) (ms int, ok bool)
	// Placements returns the names, sorted.
	Placements() []string
	// Quick answers from a precomputed popular list, cheaply and without asking
	// a generator: what is shown when a decision is late.
	Quick(q *Query) *attune.Answer
	// Refresh computes Quick's list again.
	Refresh(now attune.Millis)
}

// Inline are the events of a decide request, with who sends them.
type Inline struct {
	Events      []json.RawMessage
	UserID      string // fills events that name nobody
	AnonymousID string
	Key         string // the write key or secret that was given
	Server      bool   // it is a server secret
	Visitor     string // the device that is proven, "" when none
	User        string // the user that is proven, "" when none
	Request     *http.Request
}

// Ingested says what became of inline events.
type Ingested struct {
	Token    journal.Token
	Accepted int
	Rejected []Rejection
	// Visitor is a visitor token issued for the device at its first contact, ""
	// when none was.
	Visitor, VisitorID string
}

// Rejection is one line or event that was refused.
type Rejection struct {
	Index  int    `json:"index"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// Ingester makes inline events durable; collect's Accept does.
type Ingester interface {
	// Ingest returns once the good events are durable. An error means that
	// nothing is promised of any of them.
	Ingest(ctx context.Context, in *Inline) (Ingested, error)
}

// Waiter waits until what a token names is applied.
type Waiter interface {
	// Wait returns nil once every position of t is applied, else ctx's error,
	// or one that wraps attune.ErrInvalid for another journal's token.
	Wait(ctx context.Context, t journal.Token) error
}

// People reads persons; *profile.People does.
type People interface {
	User(ctx context.Context, id string) (*profile.Person, error)
	// Device returns the last stretch of a device only.
	Device(ctx context.Context, id string) (*profile.Person, error)
	// Warm returns the user or, when userID is "", the device when that takes
	// no waiting, else nil.
	Warm(userID, anonymousID string) *profile.Person
}

// Segments says which audiences a person is in.
type Segments interface {
	// Segments returns their names, sorted.
	Segments(p *profile.Person, now attune.Millis) []string
}

// Histories reads the events of people.
type Histories interface {
	// Events returns the newest events of a person as JSON, newest first, at
	// most limit of them.
	Events(ctx context.Context, p *profile.Person, limit int) ([]json.RawMessage, error)
}

// Appender makes records durable; a journal.Journal does.
type Appender interface {
	Append(ctx context.Context, recs []attune.Record) error
	Status() journal.Status
}

// DecisionLogger keeps what was answered; a Recorder does.
type DecisionLogger interface {
	// Logged takes d, which was made for a person (nil: nobody) and is its own
	// from then on, or returns false when its queue is full. It must not block.
	Logged(d *attune.DecisionLog, of *profile.Person) bool
}

// Decisions finds what was answered; *pipeline.Pipeline does.
type Decisions interface {
	// Decision returns the decision with id, or an error that wraps
	// attune.ErrNotFound.
	Decision(ctx context.Context, id string) (*attune.DecisionLog, error)
}

// Notifier tells that parts changed.
type Notifier interface {
	// Watch returns a channel that gets a value after any of the parts keys
	// changed (several changes may give one value), and a function that ends it.
	Watch(keys []string) (changed <-chan struct{}, stop func())
}

// Metrics counts what was answered.
type Metrics interface {
	// Decided is called once an answered placement. reason is "" or why a
	// fallback answered: "late", "full", "panic", or the step's name.
	Decided(placement, reason string, took time.Duration)
	// Dropped is called for every decision the log had no room for.
	Dropped()
	// Streams is called when the number of open streams changed.
	Streams(open int64)
}

// Options are what a Server needs. Decider, People, Catalog, Clock and Mono
// are required; a route whose need is nil answers 404.
type Options struct {
	// Decider is called on the goroutine of the request: it waits for nothing,
	// and looks at Expired between steps of bounded work.
	Decider   Decider
	Ingester  Ingester
	Waiter    Waiter
	People    People
	Segments  Segments
	Histories Histories
	Catalog   *catalog.Catalog
	Journal   Appender
	Logger    DecisionLogger
	Decisions Decisions
	Notifier  Notifier
	Metrics   Metrics
	Keys      Keys
	// Clock is the edge's wall clock; Mono a monotonic one, from any start.
	Clock func() attune.Millis
	Mono  func() time.Duration
	// Ready returns why the server is not ready, or nil.
	Ready  func() error
	Log    *slog.Logger
	Limits Limits
	// Secure marks the cookies this server sets as Secure.
	Secure bool
}

// Limits bound what the server does at once. A zero field has the default
// that is named beside it.
type Limits struct {
	// Concurrency bounds the decisions being made at once; 0 is 1,024. More
	// are answered with the fallback.
	Concurrency int
	// Streams bounds the open streams; 0 is 10,000. More are refused with 503.
	Streams int
	// MaxBody bounds a request's body in bytes; 0 is 4 MiB.
	MaxBody int64
	// Heartbeat is how often a quiet stream is heard of; 0 is 15 s.
	Heartbeat time.Duration
}

// Server answers over HTTP. Every method may be called at once.
type Server struct {
	o       Options
	log     *slog.Logger
	keys    atomic.Pointer[Keys]
	decider atomic.Pointer[Decider]
	slots   chan struct{} // a token a running decision; never closed
	streams atomic.Int64
	buffers sync.Pool     // of *[]byte
	done    chan struct{} // closed when Run ends: streams say goodbye
	nobody  *profile.Person

	destinations Destinations // nil: none
	entities     Entities     // nil: nobody's
	audiences    Audiences    // nil: none
	everyone     Everyone     // nil: nobody
	identities   Identities   // nil: nobody knows ids

	noStore []string // values of headers that nearly every answer has
	isJSON  []string
}

// New returns a server over o. Its Run keeps the fallback list fresh.
func New(o Options) *Server {
	l := &o.Limits
	if l.Concurrency <= 0 {
		l.Concurrency = 1024
	}
	if l.Streams <= 0 {
		l.Streams = 10_000
	}
	if l.MaxBody <= 0 {
		l.MaxBody = 4 << 20
	}
	if l.Heartbeat <= 0 {
		l.Heartbeat = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, log: o.Log, slots: make(chan struct{}, l.Concurrency), done: make(chan struct{})}
	s.nobody = nobody()
	s.noStore, s.isJSON = []string{"no-store"}, []string{"application/json; charset=utf-8"}
	s.buffers.New = func() any { b := make([]byte, 0, 8<<10); return &b }
	s.SetKeys(o.Keys)
	s.SetDecider(o.Decider)
	return s
}

// SetKeys replaces the credentials, for a configuration that was reloaded.
func (s *Server) SetKeys(k Keys) { s.keys.Store(&k) }

// SetDecider replaces the engine, for placements that were reloaded.
func (s *Server) SetDecider(d Decider) {
	d.Refresh(s.o.Clock())
	s.decider.Store(&d)
}

func (s *Server) engine() Decider { return *s.decider.Load() }

// Run keeps the fallback list fresh until ctx ends, then ends the streams and
// waits for late decisions. Call it once.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			close(s.done)
			s.drain()
			return nil
		case <-tick.C:
			s.engine().Refresh(s.o.Clock())
		}
	}
}

// drain waits until no decision is being made, but not for one that hangs.
// Requests that still come are answered with the fallback.
func (s *Server) drain() {
	patience := time.NewTimer(5 * time.Second)
	defer patience.Stop()
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
		case <-patience.C:
			return
		}
	}
}

// Handler returns the server's routes as one handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.Register(mux)
	return mux
}
