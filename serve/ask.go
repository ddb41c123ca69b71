package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// Bounds of a decide request.
const (
	DefaultDeadlineMS = 50
	MaxDeadlineMS     = 1000
	maxAsks           = 20
	maxItems          = 1000
	maxEvents         = 100
	maxLimit          = 200
	maxText           = 1000
	maxFacets         = 20
	maxFacetName      = 128 // bytes
	maxToken          = 4 << 10
	firstBody         = 16 << 10 // bytes of memory a body gets before any of it came; most need no more
)

// ask is a decide request that was read and checked.
type ask struct {
	attune.DecideRequest
	UserToken string `json:"user_token"`

	after    journal.Token
	hasAfter bool
}

// readBody reads r's body whole, at most MaxBody bytes.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	from := r.Body
	if r.ContentLength < 0 || r.ContentLength > s.o.Limits.MaxBody {
		from = http.MaxBytesReader(w, r.Body, s.o.Limits.MaxBody)
	}
	// What a sender says it will send costs nothing until it comes: thousands
	// that claim the most and send a byte a second would hold it all. One byte
	// more, so that the end is seen without growing.
	room := min(r.ContentLength, firstBody) + 1
	if r.ContentLength < 0 {
		room = bytes.MinRead
	}
	b := make([]byte, 0, room)
	for {
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				return nil, deny(err, fmt.Sprintf("the body has more than %d bytes (limits.request_bytes); send less at once", s.o.Limits.MaxBody))
			}
			return nil, invalid("", "the body ended before it was whole")
		case len(b) == cap(b):
			b = slices.Grow(b, len(b))
		}
	}
}

// decodeAsk decodes the body of POST /v1/decide. What it returns shares body's
// memory.
func decodeAsk(body []byte) (*ask, error) {
	if a := usual(body); a != nil {
		return a, nil
	}
	a := new(ask)
	if err := decodeJSON(body, a); err != nil {
		return nil, err
	}
	return a, nil
}

// rankRequest is the body of POST /v1/rank: one placement that re-orders the
// given items.
type rankRequest struct {
	ask
	Placement string   `json:"placement"`
	Items     []string `json:"items"`
	Item      string   `json:"item"`
	Query     string   `json:"query"`
	Limit     int      `json:"limit"`

	Filters attune.Filters `json:"filters"`
}

func decodeRank(body []byte) (*ask, error) {
	r := new(rankRequest)
	if err := decodeJSON(body, r); err != nil {
		return nil, err
	}
	if len(r.Items) == 0 {
		return nil, invalid("items", "is empty; give the ids to put in order")
	}
	if r.Placement == "" {
		r.Placement = "search"
	}
	if r.Limit == 0 {
		r.Limit = min(len(r.Items), maxLimit)
	}
	r.Placements = []attune.Ask{{ID: r.Placement, Limit: r.Limit, Item: r.Item, Items: r.Items, Query: r.Query, Filters: r.Filters}}
	return &r.ask, nil
}

// decodeJSON decodes one JSON value and nothing after it. A member of another
// name is a fault: who writes userId for user_id would get a stranger's answer.
func decodeJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if name, unknown := unknownField(err); unknown {
			return invalid(name, unknownMember(name))
		}
		return notJSON(body, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "invalid json: there is more after the object")
	}
	return nil
}

// fieldPath is the path a caller knows: without the names of embedded structs.
func fieldPath(path string) string {
	path = strings.TrimPrefix(path, "ask.")
	return strings.Replace(strings.TrimPrefix(path, "DecideRequest."), ".Narrow.", ".", 1)
}

// askOf reads GET /v1/recommend/{placement} and GET /v1/stream from the query
// of an address: "items" may be given many times, or once with commas, "facets"
// with commas, "filters" as JSON; of everything else the first counts. What is not well-formed is left out, as
// url.ParseQuery does.
func askOf(placement, query string) (*ask, error) {
	a := new(ask)
	a.Placements = []attune.Ask{{ID: placement}}
	one := &a.Placements[0]
	var limit, deadline, explain, filters, facets, offset, blacklist string
	into := [...]struct {
		name  string
		value *string
	}{
		{"item", &one.Item},
		{"query", &one.Query},
		{"user_id", &a.UserID},
		{"anonymous_id", &a.AnonymousID},
		{"after", &a.After},
		{"limit", &limit},
		{"deadline_ms", &deadline},
		{"explain", &explain},
		{"filters", &filters},
		{"facets", &facets},
		{"offset", &offset},
		{"blacklist", &blacklist},
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, ok := pairOf(pair)
		if !ok {
			continue
		}
		if name == "items" {
			for id := range strings.SplitSeq(value, ",") {
				if id != "" {
					one.Items = append(one.Items, id)
				}
			}
		}
		for i := range into {
			if into[i].name == name {
				*into[i].value = value
				into[i].name = "" // the first counts
			}
		}
	}
	var err error
	if one.Limit, err = numberOf("limit", limit); err != nil {
		return nil, err
	}
	if a.DeadlineMS, err = numberOf("deadline_ms", deadline); err != nil {
		return nil, err
	}
	if filters != "" {
		if err := decodeJSON([]byte(filters), &one.Filters); err != nil {
			return nil, err
		}
	}
	if facets != "" {
		one.Facets = strings.Split(facets, ",")
	}
	if one.Narrow, err = narrowOf(offset, blacklist); err != nil {
		return nil, err
	}
	a.Explain = explain == "true" || explain == "1"
	return a, nil
}

