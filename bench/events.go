package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
)

const postPeople = 20_000

// post measures single events: 128 connections against the no-op, and one.
func (b *bench) post(ctx context.Context) error {
	s, err := startAttune(ctx, b.binary, filepath.Join(b.dir, "post"))
	if err != nil {
		return err
	}
	defer s.kill()
	body := viewed()
	what := request(s.address, "POST", "/v1/track", writeKey, body, postPeople, 5000)
	var slowest time.Duration
	v, err := b.compare(ctx, s, what, 128, func() error {
		took, err := s.drained()
		slowest = max(slowest, took)
		return err
	})
	if err != nil {
		return err
	}
	b.add(v.row(fmt.Sprintf("single-event durable POST, %d B, 128 connections", len(body)), .3, .5))
	b.add(row{what: "… its lag drained after the end", ours: millis(slowest), target: "≤ 1 s", met: verdict(slowest <= time.Second, false)})
	p50, noop50, err := b.oneConnection(ctx, s, what)
	if err != nil {
		return err
	}
	b.add(row{
		what: "single-event durable POST, 1 connection: p50", ours: millis(p50), noop: millis(noop50),
		ratio: fmt.Sprintf("%.1f×", float64(p50)/float64(noop50)), target: "< 0.5 ms", met: verdict(p50 < 500*time.Microsecond, false),
	})
	return nil
}

// oneConnection returns the medians of p50 with one connection.
func (b *bench) oneConnection(ctx context.Context, s *server, what script) (ours, noop time.Duration, err error) {
	var o, n []float64
	for range b.rounds {
		r, err := b.wrk(ctx, b.noop, what, 1)
		if err != nil {
			return 0, 0, err
		}
		n = append(n, float64(r.p50))
		if r, err = b.wrk(ctx, s, what, 1); err != nil {
			return 0, 0, err
		}
		o = append(o, float64(r.p50))
	}
	return time.Duration(median(o)), time.Duration(median(n)), nil
}

// batch measures batches of 100 from a skewed crowd, until the last event is
// folded.
func (b *bench) batch(ctx context.Context) error {
	s, err := startAttune(ctx, b.binary, filepath.Join(b.dir, "batch"))
	if err != nil {
		return err
	}
	defer s.kill()
	var durable, folded, slowest, cost []float64
	var p50, p99 time.Duration
	for range b.rounds {
		b.run++
		before, err := s.cpu()
		if err != nil {
			return err
		}
		start := time.Now()
		took, err := batches(s.address, b.run, 16, b.round)
		if err != nil {
			return err
		}
		sent := time.Since(start)
		events := float64(100 * len(took))
		drain, err := s.drained()
		if err != nil {
			return err
		}
		cpu, err := s.cpu()
		if err != nil {
			return err
		}
		cost = append(cost, float64(cpu-before)/events)
		p50, p99 = quantile(took, .5), quantile(took, .99)
		durable = append(durable, events/sent.Seconds())
		folded = append(folded, events/(sent+drain).Seconds())
		slowest = append(slowest, drain.Seconds())
	}
	now, peak, err := s.memory()
	if err != nil {
		return err
	}
	rate := median(folded)
	b.add(row{
		what: fmt.Sprintf("batches of 100 events of %d B, 20,000 people, Zipf: durable and folded", len(viewed())),
		ours: fmt.Sprintf("%s events/s (durable %s, then %.2f s to drain); p50 %s, p99 %s; %s CPU an event; RSS %s, peak %s",
			thousands(rate), thousands(median(durable)), median(slowest), millis(p50), millis(p99), micros(time.Duration(median(cost))), megabytes(now), megabytes(peak)),
		target: "≥ 60,000 (150,000)", met: verdict(rate >= 60_000, rate >= 150_000),
	})
	return nil
}

// batches posts batches over conns connections for a time and returns how long
// each accepted one took. A server that says it is busy is asked again after
// the pause a well-behaved client makes.
func batches(address string, run, conns int, during time.Duration) (all []time.Duration, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	until := time.Now().Add(during)
	for n := range conns {
		wg.Go(func() {
			took, e := batchWorker(address, run, n, until)
			mu.Lock()
			defer mu.Unlock()
			all, err = append(all, took...), errors.Join(err, e)
		})
	}
	wg.Wait()
	return all, err
}

func batchWorker(address string, run, n int, until time.Time) (took []time.Duration, err error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	f := newFiller(script{items: 5000, people: 1}, run, n)
	zipf := rand.NewZipf(f.rand, 1.1, 10, postPeople-1)
	f.people = func() int { return int(zipf.Uint64()) } //nolint:gosec // below postPeople
	event := viewed()
	var body []byte
	for time.Now().Before(until) {
		body = append(body[:0], `{"batch":[`...)
		for i := range 100 {
			if i > 0 {
				body = append(body, ',')
			}
			body = f.event(body, event)
		}
		body = append(body, ']', '}')
		start := time.Now()
		if err := sendBatch(c, address, body); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}
