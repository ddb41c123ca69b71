package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
)

// route is one address of the API. Every one is behind the session.
type route struct {
	pattern string
	serve   func(http.ResponseWriter, *http.Request) error
}

func (c *Console) routes() []route {
	return []route{
		{"GET /console/api/setup", c.serveSetup},
		{"GET /console/api/series", c.serveSeries},
		{"GET /console/api/overview", c.serveOverview},
		{"GET /console/api/events", c.serveEvents},
		{"GET /console/api/live", c.serveLive},
		{"GET /console/api/dead-letters", c.serveDead},
		{"GET /console/api/people", c.servePeople},
		{"GET /console/api/people/{key}", c.servePerson},
		{"GET /console/api/people/{key}/events", c.serveTimeline},
		{"POST /console/api/people/{key}/decide", c.serveDecide},
		{"GET /console/api/readiness", c.serveReadiness},
		{"GET /console/api/segments", c.serveSegments},
	}
}

// Patterns returns the methods and paths of the console's API, as net/http
// writes them.
func Patterns() []string {
	var c Console
	var all []string
	for _, r := range c.routes() {
		all = append(all, r.pattern)
	}
	return all
}

func answer(w http.ResponseWriter, v any) error {
	writeJSON(w, http.StatusOK, v)
	return nil
}

func (c *Console) serveSetup(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, c.o.Status.Setup())
}

// serveSeries answers the points after ?since=, at first all there are.
func (c *Console) serveSeries(w http.ResponseWriter, r *http.Request) error {
	since, err := number(r, "since", 0, 0, 1<<52)
	if err != nil {
		return err
	}
	points := c.o.Meter.Points(attune.Millis(since))
	if points == nil {
		points = []Point{}
	}
	return answer(w, map[string]any{"now": c.o.Clock(), "history_s": History, "points": points})
}

// placementRow is a placement in the table of the overview.
type placementRow struct {
	PlacementTotals

	Decisions      uint64  `json:"decisions"` // since the start
	CTR            float64 `json:"ctr"`
	ConversionRate float64 `json:"conversion_rate"`
}

func (c *Console) serveOverview(w http.ResponseWriter, r *http.Request) error {
	totals := c.o.Meter.Totals()
	rows := []placementRow{}
	for _, p := range c.o.Status.Placements() {
		row := placementRow{PlacementTotals: p, Decisions: totals.Decisions[p.Placement]}
		if p.Impressions > 0 {
			row.CTR = float64(p.Clicks) / float64(p.Impressions)
			row.ConversionRate = float64(p.Conversions) / float64(p.Impressions)
		}
		rows = append(rows, row)
	}
	return answer(w, map[string]any{"gauges": c.o.Status.Gauges(r.Context()), "totals": totals, "placements": rows})
}

func (c *Console) serveDead(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", 200, 1, 1000)
	if err != nil {
		return err
	}
	letters, total := c.o.Live.DeadLetters(limit)
	if letters == nil {
		letters = []DeadLetter{}
	}
	return answer(w, map[string]any{"dead_letters": letters, "total": total})
}

// servePeople answers whose id begins with ?q=, or who was here last.
func (c *Console) servePeople(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", 50, 1, 200)
	if err != nil {
		return err
	}
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if len(q) > 512 {
		return fault(attune.ErrInvalid, "q: an id has at most 512 bytes")
	}
	var found []Known
	if q == "" {
		found = c.o.People.Recent(limit)
	} else if found, err = c.o.People.Search(r.Context(), q, limit); err != nil {
		return fmt.Errorf("search people: %w", err)
	}
	if found == nil {
		found = []Known{}
	}
	return answer(w, map[string]any{"people": found})
}

func (c *Console) servePerson(w http.ResponseWriter, r *http.Request) error {
	p, err := c.o.People.Person(r.Context(), r.PathValue("key"))
	if err != nil {
		return personFault(r, err)
	}
	return answer(w, p)
}

// personFault puts words to the errors of a person's key.
func personFault(r *http.Request, err error) error {
	key := r.PathValue("key")
	switch {
	case errors.Is(err, attune.ErrNotFound):
		return fault(attune.ErrNotFound, "nothing was ever heard of "+strconv.Quote(key))
	case errors.Is(err, attune.ErrInvalid):
		return fault(attune.ErrInvalid, "key: want u:<userId> or a:<anonymousId>")
	default:
		return fmt.Errorf("person %q: %w", key, err)
	}
}

func (c *Console) serveTimeline(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	events, err := c.o.People.Events(r.Context(), r.PathValue("key"), limit)
	if err != nil {
		return personFault(r, err)
	}
	if events == nil {
		events = []json.RawMessage{}
	}
	return answer(w, map[string]any{"events": events})
}

// serveDecide says what a person would see. Asking changes nothing, but it
// takes a body.
func (c *Console) serveDecide(w http.ResponseWriter, r *http.Request) error {
	var ask attune.Ask
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&ask); err != nil {
		return fault(attune.ErrInvalid, `body: want {"id":"<placement>","item","items","query","limit"}`)
	}
	if ask.Limit < 0 || ask.Limit > 200 {
		return fault(attune.ErrInvalid, "limit: want 0 to 200")
	}
	got, micros, err := c.o.Decider.Try(r.Context(), r.PathValue("key"), ask)
	switch {
	case errors.Is(err, attune.ErrNotFound):
		return fault(attune.ErrNotFound, "there is no placement "+strconv.Quote(ask.ID))
	case err != nil:
		return personFault(r, err)
	}
	return answer(w, map[string]any{"answer": got, "micros": micros})
}

func (c *Console) serveReadiness(w http.ResponseWriter, r *http.Request) error {
	return answer(w, c.o.Status.Readiness(r.Context()))
}

func (c *Console) serveSegments(w http.ResponseWriter, _ *http.Request) error {
	all := c.o.Status.Segments()
	if all == nil {
		all = []Segment{}
	}
	return answer(w, map[string]any{"segments": all})
}

// number reads a whole number of the query, def when it is absent.
func number(r *http.Request, name string, def, low, high int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fault(attune.ErrInvalid, fmt.Sprintf("%s: want %d to %d", name, low, high))
	}
	return n, nil
}
