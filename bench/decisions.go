package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

const (
	worldPeople = 10_000
	worldItems  = 5_000
)

// decisions loads a shop's history and measures answers over it.
func (b *bench) decisions(ctx context.Context) error {
	s, err := startAttune(ctx, b.binary, filepath.Join(b.dir, "decide"))
	if err != nil {
		return err
	}
	defer s.kill()
	w := world{people: worldPeople, items: worldItems, sessions: 4, end: time.Now(), prefix: "w-"}
	events, err := w.post(s.address, 8)
	if err != nil {
		return err
	}
	if _, err := s.drained(); err != nil {
		return err
	}
	b.add(row{what: "the world: people, items, events", ours: fmt.Sprintf("%s, %s, %s", thousands(worldPeople), thousands(worldItems), thousands(float64(events)))})
	if err := b.recommendations(ctx, s); err != nil {
		return err
	}
	if err := b.idle(ctx, s); err != nil { // before event → decision, which leaves a stream of its own behind
		return err
	}
	return b.after(s)
}

// forYou asks for the placement for a random person.
func forYou(s *server, people, items int) script {
	return request(s.address, "GET", "/v1/recommend/for-you?user_id=u"+markPerson+"&limit=10", secret, "", people, items)
}

func (b *bench) recommendations(ctx context.Context, s *server) error {
	for _, r := range []struct {
		name          string
		what          script
		conns         int
		want, stretch float64
		half          time.Duration // bound of p99 at half of the throughput; 0 is none
	}{
		{"GET for-you, a random one of 10,000 people, 16 connections", forYou(s, worldPeople, worldItems), 16, .3, .5, 0},
		{"GET for-you, a random one of 10,000 people, 64 connections", forYou(s, worldPeople, worldItems), 64, .3, .5, 5 * time.Millisecond},
		{
			"GET similar, a random one of 5,000 items, 16 connections",
			request(s.address, "GET", "/v1/recommend/similar?item=sku-"+markItem+"&limit=10", secret, "", worldPeople, worldItems), 16, .4, 2, 0,
		},
		{"POST decide with one inline event, 64 connections", request(s.address, "POST", "/v1/decide", secret, inline, worldPeople, worldItems), 64, .2, 2, 0},
	} {
		v, err := b.compare(ctx, s, r.what, r.conns, nil)
		if err != nil {
			return err
		}
		b.add(v.row(r.name, r.want, r.stretch))
		if r.half == 0 {
			continue
		}
		took, err := b.atHalf(s, r.what, v.ours)
		if err != nil {
			return err
		}
		idle, err := b.atHalf(b.noop, r.what, v.ours)
		if err != nil {
			return err
		}
		p99 := quantile(took, .99)
		b.add(row{
			what: "… at half of that rate: p99", ours: fmt.Sprintf("%s (p50 %s, %s requests at %s)",
				millis(p99), millis(quantile(took, .5)), thousands(float64(len(took))), perSecond(v.ours/2)),
			noop:   fmt.Sprintf("p99 %s at the same rate", millis(quantile(idle, .99))),
			target: "< 5 ms", met: verdict(p99 < r.half, false),
		})
	}
	return nil
}

// atHalf loads s at half of rate.
func (b *bench) atHalf(s *server, what script, rate float64) ([]time.Duration, error) {
	b.run++
	return paced{address: s.address, rate: rate / 2, conns: 32, during: 2 * b.round, run: b.run}.send(what)
}

// inline is a decision about an event that is handed over with it.
const inline = `{"user_id":"u` + markPerson + `","events":[{"type":"track","event":"Product Viewed","messageId":"in-` + markMessage +
	`","userId":"u` + markPerson + `","properties":{"product_id":"sku-` + markItem + `","name":"Trail Shoe","price":59.5}}],` +
	`"placements":[{"id":"for-you","limit":10}]}`

// after measures the whole loop: an event is posted, and a decision that names
// its token comes back, while other events come in.
func (b *bench) after(s *server) error {
	const workers, each, background = 4, 600, 500
	b.run++
	done := make(chan error, 1) // one send, one receive
	run := b.run
	go func() {
		_, err := paced{address: s.address, rate: background, conns: 8, during: 4 * b.round, run: run}.
			send(request(s.address, "POST", "/v1/track", writeKey, viewed(), worldPeople, worldItems))
		done <- err
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all []time.Duration
	var stale int
	var failed error
	for n := range workers {
		wg.Go(func() {
			took, old, err := afterWorker(s, newFiller(script{people: worldPeople, items: worldItems}, run, 50+n), each)
			mu.Lock()
			defer mu.Unlock()
			all, stale = append(all, took...), stale+old
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	if err := <-done; err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	p50, p99 := quantile(all, .5), quantile(all, .99)
	b.add(row{
		what: "event → decision that reflects it, 500 events/s beside it",
		ours: fmt.Sprintf("p50 %s, p99 %s (%s measured, %d stale)", millis(p50), millis(p99), thousands(float64(len(all))), stale), target: "p50 < 2 ms, p99 < 10 ms (1, 5)",
		met: verdict(p50 < 2*time.Millisecond && p99 < 10*time.Millisecond, p50 < time.Millisecond && p99 < 5*time.Millisecond),
	})
	return nil
}

func afterWorker(s *server, f *filler, each int) (took []time.Duration, stale int, err error) {
	c, err := dial(s.address)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	event := request(s.address, "POST", "/v1/track", writeKey, viewed(), worldPeople, worldItems).text
	for range each {
		time.Sleep(time.Duration(10+f.rand.IntN(20)) * time.Millisecond)
		person := f.rand.IntN(worldPeople)
		f.people = func() int { return person }
		raw := f.event(nil, event)
		start := time.Now()
		h, _, err := c.do(raw)
		if err != nil {
			return took, stale, err
		}
		// The event and the decision are of one device and its user.
		body := fmt.Sprintf(`{"user_id":"u%08d","after":%q,"deadline_ms":500,"placements":[{"id":"for-you","limit":10}]}`, person, h.Get("X-Attune-Token"))
		_, answer, err := c.do([]byte(request(s.address, "POST", "/v1/decide", secret, body, 1, 1).text))
		if err != nil {
			return took, stale, err
		}
		took = append(took, time.Since(start))
		var d struct {
			Stale bool `json:"stale"`
		}
		if err := json.Unmarshal(answer, &d); err != nil {
			return took, stale, err
		}
		if d.Stale {
			stale++
		}
	}
	return took, stale, nil
}

// idle measures what a server with a loaded world takes when nobody asks.
func (b *bench) idle(ctx context.Context, s *server) error {
	select { // let checkpoints and garbage collection come to an end
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second):
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	const during = 10 * time.Second
	time.Sleep(during)
	after, err := s.cpu()
	if err != nil {
		return err
	}
	share := float64(after-before) / float64(during) * 100
	b.add(row{what: "idle, with that world loaded, over 10 s", ours: fmt.Sprintf("%.1f %% of a core", share), target: "< 1 %", met: verdict(share < 1, false)})
	return nil
}
