package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
)

// visitors is how many people the demo simulates.
const visitors = 40

// crowd sends what simulated visitors do, through the HTTP API, as a page would.
type crowd struct {
	base   string
	client *http.Client
	dice   *rand.Rand
	limit  *rate.Limiter // events
	people []visitor
	orders int
	began  int64
}

// visitor is one of them.
type visitor struct {
	id   string // anonymousId
	rail []attune.Ranked
	from string // the decision that rail is of
	cart []attune.Ranked
}

// visit lets the crowd in until ctx ends. What they do is drawn from a seed, so
// it is the same crowd every time; what they see is not.
func visit(ctx context.Context, base string, perSecond int) error {
	c := &crowd{
		base: base, client: &http.Client{Timeout: 10 * time.Second},
		dice:  rand.New(rand.NewPCG(1, 2)), //nolint:gosec // a simulation, nothing to guess
		limit: rate.NewLimiter(rate.Limit(perSecond), perSecond), began: time.Now().UnixMilli(),
	}
	for range visitors {
		var b [16]byte
		for i := range b {
			b[i] = byte(c.dice.IntN(256)) //nolint:gosec // below 256
		}
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
		c.people = append(c.people, visitor{id: uuid.UUID(b).String()})
	}
	for ctx.Err() == nil {
		// A server that is busy or draining is no reason to stop: the next
		// step asks again, at the same bounded pace.
		_ = c.step(ctx, &c.people[c.dice.IntN(len(c.people))])
	}
	return nil
}

// step lets v do one thing.
func (c *crowd) step(ctx context.Context, v *visitor) error {
	if len(v.rail) == 0 || c.dice.IntN(6) == 0 {
		return c.look(ctx, v)
	}
	// The first of a rail is liked best.
	at := min(int(c.dice.ExpFloat64()*3), len(v.rail)-1)
	it := v.rail[at]
	switch c.dice.IntN(10) {
	case 0, 1:
		v.cart = append(v.cart, it)
		v.cart = v.cart[max(0, len(v.cart)-10):]
		return c.send(ctx, v, c.call("Product Added", facts(&it)))
	case 2:
		if len(v.cart) == 0 {
			return nil
		}
		lines := make([]any, len(v.cart))
		for i := range v.cart {
			lines[i] = facts(&v.cart[i])
		}
		v.cart, v.rail = nil, nil
		c.orders++
		return c.send(ctx, v, c.call("Order Completed", map[string]any{
			"order_id": "sim-" + strconv.FormatInt(c.began, 36) + "-" + strconv.Itoa(c.orders), "products": lines, "currency": "GBP",
		}))
	default:
		shown := map[string]any{"placement": "for-you", "decision_id": v.from, "product_id": it.ID, "position": at + 1}
		return c.send(ctx, v, c.call("Recommendation Clicked", shown), c.call("Product Viewed", facts(&it)))
	}
}

// railLimit is what a visitor is shown at once.
const railLimit = 8

// look asks for the home rail, and says what of it was seen.
func (c *crowd) look(ctx context.Context, v *visitor) error {
	if err := c.limit.Wait(ctx); err != nil {
		return err
	}
	// The server's secret spares the crowd the visitor tokens.
	body, err := json.Marshal(attune.DecideRequest{AnonymousID: v.id, Placements: []attune.Ask{{ID: "for-you", Limit: railLimit}}})
	if err != nil {
		return err
	}
	var d attune.Decision
	if err := c.post(ctx, "/v1/decide", config.DevServerSecret, body, &d); err != nil {
		return err
	}
	answer := d.Placements["for-you"]
	if answer == nil {
		return nil
	}
	v.rail, v.from = answer.Items, d.ID
	seen := make([]call, 0, len(v.rail))
	for i := range v.rail {
		seen = append(seen, c.call("Recommendation Viewed", map[string]any{
			"placement": "for-you", "decision_id": d.ID, "product_id": v.rail[i].ID, "position": i + 1,
		}))
	}
	return c.send(ctx, v, seen...)
}

func (*crowd) call(event string, properties map[string]any) call {
	return call{
		Type: "track", Event: event, Properties: properties,
		Context: map[string]any{"library": map[string]any{"name": "attune.js", "version": "simulated"}},
	}
}

// facts is what a shop's event says of an item.
func facts(it *attune.Ranked) map[string]any {
	out := map[string]any{"product_id": it.ID, "quantity": 1}
	var known map[string]any
	if json.Unmarshal(it.Attributes, &known) == nil {
		for _, name := range [...]string{"name", "category", "price", "currency", "image_url"} {
			if v, ok := known[name]; ok {
				out[name] = v
			}
		}
	}
	return out
}

// send sends v's calls with the browser's key.
func (c *crowd) send(ctx context.Context, v *visitor, calls ...call) error {
	if len(calls) == 0 {
		return nil
	}
	if err := c.limit.WaitN(ctx, min(len(calls), c.limit.Burst())); err != nil {
		return err
	}
	for i := range calls {
		calls[i].AnonymousID = v.id
	}
	body, err := json.Marshal(map[string]any{"batch": calls})
	if err != nil {
		return err
	}
	return c.post(ctx, "/v1/batch", config.DevWriteKey, body, nil)
}

// post sends body and decodes the answer into to, when it is not nil.
func (c *crowd) post(ctx context.Context, path, key string, body []byte, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(key, "")
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", path, res.StatusCode)
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(answer, to)
}
