package node

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestSlowBodyWakesSeldom holds that a body which comes byte by byte wakes its
// reader when it is whole and not before, and that the connection serves the
// next request, whether the body was read or not.
func TestSlowBodyWakesSeldom(t *testing.T) {
	const pieces = 50
	reads := make(chan int, 1) // one send and one receive a request
	s := httptest.NewUnstartedServer(paced(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unread" {
			_, _ = r.Body.Read(make([]byte, 1))
			_, _ = r.Body.Read(make([]byte, 1)) // waits for all that is missing, and leaves it
			reads <- 2
			return
		}
		n, b := 0, make([]byte, 4096)
		for {
			got, err := r.Body.Read(b)
			if got > 0 {
				n++
			}
			if err != nil {
				break
			}
		}
		reads <- n
	}), bodyStart))
	s.Listener = &gate{Listener: s.Listener, log: slog.New(slog.DiscardHandler), most: 10}
	s.Config.ConnContext = withConn
	s.Start()
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	answers := bufio.NewReader(c)
	for _, path := range []string{"/slow", "/unread", "/slow", "/whole"} {
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", path, pieces); err != nil {
			t.Fatal(err)
		}
		if path == "/whole" {
			_, err = io.WriteString(c, strings.Repeat("x", pieces))
		}
		for n := 0; path != "/whole" && n < pieces && err == nil; n++ {
			_, err = c.Write([]byte{'x'})
			time.Sleep(time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		_ = r.Body.Close()
		if n := <-reads; n > 4 {
			t.Errorf("%s: the reader woke %d times for %d pieces, want at most 4", path, n, pieces)
		}
	}
}
