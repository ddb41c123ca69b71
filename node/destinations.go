package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/destination"
	"github.com/attune-io/attune/destination/webhook"
	"github.com/attune-io/attune/serve"
)

// destinations runs the configured destinations, each by itself: what one does
// delays nothing else.
type destinations struct {
	n   *Node
	dir string

	mu   sync.Mutex
	all  []*outlet       // in the order of the configuration
	live context.Context //nolint:containedctx // of Run; nil before it
}

// outlet is one destination that runs, or would.
type outlet struct {
	def    destination.Definition
	runner *destination.Runner // nil: it could not be opened
	why    error               // then
	sender *webhook.Sender
	stop   context.CancelFunc // nil: it does not run
	ended  chan struct{}      // closed when it has ended
}

// openDestinations makes the places of the configured destinations. One whose
// place does not read is an error: to begin anew would lose what was not sent.
func (n *Node) openDestinations() error {
	d := &destinations{n: n, dir: filepath.Join(n.cfg.Load().DataDir, "destinations")}
	n.outlets = d
	n.server.SetDestinations(d)
	n.server.SetAudiences(audiences{n})
	n.metrics.registry.MustRegister(newDestinationCollector(d))
	for _, def := range n.cfg.Load().Destinations {
		o := d.open(def)
		if o.why != nil {
			return o.why
		}
		d.all = append(d.all, o)
	}
	return nil
}

// open opens def. What goes wrong is in the outlet.
func (d *destinations) open(def destination.Definition) *outlet {
	o := &outlet{def: def}
	var err error
	switch def.Kind {
	case destination.KindWebhook:
		o.sender, err = webhook.New(def, time.Now)
	default:
		err = fmt.Errorf("destination %s: kind %q: want %s: %w", def.Name, def.Kind, destination.KindWebhook, attune.ErrInvalid)
	}
	if err == nil {
		o.runner, err = destination.Open(destination.Options{
			Definition: def, Sender: o.sender, Journal: d.n.journal, Dir: d.dir, Now: time.Now, Chance: rand.Float64, Log: d.n.log,
		})
	}
	o.why = err
	return o
}

// run starts them, and waits for all of them once ctx ends.
func (d *destinations) run(ctx context.Context) error {
	d.mu.Lock()
	d.live = ctx
	for _, o := range d.all {
		d.start(o)
	}
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.all {
		o.end()
	}
	return nil
}

// start lets o run; d.mu is held.
func (d *destinations) start(o *outlet) {
	if o.runner == nil || d.live == nil || d.live.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(d.live)
	o.stop, o.ended = stop, make(chan struct{})
	go func() {
		defer close(o.ended)
		if err := o.runner.Run(ctx); err != nil {
			d.n.log.Error("a destination could not save how far it is", slog.Any("error", err))
		}
		o.sender.Close()
	}()
}

// end stops o and waits for it.
func (o *outlet) end() {
	if o.stop != nil {
		o.stop()
		<-o.ended
		o.stop = nil
	}
}

// apply makes the destinations those of defs: who has not changed goes on.
func (d *destinations) apply(defs []destination.Definition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := map[string]*outlet{}
	for _, o := range d.all {
		old[o.def.Name] = o
	}
	next := make([]*outlet, 0, len(defs))
	for _, def := range defs {
		o := old[def.Name]
		delete(old, def.Name)
		if o != nil && o.runner != nil && o.is(&def) {
			next = append(next, o)
			continue
		}
		if o != nil {
			o.end() // before its files are read again
		}
		o = d.open(def)
		if o.why != nil {
			d.n.log.Error("a destination does not run", slog.Any("error", o.why))
		}
		d.start(o)
		next = append(next, o)
	}
	for _, o := range old {
		o.end()
	}
	d.all = next
}

// is reports whether def says what o was made of. What has no JSON differs.
func (o *outlet) is(def *destination.Definition) bool {
	x, err := json.Marshal(&o.def) //nolint:gosec // it stays in this process
	if err != nil {
		return false
	}
	y, err := json.Marshal(def) //nolint:gosec // as above
	return err == nil && bytes.Equal(x, y)
}

