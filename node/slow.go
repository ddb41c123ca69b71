package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// What a sender may take for a request's body. A bound on the whole request
// would cut a phone on a bad line that sends all the time, and would let who
// sends a byte a second hold a connection for just as long. So a body has a
// start and a rate: who stays under the rate is cut when the start is used up,
// who keeps to it never is. GPRS, the slowest that phones have, gives four
// times this rate, and a pause as long as the start does no harm.
const (
	bodyStart = 20 * time.Second
	bodyRate  = 1 << 10 // bytes a second
)

// wakeBytes is how much of a slow body the system gathers before it wakes the
// server: four seconds of a sender that just keeps to bodyRate.
const wakeBytes = 4 << 10

// paced gives every request's body its deadline; start is bodyStart. Requests
// without a body have none: the server watches the connection while a request
// is answered, and would take a deadline for the caller's leaving.
func paced(h http.Handler, start time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), start: start, left: start, missing: r.ContentLength}
		b.conn, _ = r.Context().Value(connKey{}).(*held)
		r.Body = b
		defer b.rest()
		h.ServeHTTP(w, r)
	})
}

// connKey is where a request's context has its connection.
type connKey struct{}

// withConn puts the connection into the context of its requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// body is a request's body whose sender must keep up. Only the time spent
// waiting for bytes counts: while the handler works, the sender cannot send.
// From the second read on, when the body did not come with its header, the
// server is woken for a few kilobytes rather than for each byte, so that ten
// thousand senders of a byte a second take nothing from everybody else.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	start   time.Duration // what left begins with, and never exceeds
	left    time.Duration // how long Read may wait
	conn    *held         // nil: not one of the gate's
	missing int64         // bytes that are still to come; below 0 is unknown
	again   bool          // there was a read before
	done    bool          // it was read to its end
	wakes   int           // bytes that conn wakes for; 0 is any
}

// Read reads. A sender that was too slow is os.ErrDeadlineExceeded; the server
// closes its connection after the answer.
func (b *body) Read(p []byte) (int, error) {
	before := time.Now()
	if err := b.control.SetReadDeadline(before.Add(b.left)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	if b.again {
		b.wake(int(min(b.missing, wakeBytes)))
	}
	b.again = true
	n, err := b.ReadCloser.Read(p)
	b.missing -= int64(n)
	if errors.Is(err, io.EOF) && !b.done {
		b.done = true
		_ = b.control.SetReadDeadline(time.Time{}) // the answer may take what it takes
	}
	b.left = min(b.start, b.left-time.Since(before)+time.Duration(n)*time.Second/bodyRate)
	return n, err
}

// wake makes the connection wake for n bytes; fewer than 2 is any.
func (b *body) wake(n int) {
	if n = max(n, 1); b.conn != nil && n != max(b.wakes, 1) {
		b.wakes = n
		b.conn.wakeFor(n)
	}
}

// rest makes the connection fit for the next request. The server reads on what
// the handler left of a body, for a while, and then that has to come too.
func (b *body) rest() {
	b.wake(1)
	if !b.done {
		_ = b.control.SetReadDeadline(time.Now().Add(b.start))
	}
}

// fewest and most bound how many connections are open at once.
const (
	fewestConns = 256
	mostConns   = 32 << 10 // some 20 KB each: 640 MB
)

// busyConn is what a connection too many is told.
const busyConn = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 86\r\n\r\n" +
	`{"error":{"code":"busy","message":"too many open connections; try again in a second"}}`

// gate is a listener that holds at most so many connections open. One too many
// is told so and closed at once, rather than left to wait for it knows not
// what: the files that the process may open are also the journal's, and a
// journal that cannot open one stops.
type gate struct {
	net.Listener
	log  *slog.Logger
	most int64
	open atomic.Int64
	full atomic.Bool // said once until there is room again
}

// Accept returns the next connection that there is room for.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil // no file of ours
		}
		if g.open.Add(1) <= g.most {
			return &held{TCPConn: tcp, gate: g}, nil
		}
		g.open.Add(-1)
		if !g.full.Swap(true) {
			g.log.Warn("too many open connections; more are refused until some close",
				slog.Int64("open", g.most), slog.String("next_step", "raise the limit of open files (ulimit -n), or put a proxy in front"))
		}
		_, _ = io.WriteString(tcp, busyConn) // fits the empty buffer of a new connection
		_ = tcp.Close()
	}
}

// held is a connection that the gate counts.
type held struct {
	*net.TCPConn
	gate *gate
	once sync.Once
}

// Close closes the connection and makes room for another.
func (h *held) Close() error {
	h.once.Do(func() {
		if h.gate.open.Add(-1) < h.gate.most*9/10 {
			h.gate.full.Store(false)
		}
	})
	return h.TCPConn.Close()
}
