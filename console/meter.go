package console

import (
	"context"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
)

// History is how many one-second points a Meter keeps.
const History = 300

// Meter counts what the node does and makes a point of it every second. What
// counts is a few atomic adds: tens of nanoseconds, without a lock, from any
// number of goroutines. Make it with NewMeter; one goroutine runs Run.
type Meter struct {
	accepted, rejected, noID, refused, folded, dropped atomic.Uint64
	streams                                            atomic.Int64
	reflect, decide                                    histogram
	// decided is replaced whole when a new kind of answer comes: readers take
	// no lock.
	decided atomic.Pointer[map[answered]*atomic.Uint64]

	mu     sync.Mutex
	points []Point // newest last, at most History
}

// answered is one kind of answer that is counted.
type answered struct{ placement, fallback string }

// maxAnswered bounds the kinds of answers that are counted apart.
const maxAnswered = 4096

// Point is one second. Quantiles are in milliseconds, nil when there was
// nothing to measure.
type Point struct {
	At        attune.Millis     `json:"t"` // the end of the second
	Accepted  uint64            `json:"accepted"`
	Rejected  uint64            `json:"rejected"`
	Folded    uint64            `json:"folded"`
	Decisions uint64            `json:"decisions"`
	Fallbacks map[string]uint64 `json:"fallbacks,omitempty"` // reason → answers
	Reflect50 *float64          `json:"reflect_p50"`         // event → decisions reflect it
	Reflect99 *float64          `json:"reflect_p99"`
	Decide50  *float64          `json:"decide_p50"`
	Decide99  *float64          `json:"decide_p99"`
	Lag       uint64            `json:"lag"` // records
}

// Totals are since the node started.
type Totals struct {
	Accepted  uint64            `json:"accepted"`
	Rejected  uint64            `json:"rejected"`
	Refused   uint64            `json:"refused"` // whole requests
	Folded    uint64            `json:"folded"`
	Decisions map[string]uint64 `json:"decisions"` // by placement
	Dropped   uint64            `json:"dropped"`   // decisions that were not journaled
	Streams   int64             `json:"streams"`
}

// NewMeter returns a Meter at zero.
func NewMeter() *Meter {
	m := &Meter{}
	m.decided.Store(&map[answered]*atomic.Uint64{})
	return m
}

// Accepted counts durable events.
func (m *Meter) Accepted(events int) { m.accepted.Add(uint64(max(events, 0))) }

// Rejected counts refused events; noID those without a usable id.
func (m *Meter) Rejected(events, noID int) {
	m.rejected.Add(uint64(max(events, 0)))
	m.noID.Add(uint64(max(noID, 0)))
}

// NoID returns how many events were refused for want of a usable id.
func (m *Meter) NoID() uint64 { return m.noID.Load() }

// Refused counts a request that was turned away whole.
func (m *Meter) Refused() { m.refused.Add(1) }

// Dropped counts a decision that was not journaled.
func (m *Meter) Dropped() { m.dropped.Add(1) }

// Streams says how many streams are open.
func (m *Meter) Streams(open int64) { m.streams.Store(open) }

// Folded counts an event that decisions reflect took after it came in.
func (m *Meter) Folded(took time.Duration) {
	m.folded.Add(1)
	m.reflect.observe(took)
}

// Decided counts an answered placement; fallback is "" when its own
// generators answered.
func (m *Meter) Decided(placement, fallback string, took time.Duration) {
	m.decide.observe(took)
	k := answered{placement, fallback}
	if n := (*m.decided.Load())[k]; n != nil {
		n.Add(1)
		return
	}
	m.meet(k).Add(1)
}

// meet returns the counter of a kind of answer that is new.
func (m *Meter) meet(k answered) *atomic.Uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.decided.Load()
	if len(old) >= maxAnswered {
		k = answered{"other", ""}
	}
	if n := old[k]; n != nil {
		return n
	}
	next := maps.Clone(old)
	next[k] = new(atomic.Uint64)
	m.decided.Store(&next)
	return next[k]
}

// Points returns the points after the instant since, oldest first.
func (m *Meter) Points(since attune.Millis) []Point {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := slices.BinarySearchFunc(m.points, since+1, func(p Point, t attune.Millis) int { return int(p.At - t) })
	return slices.Clone(m.points[at:])
}

