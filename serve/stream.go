package serve

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// Times of a stream.
const (
	streamGap    = 20 * time.Millisecond // between two answers of one stream
	writeTimeout = 10 * time.Second
)

// errProofGone ends a stream whose token expired, or whose key was taken back:
// who opens the next one proves herself again.
const errProofGone = attune.Sentinel("stream: the proof it was opened with is no longer good")

// stream is one open GET /v1/stream.
type stream struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	c      *caller
	ask    *ask
	last   string   // id of the answer the client has
	keys   []string // the parts that are watched, sorted
	change <-chan struct{}
	stop   func()
	buf    []byte
}

// serveStream answers GET /v1/stream: the decision at once, and again whenever
// it has become another one. The id of an event names what was answered, so
// a client that comes back with it in Last-Event-ID is not told again.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, c *caller) error {
	if r.Method == http.MethodHead {
		return nil // there is no head of what has no end
	}
	q := r.URL.Query()
	a, err := askOf(q.Get("placement"), r.URL.RawQuery)
	if err != nil {
		return err
	}
	for _, more := range q["placement"][min(1, len(q["placement"])):] {
		one := a.Placements[0]
		one.ID = more
		a.Placements = append(a.Placements, one)
	}
	engine := s.engine()
	for i := range a.Placements {
		if name := a.Placements[i].ID; !has(engine, name) {
			return invalid("placement", unknownPlacement(engine, name))
		}
	}
	if err := a.check(engine); err != nil {
		return err
	}
	open := s.streams.Add(1)
	defer func() { s.streamsNow(s.streams.Add(-1)) }()
	if open > int64(s.o.Limits.Streams) {
		return deny(attune.ErrBusy, "too many open streams; ask again, or poll /v1/recommend")
	}
	s.streamsNow(open)
	st := &stream{s: s, w: w, r: r, c: c, ask: a, last: r.Header.Get("Last-Event-ID"), stop: func() {}}
	if st.last == "" {
		st.last = q.Get("last_event_id")
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	defer func() { st.stop() }()
	st.run(r.Context())
	return nil
}

func (s *Server) streamsNow(open int64) {
	if s.o.Metrics != nil {
		s.o.Metrics.Streams(open)
	}
}

// run ends when the client goes, the server stops or a write fails.
func (st *stream) run(ctx context.Context) {
	beat := time.NewTicker(st.s.o.Limits.Heartbeat)
	defer beat.Stop()
	gap := time.NewTimer(streamGap)
	defer gap.Stop()
	if st.send([]byte("retry: 2000\n\n")) != nil {
		return
	}
	for {
		sent, err := st.push()
		if err != nil {
			return
		}
		gap.Reset(streamGap)
		select {
		case <-gap.C:
		case <-ctx.Done():
			return
		}
		st.ask.hasAfter = false // it was for the first answer
		select {
		case <-ctx.Done():
			return
		case <-st.s.done:
			return
		case <-st.change:
		case <-beat.C:
			// The answer may change without the person: an item sold out, a
			// window that moved.
			if !sent && st.send([]byte(": \n\n")) != nil {
				return
			}
		}
	}
}

// push sends the answer when it is another one than the client has. The watch
// is set before the person is read, so no change falls between the two.
func (st *stream) push() (sent bool, err error) {
	st.watch(nil)
	c := st.s.identify(st.r, "")
	if c.known != st.c.known || c.server != st.c.server || c.user != st.c.user || c.visitor != st.c.visitor {
		return false, errProofGone
	}
	// A decision that is late may still read its own copy.
	a := *st.ask
	d, res := st.s.decide(st.r, &c, &a, true)
	if st.watch(res.parts) {
		d, res = st.s.decide(st.r, &c, &a, true)
		st.watch(res.parts)
	}
	id := fingerprint(d)
	if id == st.last {
		return false, nil
	}
	b := append(st.buf[:0], "id: "...)
	b = append(b, id...)
	b = append(b, "\nevent: decision\ndata: "...)
	b = AppendDecision(b, d)
	b = append(b, "\n\n"...)
	st.buf = b
	if err := st.send(b); err != nil {
		return false, err
	}
	st.last = id
	st.s.record(res, 0)
	return true, nil
}

// watch watches parts as well as what the caller's own key names, and reports
// whether that is more than was watched before.
func (st *stream) watch(parts []string) (more bool) {
	if st.s.o.Notifier == nil {
		return false
	}
	keys := slices.Clone(parts)
	quiet := *st.c
	who := quiet.subject(st.ask.UserID, st.ask.AnonymousID)
	if who.user != "" {
		keys = append(keys, identity.UserKey(who.user))
	}
	if who.device != "" {
		keys = append(keys, identity.DeviceKey(who.device))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	for _, k := range keys {
		if _, found := slices.BinarySearch(st.keys, k); !found {
			more = true
		}
	}
	if !more {
		return false
	}
	stop := st.stop
	st.keys = keys
	st.change, st.stop = st.s.o.Notifier.Watch(keys)
	stop()
	return true
}

func (st *stream) send(b []byte) error {
	control := http.NewResponseController(st.w)
	// Nobody reads for ten seconds: the connection is dead, or might as well be.
	if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) { //nolint:forbidigo // the kernel's clock: no other will do
		return fmt.Errorf("stream: %w", err)
	}
	if _, err := st.w.Write(b); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if err := control.Flush(); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// fingerprint names what d shows: items, reasons and attributes in order, but
// not the scores, which decay all the time.
func fingerprint(d *attune.Decision) string {
	h := xxhash.New()
	names := make([]string, 0, len(d.Placements))
	for name := range d.Placements {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a := d.Placements[name]
		field(h, name)
		field(h, a.Variant)
		field(h, a.Fallback)
		for i := range a.Items {
			field(h, a.Items[i].ID)
			field(h, a.Items[i].Reason)
			field(h, string(a.Items[i].Attributes))
		}
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func field(h hash.Hash64, s string) {
	_, _ = h.Write([]byte(s))
	_, _ = h.Write([]byte{0})
}
