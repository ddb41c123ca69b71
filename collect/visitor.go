package collect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// visitorCookie carries a visitor token, a year long.
const (
	visitorCookie = "attune_visitor"
	visitorHeader = "X-Attune-Visitor"
	visitorAge    = 365 * 24 * 60 * 60 // seconds
)

// youngDevice is how old a device's first event may be for a token to be
// issued on asking: long enough for a page that loads another library first.
// After that whoever asks may only have read the id somewhere, and the history
// behind it is not hers. A device that somebody is logged in on is never young
// (see Devices): her server signs a user token instead.
const youngDevice = attune.Millis(60 * 1000)

// visitorDesk issues visitor tokens, at most one a device.
//
// Two who ask for one id at the same time are let in one after the other (the
// stripes), and the second finds the id among those issued by this process,
// because the pipeline applies the record of it only a little later. The list
// of issued ids is bounded; an id leaves it after tens of thousands of others,
// by when its record has long been applied.
type visitorDesk struct {
	c       *Collector
	stripes [256]sync.Mutex
	issued  *aging[struct{}] // ids this process issued a token for
	seen    *aging[struct{}] // ids that first contact need not look up again
}

// issuedKept is how many ids issued and seen hold.
const issuedKept = 1 << 17

func newVisitorDesk(c *Collector) *visitorDesk {
	return &visitorDesk{c: c, issued: newAging[struct{}](issuedKept), seen: newAging[struct{}](issuedKept)}
}

// lock lets one request at a time decide about an id.
func (d *visitorDesk) lock(id string) (unlock func()) {
	m := &d.stripes[attune.Hash(id)%uint64(len(d.stripes))]
	m.Lock()
	return m.Unlock
}

func (d *visitorDesk) markIssued(id string) {
	d.issued.put(id, struct{}{})
	d.seen.put(id, struct{}{})
}

// known returns when the device's first event was, and whether it was ever
// given a token.
func (d *visitorDesk) known(ctx context.Context, id string) (first attune.Millis, issued bool, err error) {
	if _, ok := d.issued.get([]byte(id)); ok {
		return 0, true, nil
	}
	if d.c.o.Devices == nil {
		return 0, false, nil
	}
	first, issued, err = d.c.o.Devices.Device(ctx, id)
	if err != nil {
		return 0, false, fmt.Errorf("look up device: %w", err)
	}
	return first, issued, nil
}

// firstContact returns the device that gets a token along with its first
// events, "" for none; unlock is to be called when they are durable. Only a
// page of this very site is asked: it alone is sure to keep the cookie, and a
// token that nobody keeps would be the only one the device ever gets. For the
// same reason our own SDK is left out, which asks by itself.
func (d *visitorDesk) firstContact(ctx context.Context, events []attune.Event, proven string) (id string, unlock func()) {
	none := func() {}
	if d.c.o.Signer == nil {
		return "", none
	}
	for i := range events {
		e := &events[i]
		if e.Has(attune.Device) && !e.Has(attune.Bot) && !ownLibrary(e) {
			id = e.AnonymousID
			break
		}
	}
	if id == "" || id == proven {
		return "", none
	}
	if _, ok := d.seen.get([]byte(id)); ok {
		return "", none
	}
	unlock = d.lock(id)
	first, issued, err := d.known(ctx, id)
	if err != nil || issued || first != 0 {
		unlock()
		if err == nil {
			d.seen.put(cloned(id), struct{}{})
		}
		return "", none
	}
	return cloned(id), unlock
}

// ownLibrary reports whether our browser SDK made the event.
func ownLibrary(e *attune.Event) bool {
	return e.Context != nil && gjson.GetBytes(e.Context, "library.name").Str == "attune.js"
}

// cloned returns id in memory of its own, since it outlives the request that
// it is a part of.
func cloned(id string) string { return string([]byte(id)) }

// issue gives the device a token, durably, or says why not.
func (d *visitorDesk) issue(ctx context.Context, id string) (string, error) {
	defer d.lock(id)()
	first, issued, err := d.known(ctx, id)
	if err != nil {
		return "", err
	}
	now := d.c.o.Now()
	if issued || first != 0 && now-first > youngDevice {
		return "", errHasToken
	}
	rec := attune.Record{Kind: attune.KindVisitor, Key: identity.DeviceKey(id), Time: now, ReceivedAt: now}
	if err := d.c.o.Journal.Append(ctx, []attune.Record{rec}); err != nil {
		return "", fmt.Errorf("append visitor record: %w", err)
	}
	d.markIssued(cloned(id))
	return d.c.o.Signer.Visitor(id, now), nil
}

