package feature

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// An order is told of by many: the browser, the server, a later update, a
// refund. So what an order does to features is not folded, but kept as
// operations under its order_id, and folded at read together with the cells.
// Of two versions the higher rank wins, then the newer, then the higher tie,
// whole. Every field below is a maximum, a minimum, an or or a set, so orders
// merge field by field.

// maxOrders and maxOperations bound the orders of one State; the ones not
// heard of for longest go, with what they did. From there on features of
// orders are approximate.
const (
	maxOrders     = 500
	maxOperations = 50_000
	maxRefunds    = 100 // per order; those with the smallest hashes stay
)

type order struct {
	id        string
	heard     stamp // newest event about it
	version   version
	completed stamp // its first Order Completed; zero when there was none
	cancelled bool  // or refunded whole
	refunds   []refund
}

// stamp is an instant with its tie. The zero stamp is none.
type stamp struct {
	at  int64
	tie uint64
}

func (a stamp) compare(b stamp) int {
	if c := cmp.Compare(a.at, b.at); c != 0 {
		return c
	}
	return cmp.Compare(a.tie, b.tie)
}

// version is what one event says the order is. Once made it is not changed, so
// States share it.
type version struct {
	known   bool
	updated bool // an Order Updated
	rank    uint8
	when    stamp
	total   int64
	keys    []string // what the operations speak of, in order of appearance
	ops     []operation
}

// operation is an op without what its version knows. key is a place in keys,
// or -1.
type operation struct {
	rank     int32
	key, pos int32
	val      int64
}

// refund is an amount taken back; id is the hash of the messageId, so that one
// told twice counts once.
type refund struct {
	id     uint64
	amount int64
}

// draft is a version being made.
type draft struct {
	version
	places map[string]int32 // key → place, once there are many
	last   []int32          // place → its newest operation
	from   int              // first operation of the definition at work
}

func (v *draft) put(rank int32, d *compiled, o op) {
	if n := len(v.ops); n == 0 || v.ops[n-1].rank != rank {
		v.from = n
	}
	at := int32(-1)
	if o.key != "" {
		at = v.place(o.key)
		if i := int(v.last[at]); d.once && i >= v.from {
			if d.take == takeWeight {
				v.ops[i].val += o.val
			}
			return
		}
		v.last[at] = int32(len(v.ops)) //nolint:gosec // bounded by the size of an event
	}
	v.ops = append(v.ops, operation{rank: rank, key: at, pos: o.pos, val: o.val})
}

func (v *draft) place(k string) int32 {
	if v.places == nil {
		if i := slices.Index(v.keys, k); i >= 0 {
			return int32(i) //nolint:gosec // bounded by the size of an event
		}
	} else if i, ok := v.places[k]; ok {
		return i
	}
	at := int32(len(v.keys)) //nolint:gosec // bounded by the size of an event
	v.keys, v.last = append(v.keys, strings.Clone(k)), append(v.last, -1)
	if v.places != nil {
		v.places[v.keys[at]] = at
	} else if len(v.keys) == 32 {
		v.places = make(map[string]int32, 64)
		for i, k := range v.keys {
			v.places[k] = int32(i)
		}
	}
	return at
}

// action is what an event does to an order.
type action uint8

const (
	noOrder action = iota
	placesOrder
	undoesOrder
)

// orderOf returns what e, known as name, does to which order.
func orderOf(e *attune.Event, name string) (action, string) {
	if e.Type != attune.Track || !attune.IsOrder(name) {
		return noOrder, ""
	}
	var act action
	switch name {
	case "Order Completed", "Order Updated":
		act = placesOrder
	case "Order Cancelled", "Order Refunded":
		act = undoesOrder
	default:
		return noOrder, ""
	}
	id := strings.TrimSpace(key(gjson.GetBytes(e.Properties, "order_id")))
	if id == "" || len(id) > maxKey {
		return noOrder, ""
	}
	return act, id
}

// amount returns the first of names that is a number in properties.
func (x *extraction) amount(names ...string) (int64, bool) {
	for _, n := range names {
		if v, ok := number(gjson.GetBytes(x.e.Properties, n)); ok {
			return v, true
		}
	}
	return 0, false
}

// place offers the draft as a version of the order id.
func (f *folding) place(id, name string) {
	v := f.draft.version
	v.known, v.updated, v.rank = true, name == "Order Updated", uint8(f.x.e.Rank)
	v.when = stamp{f.at, f.tie}
	v.total, _ = f.x.amount("total", "revenue", "value", "subtotal")
	o := order{heard: v.when, version: v}
	if !v.updated {
		o.completed = v.when
	}
	f.st.order(id).merge(&o)
	f.st.cutOrders()
	f.st.unsettle()
}

// undo cancels the order id, or takes a refund off it. A refund that names
// neither an amount nor products is of the whole order.
func (f *folding) undo(id, name string) {
	o := order{heard: stamp{f.at, f.tie}}
	if name == "Order Cancelled" {
		o.cancelled = true
	} else if a, ok := f.x.amount("refund", "total", "revenue", "value"); ok {
		o.refunds = []refund{{id: f.tie, amount: max(a, -a)}}
	} else if lines := f.x.lines(); len(lines) > 0 {
		var sum int64
		for i := range lines {
			if price, ok := number(member(lines[i].Raw, "price")); ok {
				sum = min(sum+price*min(lines[i].Quantity, maxMicro/max(price, 1)), maxMicro)
			}
		}
		o.refunds = []refund{{id: f.tie, amount: max(sum, 0)}}
	} else {
		o.cancelled = true
	}
	f.st.order(id).merge(&o)
	f.st.cutOrders()
	f.st.unsettle()
}

