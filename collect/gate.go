package collect

import (
	"encoding/json"
	"fmt"

	"github.com/tidwall/sjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/plan"
	"github.com/attune-io/attune/collect/transform"
)

// Gate is what the events of one source pass after they were read and before
// they are settled: transformations, then the tracking plan. The zero value
// lets everything through.
type Gate struct {
	Steps *transform.Program // nil: none
	Plan  *plan.Plan         // nil: none
	// Refuse puts events that violate the plan into the dead-letter list;
	// otherwise they are taken, with what they violate in
	// context.violationErrors.
	Refuse bool
}

// What Metrics.Treated counts.
const (
	TreatedDropped  = "dropped"          // a transformation dropped it
	TreatedFailed   = "transform_failed" // a transformation failed, and it went on
	TreatedViolates = "violation"        // it violates the plan, and was taken
	TreatedBot      = "bot"              // journaled, and kept out of profiles
)

// codeDropped marks an event that a transformation dropped: no fault, and not
// to be stored.
const codeDropped = "dropped"

// treated counts what one Accept did to events beside taking them.
type treated struct{ dropped, failed, violates, bots int }

// count tells metrics, and forgets.
func (t *treated) count(m Metrics, source string) {
	if *t == (treated{}) {
		return
	}
	for _, x := range [...]struct {
		what string
		n    int
	}{{TreatedDropped, t.dropped}, {TreatedFailed, t.failed}, {TreatedViolates, t.violates}, {TreatedBot, t.bots}} {
		if x.n > 0 {
			m.Treated(source, x.what, x.n)
		}
	}
	*t = treated{}
}

// pass takes the event that w.d holds through the gate of its source.
func (c *Collector) pass(w *work, b *Batch, g *Gate) fault {
	d := &w.d
	var failed []stepError
	for i := range g.Steps.Steps() {
		before := *d
		e := before.e
		e.UserID, e.AnonymousID, e.PreviousID, e.Source = d.userID, d.anonymousID, d.previousID, b.Source
		did, raw, err := g.Steps.Run(i, &e)
		if did == transform.Dropped {
			return fault{code: codeDropped}
		}
		if err == nil && did == transform.Changed {
			err = c.again(d, raw, b.Type)
		}
		if err == nil {
			continue
		}
		*d = before
		if g.Steps.Refuses(i) {
			return fault{CodeTransform, fmt.Sprintf("transformation %s: %s", g.Steps.Name(i), cut(attune.Message(err), maxReason))}
		}
		failed = append(failed, stepError{g.Steps.Name(i), cut(attune.Message(err), maxReason)})
	}
	if len(failed) > 0 {
		w.treated.failed++
		if f := c.mark(d, b.Type, "transformErrors", failed); f.bad() {
			return f
		}
	}
	if g.Plan == nil {
		return fault{}
	}
	list := g.Plan.Check(&d.e)
	switch {
	case len(list) == 0:
		return fault{}
	case g.Refuse:
		return fault{CodePlan, violated(list)}
	default:
		w.treated.violates++
		return c.mark(d, b.Type, "violationErrors", list)
	}
}

// maxReason bounds what is said of one failure.
const maxReason = 500

// stepError says in an event which transformation failed on it, and why.
type stepError struct {
	Step    string `json:"step"`
	Message string `json:"message"`
}

// violated says what an event violates, as a reason.
func violated(list []plan.Violation) string {
	v := &list[0]
	text := "violates the tracking plan: " + v.Type + ": "
	if v.Property != "" {
		text += v.Property + " "
	}
	text += v.Message
	if more := len(list) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// again reads an event that was changed into d. On an error d holds nothing of
// use.
func (c *Collector) again(d *draft, raw []byte, kind attune.Type) error {
	if len(raw) > c.o.Limits.EventBytes {
		return fmt.Errorf("it makes an event of %d bytes, the limit is %d (limits.event_bytes): %w", len(raw), c.o.Limits.EventBytes, attune.ErrInvalid)
	}
	if tooDeep(raw, maxDepth) {
		return fmt.Errorf("it makes an event that nests deeper than %d levels: %w", maxDepth, attune.ErrInvalid)
	}
	if f := d.read(raw, string(raw), kind, &c.o.Consent); f.bad() {
		return fmt.Errorf("it makes an event that is none: %s: %w", f.reason, attune.ErrInvalid)
	}
	return nil
}

// mark puts v into the event's context, in place of what the sender may have
// written there.
func (c *Collector) mark(d *draft, kind attune.Type, name string, v any) fault {
	text, err := json.Marshal(v)
	if err == nil {
		var raw []byte
		if raw, err = sjson.SetRawBytes(d.e.Raw, "context."+name, text); err == nil {
			return d.read(raw, string(raw), kind, &c.o.Consent)
		}
	}
	return fault{CodeUnsound, "the event could not be marked: " + err.Error()}
}
