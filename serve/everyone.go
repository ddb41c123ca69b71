package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/attune-io/attune"
)

// EveryoneAsk is a batch: one placement for every user there is.
type EveryoneAsk struct {
	Placement string
	Limit     int    // items a user; 0 is the placement's own
	Segment   string // its members alone; "" is everybody
	After     string // users behind this id alone; "" is all
	// Log journals the answers as decisions. Without it nobody can tell later
	// that they were given.
	Log bool
}

// Everyone decides for all users; the node does.
type Everyone interface {
	// Users returns how many users there are behind an id.
	Users(ctx context.Context, after string) (int, error)
	// Everyone decides for every user in the order of their ids, and calls take,
	// one call at a time, with shares of a few hundred of them. An error of take
	// ends it and is returned. What is wrong with ask is an error before the
	// first call; one batch too many wraps attune.ErrBusy.
	Everyone(ctx context.Context, ask *EveryoneAsk, take func(s *Share) error) error
}

// Share is a piece of a batch.
type Share struct {
	// Looked is how many users were looked at, Last the last of them: a batch
	// that is asked for again with After: Last goes on behind this share.
	Looked int
	Last   string
	// Served are those who got an answer.
	Served []Served
}

// Served is a user with her answer.
type Served struct {
	UserID     string
	DecisionID string // "" when it is not logged
	Answer     *attune.Answer
}

// ServedLine is one line of GET /v1/recommend/{placement}/all: a user's answer,
// or a mark behind those that a client has then seen.
type ServedLine struct {
	UserID     string          `json:"user_id,omitempty"`
	DecisionID string          `json:"decision_id,omitempty"`
	Items      []attune.Ranked `json:"items,omitempty"`
	Model      string          `json:"model,omitempty"`
	Fallback   string          `json:"fallback,omitempty"`

	// Cursor marks how far the batch is; Looked is how many users were looked
	// at since the request began; Done says that there is no more.
	Cursor string `json:"cursor,omitempty"`
	Looked int    `json:"looked,omitempty"`
	Done   bool   `json:"done,omitempty"`
	// Error ends a batch that could not go on. It may be asked for again from
	// the last cursor.
	Error string `json:"error,omitempty"`
}

// SetEveryone says who decides for all users; nil is nobody. Call it before
// requests are served.
func (s *Server) SetEveryone(e Everyone) { s.everyone = e }

// peopleHeader says how many users a batch will look at.
const peopleHeader = "X-Attune-People"

// batchWrite is how long a client may leave a share unread.
const batchWrite = time.Minute

// serveEveryone answers GET /v1/recommend/{placement}/all with a line a user.
func (s *Server) serveEveryone(w http.ResponseWriter, r *http.Request, _ *caller) error {
	engine, name := s.engine(), r.PathValue("placement")
	if !has(engine, name) {
		return &fault{kind: attune.ErrNotFound, path: "placement", message: unknownPlacement(engine, name)}
	}
	if s.everyone == nil {
		return deny(attune.ErrNotFound, "this server makes no batches")
	}
	ask, err := everyoneAsk(name, r.URL.Query())
	if err != nil {
		return err
	}
	all, err := s.everyone.Users(r.Context(), ask.After)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // ends with the request
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	b := &everyoneReply{w: w, control: http.NewResponseController(w), all: all}
	if r.Method == http.MethodHead {
		b.begin()
		return nil
	}
	err = s.everyone.Everyone(ctx, &ask, b.take)
	switch {
	case err == nil:
		b.begin()
		return b.end(&ServedLine{Done: true, Cursor: b.last, Looked: b.looked})
	case !b.began:
		return err
	default:
		// The status is sent: the last line has to say it.
		_, code := status(err)
		return b.end(&ServedLine{Error: code, Cursor: b.last, Looked: b.looked})
	}
}

func everyoneAsk(placement string, q url.Values) (EveryoneAsk, error) {
	ask := EveryoneAsk{Placement: placement, Segment: q.Get("segment"), After: q.Get("cursor")}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return ask, invalid("limit", fmt.Sprintf("%q: want a number from 1 to %d", clip(text), maxLimit))
		}
		ask.Limit = n
	}
	switch text := q.Get("log"); text {
	case "", "false":
	case "true":
		ask.Log = true
	default:
		return ask, invalid("log", fmt.Sprintf("%q: want true or false", clip(text)))
	}
	return ask, nil
}

// everyoneReply is a batch on its way to a client.
type everyoneReply struct {
	w       http.ResponseWriter
	control *http.ResponseController
	all     int
	began   bool
	looked  int
	last    string
	buf     bytes.Buffer
}

func (b *everyoneReply) begin() {
	if b.began {
		return
	}
	b.began = true
	h := b.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set(peopleHeader, strconv.Itoa(b.all))
	b.w.WriteHeader(http.StatusOK)
}

func (b *everyoneReply) take(share *Share) error {
	b.begin()
	b.buf.Reset()
	e := json.NewEncoder(&b.buf)
	for i := range share.Served {
		one := &share.Served[i]
		line := ServedLine{UserID: one.UserID, DecisionID: one.DecisionID, Items: one.Answer.Items, Model: one.Answer.Model, Fallback: one.Answer.Fallback}
		for k := range line.Items {
			line.Items[k].Attributes = nil // the catalog has them
		}
		if err := e.Encode(&line); err != nil {
			return fmt.Errorf("encode the answer for user %q: %w", one.UserID, err)
		}
	}
	b.looked, b.last = b.looked+share.Looked, share.Last
	if err := e.Encode(&ServedLine{Cursor: b.last, Looked: b.looked}); err != nil {
		return fmt.Errorf("encode a mark: %w", err)
	}
	return b.flush()
}

func (b *everyoneReply) end(line *ServedLine) error {
	b.buf.Reset()
	if err := json.NewEncoder(&b.buf).Encode(line); err != nil {
		return fmt.Errorf("encode the end of a batch: %w", err)
	}
	_ = b.flush() // a client that left will ask again from its cursor
	return nil
}

// flush sends what is gathered. A server that does not know deadlines or
// flushing sends it when it likes.
func (b *everyoneReply) flush() error {
	_ = b.control.SetWriteDeadline(time.Now().Add(batchWrite)) //nolint:forbidigo // a deadline of the connection is the real clock's
	if _, err := b.w.Write(b.buf.Bytes()); err != nil {
		return err
	}
	_ = b.control.Flush()
	return nil
}