// order returns the order id, making it. It is good until the next call.
func (st *State) order(id string) *order {
	i, ok := slices.BinarySearchFunc(st.orders, id, func(o order, id string) int { return strings.Compare(o.id, id) })
	if !ok {
		st.orders = slices.Insert(st.orders, i, order{id: strings.Clone(id)})
	}
	return &st.orders[i]
}

// merge adds what b knows to o. It shares b's version, and copies the rest.
func (o *order) merge(b *order) {
	if b.heard.compare(o.heard) > 0 {
		o.heard = b.heard
	}
	if b.version.wins(&o.version) {
		o.version = b.version
	}
	if b.completed != (stamp{}) && (o.completed == (stamp{}) || b.completed.compare(o.completed) < 0) {
		o.completed = b.completed
	}
	o.cancelled = o.cancelled || b.cancelled
	if len(b.refunds) == 0 {
		return
	}
	// A new slice each time: another State may share the old one.
	all := slices.Concat(o.refunds, b.refunds)
	slices.SortFunc(all, func(x, y refund) int {
		if c := cmp.Compare(x.id, y.id); c != 0 {
			return c
		}
		return cmp.Compare(y.amount, x.amount)
	})
	all = slices.CompactFunc(all, func(x, y refund) bool { return x.id == y.id })
	o.refunds = slices.Clip(all[:min(len(all), maxRefunds)])
}

func (v *version) wins(over *version) bool {
	switch {
	case !v.known || !over.known:
		return v.known
	case v.rank != over.rank:
		return v.rank > over.rank
	default:
		return v.when.compare(over.when) > 0
	}
}

// refunded is what was taken back, held to maxMicro.
func (o *order) refunded() int64 {
	var sum int64
	for _, r := range o.refunds {
		sum = min(sum+r.amount, maxMicro)
	}
	return sum
}

// live reports whether the order counts: it was placed, and neither cancelled
// nor refunded whole.
func (o *order) live() bool {
	return o.version.known && !o.cancelled && (o.version.total <= 0 || o.refunded() < o.version.total)
}

// placed is when the order counts: an update changes what was bought, not when.
func (o *order) placed() stamp {
	if o.version.updated && o.completed != (stamp{}) {
		return o.completed
	}
	return o.version.when
}

func (st *State) mergeOrders(src *State) {
	st.cut = st.cut || src.cut
	if len(src.orders) == 0 {
		return
	}
	out := make([]order, 0, len(st.orders)+len(src.orders))
	a, b := st.orders, src.orders
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].id, b[0].id); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			o := a[0]
			o.merge(&b[0])
			out, a, b = append(out, o), a[1:], b[1:]
		}
	}
	st.orders = append(append(out, a...), b...)
	st.cutOrders()
}

// cutOrders drops the orders not heard of for longest while there are too many.
func (st *State) cutOrders() {
	ops := 0
	for i := range st.orders {
		ops += len(st.orders[i].version.ops)
	}
	for len(st.orders) > maxOrders || ops > maxOperations && len(st.orders) > 1 {
		worst := 0
		for i := range st.orders {
			if st.orders[i].heard.compare(st.orders[worst].heard) < 0 {
				worst = i
			}
		}
		ops -= len(st.orders[worst].version.ops)
		st.orders = slices.Delete(st.orders, worst, worst+1)
		st.cut = true
	}
}

// unsettle forgets what was computed from orders and cells.
func (st *State) unsettle() {
	switch {
	case len(st.orders) == 0:
		st.settled = nil
	case st.settled == nil || st.settled.cells.Load() != nil:
		st.settled = &settled{}
	}
}

// settle returns the cells that orders add to, with what orders add. Readers
// that come at once compute the same twice rather than wait.
func (s *Set) settle(st *State) []cell {
	if p := st.settled.cells.Load(); p != nil {
		return *p
	}
	live := make([]*order, 0, len(st.orders))
	for i := range st.orders {
		if o := &st.orders[i]; o.live() {
			live = append(live, o)
		}
	}
	// Newest first, so that full lists refuse the rest at a glance.
	slices.SortFunc(live, func(a, b *order) int { return b.placed().compare(a.placed()) })
	var out State
	for _, o := range live {
		when, back := o.placed(), o.refunded()
		for _, p := range o.version.ops {
			d := &s.ranked[p.rank]
			into := out.cell(p.rank)
			if direct := find(st.cells, p.rank); into.n == 0 && direct != nil {
				into.merge(d.agg, direct)
			}
			u := op{val: p.val, at: when.at, tie: when.tie, pos: p.pos, owned: true}
			if p.key >= 0 {
				u.key = o.version.keys[p.key]
			}
			if d.money {
				u.val = max(0, u.val-back)
			}
			into.add(d.agg, u)
		}
	}
	st.settled.cells.Store(&out.cells)
	return out.cells
}
