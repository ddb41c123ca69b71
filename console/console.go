// Package console is the web console at /console: what a node is doing, the
// events as they come in, what is known of a person and what she would see,
// what the placements still wait for, and the audiences. It is for engineers
// and sits behind the server secret.
//
// It guarantees that nothing but the login page, its style and its scripts is
// answered without a session or the secret, that its pages load nothing from
// elsewhere, and that a node pays next to nothing for a console nobody looks
// at. It changes no state of the engine, and it knows no other package than
// the vocabulary: the interfaces below say what it reads.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/attune-io/attune"
)

// Options are what a console reads. Secrets, Clock, Meter, Status, Live,
// People and Decider are required.
type Options struct {
	// Secrets returns the server secrets that are valid at this moment, at
	// least one. They may be others at each call.
	Secrets func() []string
	// Dev makes the login page say what the secret is.
	Dev   bool
	Clock func() attune.Millis
	Meter *Meter

	Status  Status
	Live    Live
	People  People
	Decider Decider
	// TrustProxy believes X-Forwarded-For and X-Forwarded-Proto.
	TrustProxy bool
	// Done ends the open streams when it is closed; nil is never.
	Done <-chan struct{}
	Log  *slog.Logger // nil: nothing is logged
}

// Status says how the node is. Any number of goroutines may ask at once.
type Status interface {
	// Gauges returns figures of this moment. It may take a while (it looks at
	// disks) and is asked every few seconds.
	Gauges(ctx context.Context) Gauges
	// Setup returns what the pages have to know of the configuration.
	Setup() Setup
	// Placements returns the totals of every placement, in order of the names.
	Placements() []PlacementTotals
	// Readiness says what placements and features have, and what they miss.
	Readiness(ctx context.Context) Readiness
	// Segments returns the audiences and how large they are.
	Segments() []Segment
}

// Live is the window on events as they come in.
type Live interface {
	// Recent returns the newest events, newest first, at most limit. They are
	// shared: do not change them.
	Recent(limit int) []attune.Event
	// Watch returns a channel of events as they come, never closed, and a
	// function that ends it. Who does not keep up misses events.
	Watch() (events <-chan attune.Event, stop func())
	// DeadLetters returns the newest refused events, newest first, and how many
	// there ever were.
	DeadLetters(limit int) (letters []DeadLetter, total uint64)
}

// People finds and reads persons.
type People interface {
	// Recent returns who was heard of last, newest first.
	Recent(limit int) []Known
	// Search returns whose user id or anonymous id begins with prefix.
	Search(ctx context.Context, prefix string, limit int) ([]Known, error)
	// Person returns what is known of key, u:<userId> or a:<anonymousId>; an
	// error wraps attune.ErrNotFound or attune.ErrInvalid.
	Person(ctx context.Context, key string) (*Person, error)
	// Events returns a person's newest events as JSON, newest first.
	Events(ctx context.Context, key string, limit int) ([]json.RawMessage, error)
}

// Decider says what somebody would see. Nothing is logged or counted.
type Decider interface {
	// Try decides ask for the person of key, with its explanation, and returns
	// how many microseconds it took. An error wraps attune.ErrNotFound when
	// there is no such placement.
	Try(ctx context.Context, key string, ask attune.Ask) (answer *attune.Answer, micros int64, err error)
}

// Console is the handler of everything under /console. Any number of
// goroutines may use it.
type Console struct {
	o       Options
	log     *slog.Logger
	mux     *http.ServeMux
	guesses *guesses
	ended   *revoked
	login   page
}

// New returns the console of o. Mount it at "/console" and "/console/".
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{o: o, log: o.Log, mux: http.NewServeMux(), guesses: newGuesses(), ended: newRevoked(), login: loginPage()}
	c.mux.Handle("GET /console", http.RedirectHandler("/console/", http.StatusPermanentRedirect))
	c.mux.HandleFunc("GET /console/{$}", c.index)
	c.mux.Handle("GET /console/assets/", assets())
	c.mux.HandleFunc("POST /console/login", c.signIn)
	c.mux.Handle("GET /console/login", http.RedirectHandler("/console/", http.StatusSeeOther))
	c.mux.HandleFunc("POST /console/logout", c.signOut)
	for _, r := range c.routes() {
		c.mux.Handle(r.pattern, c.guarded(r.serve))
	}
	// What there is not is not told apart without a session.
	c.mux.Handle("/console/api/", c.guarded(func(http.ResponseWriter, *http.Request) error {
		return fault(attune.ErrNotFound, "the console has no such address")
	}))
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.mux.ServeHTTP(w, r)
}

// index is the console itself, or the login page.
func (c *Console) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !c.session(r) {
		c.showLogin(w, http.StatusOK, "")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(indexPage())
}

// guarded lets only who has a session or the secret through, and answers
// errors.
func (c *Console) guarded(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := c.admit(w, r)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// said is an error with words for whoever asked.
type said struct {
	text string
	kind error
}

// Error returns the text.
func (e *said) Error() string { return e.text }

// Unwrap returns the kind.
func (e *said) Unwrap() error { return e.kind }

func fault(kind error, text string) error { return &said{text, kind} }

// fail answers err as {"error":{"code","message"}}.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, code := http.StatusInternalServerError, "internal"
	switch {
	case errors.Is(err, attune.ErrUnauthorized):
		status, code = http.StatusUnauthorized, "unauthorized"
	case errors.Is(err, attune.ErrBusy):
		status, code = http.StatusTooManyRequests, "too_many_requests"
	case errors.Is(err, attune.ErrNotFound):
		status, code = http.StatusNotFound, "not_found"
	case errors.Is(err, attune.ErrInvalid):
		status, code = http.StatusBadRequest, "invalid"
	case errors.Is(err, context.Canceled):
		return // nobody is there to read an answer
	}
	text := "this did not work; the log of the node says why"
	if s, ok := errors.AsType[*said](err); ok {
		text = s.text
	} else {
		c.log.LogAttrs(r.Context(), slog.LevelError, "console", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = code, text
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer could not be written"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// now is the clock as a time.
func (c *Console) now() time.Time { return c.o.Clock().Time() }
