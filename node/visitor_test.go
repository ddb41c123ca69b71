package node_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
)

// visitor is one browser: it sends one request at a time and tries again, with
// the same messageIds, until it is acknowledged, as an SDK does. So the order of
// its events in the log is known, and with it whose they are.
type visitor struct {
	rng    *rand.Rand
	number int
	device string
	user   string // "" while nobody is logged in
	sent   int
	users  int   // how many there are to log in as
	last   int64 // event time of the newest event, in milliseconds

	// What the acknowledged events amount to, per person, computed beside the
	// engine from the definitions alone.
	owned   map[string]*ledger // user id → what is hers on this device
	open    ledger             // unclaimed at this moment
	owner   string             // of the current stretch
	ever    bool               // somebody has claimed something here
	prev    string             // whose stretch came before the unclaimed one
	aliases map[string]string  // user id → the one she became
}

func newVisitor(number, users int, rng *rand.Rand) *visitor {
	return &visitor{
		rng: rng, number: number, users: users, owned: map[string]*ledger{}, aliases: map[string]string{},
		device: fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), number),
	}
}

// ledger is what a person's events amount to.
type ledger struct {
	views  []look
	orders map[string]float64 // order id → revenue
	traits map[string]trait
}

// look is one view of an item.
type look struct {
	at   int64
	tie  uint64
	item string
}

// trait is a value and when it was told.
type trait struct {
	value int
	at    int64
}

func of(list map[string]*ledger, key string) *ledger {
	if list[key] == nil {
		list[key] = &ledger{}
	}
	return list[key]
}

func (l *ledger) add(o *ledger) {
	l.views = append(l.views, o.views...)
	for order, revenue := range o.orders {
		l.order(order, revenue)
	}
	for name, t := range o.traits {
		l.tell(name, t)
	}
}

func (l *ledger) order(id string, revenue float64) {
	if l.orders == nil {
		l.orders = map[string]float64{}
	}
	l.orders[id] = revenue
}

func (l *ledger) tell(name string, t trait) {
	if l.traits == nil {
		l.traits = map[string]trait{}
	}
	if t.at > l.traits[name].at {
		l.traits[name] = t
	}
}

func (l *ledger) empty() bool { return len(l.views)+len(l.orders)+len(l.traits) == 0 }

// values are the traits as a profile shows them.
func (l *ledger) values() map[string]int {
	out := map[string]int{}
	for name, t := range l.traits {
		out[name] = t.value
	}
	return out
}

// totals are the features that are compared.
type totals struct {
	Views      int      `json:"views_30d"`
	Purchases  int      `json:"purchases_30d"`
	Revenue    float64  `json:"revenue_30d"`
	LastViewed []string `json:"last_viewed"` // the newest 20, each once, newest first
}

func (a totals) equal(b totals) bool {
	return a.Views == b.Views && a.Purchases == b.Purchases && a.Revenue == b.Revenue && slices.Equal(a.LastViewed, b.LastViewed)
}

func (l *ledger) totals() totals {
	t := totals{Views: len(l.views), Purchases: len(l.orders)}
	for _, r := range l.orders {
		t.Revenue += r
	}
	newest := slices.SortedFunc(slices.Values(l.views), func(a, b look) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.tie, a.tie))
	})
	for _, v := range newest {
		if len(t.LastViewed) < 20 && !slices.Contains(t.LastViewed, v.item) {
			t.LastViewed = append(t.LastViewed, v.item)
		}
	}
	return t
}

// call is one request.
type call struct {
	path, key string
	body      []byte
}

func newCall(path, key string, body any) call {
	b, _ := json.Marshal(body) // it is made of plain values
	return call{path: path, key: key, body: b}
}

// next makes the next requests and says what they amount to once they are
// acknowledged: mostly one event, sometimes a batch, rarely a server's alias.
func (v *visitor) next() (calls []call, apply func()) {
	if v.rng.IntN(60) == 0 {
		return v.alias()
	}
	n := 1
	if v.rng.IntN(5) == 0 {
		n = 2 + v.rng.IntN(4)
	}
	var batch []map[string]any
	var also []call
	var applies []func()
	for range n {
		e, server, apply := v.event()
		batch, applies = append(batch, e), append(applies, apply)
		if server != nil {
			also = append(also, newCall("/v1/track", config.DevServerSecret, server))
		}
	}
	if n == 1 {
		calls = append(calls, newCall(fmt.Sprint("/v1/", batch[0]["type"]), config.DevWriteKey, batch[0]))
	} else {
		calls = append(calls, newCall("/v1/batch", config.DevWriteKey, map[string]any{"batch": batch}))
	}
	return append(calls, also...), func() {
		for _, apply := range applies {
			apply()
		}
	}
}

