package console

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/attune-io/attune"
)

// liveEvent is an event as the page shows it: as it was sent, and as it was
// understood.
type liveEvent struct {
	Type        string          `json:"type"`
	Name        string          `json:"name,omitempty"`
	On          string          `json:"on"`
	MessageID   string          `json:"message_id"`
	UserID      string          `json:"user_id,omitempty"`
	AnonymousID string          `json:"anonymous_id,omitempty"`
	PreviousID  string          `json:"previous_id,omitempty"`
	GroupID     string          `json:"group_id,omitempty"`
	Source      string          `json:"source"`
	Rank        string          `json:"rank"`
	Flags       []string        `json:"flags"`
	Time        attune.Millis   `json:"time"`
	ReceivedAt  attune.Millis   `json:"received_at"`
	SentAt      attune.Millis   `json:"sent_at,omitempty"`
	Original    attune.Millis   `json:"original,omitempty"`
	Enriched    json.RawMessage `json:"enriched,omitempty"`
	Raw         json.RawMessage `json:"raw,omitempty"`
}

func liveOf(e *attune.Event) liveEvent {
	v := liveEvent{
		Type: e.Type.String(), Name: e.Name, On: e.On(), MessageID: e.MessageID,
		UserID: e.UserID, AnonymousID: e.AnonymousID, PreviousID: e.PreviousID, GroupID: e.GroupID,
		Source: e.Source, Rank: "public", Flags: []string{},
		Time: e.Time, ReceivedAt: e.ReceivedAt, SentAt: e.SentAt, Original: e.Original,
	}
	if e.Rank == attune.Server {
		v.Rank = "server"
	}
	for _, f := range [...]struct {
		flag attune.Flag
		name string
	}{
		{attune.Device, "device"},
		{attune.Bot, "bot"},
		{attune.Denied, "denied"},
		{attune.Verified, "verified"},
		{attune.Granted, "granted"},
	} {
		if e.Has(f.flag) {
			v.Flags = append(v.Flags, f.name)
		}
	}
	if json.Valid(e.Enriched) {
		v.Enriched = e.Enriched
	}
	if json.Valid(e.Raw) {
		v.Raw = e.Raw
	}
	return v
}

// serveEvents answers the newest events, newest first.
func (c *Console) serveEvents(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	events := []liveEvent{}
	for _, e := range c.o.Live.Recent(limit) {
		events = append(events, liveOf(&e))
	}
	return answer(w, map[string]any{"events": events})
}

const (
	heartbeat = 15 * time.Second
	backlog   = 200 // events a stream begins with
	// A write that nobody takes ends the stream.
	writeTime = 10 * time.Second
)

// serveLive streams events as they come: first the newest there are, oldest of
// them first, then each new one.
func (c *Console) serveLive(w http.ResponseWriter, r *http.Request) error {
	events, stop := c.o.Live.Watch()
	defer stop()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	defer out.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may serve another request
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var buf []byte
	recent := c.o.Live.Recent(backlog)
	buf = append(buf, "retry: 1000\n\nevent: hello\ndata: {}\n\n"...)
	seen := make(map[string]bool, len(recent))
	for i := len(recent) - 1; i >= 0; i-- {
		seen[recent[i].MessageID] = true
		buf = appendEvent(buf, &recent[i])
	}
	for {
		// A writer that ignores deadlines is served all the same.
		_ = out.SetWriteDeadline(time.Now().Add(writeTime)) //nolint:forbidigo // a deadline of the network
		if _, err := w.Write(buf); err != nil {
			return nil // the reader went away
		}
		if err := out.Flush(); err != nil {
			return nil // the reader went away
		}
		buf = buf[:0]
		select {
		case <-r.Context().Done():
			return nil
		case <-c.o.Done:
			return nil
		case <-beat.C:
			buf = append(buf, ": still here\n\n"...)
			if !c.stands(r) {
				return nil
			}
		case e := <-events:
			buf = c.gather(buf, e, events, seen)
		}
	}
}

// stands reports whether who opened a stream may still read it.
func (c *Console) stands(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || c.session(r)
}

// gather appends e and what else is there, up to a bound, without what the
// backlog held already.
func (*Console) gather(buf []byte, e attune.Event, more <-chan attune.Event, seen map[string]bool) []byte {
	for {
		if !seen[e.MessageID] {
			buf = appendEvent(buf, &e)
		}
		delete(seen, e.MessageID)
		if len(buf) > 256<<10 {
			return buf
		}
		select {
		case e = <-more:
		default:
			return buf
		}
	}
}

func appendEvent(buf []byte, e *attune.Event) []byte {
	b, err := json.Marshal(liveOf(e))
	if err != nil {
		return buf
	}
	buf = append(append(buf, "data: "...), b...)
	return append(buf, "\n\n"...)
}
