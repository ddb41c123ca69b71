package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Retry says which dead letters are tried again: those with one of the ids, or
// all; of them those with the code, from the source. What came through before,
// and what was not kept whole, is left alone.
type Retry struct {
	IDs    []string `json:"ids,omitempty"`
	Reason string   `json:"reason,omitempty"` // a Code constant
	Source string   `json:"source,omitempty"`
	Limit  int      `json:"limit,omitempty"` // 0 is MaxRetry
}

// Retried is what became of a Retry.
type Retried struct {
	Accepted int `json:"accepted"`
	Dropped  int `json:"dropped"`
	Rejected int `json:"rejected"`
	// Remaining are those that were meant and not reached.
	Remaining int `json:"remaining"`
}

// MaxRetry is how many dead letters one call tries again.
const MaxRetry = 1000

// keptFrom is how the events of b came, to try one again later: all that Accept
// looks at beside the event. The caller owns it.
func keptFrom(b *Batch, received attune.Millis) *Batch {
	from := *b
	from.ReceivedAt = received
	from.Users = slices.Clone(b.Users)
	from.Context, from.Integrations = bytes.Clone(b.Context), bytes.Clone(b.Integrations)
	from.Agent, from.Device = strings.Clone(b.Agent), strings.Clone(b.Device)
	from.Events, from.texts, from.contact, from.Keep, from.retry = nil, nil, false, false, true
	return &from
}

// Retry tries dead letters again, oldest first, with today's transformations
// and plans. They keep the time they were received at and their messageIds, so
// that nothing counts twice; the list then says what became of each. An error
// is that of Accept: what came before it is done, the rest is as it was.
func (c *Collector) Retry(ctx context.Context, r *Retry) (Retried, error) {
	letters, unknown, more := c.dead.take(r)
	if unknown != "" {
		return Retried{}, fmt.Errorf("there is no dead letter %q: %w", cut(unknown, 64), attune.ErrNotFound)
	}
	out := Retried{Remaining: more}
	for len(letters) > 0 {
		n := 1 // letters of one batch go together
		for n < len(letters) && letters[n].from == letters[0].from {
			n++
		}
		b := *letters[0].from
		for i := range letters[:n] {
			b.Events = append(b.Events, []byte(letters[i].Raw))
		}
		res, err := c.Accept(ctx, &b)
		if err != nil {
			c.dead.giveBack(letters)
			out.Remaining += len(letters)
			return out, err
		}
		out.Accepted += res.Accepted
		out.Dropped += res.Dropped
		out.Rejected += len(res.Rejected)
		c.dead.settle(letters[:n], &res, c.o.Now())
		letters = letters[n:]
	}
	return out, nil
}

// take returns copies of the letters that r means, oldest first, at most its
// limit, and marks them as being retried; unknown is an id that there is not,
// and then nothing is taken; more are those beyond the limit.
func (l *deadLetters) take(r *Retry) (letters []DeadLetter, unknown string, more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := make(map[string]bool, len(r.IDs))
	for _, id := range r.IDs {
		wanted[id] = false
	}
	limit := r.Limit
	if limit <= 0 {
		limit = MaxRetry
	}
	var picked []*DeadLetter
	for i := range l.n {
		d := &l.ring[(l.start+i)%len(l.ring)]
		if len(wanted) > 0 {
			if _, meant := wanted[d.ID]; !meant {
				continue
			}
			wanted[d.ID] = true
		}
		switch {
		case d.from == nil, d.busy, d.done():
		case r.Reason != "" && r.Reason != d.Code, r.Source != "" && r.Source != d.Source:
		case len(picked) == limit:
			more++
		default:
			picked = append(picked, d)
		}
	}
	for _, id := range r.IDs {
		if !wanted[id] {
			return nil, id, 0
		}
	}
	for _, d := range picked {
		d.busy = true
		letters = append(letters, *d)
	}
	return letters, "", more
}

// each calls f for those of letters that are still there.
func (l *deadLetters) each(letters []DeadLetter, f func(i int, d *DeadLetter)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := make(map[string]int, len(letters))
	for i := range letters {
		at[letters[i].ID] = i
	}
	for i := range l.n {
		d := &l.ring[(l.start+i)%len(l.ring)]
		if j, ok := at[d.ID]; ok {
			f(j, d)
		}
	}
}

// giveBack ends the retry of letters that did not come about.
func (l *deadLetters) giveBack(letters []DeadLetter) {
	l.each(letters, func(_ int, d *DeadLetter) { d.busy = false })
}

// settle notes what became of letters, the events of one Accept.
func (l *deadLetters) settle(letters []DeadLetter, res *Result, now attune.Millis) {
	rejected := make(map[int]*Rejection, len(res.Rejected))
	for i := range res.Rejected {
		rejected[res.Rejected[i].Index] = &res.Rejected[i]
	}
	dropped := make(map[int]bool, res.Dropped)
	for _, i := range res.dropped {
		dropped[i] = true
	}
	l.each(letters, func(i int, d *DeadLetter) {
		d.busy, d.Retried, d.Outcome = false, now, outcomeAccepted
		if dropped[i] {
			d.Outcome = outcomeDropped
		}
		if r := rejected[i]; r != nil {
			l.bytes -= d.size()
			d.Outcome, d.Code, d.Reason = outcomeRejected, r.Code, strings.Clone(cut(r.Reason, maxCut))
			l.bytes += d.size()
		}
	})
}

// retryLetters answers POST /v1/dead-letters/retry. The server secret is needed.
func (c *Collector) retryLetters(w http.ResponseWriter, r *http.Request) error {
	if err := c.secretOnly(r); err != nil {
		return err
	}
	held := heldBytes{all: &c.inFlight, limit: c.o.Limits.InFlightBytes}
	defer held.release()
	body, err := c.readBody(r, &held)
	if err != nil {
		return err
	}
	var ask Retry
	if body = bytes.TrimSpace(body); len(body) > 0 {
		if err := json.Unmarshal(body, &ask); err != nil {
			return &refusal{status: http.StatusBadRequest, text: "want {\"ids\",\"reason\",\"source\",\"limit\"}, each of which may be left out: " + cut(err.Error(), 256), cause: err}
		}
	}
	switch {
	case ask.IDs != nil && len(ask.IDs) == 0:
		return &refusal{status: http.StatusBadRequest, path: "ids", text: "is empty; leave it out for all of them"}
	case ask.Limit < 0 || ask.Limit > MaxRetry:
		return &refusal{status: http.StatusBadRequest, path: "limit", text: fmt.Sprintf("want 1 to %d", MaxRetry)}
	}
	if err := c.behind(); err != nil {
		return err
	}
	out, err := c.Retry(r.Context(), &ask)
	if errors.Is(err, attune.ErrNotFound) {
		return &refusal{status: http.StatusNotFound, path: "ids", text: attune.Message(err), cause: err}
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// secretOnly refuses whoever does not show the server secret: what was refused
// is somebody's data all the same.
func (c *Collector) secretOnly(r *http.Request) error {
	who, known, err := c.authenticate(r)
	if err != nil || who.server {
		return err
	}
	status := http.StatusUnauthorized
	if known {
		status = http.StatusForbidden // a good key, but not for this
	}
	return &refusal{status: status, text: "the dead-letter list needs the server secret, as Basic username or Bearer token"}
}