// stamp returns the next messageId and an instant after that of the event
// before, some minutes ago, so that the edge's clock does not move it.
func (v *visitor) stamp() (id string, at int64) {
	v.sent++
	v.last = max(v.last+1, time.Now().Add(-10*time.Minute).UnixMilli())
	return fmt.Sprintf("m%d-%d", v.number, v.sent), v.last
}

func written(at int64) string { return time.UnixMilli(at).UTC().Format(time.RFC3339Nano) }

// alias has the shop's server say that somebody has another id now.
func (v *visitor) alias() (calls []call, apply func()) {
	id, at := v.stamp()
	number := strconv.Itoa(v.somebody())
	from, to := "old-"+number, "user-"+number
	c := newCall("/v1/alias", config.DevServerSecret, map[string]any{
		"type": "alias", "messageId": id, "timestamp": written(at), "previousId": from, "userId": to,
		"context": map[string]any{"library": map[string]any{"name": "@segment/analytics-node"}},
	})
	return []call{c}, func() { v.aliases[from] = to }
}

// somebody draws a number of those who use this device, whose neighbours use
// the next one too. A device remembers 500 former owners, and each number is
// two, so that a long run must not have more on one device.
func (v *visitor) somebody() int {
	return (v.number*v.users/24 + v.rng.IntN(min(v.users, 200))) % v.users
}

// event makes the next event. Half of the orders are sent by the shop's server
// too, as real shops do.
func (v *visitor) event() (body, server map[string]any, apply func()) {
	id, at := v.stamp()
	switch v.rng.IntN(20) {
	case 0:
		v.user = []string{"user-", "user-", "old-"}[v.rng.IntN(3)] + strconv.Itoa(v.somebody())
	case 1:
		v.user = ""
	}
	user := v.user
	body = map[string]any{
		"type": "track", "messageId": id, "anonymousId": v.device, "timestamp": written(at),
		"context": map[string]any{"library": map[string]any{"name": "analytics.js"}},
	}
	if user != "" {
		body["userId"] = user
	}
	switch kind := v.rng.IntN(8); {
	case kind == 0 && user != "":
		order, revenue := "order-"+id, float64(v.rng.IntN(100)+1)
		body["event"] = "Order Completed"
		body["properties"] = map[string]any{"order_id": order, "revenue": revenue, "products": []any{map[string]any{"product_id": "item-1"}}}
		if v.rng.IntN(2) == 0 {
			server = maps.Clone(body)
			server["messageId"], server["context"] = id+"-server", map[string]any{"library": map[string]any{"name": "@segment/analytics-node"}}
			delete(server, "anonymousId")
		}
		return body, server, func() { v.stretch(user).order(order, revenue) }
	case kind == 1:
		// Only this browser writes this trait, so that its last word is known.
		name, value := fmt.Sprint("told_by_", v.number), v.sent
		body["type"], body["traits"] = "identify", map[string]any{name: value}
		return body, nil, func() { v.stretch(user).tell(name, trait{value: value, at: at}) }
	default:
		item := "item-" + strconv.Itoa(v.rng.IntN(50))
		body["event"], body["properties"] = "Product Viewed", map[string]any{"product_id": item}
		seen := look{at: at, tie: attune.Hash(id), item: item}
		return body, nil, func() { l := v.stretch(user); l.views = append(l.views, seen) }
	}
}

// stretch returns the ledger an event of user (or nobody) on this device goes
// into, from DESIGN's sentences: events before any user are taken by the
// first; events without one after that are taken by the next user only if it is
// the same one, else by nobody.
func (v *visitor) stretch(user string) *ledger {
	switch {
	case user == "" && v.owner != "": // logged out: a new unclaimed stretch
		v.prev, v.owner, v.open = v.owner, "", ledger{}
	case user != "" && v.owner == "" && (!v.ever || v.prev == user): // taken
		of(v.owned, user).add(&v.open)
		v.owner, v.open = user, ledger{}
	case user != "" && v.owner != user: // another one, or nobody's history
		v.owner, v.open = user, ledger{}
	}
	if user == "" {
		return &v.open
	}
	v.ever = true
	return of(v.owned, user)
}
