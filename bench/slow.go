package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	slowConns  = 10_000
	slowRate   = 200 // requests a second of each of the two loads beside them
	perAddress = 5_000
	// They come over as many seconds as the server bears with them, so that it
	// cuts, and they come again, evenly: a crowd in step measures its own rush.
	slowSpread = 20
)

// slow measures what ten thousand connections that send a byte a second do to
// everybody else: p99 of a paced load without and with them.
func (b *bench) slow(ctx context.Context) error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	if files.Cur = files.Max; files.Max < slowConns+500 {
		return fmt.Errorf("%d open files are allowed, want %d: raise ulimit -Hn", files.Max, slowConns+500)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil { // the server inherits it
		return err
	}
	s, err := startAttune(ctx, b.binary, filepath.Join(b.dir, "slow"))
	if err != nil {
		return err
	}
	defer s.kill()
	w := world{people: 1000, items: worldItems, sessions: 2, end: time.Now(), prefix: "p-"}
	if _, err := w.post(s.address, 4); err != nil {
		return err
	}
	if _, err := s.drained(); err != nil {
		return err
	}
	if _, err := b.beside(s, b.round); err != nil { // warm
		return err
	}
	var v slowly
	for range b.rounds {
		if err := b.slowRound(s, &v); err != nil {
			return err
		}
	}
	ratio := median(v.ratio)
	b.add(row{
		what: fmt.Sprintf("POST track and GET for-you, %d/s each, beside %s connections that send a byte a second: p99", slowRate, thousands(slowConns)),
		ours: fmt.Sprintf("%s, without them %s (p50 %s, %s); ratios %.2f; %s", millis(time.Duration(median(v.with))), millis(time.Duration(median(v.without))),
			millis(time.Duration(median(v.p50))), millis(time.Duration(median(v.p50alone))), v.ratio, v.crowd),
		ratio: fmt.Sprintf("%.2f×", ratio), target: "< 2× the p99 without", met: verdict(ratio < 2, false),
	})
	return nil
}

// slowly is what each round measured, latencies in nanoseconds.
type slowly struct {
	with, without, ratio []float64 // of p99
	p50, p50alone        []float64
	crowd                string
}

// slowRound measures the load without the crowd and with it, which stays long
// enough to be cut.
func (b *bench) slowRound(s *server, v *slowly) error {
	alone, err := b.beside(s, 3*b.round)
	if err != nil {
		return err
	}
	before, _, err := s.memory()
	if err != nil {
		return err
	}
	c, err := crowdOf(s.address)
	if err != nil {
		return err
	}
	among, err := b.beside(s, 7*b.round)
	text, e := c.describe(s, before)
	c.leave()
	if err := errors.Join(err, e); err != nil {
		return err
	}
	left := 0.0
	for range 50 { // the server sees them leave by and by
		time.Sleep(100 * time.Millisecond)
		if left, err = s.metric("go_goroutines"); err != nil {
			return err
		}
		if left < slowConns/100 {
			break
		}
	}
	v.crowd = fmt.Sprintf("%s, %s when they have left", text, thousands(left))
	v.with = append(v.with, float64(quantile(among, .99)))
	v.without = append(v.without, float64(quantile(alone, .99)))
	v.ratio = append(v.ratio, float64(quantile(among, .99))/float64(quantile(alone, .99)))
	v.p50 = append(v.p50, float64(quantile(among, .5)))
	v.p50alone = append(v.p50alone, float64(quantile(alone, .5)))
	return nil
}

// beside is the load of well-behaved callers.
func (b *bench) beside(s *server, during time.Duration) (all []time.Duration, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, what := range []script{
		request(s.address, "POST", "/v1/track", writeKey, viewed(), 1000, worldItems),
		forYou(s, 1000, worldItems),
	} {
		b.run++
		load := paced{address: s.address, rate: slowRate, conns: 16, during: during, run: b.run}
		wg.Go(func() {
			took, e := load.send(what)
			mu.Lock()
			defer mu.Unlock()
			all, err = append(all, took...), errors.Join(err, e)
		})
	}
	wg.Wait()
	return all, err
}

// crowd is connections that each send the header of an event and then a byte a
// second of its body. Who is cut comes again, so that there are always as many.
type crowd struct {
	address string
	stop    chan struct{} // closed by leave
	wg      sync.WaitGroup
	open    atomic.Int64
	cut     atomic.Int64 // connections that the server ended
	failed  atomic.Int64 // connections that could not be made
}

// crowdOf returns when all connections are open, or most of those that can be.
func crowdOf(address string) (*crowd, error) {
	c := &crowd{address: address, stop: make(chan struct{})}
	const workers = 50 // each holds a share of them
	for n := range workers {
		c.wg.Go(func() { c.worker(n*slowConns/workers, (n+1)*slowConns/workers) })
	}
	for range 300 {
		if c.open.Load() >= slowConns*99/100 {
			return c, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.leave()
	return nil, fmt.Errorf("%d of %d slow connections are open after 30 s, %d could not be made", c.open.Load(), slowConns, c.failed.Load())
}

func (c *crowd) leave() {
	close(c.stop)
	c.wg.Wait()
}

// worker keeps the connections from to to open, and sends a byte on each
// every second, evenly over it.
func (c *crowd) worker(from, to int) {
	conns := make([]net.Conn, to-from)
	defer func() {
		for _, k := range conns {
			if k != nil {
				_ = k.Close()
			}
		}
	}()
	// Workers take turns, or all their bytes would come in one gust of each step.
	time.Sleep(time.Duration(from) * (time.Second / 50) / slowConns)
	step := time.NewTicker(time.Second / 50)
	defer step.Stop()
	share := max(1, len(conns)/50)
	for at, steps := 0, 0; ; at, steps = at+share, steps+1 {
		select {
		case <-c.stop:
			return
		case <-step.C:
		}
		for i := range share {
			n := (at + i) % len(conns)
			k := &conns[n]
			if steps*len(conns) < n*50*slowSpread {
				continue
			}
			if *k != nil {
				if _, err := (*k).Write([]byte{' '}); err == nil {
					continue
				}
				_ = (*k).Close()
				*k = nil
				c.cut.Add(1)
				c.open.Add(-1)
			}
			if *k = c.enter(from + n); *k == nil {
				c.failed.Add(1)
			} else {
				c.open.Add(1)
			}
		}
	}
}

// enter opens connection n, from an address of its own for every few thousand,
// since an address has a limited number of ports; nil says that it could not.
func (c *crowd) enter(n int) net.Conn {
	from := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n/perAddress))}} //nolint:gosec // a few
	k, err := from.Dial("tcp", c.address)                                                                                //nolint:noctx // it has a timeout
	if err != nil {
		return nil
	}
	head := fmt.Sprintf("POST /v1/track HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: 1200\r\n\r\n{", c.address, writeKey)
	if _, err := k.Write([]byte(head)); err != nil {
		_ = k.Close()
		return nil
	}
	return k
}

// describe says how the crowd fares and what it costs the server.
func (c *crowd) describe(s *server, before int64) (string, error) {
	now, _, err := s.memory()
	if err != nil {
		return "", err
	}
	goroutines, err := s.metric("go_goroutines")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s slow ones open, %s cut, %s could not be made; RSS %s, %s more than without; %s goroutines", thousands(float64(c.open.Load())),
		thousands(float64(c.cut.Load())), thousands(float64(c.failed.Load())), megabytes(now), megabytes(now-before), thousands(goroutines)), nil
}
