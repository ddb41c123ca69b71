package collect

import (
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// record appends a record; its payload is a part of w.buf.
func (w *work) record(kind attune.Kind, key string, at, received attune.Millis, payload span) {
	w.recs = append(w.recs, attune.Record{Kind: kind, Key: key, Time: at, ReceivedAt: received})
	w.spans = append(w.spans, payload)
}

// records appends the records of the newest of w.events: what has to be known
// before it (links, claims), the event, and what follows from it (the order,
// the edges). On an error nothing is appended.
func (c *Collector) records(w *work, b *Batch) error {
	e := &w.events[len(w.events)-1]
	key, err := identity.Route(e)
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	bot := e.Has(attune.Bot)
	if !bot {
		c.owners(w, b, e)
		if len(c.o.Externals) > 0 && e.UserID != "" && !e.Has(attune.Denied) {
			c.externals(w, b, e)
		}
	}
	from := len(w.buf)
	w.buf, err = e.AppendBinary(w.buf)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", e.MessageID, err)
	}
	payload := span{from, len(w.buf)}
	w.record(attune.KindEvent, key, e.Time, e.ReceivedAt, payload)
	// Robots and people who do not agree buy things too, but they are not to
	// be counted.
	if !bot && !e.Has(attune.Denied) {
		if id := orderID(e); id != "" {
			w.record(attune.KindOrder, identity.OrderKey(id), e.Time, e.ReceivedAt, payload)
		}
	}
	if e.Type == attune.Alias && !bot {
		w.edges(b, e)
	}
	return nil
}

// orderID returns the order that e acts on, "" when it is not an order event
// or names no usable id.
func orderID(e *attune.Event) string {
	if e.Properties == nil || e.Type != attune.Track || !attune.IsOrder(e.On()) {
		return ""
	}
	id := scalar(gjson.GetBytes(e.Properties, "order_id"))
	if identity.CheckID(id) != nil {
		return ""
	}
	return id
}

// owners appends what says whose a device is.
//
// A device's own event that names a user makes a link: verified when the
// sender proved either, else claimed. Unless the sender proved the device, the
// anonymousId has to be a UUID, which only its own browser knows. A server's event that names both makes the device hers (a claim) and a
// verified link. A public key's event that shows no device makes nothing: its
// anonymousId may be anybody's.
func (c *Collector) owners(w *work, b *Batch, e *attune.Event) {
	server := b.Rank >= attune.Server && b.Verified
	if e.Has(attune.Device) {
		w.device = true
	}
	if e.Type == attune.Alias && e.PreviousID != "" && e.UserID != "" {
		c.aliasOwner(w, b, e, server)
	}
	switch {
	case e.UserID == "" || e.AnonymousID == "":
	case e.Has(attune.Device):
		// An id that could be guessed is believed only of who proved it: the
		// token of a user says nothing of the device, and its history would be
		// anybody's who has an account.
		proved := server || b.Device == e.AnonymousID || identity.IsUUID(e.AnonymousID)
		if p := proofOf(e); proved && (p == verified || !c.o.VerifiedLinks) {
			c.link(w, e, e.AnonymousID, p)
		}
	case server && !w.d.inventsDevices():
		w.claim(e, e.AnonymousID)
		c.link(w, e, e.AnonymousID, verified)
	}
}

// aliasOwner makes an alias of a device a link. A browser may do so for the
// device it proves to be; a server for what it says is a device, or what can
// only be one: a UUID. (It may be a userId as well. Then the claim is for a
// device that nobody has, and the edge joins the users.)
func (c *Collector) aliasOwner(w *work, b *Batch, e *attune.Event, server bool) {
	switch {
	case e.Has(attune.Device) && e.PreviousID == e.AnonymousID:
		// The event goes to that device and names its user: it says it all. (A
		// claim beside it, with the same messageId, would make it a repeat.)
	case b.Device == e.PreviousID:
		c.link(w, e, e.PreviousID, verified)
	case server && e.PreviousID != e.UserID && (e.PreviousID == e.AnonymousID || identity.IsUUID(e.PreviousID)):
		w.claim(e, e.PreviousID)
		c.link(w, e, e.PreviousID, verified)
	}
}

