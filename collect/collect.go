// Package collect is where events come in: the HTTP calls that Segment's and
// RudderStack's SDKs, beacons, pixels and webhooks make, and the Go call that
// inline events and imports make.
//
// It authenticates the sender, checks size, shape and ids, settles an event's
// time, rank and flags, adds what only this moment knows (the device behind
// the user agent, the page, the campaign, the catalog's word on the products),
// and appends the event to the journal together with the links, claims, edges
// and order records that follow from it, in one atomic batch.
//
// It guarantees that an event is acknowledged only when it is durable, that a
// bad event never sinks the good ones of its batch, that whatever is refused
// says why, and that memory is bounded whatever is sent. Where a source has
// transformations or a tracking plan, its events pass them first (see Gate). It
// does not drop repeats or keep profiles.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// Journal is where accepted events go; journal.Journal is one. Append copies
// payloads before it returns.
type Journal interface {
	Append(ctx context.Context, recs []attune.Record) error
	Status() journal.Status
}

// Signer makes and reads visitor tokens; identity.Signer is one.
type Signer interface {
	Visitor(anonymousID string, issued attune.Millis) string
	ParseVisitor(token string) (anonymousID string, issued attune.Millis, err error)
}

// Devices says what is known of a device: when its first event was received (0:
// none yet; an instant long ago when somebody is logged in on it, since then its
// history is a person's), and whether it was ever given a visitor token. Any number of
// goroutines may ask at once.
type Devices interface {
	Device(ctx context.Context, anonymousID string) (first attune.Millis, issued bool, err error)
}

// Items says what the catalog knows of an item at this moment. Any number of
// goroutines may ask at once.
type Items interface {
	Attributes(id string) (category, brand string, ok bool)
}

// Metrics counts what happens. Reasons are the few constants of this package
// (see Rejection.Code), so they are fit for a label. Any number of goroutines
// call at once.
type Metrics interface {
	// Accepted counts events that are durable.
	Accepted(source string, events int)
	// Rejected counts events, or requests of which no event could be read.
	Rejected(source, code string, events int)
	// Refused counts requests that were turned away whole, by HTTP status.
	Refused(status int)
	// Treated counts events that were taken, or dropped, in another way than
	// most: what is one of the Treated constants.
	Treated(source, what string, events int)
}

// Options say what a Collector works with. Journal, Keys and Now are required.
type Options struct {
	Journal Journal
	Keys    *Keys
	Now     func() attune.Millis // the edge's clock

	Signer      Signer   // nil: no visitor tokens are issued or believed
	UserSecrets [][]byte // secrets of the customer's server that sign user tokens; none: none is believed
	Devices     Devices  // nil: nothing is known of any device
	Geo         Geo      // nil: nothing is located
	Items       Items    // nil: events are not enriched from the catalog

	// Lag reports whether the pipeline is so far behind that new events are
	// better sent later; nil is never. It is called once a request.
	Lag     func() bool
	Log     *slog.Logger // nil: nothing is logged
	Metrics Metrics      // nil: nothing is counted
	// OnAccepted sees the events of every durable batch, for a live view. The
	// events are good until it returns, and it must not block.
	OnAccepted func(events []attune.Event)

	Limits  Limits
	Consent Consent
	Robots  Robots
	// AnonymizeIP takes context.ip out of events once they are located. The
	// address of a request is never kept.
	AnonymizeIP bool
	// Externals are the kinds of external ids that are taken; none costs
	// nothing.
	Externals []ExternalType
	// VerifiedLinks accepts links between a device and a user only when the
	// sender proved one of the two; otherwise a claimed link is believed when
	// the anonymousId is a UUID, which only its own browser knows.
	VerifiedLinks bool
	// TrustProxy believes X-Forwarded-Proto and X-Forwarded-Host.
	TrustProxy bool
}

// Limits bound what one request and the process as a whole may cost. A zero
// field has the default that is named beside it; Rate 0 is no limit.
type Limits struct {
	RequestBytes  int64   // a request's body, inflated: 4 MiB
	EventBytes    int     // one event: 64 KiB
	BatchEvents   int     // events of one request: 20,000
	InFlightBytes int64   // bodies being read or worked on, all requests: 256 MiB
	DeadBytes     int     // the dead-letter list: 4 MiB
	DeadLetters   int     // the dead-letter list: 10,000
	DeadRaw       int     // what is kept whole of a refused event: as EventBytes
	Links         int     // acknowledged links that are remembered: 65,536
	ClaimedLinks  int     // new claimed links of one user or device in an hour: 100
	Agents        int     // user agents that are remembered: 4,096
	Rate          float64 // events a second and source, where the source has none of its own
	Burst         int     // events at once under Rate: as many as Rate, at least 1
}