// pairOf splits one name=value of an address's query.
func pairOf(pair string) (name, value string, ok bool) {
	if pair == "" || strings.Contains(pair, ";") {
		return "", "", false
	}
	name, value, _ = strings.Cut(pair, "=")
	name, err := url.QueryUnescape(name)
	if err != nil || name == "" {
		return "", "", false
	}
	value, err = url.QueryUnescape(value)
	return name, value, err == nil
}

func numberOf(name, v string) (int, error) {
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, invalid(name, fmt.Sprintf("want a number, got %q", v))
	}
	return n, nil
}

// check checks every bound of a, and resolves its token. names are the
// placements there are.
func (a *ask) check(d Decider) error {
	if n := len(a.Placements); n == 0 || n > maxAsks {
		return invalid("placements", fmt.Sprintf("want 1 to %d, got %d", maxAsks, n))
	}
	if a.DeadlineMS < 0 || a.DeadlineMS > MaxDeadlineMS {
		return invalid("deadline_ms", fmt.Sprintf("want 0 to %d, got %d", MaxDeadlineMS, a.DeadlineMS))
	}
	if n := len(a.Events); n > maxEvents {
		return invalid("events", fmt.Sprintf("want at most %d, got %d; send the rest to /v1/batch", maxEvents, n))
	}
	if len(a.Context) > 0 && a.Context[0] != '{' {
		if string(a.Context) != "null" {
			return invalid("context", "want an object")
		}
		a.Context = nil
	}
	for i := range a.Placements {
		if err := a.checkOne(d, i); err != nil {
			return err
		}
	}
	if a.After == "" {
		return nil
	}
	if len(a.After) > maxToken {
		return invalid("after", "is not a consistency token: it is too long")
	}
	t, err := journal.ParseToken(a.After)
	if err != nil {
		return invalid("after", "is not a consistency token: send X-Attune-Token as it was received")
	}
	a.after, a.hasAfter = t, true
	return nil
}

func (a *ask) checkOne(d Decider, i int) error {
	one := &a.Placements[i]
	at := func(field string) string { return "placements[" + strconv.Itoa(i) + "]" + field }
	if !has(d, one.ID) {
		return invalid(at(".id"), unknownPlacement(d, one.ID))
	}
	for _, other := range a.Placements[:i] {
		if other.ID == one.ID {
			return invalid(at(".id"), fmt.Sprintf("%q is asked for twice; send two requests", one.ID))
		}
	}
	switch {
	case one.Limit < 0 || one.Limit > maxLimit:
		return invalid(at(".limit"), fmt.Sprintf("want 0 to %d, got %d", maxLimit, one.Limit))
	case len(one.Items) > maxItems:
		return invalid(at(".items"), fmt.Sprintf("want at most %d, got %d", maxItems, len(one.Items)))
	case len(one.Facets) > maxFacets:
		return invalid(at(".facets"), fmt.Sprintf("want at most %d, got %d", maxFacets, len(one.Facets)))
	case slices.ContainsFunc(one.Facets, func(name string) bool { return name == "" || len(name) > maxFacetName }):
		return invalid(at(".facets"), fmt.Sprintf("want names of attributes, of 1 to %d bytes", maxFacetName))
	case len(one.Query) > maxText:
		return invalid(at(".query"), fmt.Sprintf("want at most %d bytes, got %d", maxText, len(one.Query)))
	default:
		return checkNarrow(one.Narrow, at)
	}
}

// has reports whether d knows a placement.
func has(d Decider, placement string) bool {
	_, ok := d.Deadline(placement)
	return ok
}

// unknownPlacement says what to ask for instead of name.
func unknownPlacement(d Decider, name string) string {
	names := d.Placements()
	message := fmt.Sprintf("unknown placement %q", clip(name))
	if name == "" {
		message = "the placement is missing"
	}
	if near := nearest(name, names); near != "" && name != "" {
		return message + fmt.Sprintf("; did you mean %q?", near)
	}
	return message + "; there are " + strings.Join(names, ", ")
}

// deadline returns how long the request may take in milliseconds: its own
// wish, else the most patient placement's, else the default.
func (a *ask) deadline(d Decider) int {
	if a.DeadlineMS > 0 {
		return a.DeadlineMS
	}
	longest := 0
	for i := range a.Placements {
		ms, _ := d.Deadline(a.Placements[i].ID)
		longest = max(longest, ms)
	}
	if longest == 0 {
		return DefaultDeadlineMS
	}
	return min(longest, MaxDeadlineMS)
}

// unknownMember says that a decision's request has no member of that name.
func unknownMember(name string) string {
	known := []string{
		"user_id", "anonymous_id", "user_token", "events", "after", "deadline_ms", "explain", "context",
		"placements", "placement", "id", "item", "items", "limit", "query", "filters", "facets",
		"dedup", "fields", "date_range", "blacklist", "offset",
	}
	var snake []byte
	for _, c := range []byte(name[:min(len(name), 100)]) {
		if c >= 'A' && c <= 'Z' {
			snake = append(snake, '_', c+'a'-'A')
		} else {
			snake = append(snake, c)
		}
	}
	message := "unknown member " + strconv.Quote(name)
	if near := nearest(string(snake), known); near != "" {
		message += "; did you mean " + strconv.Quote(near) + "?"
	}
	return message
}

// nearest returns the name at the smallest edit distance from s, when that is
// at most a third of its length, else "".
func nearest(s string, names []string) string {
	best, at := "", max(1, len(s)/3)+1
	if len(s) > 100 {
		return ""
	}
	for _, name := range names {
		if d := distance(s, name); d < at {
			best, at = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
