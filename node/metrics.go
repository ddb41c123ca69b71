package node

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/attune-io/attune"
)

// metrics are the process's figures, in Prometheus form. They satisfy what
// collect and serve ask for. Names follow the Prometheus conventions: base
// units, _total for counters.
type metrics struct {
	registry *prometheus.Registry

	accepted  *prometheus.CounterVec   // by source
	rejected  *prometheus.CounterVec   // by source and reason
	refused   *prometheus.CounterVec   // by HTTP status
	treated   *prometheus.CounterVec   // by source and outcome
	decided   *prometheus.CounterVec   // by placement
	fellBack  *prometheus.CounterVec   // by placement and reason
	latency   *prometheus.HistogramVec // of decisions, by placement
	folded    prometheus.Counter
	freshness prometheus.Histogram // received at the edge → visible to decisions
	dropped   prometheus.Counter
	streams   prometheus.Gauge
	reloads   *prometheus.CounterVec // of the configuration, by result

	// answers is replaced whole when a new kind of answer comes: finding a
	// metric by its labels costs more than counting, and a decision counts two.
	answers atomic.Pointer[map[answer]counts]
	meeting sync.Mutex
}

// answer is a kind of answer, and counts its metrics.
type (
	answer struct{ placement, fallback string }
	counts struct {
		decided  prometheus.Counter
		fellBack prometheus.Counter // nil: no fallback
		latency  prometheus.Observer
	}
)

func newMetrics() *metrics {
	// From 50 µs to about 3 s, by a factor of about 1.5: fine enough to read a
	// p99 from, few enough to keep a placement.
	buckets := prometheus.ExponentialBuckets(50e-6, 1.6, 24)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "attune", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		accepted: counter("events_accepted_total", "Events that are durable.", "source"),
		rejected: counter("events_rejected_total", "Events that were refused, by reason.", "source", "reason"),
		refused:  counter("requests_refused_total", "Requests that were turned away whole, by HTTP status.", "status"),
		treated:  counter("events_treated_total", "Events with an outcome of their own: dropped by a transformation, transform_failed, violation of a plan (taken), bot.", "source", "outcome"),
		decided:  counter("decisions_total", "Answered placements.", "placement"),
		fellBack: counter("decision_fallback_total", "Placements that a fallback answered, by why: late, full, panic, or the step's name.", "placement", "reason"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "attune", Name: "decision_seconds", Help: "Time to decide, from the request to the answer.", Buckets: buckets,
		}, []string{"placement"}),
		folded: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "attune", Name: "events_folded_total", Help: "Events that count in a profile."}),
		freshness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "attune", Name: "event_to_profile_seconds", Help: "From the edge receiving an event to decisions reflecting it.", Buckets: buckets,
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "attune", Name: "decisions_unlogged_total", Help: "Decisions the log had no room for."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "attune", Name: "streams_open", Help: "Open streams."}),
		reloads: counter("config_reloads_total", "Configuration reloads, by result.", "result"),
	}
	m.answers.Store(&map[answer]counts{})
	m.registry.MustRegister(m.accepted, m.rejected, m.refused, m.treated, m.decided, m.fellBack, m.latency, m.folded, m.freshness, m.dropped, m.streams, m.reloads,
		buildInfo(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauges registers what is read from the rooms when somebody asks.
func (m *metrics) gauges(n *Node) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "attune", Name: name, Help: help}, read))
	}
	total := func(name, help string, read func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "attune", Name: name, Help: help}, func() float64 { return float64(read()) }))
	}
	total("parts_cache_hits_total", "Parts that were in memory when they were asked for.", func() int64 { return n.parts.Stats().Hits })
	total("parts_cache_misses_total", "Parts that had to be read from the store.", func() int64 { return n.parts.Stats().Misses })
	total("people_cache_hits_total", "People that were merged already when they were asked for.", func() int64 { return n.people.Stats().Hits })
	total("people_cache_misses_total", "People that had to be merged.", func() int64 { return n.people.Stats().Merges })
	m.registry.MustRegister(newPlacementCollector(n.models.Items))
	gauge("journal_lag_events", "Journaled records that are not folded yet.", func() float64 { return float64(n.pipeline.Lag()) })
	gauge("pipeline_corrupt_records", "Records that could not be read and were stepped over.", func() float64 { return float64(n.pipeline.Corrupt()) })
	gauge("catalog_items", "Items that have a number.", func() float64 { return float64(n.catalog.Len()) })
	gauge("profile_parts_memory_bytes", "About what parts take in memory.", func() float64 { return float64(n.parts.Stats().Bytes) })
}

// Accepted counts events that are durable.
func (m *metrics) Accepted(source string, events int) {
	m.accepted.WithLabelValues(source).Add(float64(events))
}

// Rejected counts events that were refused.
func (m *metrics) Rejected(source, code string, events int) {
	m.rejected.WithLabelValues(source, code).Add(float64(events))
}

// Refused counts requests that were turned away whole.
func (m *metrics) Refused(status int) { m.refused.WithLabelValues(strconv.Itoa(status)).Inc() }

// Treated counts events with an outcome of their own.
func (m *metrics) Treated(source, what string, events int) {
	m.treated.WithLabelValues(source, what).Add(float64(events))
}

// Decided counts an answered placement.
func (m *metrics) Decided(placement, reason string, took time.Duration) {
	k := answer{placement, reason}
	c, ok := (*m.answers.Load())[k]
	if !ok {
		c = m.meet(k)
	}
	c.decided.Inc()
	if c.fellBack != nil {
		c.fellBack.Inc()
	}
	c.latency.Observe(took.Seconds())
}

// meet finds the metrics of a kind of answer that is new. Placements come from
// the configuration, so there are few.
func (m *metrics) meet(k answer) counts {
	m.meeting.Lock()
	defer m.meeting.Unlock()
	c := counts{decided: m.decided.WithLabelValues(k.placement), latency: m.latency.WithLabelValues(k.placement)}
	if k.fallback != "" {
		c.fellBack = m.fellBack.WithLabelValues(k.placement, k.fallback)
	}
	next := maps.Clone(*m.answers.Load())
	next[k] = c
	m.answers.Store(&next)
	return c
}

// Dropped counts a decision the log had no room for.
func (m *metrics) Dropped() { m.dropped.Inc() }

// Streams says how many streams are open.
func (m *metrics) Streams(open int64) { m.streams.Set(float64(open)) }

// folded notes that e is visible to decisions.
func (n *Node) folded(e *attune.Event) {
	n.metrics.folded.Inc()
	if e.ReceivedAt == 0 {
		return
	}
	took := max(0, n.clock()-e.ReceivedAt)
	n.metrics.freshness.Observe(float64(took) / 1000)
	n.meter.Folded(time.Duration(took) * time.Millisecond)
}
