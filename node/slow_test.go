package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// reply is what came back: its status, headers and body, and whether the
// server closes the connection.
type reply struct {
	status int
	header http.Header
	body   []byte
	closes bool
}

// askRaw sends raw over a new connection, which the test ends, and returns
// the answer to it.
func askRaw(t *testing.T, address, raw string) (net.Conn, reply) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return c, reply{r.StatusCode, r.Header, text, r.Close}
}

// TestGateRefusesOneTooMany holds that a connection too many gets a fault in
// JSON, and that there is room again when one closes.
func TestGateRefusesOneTooMany(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	g := &gate{Listener: s.Listener, log: slog.New(slog.DiscardHandler), most: 1}
	s.Listener = g
	s.Start()
	defer s.Close()
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	address := s.Listener.Addr().String()
	first, r := askRaw(t, address, get)
	if r.status != http.StatusOK {
		t.Fatalf("the first: got %d, want 200", r.status)
	}
	_, r = askRaw(t, address, "") // it is told before it asks
	var fault struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(r.body, &fault); err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusServiceUnavailable || fault.Error.Code != "busy" || !r.closes || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %+v, want 503 busy, a close and a Retry-After", r.status, fault)
	}
	_ = first.Close()
	for g.open.Load() > 0 { // the server sees the close by and by
		time.Sleep(time.Millisecond)
	}
	if _, r := askRaw(t, address, get); r.status != http.StatusOK {
		t.Errorf("after a close: got %d, want 200", r.status)
	}
}

// TestSlowBodyIsCut holds that a body whose sender has used up its time ends
// with a deadline, and its connection with the answer.
func TestSlowBodyIsCut(t *testing.T) {
	got := make(chan error, 1) // one send, one receive
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(&body{ReadCloser: r.Body, control: http.NewResponseController(w), start: time.Millisecond, left: time.Millisecond})
		got <- err
	}))
	defer s.Close()
	_, r := askRaw(t, s.Listener.Addr().String(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	if !r.closes {
		t.Error("the connection of a body that was cut is kept")
	}
}

// TestPacedKeepsStreams holds that a request which is being answered outlives
// the deadline of its body, with a body that was read and without one.
func TestPacedKeepsStreams(t *testing.T) {
	const deadline = 50 * time.Millisecond
	s := httptest.NewUnstartedServer(paced(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it is whole
		select {
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		case <-time.After(4 * deadline):
		}
	}), deadline))
	s.Start()
	defer s.Close()
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"} {
		if _, r := askRaw(t, s.Listener.Addr().String(), raw); r.status != http.StatusOK {
			t.Errorf("%s: the request ended with the deadline", strings.Fields(raw)[0])
		}
	}
}

// TestUnreadBodyIsCut holds that a body which no handler reads does not hold
// its connection either.
func TestUnreadBodyIsCut(t *testing.T) {
	s := httptest.NewServer(paced(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 20*time.Millisecond))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil { // ends when the server closes
		t.Fatal(err)
	}
}
