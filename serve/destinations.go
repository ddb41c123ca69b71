package serve

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/attune-io/attune"
)

// Destinations are the receivers that are told of what happens, as their
// operators see them.
type Destinations interface {
	// Destinations returns how each does, by name.
	Destinations() []Destination
	// DeadLetters returns at most limit of one's dead letters, newest first,
	// and how many it keeps. An unknown name is attune.ErrNotFound.
	DeadLetters(name string, limit int) (newest []DeadLetter, all int, err error)
	// Retry tries those with these ids again, all of them when there are none,
	// and returns how many. An unknown name or id is attune.ErrNotFound, and
	// then nothing is tried.
	Retry(name string, ids []string) (int, error)
}

// Destination is how one does. Counters are since the start.
type Destination struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Host  string `json:"host"`  // the rest of the address may hold a secret
	State string `json:"state"` // sending, paused, off, failed
	// Pending are messages in memory; Behind records of the journal that were
	// not looked at yet.
	Pending int    `json:"pending"`
	Behind  uint64 `json:"behind"`
	Oldest  string `json:"oldest_tried_at,omitempty"`

	Delivered   uint64 `json:"delivered"`
	Failed      uint64 `json:"failed_attempts"`
	GivenUp     uint64 `json:"given_up"`
	Skipped     uint64 `json:"skipped_records"`
	DeadLetters int    `json:"dead_letters"`
	Dropped     uint64 `json:"dead_letters_dropped"`

	LastError   string `json:"last_error,omitempty"`
	LastErrorAt string `json:"last_error_at,omitempty"`
	LastTaken   string `json:"last_delivered_at,omitempty"`
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Key      string          `json:"key"` // whom it is about
	Time     string          `json:"time"`
	Body     json.RawMessage `json:"body"`
	Reason   string          `json:"reason"`
	Status   int             `json:"status,omitempty"` // of HTTP
	Attempts int             `json:"attempts"`
	GivenUp  string          `json:"given_up_at"`
}

// SetDestinations says whose state the routes of destinations show; nil is
// nobody's. Call it before requests are served.
func (s *Server) SetDestinations(d Destinations) { s.destinations = d }

// errNoDestinations is what the routes say where there are none.
const errNoDestinations = "no destinations are configured (destinations)"

func (s *Server) serveDestinations(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	list := []Destination{}
	if s.destinations != nil {
		list = append(list, s.destinations.Destinations()...)
	}
	return s.writeJSON(w, map[string]any{"destinations": list})
}

func (s *Server) serveDeadLetters(w http.ResponseWriter, r *http.Request, _ *caller) error {
	limit, err := page(r)
	if err != nil {
		return err
	}
	if s.destinations == nil {
		return deny(attune.ErrNotFound, errNoDestinations)
	}
	newest, all, err := s.destinations.DeadLetters(r.PathValue("destination"), limit)
	if err != nil {
		return err
	}
	if newest == nil {
		newest = []DeadLetter{}
	}
	return s.writeJSON(w, map[string]any{"dead_letters": newest, "total": all})
}

// retryAsk is the body of a retry; no body is all.
type retryAsk struct {
	IDs []string `json:"ids"`
}

// maxRetried bounds the ids of one request.
const maxRetried = 1000

func (s *Server) serveRetry(w http.ResponseWriter, r *http.Request, _ *caller) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	var ask retryAsk
	if len(body) > 0 {
		if err := decodeJSON(body, &ask); err != nil {
			return err
		}
		if ask.IDs != nil && len(ask.IDs) == 0 {
			return invalid("ids", "is empty; leave it out to try all of them")
		}
	}
	if len(ask.IDs) > maxRetried {
		return invalid("ids", fmt.Sprintf("there are %d; want at most %d, or none for all", len(ask.IDs), maxRetried))
	}
	if s.destinations == nil {
		return deny(attune.ErrNotFound, errNoDestinations)
	}
	n, err := s.destinations.Retry(r.PathValue("destination"), ask.IDs)
	if err != nil {
		return err
	}
	return s.writeJSON(w, map[string]any{"retrying": n})
}