// Totals returns the counts since the start.
func (m *Meter) Totals() Totals {
	t := Totals{
		Accepted: m.accepted.Load(), Rejected: m.rejected.Load(), Refused: m.refused.Load(), Folded: m.folded.Load(),
		Dropped: m.dropped.Load(), Streams: m.streams.Load(), Decisions: map[string]uint64{},
	}
	m.eachAnswer(func(k answered, n uint64) { t.Decisions[k.placement] += n })
	return t
}

func (m *Meter) eachAnswer(fn func(k answered, n uint64)) {
	for k, n := range *m.decided.Load() {
		fn(k, n.Load())
	}
}

// mark is the counters as they were at the end of a second.
type mark struct {
	accepted, rejected, folded uint64
	answers                    map[answered]uint64
	reflect, decide            counts
}

// Run makes a point every second until ctx ends. now stamps the points; lag
// gives the pipeline's.
func (m *Meter) Run(ctx context.Context, now func() attune.Millis, lag func() uint64) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := &mark{answers: map[answered]uint64{}}
	m.point(last, 0, 0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.add(m.point(last, now(), lag()))
		}
	}
}

// point returns what happened since last, and moves last.
func (m *Meter) point(last *mark, at attune.Millis, lag uint64) Point {
	step := func(c *atomic.Uint64, was *uint64) uint64 {
		n := c.Load()
		d := n - *was
		*was = n
		return d
	}
	p := Point{
		At: at, Lag: lag,
		Accepted: step(&m.accepted, &last.accepted), Rejected: step(&m.rejected, &last.rejected), Folded: step(&m.folded, &last.folded),
	}
	m.eachAnswer(func(k answered, n uint64) {
		d := n - last.answers[k]
		if d == 0 {
			return
		}
		last.answers[k] = n
		p.Decisions += d
		if k.fallback != "" {
			if p.Fallbacks == nil {
				p.Fallbacks = map[string]uint64{}
			}
			p.Fallbacks[k.fallback] += d
		}
	})
	p.Reflect50, p.Reflect99 = m.reflect.since(&last.reflect)
	p.Decide50, p.Decide99 = m.decide.since(&last.decide)
	return p
}

func (m *Meter) add(p Point) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.points); n > 0 && p.At <= m.points[n-1].At {
		p.At = m.points[n-1].At + 1 // the wall clock went back
	}
	m.points = append(m.points, p)
	if n := len(m.points); n > History {
		m.points = slices.Delete(m.points, 0, n-History)
	}
}

// histogram counts durations in microseconds, in buckets that are a sixteenth
// of a power of two wide: within 7 %, from 1 µs to about an hour.
type histogram struct{ n [buckets]atomic.Uint64 }

type counts [buckets]uint64

const (
	subBits = 4
	buckets = (32 - subBits + 1) << subBits
)

func (h *histogram) observe(d time.Duration) { h.n[bucket(d.Microseconds())].Add(1) }

func bucket(micros int64) int {
	v := uint64(min(max(micros, 0), 1<<32-1))
	if v < 1<<subBits {
		return int(v)
	}
	e := bits.Len64(v) - 1 - subBits
	return (e+1)<<subBits + int(v>>e)&(1<<subBits-1) //nolint:gosec // below buckets
}

// middle is the middle of bucket i, in milliseconds.
func middle(i int) float64 {
	if i < 1<<subBits {
		return float64(i) / 1000
	}
	e := i>>subBits - 1
	low := uint64(i&(1<<subBits-1)|1<<subBits) << e //nolint:gosec // small and not negative
	return (float64(low) + float64(uint64(1)<<e)/2) / 1000
}

// since returns the median and the 99th percentile of what was observed after
// last, and moves last.
func (h *histogram) since(last *counts) (p50, p99 *float64) {
	var delta counts
	var total uint64
	for i := range h.n {
		n := h.n[i].Load()
		delta[i] = n - last[i]
		last[i] = n
		total += delta[i]
	}
	if total == 0 {
		return nil, nil
	}
	quantile := func(q float64) *float64 {
		rank, seen := uint64(q*float64(total-1)), uint64(0)
		for i, n := range delta {
			if seen += n; seen > rank {
				v := middle(i)
				return &v
			}
		}
		return nil
	}
	return quantile(0.5), quantile(0.99)
}