// link appends a link of e's user to device, unless it is known.
func (c *Collector) link(w *work, e *attune.Event, device string, p proof) {
	w.key = appendLinkKey(w.key[:0], e.UserID, device, p)
	if _, said := w.said[string(w.key)]; said {
		return
	}
	if pos, ok := c.links.find(w.key, e.ReceivedAt); ok {
		if n := len(w.known); n == 0 || w.known[n-1] != pos {
			w.known = append(w.known, pos)
		}
		return
	}
	if p == claimed && !c.links.admit(e.UserID, device, e.ReceivedAt) {
		return
	}
	from := len(w.buf)
	w.buf = append(w.buf, `{"anonymous_id":`...)
	w.buf = gjson.AppendJSONString(w.buf, device)
	if p == verified {
		w.buf = append(w.buf, `,"verified":true`...)
	}
	w.buf = append(w.buf, '}')
	key := string(w.key)
	w.say(key)
	w.news = append(w.news, newLink{key: key, rec: len(w.recs), user: e.UserID, device: device, proof: p})
	w.record(attune.KindLink, identity.UserKey(e.UserID), e.Time, e.ReceivedAt, span{from, len(w.buf)})
}

// claim appends a claim of device for e's user. Once a batch is enough, unless
// the batch has a device's own events, between which a claim may count again.
func (w *work) claim(e *attune.Event, device string) {
	w.key = appendLinkKey(w.key[:0], e.UserID, device, byServer)
	if _, said := w.said[string(w.key)]; said && !w.device {
		return
	}
	w.say(string(w.key))
	from := len(w.buf)
	w.buf = append(w.buf, `{"user_id":`...)
	w.buf = gjson.AppendJSONString(w.buf, e.UserID)
	w.buf = append(w.buf, `,"message_id":`...)
	w.buf = gjson.AppendJSONString(w.buf, e.MessageID)
	w.buf = append(w.buf, '}')
	w.record(attune.KindClaim, identity.DeviceKey(device), e.Time, e.ReceivedAt, span{from, len(w.buf)})
}

// say remembers a link or claim of this batch.
func (w *work) say(key string) {
	if w.said == nil {
		w.said = map[string]struct{}{}
	}
	w.said[key] = struct{}{}
}

// edges joins two users, when the sender may say so: with the server secret,
// or with the tokens of both. Otherwise the alias stays a plain event.
func (w *work) edges(b *Batch, e *attune.Event) {
	from, to := e.PreviousID, e.UserID
	if from == "" || to == "" || from == to || from == e.AnonymousID {
		return
	}
	server := b.Rank >= attune.Server && b.Verified
	if !server && (!b.provesUser(from) || !b.provesUser(to)) {
		return
	}
	start := len(w.buf)
	w.buf = append(w.buf, `{"from":`...)
	w.buf = gjson.AppendJSONString(w.buf, from)
	w.buf = append(w.buf, `,"to":`...)
	w.buf = gjson.AppendJSONString(w.buf, to)
	w.buf = append(w.buf, `,"message_id":`...)
	w.buf = gjson.AppendJSONString(w.buf, e.MessageID)
	w.buf = append(w.buf, '}')
	payload := span{start, len(w.buf)}
	w.record(attune.KindEdge, identity.UserKey(from), e.Time, e.ReceivedAt, payload)
	w.record(attune.KindEdge, identity.UserKey(to), e.Time, e.ReceivedAt, payload)
}

// isDevice reports whether the payload shows a browser or a phone: by the
// library that only runs there, or by the channel the library names. It
// chooses the event's route and nothing else, so a lie helps nobody.
func (d *draft) isDevice() bool {
	switch d.library {
	case "attune.js", jitsu + " browser",
		// Segment
		"analytics.js", "analytics-ios", "analytics-android", "analytics-swift", "analytics-kotlin",
		"analytics-react-native", "@segment/analytics-react-native", "analytics_flutter", "analytics-flutter",
		"Analytics.Xamarin", "analytics-amp",
		// RudderStack
		"RudderLabs JavaScript SDK", "rudder-ios-library", "com.rudderstack.android.sdk.core",
		"com.rudderstack.android.sdk", "com.rudderstack.kotlin.sdk.android", "rudder-ios-swift", "com.rudderstack.ios",
		"rudder-react-native", "rudder-flutter", "Rudder Flutter SDK", "Rudder Cordova Library":
		return true
	}
	switch d.channel {
	case "web", "mobile":
		return true
	default:
		return false
	}
}

// inventsDevices reports whether the event's library makes up an anonymousId
// for each event that has none: RudderStack's Go library. It shares its name
// with Segment's, which does not, but sends a channel. A link for each event
// would push the user's real devices out.
func (d *draft) inventsDevices() bool {
	return d.channel == "server" && d.library == "analytics-go"
}
