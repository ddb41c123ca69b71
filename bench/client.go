package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one kept HTTP connection that sends raw requests. It costs less
// than net/http's client, which would take the server's CPU time on a small
// machine. One goroutine at a time.
type conn struct {
	net net.Conn
	in  *bufio.Reader
}

func dial(address string) (*conn, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return &conn{net: c, in: bufio.NewReaderSize(c, 16<<10)}, nil
}

// do sends raw and returns the answer with its body read. A status other than
// 200 is an error that holds the answer's text.
func (c *conn) do(raw []byte) (http.Header, []byte, error) {
	if err := c.net.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, nil, err
	}
	if _, err := c.net.Write(raw); err != nil {
		return nil, nil, err
	}
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	if r.StatusCode != http.StatusOK {
		return r.Header, body, &refused{r.StatusCode, string(body)}
	}
	return r.Header, body, nil
}

// refused is an answer that is not 200.
type refused struct {
	status int
	text   string
}

func (e *refused) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.text) }

func (c *conn) close() { _ = c.net.Close() }

// quantile returns the q-quantile of d, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// paced is an open-loop load: requests start at a steady rate, whatever the
// answers do.
type paced struct {
	address string
	rate    float64 // requests a second
	conns   int
	during  time.Duration
	run     int
}

// send runs the load and returns how long each request took. Time that a
// request waited because all connections were busy counts; the generator's own
// late timers do not.
func (p paced) send(s script) ([]time.Duration, error) {
	var (
		slot   atomic.Int64
		mu     sync.Mutex
		all    []time.Duration
		failed error
		wg     sync.WaitGroup
	)
	start := time.Now()
	for n := range p.conns {
		wg.Go(func() {
			took, err := p.worker(newFiller(s, p.run, n), s.text, &slot, start)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return all, failed
}

func (p paced) worker(f *filler, text string, slot *atomic.Int64, start time.Time) (took []time.Duration, err error) {
	c, err := dial(p.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var raw []byte
	for {
		at := time.Duration(float64(slot.Add(1)-1) / p.rate * float64(time.Second))
		if at > p.during {
			return took, nil
		}
		from := start.Add(at)
		if wait := time.Until(from); wait > 0 {
			time.Sleep(wait)
			from = time.Now()
		}
		raw = f.event(raw[:0], text)
		if _, _, err := c.do(raw); err != nil {
			return took, err
		}
		took = append(took, time.Since(from))
	}
}