// list returns those of this moment.
func (d *destinations) list() []*outlet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}

// Destinations returns how each does.
func (d *destinations) Destinations() []serve.Destination {
	var out []serve.Destination
	for _, o := range d.list() {
		v := serve.Destination{Name: o.def.Name, Kind: o.def.Kind, State: "failed"}
		if u, err := url.Parse(o.def.URL); err == nil {
			v.Host = u.Host
		}
		if o.runner == nil {
			v.LastError = attune.Message(o.why)
			out = append(out, v)
			continue
		}
		s := o.runner.Status()
		v.State, v.Pending, v.Behind, v.Oldest = s.State, s.Pending, s.Behind, said(s.Oldest)
		v.Delivered, v.Failed, v.GivenUp, v.Skipped = s.Delivered, s.Failed, s.GivenUp, s.Skipped
		v.DeadLetters, v.Dropped = s.DeadLetters, s.Dropped
		v.LastError, v.LastErrorAt, v.LastTaken = s.LastError, said(s.LastErrorAt), said(s.LastTaken)
		out = append(out, v)
	}
	return out
}

func said(m attune.Millis) string {
	if m == 0 {
		return ""
	}
	return m.String()
}

// find returns the runner of a destination.
func (d *destinations) find(name string) (*destination.Runner, error) {
	for _, o := range d.list() {
		if o.def.Name == name && o.runner != nil {
			return o.runner, nil
		}
	}
	return nil, fmt.Errorf("there is no destination of this name that runs (GET /v1/destinations lists them): %w", attune.ErrNotFound)
}

// DeadLetters returns the newest dead letters of a destination.
func (d *destinations) DeadLetters(name string, limit int) (newest []serve.DeadLetter, all int, err error) {
	r, err := d.find(name)
	if err != nil {
		return nil, 0, err
	}
	dead, all := r.DeadLetters(limit)
	for i := range dead {
		l := &dead[i]
		newest = append(newest, serve.DeadLetter{
			ID: l.ID, Type: l.Type, Key: l.Person, Time: l.Time.String(), Body: l.Body,
			Reason: l.Reason, Status: l.Status, Attempts: l.Attempts, GivenUp: l.GivenUp.String(),
		})
	}
	return newest, all, nil
}

// Retry tries dead letters of a destination again.
func (d *destinations) Retry(name string, ids []string) (int, error) {
	r, err := d.find(name)
	if err != nil {
		return 0, err
	}
	return r.Retry(ids)
}

// destinationCollector exports how the destinations do.
type destinationCollector struct {
	d    *destinations
	desc []*prometheus.Desc
}

func newDestinationCollector(d *destinations) *destinationCollector {
	c := &destinationCollector{d: d}
	for _, x := range [...]struct{ name, help string }{
		{"delivered_total", "Messages that the receiver took."},
		{"failed_attempts_total", "Attempts that the receiver did not take."},
		{"given_up_total", "Messages that became dead letters."},
		{"dead_letters_dropped_total", "Dead letters that had no room."},
		{"skipped_records_total", "Records of the journal that could not be looked at."},
		{"pending", "Messages in memory that wait to be taken."},
		{"behind_records", "Records of the journal that were not looked at yet."},
		{"dead_letters", "Dead letters that are kept."},
	} {
		c.desc = append(c.desc, prometheus.NewDesc("attune_destination_"+x.name, x.help, []string{"destination"}, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *destinationCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *destinationCollector) Collect(to chan<- prometheus.Metric) {
	for _, o := range c.d.list() {
		if o.runner == nil {
			continue
		}
		s := o.runner.Status()
		for i, v := range [...]float64{
			float64(s.Delivered), float64(s.Failed), float64(s.GivenUp), float64(s.Dropped), float64(s.Skipped),
			float64(s.Pending), float64(s.Behind), float64(s.DeadLetters),
		} {
			kind := prometheus.CounterValue
			if i >= 5 {
				kind = prometheus.GaugeValue
			}
			to <- prometheus.MustNewConstMetric(c.desc[i], kind, v, o.def.Name)
		}
	}
}
