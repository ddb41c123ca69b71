package collect

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// work is the memory of one Accept, used again by later ones.
type work struct {
	d        draft
	events   []attune.Event
	recs     []attune.Record
	spans    []span // of recs: where in buf a payload is
	buf      []byte // payloads, and what enrichment appended
	products []attune.Product
	news     []newLink
	known    []journal.Position // links that were acknowledged before
	key      []byte
	said     map[string]struct{} // keys of links and claims in this batch
	device   bool                // the batch has a device's own event
	treated  treated
	gate     *Gate      // of the batch's source
	at       netip.Addr // that location is of
	location []byte
}

type span struct{ from, to int }

// newLink is a link among recs, to be remembered once it is durable.
type newLink struct {
	key          string
	rec          int
	user, device string
	proof        proof
}

func (w *work) reset() {
	clear(w.events)
	clear(w.recs)
	clear(w.products)
	clear(w.news)
	clear(w.said)
	w.d, w.device, w.treated, w.gate, w.at = draft{}, false, treated{}, nil, netip.Addr{}
	w.events, w.recs, w.spans, w.buf = w.events[:0], w.recs[:0], w.spans[:0], w.buf[:0]
	w.products, w.news, w.known = w.products[:0], w.news[:0], w.known[:0]
}

// maxKept and maxSaid bound the memory that is kept for the next Accept.
const (
	maxKept = 1 << 20
	maxSaid = 1024
)

// Accept takes b's events in. Those that are sound are appended to the journal
// in one atomic batch, in order, each behind the records it needs; those that
// are not are in Result.Rejected and in the dead-letter list. When Accept
// returns nil, everything it counts as accepted is durable.
//
// An error means that nothing is promised, that nothing was put into the
// dead-letter list, and that the caller may try again with the same messageIds:
// attune.ErrBusy when the journal's queue is full, attune.ErrClosed when it was
// closed, the context's error. A batch without a single sound event is no
// error.
func (c *Collector) Accept(ctx context.Context, b *Batch) (Result, error) {
	w, _ := c.scratch.Get().(*work)
	if w == nil {
		w = &work{}
	}
	res, err := c.accept(ctx, w, b)
	if b.Keep {
		return res, err // res has w's memory
	}
	if cap(w.buf) <= maxKept && len(w.said) <= maxSaid {
		w.reset()
		c.scratch.Put(w)
	}
	return res, err
}

func (c *Collector) accept(ctx context.Context, w *work, b *Batch) (Result, error) {
	received := b.ReceivedAt
	if received == 0 {
		received = c.o.Now()
	}
	var res Result
	w.gate = c.o.Keys.gate(b.Source)
	for i, raw := range b.Events {
		if f := c.one(w, b, i, raw, received); f.code == codeDropped {
			w.treated.dropped++
			res.Dropped++
			if b.retry {
				res.dropped = append(res.dropped, i)
			}
		} else if f.bad() {
			res.Rejected = append(res.Rejected, Rejection{
				Index: i, MessageID: w.d.e.MessageID, Reason: f.reason, Code: f.code,
			})
		}
	}
	if len(w.events) > 0 {
		if err := c.store(ctx, w, b, received, &res); err != nil {
			return Result{}, err
		}
		res.Accepted = len(w.events)
		c.o.Metrics.Accepted(b.Source, res.Accepted)
	}
	w.treated.count(c.o.Metrics, b.Source)
	// After Append: a batch that has to be sent again must not bury its bad
	// events twice.
	if len(res.Rejected) > 0 && !b.retry {
		c.buryEvents(b, &res, received)
	}
	if c.o.OnAccepted != nil && res.Accepted > 0 {
		c.o.OnAccepted(w.events)
	}
	return res, nil
}

// buryEvents puts the events of b that were rejected into the dead-letter list.
func (c *Collector) buryEvents(b *Batch, res *Result, received attune.Millis) {
	from := keptFrom(b, received)
	for i := range res.Rejected {
		r := &res.Rejected[i]
		c.o.Metrics.Rejected(b.Source, r.Code, 1)
		raw := b.Events[r.Index]
		if len(raw) <= c.o.Limits.DeadRaw && bytes.Contains(raw, []byte("_token")) && gjson.ValidBytes(raw) {
			raw = withoutTokens(raw) // who sent it has been settled, and the list is for reading
		}
		if c.o.AnonymizeIP && gjson.ValidBytes(raw) {
			raw = withoutAddress(raw)
		}
		c.dead.add(&DeadLetter{
			Time: received, Source: b.Source, Reason: r.Reason, Code: r.Code,
			Index: r.Index, MessageID: r.MessageID, Raw: string(raw[:min(len(raw), c.o.Limits.DeadRaw+1)]), from: from,
		})
	}
}