func (l *Limits) defaults() {
	for _, f := range [...]struct {
		field *int
		value int
	}{
		{&l.EventBytes, 64 << 10},
		{&l.BatchEvents, 20_000},
		{&l.DeadBytes, 4 << 20},
		{&l.DeadLetters, 10_000},
		{&l.Links, 1 << 16},
		{&l.ClaimedLinks, 100},
		{&l.Agents, 4096},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if l.DeadRaw <= 0 {
		l.DeadRaw = l.EventBytes
	}
	if l.RequestBytes <= 0 {
		l.RequestBytes = 4 << 20
	}
	if l.InFlightBytes <= 0 {
		l.InFlightBytes = 256 << 20
	}
}

// Consent says how consent is read from events.
type Consent struct {
	// Categories are the names of the consent category that allows
	// personalization, as the site's consent tool writes them; case does not
	// count. None: "personalization", "personalisation" and
	// "personalization_storage".
	Categories []string
	// GPC takes the header Sec-GPC: 1 for a denial.
	GPC bool
}

// Batch is events of one sender, not yet looked at. Accept reads it and keeps
// nothing of it.
type Batch struct {
	Source     string        // id of the source
	Rank       attune.Rank   // Server under the server secret, else Public
	Verified   bool          // the sender proved every id it names: the server secret
	ReceivedAt attune.Millis // when the edge had it; 0 is now

	// Users are the users that user tokens proved, Device the anonymousId
	// that a visitor token proved; "" is none.
	Users  []string
	Device string
	// Agent is the User-Agent header of a browser's own request, "" otherwise:
	// a server's says nothing about the person.
	Agent string
	// Address is where the request came from; it counts for events of devices.
	Address netip.Addr
	// Denied: the sender's browser denies consent for every event (Sec-GPC).
	Denied bool

	// Type is the type of every event; Unknown: each says its own.
	Type attune.Type
	// SentAt is the client's clock when it sent, for events that do not say.
	SentAt attune.Millis
	// Context and Integrations are JSON objects that count for every event,
	// where it does not say otherwise. Nil is none.
	Context, Integrations []byte
	// Import trusts every time as it is and does not look at user agents.
	Import bool
	// Keep asks for Result.Records.
	Keep bool
	// Events are JSON objects, one an event. They must not change until Accept
	// returns.
	Events [][]byte

	// texts holds Events once more as strings; nil unless the caller has them
	// and knows that they are valid JSON.
	texts []string
	// contact: the request may be a device's first, so that a visitor token
	// can be issued along with it.
	contact bool
	// retry: the events are dead letters, which know what becomes of them.
	retry bool
}

// Result says what became of a Batch.
type Result struct {
	Accepted int
	Dropped  int // by transformations, as configured
	Rejected []Rejection
	// Token names what has to be applied before a reader sees all of it. It is
	// empty when nothing was accepted.
	Token journal.Token
	// Records are what was appended, with their offsets, when Batch.Keep asked
	// for it. The caller owns them.
	Records []attune.Record

	// visitor is the token issued at first contact, "" when none was.
	visitor string
	// dropped are the places of dropped events, for a retry.
	dropped []int
}

// Rejection says why one event was not taken.
type Rejection struct {
	Index     int    `json:"index"`
	MessageID string `json:"messageId"`
	Reason    string `json:"reason"`
	// Code is one of the Code constants.
	Code string `json:"-"`
}

// The codes of rejections.
const (
	CodeJSON    = "invalid_json" // not JSON, or not a JSON object
	CodeGzip    = "invalid_gzip"
	CodeEmpty   = "empty_batch"
	CodeNoID    = "no_id"     // neither anonymousId nor userId
	CodeJunkID  = "junk_id"   // only ids that stand for a missing one
	CodeType    = "type"      // no type, or an unknown one
	CodeName    = "name"      // a track without a usable event name
	CodeShape   = "shape"     // properties, traits or context that are no object
	CodeDeep    = "too_deep"  // nested too deeply
	CodeTooBig  = "too_large" // over a limit
	CodeUnsound = "unsound"   // the journal refuses it for good
	CodePlan    = "violation" // not as the source's tracking plan has it
	// CodeTransform: a transformation of the source failed on it.
	CodeTransform = "transform"
)

// Collector takes events in. Its methods may be called by any number of
// goroutines at once.
type Collector struct {
	o          Options
	journalID  string
	partitions int
	links      *linkCache
	agents     *agentCache
	dead       *deadLetters
	desk       *visitorDesk
	rates      rates
	scratch    sync.Pool // of *work
	inflaters  sync.Pool // of *gzip.Reader
	inFlight   atomic.Int64
}

// New returns a Collector. It starts no goroutine and needs no closing; the
// caller closes the journal after the last call.
func New(o Options) (*Collector, error) {
	var errs []error
	if o.Journal == nil {
		errs = append(errs, errors.New("collect: Options.Journal is nil, give it a journal"))
	}
	if o.Keys == nil {
		errs = append(errs, errors.New("collect: Options.Keys is nil, give it NewKeys"))
	}
	if o.Now == nil {
		errs = append(errs, errors.New("collect: Options.Now is nil, give it a clock"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	o.Limits.defaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	o.Consent = o.Consent.normal()
	// A journal's identity and number of partitions never change while it is
	// open, so they are asked for once.
	st := o.Journal.Status()
	if st.Partitions() == 0 {
		return nil, fmt.Errorf("collect: journal %q has no partitions", st.ID)
	}
	c := &Collector{
		o: o, journalID: st.ID, partitions: st.Partitions(),
		links:  newLinkCache(o.Limits),
		agents: newAgentCache(o.Limits.Agents, &o.Robots),
		dead:   newDeadLetters(o.Limits, o.Now()),
	}
	c.desk = newVisitorDesk(c)
	return c, nil
}

// DeadLetters returns the newest refused events, newest first, at most limit.
func (c *Collector) DeadLetters(limit int) []DeadLetter { return c.dead.newest(limit) }

// Register serves every route of this package on mux. Paths that belong to
// nobody are mux's.
func (c *Collector) Register(mux *http.ServeMux) {
	for _, r := range c.routes() {
		mux.Handle(r.path, c.route(r))
	}
}

// noMetrics counts nothing.
type noMetrics struct{}

// Accepted does nothing.
func (noMetrics) Accepted(string, int) {}

// Rejected does nothing.
func (noMetrics) Rejected(string, string, int) {}

// Refused does nothing.
func (noMetrics) Refused(int) {}

// Treated does nothing.
func (noMetrics) Treated(string, string, int) {}