// visitor answers POST /v1/visitor: a token that proves the device asked for,
// or a new one.
func (c *Collector) visitor(w http.ResponseWriter, r *http.Request) error {
	if c.o.Signer == nil {
		return &refusal{status: http.StatusNotFound, text: "this server issues no visitor tokens"}
	}
	if err := c.behind(); err != nil {
		return err
	}
	who, known, err := c.authenticate(r)
	if err != nil {
		return err
	}
	held := heldBytes{all: &c.inFlight, limit: c.o.Limits.InFlightBytes}
	defer held.release()
	body, err := c.readBody(r, &held)
	if err != nil {
		return err
	}
	text := string(body)
	if text != "" && (tooDeep(body, maxDepth) || !gjson.Valid(text)) {
		return &refusal{status: http.StatusBadRequest, text: errJSON}
	}
	if !known {
		if who, err = c.authenticateBody(r, who, false, gjson.Get(text, "writeKey").Str); err != nil {
			return err
		}
	}
	if err := c.rates.allow(c, &who, 1); err != nil {
		return err
	}
	id := scalar(gjson.Get(text, "anonymous_id"))
	if id == "" {
		id = uuid.NewString()
	}
	if err := identity.CheckID(id); err != nil {
		return &refusal{status: http.StatusBadRequest, text: "anonymous_id: " + err.Error()}
	}
	token := c.shown(r, gjson.Get(text, visitorTokenField).Str, id)
	if token == "" {
		if token, err = c.desk.issue(r.Context(), id); err != nil {
			if errors.Is(err, errHasToken) {
				writeJSON(w, http.StatusConflict, map[string]any{
					"error": (&refusal{status: http.StatusConflict, text: err.Error()}).fault(), "ok": false, "anonymous_id": id,
					"next": "send the token you were given in the header " + visitorHeader + ", or POST /v1/visitor without anonymous_id and use the id it answers",
				})
				return nil
			}
			return err
		}
	}
	c.setVisitor(w, r, token)
	writeJSON(w, http.StatusOK, map[string]any{"anonymous_id": id, "visitor_token": token})
	return nil
}

// errHasToken refuses a second token, and a first one that comes too late.
const errHasToken = attune.Sentinel("this anonymous_id has a visitor token already, or is too old to be given one")

// setVisitor gives the caller its token as header and as cookie.
func (c *Collector) setVisitor(w http.ResponseWriter, r *http.Request, token string) {
	scheme, _ := c.host(r)
	w.Header().Set(visitorHeader, token)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the caller came over https; a shop on a laptop has none
		Name: visitorCookie, Value: token, Path: "/", MaxAge: visitorAge,
		HttpOnly: true, Secure: scheme == "https", SameSite: http.SameSiteLaxMode,
	})
}

// provenDevice returns the device that a token of the request proves: the
// header's, the body's or the cookie's, in this order; "" is none.
func (c *Collector) provenDevice(r *http.Request, more string) string {
	id, _ := c.firstShown(r, more, "")
	return id
}

// shown returns a token of the request that proves the device id, "" for none.
func (c *Collector) shown(r *http.Request, more, id string) string {
	_, token := c.firstShown(r, more, id)
	return token
}

// firstShown returns the first valid token that proves want ("" is any).
func (c *Collector) firstShown(r *http.Request, more, want string) (id, token string) {
	if c.o.Signer == nil {
		return "", ""
	}
	tokens := [...]string{r.Header.Get(visitorHeader), more, ""}
	if r.Header.Get("Cookie") != "" {
		if cookie, err := r.Cookie(visitorCookie); err == nil {
			tokens[2] = cookie.Value
		}
	}
	for _, t := range tokens {
		if t == "" {
			continue
		}
		if id, _, err := c.o.Signer.ParseVisitor(t); err == nil && (want == "" || want == id) {
			return id, t
		}
	}
	return "", ""
}