// one reads one event and appends it and its records to w.
func (c *Collector) one(w *work, b *Batch, i int, raw []byte, received attune.Millis) fault {
	d := &w.d
	d.e.MessageID = ""
	if len(raw) > c.o.Limits.EventBytes {
		d.e.MessageID = cut(gjson.GetBytes(raw, "messageId").String(), maxMessageID)
		return fault{CodeTooBig, fmt.Sprintf("the event has %d bytes, the limit is %d (limits.event_bytes)", len(raw), c.o.Limits.EventBytes)}
	}
	if tooDeep(raw, maxDepth) {
		return deepFault()
	}
	var text string
	if b.texts != nil {
		text = b.texts[i]
	} else if text = string(raw); !gjson.Valid(text) {
		// (The copy is made so that what an event's strings are part of can
		// never change under them.)
		return fault{CodeJSON, errJSON}
	}
	if b.Context != nil || b.Integrations != nil {
		if raw = b.merge(raw, text); len(raw) != len(text) {
			if tooDeep(raw, maxDepth) {
				return deepFault()
			}
			text = string(raw)
		}
	}
	if f := d.read(raw, text, b.Type, &c.o.Consent); f.bad() {
		return f
	}
	if d.tokens {
		raw = withoutTokens(raw)
		if f := d.read(raw, string(raw), b.Type, &c.o.Consent); f.bad() {
			return f
		}
	}
	if c.o.Geo != nil || c.o.AnonymizeIP {
		if f := c.locate(w, b); f.bad() {
			return f
		}
	}
	if w.gate != nil {
		ip := d.ip
		if f := c.pass(w, b, w.gate); f.bad() {
			return f
		}
		d.ip = ip
	}
	if f := d.settleIDs(); f.bad() {
		return f
	}
	return c.settle(w, b, received)
}

func deepFault() fault {
	return fault{CodeDeep, fmt.Sprintf("the event nests deeper than %d levels", maxDepth)}
}

// settle decides what the edge decides about the event that w.d holds, and
// appends it to w.
func (c *Collector) settle(w *work, b *Batch, received attune.Millis) fault {
	d, e := &w.d, &w.d.e
	d.settleMessageID()
	e.Source, e.Rank = b.Source, b.Rank
	device := d.isDevice() && e.AnonymousID != ""
	if device {
		e.Flags |= attune.Device
	}
	if e.SentAt == 0 {
		e.SentAt = b.SentAt
	}
	d.settleTime(received, device && !b.Import)
	if c.proven(b, e) {
		e.Flags |= attune.Verified
	}
	if d.denied || b.Denied {
		e.Flags |= attune.Denied
	} else if d.allowed {
		e.Flags |= attune.Granted
	}
	var a agent
	if !b.Import {
		text := d.agent
		if text == "" {
			text = b.Agent
		}
		if a = c.agents.read(text); a.bot || c.isRobot(d, b) {
			e.Flags |= attune.Bot
			w.treated.bots++
		}
	}
	from := len(w.buf)
	w.buf = c.enrich(w.buf, w, d, a)
	if to := len(w.buf); to > from {
		e.Enriched = w.buf[from:to:to]
	}
	w.events = append(w.events, *e)
	if err := c.records(w, b); err != nil {
		w.events = w.events[:len(w.events)-1]
		return fault{CodeUnsound, attune.Message(err)}
	}
	return fault{}
}

// proven reports whether the sender proved the ids that e names: everything
// under the server secret, a user by her token, a device by its own.
func (*Collector) proven(b *Batch, e *attune.Event) bool {
	switch {
	case b.Verified:
		return true
	case b.Device != "" && b.Device == e.AnonymousID:
		return true
	default:
		return b.provesUser(e.UserID)
	}
}

func (b *Batch) provesUser(id string) bool {
	return id != "" && slices.Contains(b.Users, id)
}

// store appends w's records and does what has to wait until they are durable.
func (c *Collector) store(ctx context.Context, w *work, b *Batch, received attune.Millis, res *Result) error {
	contact := ""
	if b.contact {
		id, unlock := c.desk.firstContact(ctx, w.events, b.Device)
		defer unlock()
		if contact = id; contact != "" {
			w.record(attune.KindVisitor, identity.DeviceKey(contact), received, received, span{})
		}
	}
	// The buffer has moved while it grew; only now are payloads where they stay.
	for i, s := range w.spans {
		if s.to > s.from {
			w.recs[i].Payload = w.buf[s.from:s.to:s.to]
		}
	}
	if err := c.o.Journal.Append(ctx, w.recs); err != nil {
		for _, n := range w.news {
			if n.proof == claimed {
				c.links.giveBack(n.user, n.device, received)
			}
		}
		return fmt.Errorf("append %d records of source %s: %w", len(w.recs), b.Source, err)
	}
	res.Token = journal.TokenOf(c.journalID, c.partitions, w.recs)
	for _, p := range w.known {
		res.Token.Add(p)
	}
	for _, n := range w.news {
		r := &w.recs[n.rec]
		c.links.acknowledge(n.key, received, journal.Position{
			Partition: journal.Partition(r.Key, c.partitions), Offset: r.Offset,
		})
	}
	if contact != "" {
		c.desk.markIssued(contact)
		res.visitor = c.o.Signer.Visitor(contact, received)
	}
	if b.Keep {
		res.Records = w.recs
	}
	return nil
}
