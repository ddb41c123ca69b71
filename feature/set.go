package feature

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// Condition decides whether an event (and, for a definition with an item
// path, this product of it) counts. p is nil for every other definition.
// Match is called by whoever folds, possibly by many at once, and must be a
// function of its arguments alone.
type Condition interface {
	Match(e *attune.Event, p *attune.Product) bool
}

// Set is definitions compiled. It does not change; any number of goroutines
// may use it, each folding into States of its own.
type Set struct {
	defs    []Definition
	names   map[string]int
	ranks   []int32    // index of a definition → its rank: place by hash
	ranked  []compiled // by rank
	events  map[string][]touch
	others  []touch            // of the events that no definition names
	updated []touch            // of an Order Updated, which stands for the Order Completed
	touched map[string][]int32 // see Touched
	orders  bool               // some definition is shared: orders have to be kept
	empty   cell               // what a missing cell reads as
}

// touch says that an event adds to (or removes from) a definition.
type touch struct {
	rank int32
	off  bool
}

// compiled is one definition, ready. Definitions are kept by hash, so that
// their order in the configuration leaves no trace in bytes.
type compiled struct {
	hash      uint64
	index     int
	rank      int32
	seq       *sequence // of a sequence
	agg       aggregator
	where     Condition
	value, by path
	take      take
	perItem   bool
	money     bool // a sum that refunds are taken off
	shared    bool // orders keep operations of it
	once      bool // two lines of one order with the same key are one
	ttl       int64
}

// take is what an aggregator is given of an event.
type take uint8

const (
	takeEvent  take = iota // only that it happened
	takeJSON               // the value as JSON
	takeNumber             // the value in millionths
	takeKey                // the value, or each element of it, as a key
	takeWeight             // by as keys, the value in millionths
)

// The bounds of what is kept of one value.
const (
	maxKey  = 256  // bytes of a key; longer ones do not count
	maxJSON = 4096 // bytes of a value of latest or first
	maxKeys = 64   // elements of an array that are keys
)

// Compile checks and compiles defs; condition compiles a where (nil allows
// none). The error joins every fault there is, each naming its feature and
// field, and wraps attune.ErrInvalid.
func Compile(defs []Definition, condition func(where string) (Condition, error)) (*Set, error) {
	faults := checkAll(defs)
	s := &Set{defs: slices.Clone(defs), names: make(map[string]int, len(defs)), ranks: make([]int32, len(defs))}
	for i := range s.defs {
		c, err := compile(&s.defs[i], condition)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		c.index = i
		s.names[s.defs[i].Name] = i
		s.ranked = append(s.ranked, c)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	slices.SortFunc(s.ranked, func(a, b compiled) int { return cmp.Compare(a.hash, b.hash) })
	for rank := range s.ranked {
		s.ranks[s.ranked[rank].index] = int32(rank)
		s.ranked[rank].rank = int32(rank)
	}
	s.index()
	s.changes()
	return s, nil
}

func compile(d *Definition, condition func(string) (Condition, error)) (compiled, error) {
	c := compiled{hash: d.hash(), agg: d.aggregator(), ttl: d.TTL.Millis()}
	var faults []error
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("feature %q: %s: %w", d.Name, field, err))
		}
	}
	var err error
	c.value, err = compilePath(d.Value)
	fault("value", invalid(err))
	c.by, err = compilePath(d.By)
	fault("by", invalid(err))
	switch {
	case d.Where == "":
	case condition == nil:
		fault("where", invalid(errors.New("no conditions are allowed here")))
	default:
		c.where, err = condition(d.Where)
		fault("where", err)
	}
	if d.Kind == KindSequence {
		c.seq, err = sequenceOf(d, condition)
		c.agg = c.seq
		return c, errors.Join(append(faults, err)...)
	}
	c.take = d.take()
	if c.value.timed() && c.take == takeJSON {
		c.take, c.value = takeEvent, nil // every entry knows its time
	}
	if c.take == takeKey && c.value == nil {
		c.value, c.by = c.by, nil
	}
	c.perItem = c.value.perItem() || c.by.perItem()
	c.money = d.Kind == KindSum && !c.perItem && c.value.money()
	c.once = c.take == takeWeight || c.take == takeKey && (d.Kind != KindLast || d.Distinct)
	return c, errors.Join(faults...)
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", err, attune.ErrInvalid)
}

func (d *Definition) take() take {
	switch d.Kind {
	case KindLatest, KindFirst:
		return takeJSON
	case KindSum, KindMean, KindMin, KindMax, KindDecayed:
		return takeNumber
	case KindDistinct, KindLast, KindSet:
		return takeKey
	case KindAffinity:
		return takeWeight
	default:
		return takeEvent
	}
}

func (d *Definition) aggregator() aggregator {
	half := cmp.Or(d.HalfLife, 30*day).Millis()
	switch d.Kind {
	case KindLatest, KindFirst:
		p, err := compilePath(d.Value)
		return edge{first: d.Kind == KindFirst, timed: err == nil && p.timed()}
	case KindMin:
		return total{kind: d.Kind, f: least, win: windowOf(d.Window)}
	case KindMax:
		return total{kind: d.Kind, f: most, win: windowOf(d.Window)}
	case KindDistinct:
		return distinct{}
	case KindLast:
		return recency{n: cmp.Or(d.N, 10), distinct: d.Distinct}
	case KindSet:
		return recency{n: cmp.Or(d.N, 500), distinct: true}
	case KindDecayed:
		return decay{half: half}
	case KindAffinity:
		return affinity{decay{half: half}}
	case KindSince:
		return since{}
	case KindSessions, KindSessionLength:
		return sessions{
			gap: cmp.Or(d.Gap, 30*minute).Millis(), win: windowOf(cmp.Or(d.Window, 365*day)),
			length: d.Kind == KindSessionLength,
		}
	default:
		return total{kind: d.Kind, win: windowOf(d.Window)}
	}
}

// hash identifies what d computes. ttl acts at read alone, so it is left out:
// changing it needs no replay.
func (d *Definition) hash() uint64 {
	b := []byte("feature/1")
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	list := func(l []string) {
		names := make([]string, len(l))
		for i, n := range l {
			names[i] = attune.CanonicalName(n)
		}
		slices.Sort(names)
		names = slices.Compact(names)
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, n := range names {
			str(n)
		}
	}
	str(d.Name)
	str(d.Kind)
	list(d.On)
	list(d.Off)
	str(d.Where)
	str(d.Value)
	str(d.By)
	for _, n := range [...]int64{d.Window.Millis(), d.HalfLife.Millis(), d.Gap.Millis(), int64(d.N)} {
		b = binary.AppendVarint(b, n)
	}
	if d.Distinct {
		b = append(b, 1)
	}
	d.stepsHash(str, list, func(n int64) { b = binary.AppendVarint(b, n) })
	return attune.Hash(string(b))
}

// index makes the map from event names to what they touch, so that an event
// costs nothing to the definitions it does not concern.
func (s *Set) index() {
	s.events = make(map[string][]touch)
	on := func(c *compiled, name string) (touch, bool) {
		d := &s.defs[c.index]
		same := func(n string) bool { return attune.CanonicalName(n) == name }
		counts, off := d.names()
		t := touch{rank: s.ranks[c.index], off: slices.ContainsFunc(off, same)}
		return t, t.off || slices.Contains(counts, "*") || slices.ContainsFunc(counts, same)
	}
	names := []string{"*", "Order Completed", "Order Updated"}
	for i := range s.defs {
		for _, n := range slices.Concat(s.defs[i].names()) {
			names = append(names, attune.CanonicalName(n))
		}
	}
	for rank := range s.ranked {
		c := &s.ranked[rank]
		done := make(map[string]bool, len(names))
		for _, name := range names {
			if done[name] {
				continue
			}
			done[name] = true
			if t, ok := on(c, name); ok {
				s.events[name] = append(s.events[name], t)
			}
		}
		t, ok := on(c, "Order Completed")
		u, also := on(c, "Order Updated")
		switch {
		case ok:
			s.updated = append(s.updated, t)
		case also:
			s.updated = append(s.updated, u)
		}
		c.shared = c.seq == nil && (ok && !t.off || also && !u.off)
		s.orders = s.orders || c.shared
	}
	s.others = s.events["*"]
	delete(s.events, "*")
}

// Definitions returns what was compiled, in order. Do not change it.
func (s *Set) Definitions() []Definition { return s.defs }

// Index returns the place of the definition called name, or -1.
func (s *Set) Index(name string) int {
	if i, ok := s.names[name]; ok {
		return i
	}
	return -1
}

// Hash identifies what the definition at index computes: cells are stored
// under it. Its ttl does not count, since that acts at read.
func (s *Set) Hash(index int) uint64 { return s.ranked[s.ranks[index]].hash }

// Fold adds e, which must not have been folded into st before. It keeps
// nothing of e's memory.
func (s *Set) Fold(st *State, e *attune.Event) {
	f := folding{
		set: s, st: st, x: extraction{e: e},
		at: min(max(int64(e.Time), -maxTime), maxTime), tie: e.Tie(),
	}
	st.newest = max(st.newest, f.at)
	name := e.On()
	touches, ok := s.events[name]
	if !ok {
		touches = s.others
	}
	var act action
	var id string
	if s.orders {
		act, id = orderOf(e, name)
	}
	switch act {
	case placesOrder:
		f.draft = &draft{}
		if name == "Order Updated" {
			touches = s.updated
		}
		f.touch(touches)
		f.place(id, name)
	case undoesOrder:
		f.touch(touches)
		f.undo(id, name)
	default:
		f.touch(touches)
	}
}

// folding is one event on its way into a State.
type folding struct {
	set   *Set
	st    *State
	x     extraction
	at    int64
	tie   uint64
	draft *draft // of the order whose operations these are; nil for others
}

func (f *folding) touch(touches []touch) {
	for _, t := range touches {
		d := &f.set.ranked[t.rank]
		if d.seq != nil {
			f.sequence(d, f.x.e.On())
			continue
		}
		if !d.perItem {
			if t.off || d.where == nil || d.where.Match(f.x.e, nil) {
				f.take(d, t, nil, 0)
			}
			continue
		}
		lines := f.x.lines()
		for i := range lines {
			if t.off || d.where == nil || d.where.Match(f.x.e, &lines[i]) {
				f.take(d, t, &lines[i], int32(i))
			}
		}
	}
}

// take reads from the event what d wants and puts it where it belongs. A
// value that is missing or of the wrong type does not count.
func (f *folding) take(d *compiled, t touch, it *attune.Product, pos int32) {
	o := op{at: f.at, tie: f.tie, pos: pos, off: t.off}
	if d.take == takeNumber || d.take == takeWeight {
		o.val = micro // without a value each counts as 1
	}
	if d.take != takeKey && d.value != nil {
		v := f.x.get(d.value, it)
		if !v.Exists() {
			return
		}
		switch d.take {
		case takeJSON:
			if o.key = raw(v); len(o.key) > maxJSON {
				return
			}
		case takeNumber, takeWeight:
			var ok bool
			if o.val, ok = number(v); !ok {
				return
			}
		default:
		}
	}
	switch d.take {
	case takeKey:
		f.each(d, t, o, f.x.get(d.value, it))
	case takeWeight:
		f.each(d, t, o, f.x.get(d.by, it))
	default:
		f.put(d, t, o)
	}
}

// each puts o once for every key in v.
func (f *folding) each(d *compiled, t touch, o op, v gjson.Result) {
	if !v.IsArray() {
		if o.key = key(v); o.key != "" && len(o.key) <= maxKey {
			f.put(d, t, o)
		}
		return
	}
	for i, m := range v.Array() {
		if i == maxKeys {
			return
		}
		if o.key = key(m); o.key != "" && len(o.key) <= maxKey {
			f.put(d, t, o)
		}
		// Elements of one line keep their order before the next line's.
		o.pos++
	}
}

// put folds o, or keeps it under its order. What an order removes from a set
// is folded at once: doing it twice is doing it once.
func (f *folding) put(d *compiled, t touch, o op) {
	if f.draft != nil && !o.off {
		f.draft.put(t.rank, d, o)
		return
	}
	f.st.cell(t.rank).add(d.agg, o)
	if d.shared {
		f.st.unsettle()
	}
}

// raw returns v as JSON.
func raw(v gjson.Result) string {
	if v.Raw != "" || v.Type != gjson.String {
		return v.Raw
	}
	return string(gjson.AppendJSONString(nil, v.Str))
}

// Merge makes dst the union of dst and src, whose events must differ. src is
// not changed, and may be folded into afterwards without dst noticing.
func (s *Set) Merge(dst, src *State) {
	dst.newest = max(dst.newest, src.newest)
	if dst.cells == nil && len(src.cells) > 0 {
		dst.cells = make([]cell, 0, len(src.cells)+2)
	}
	for i := range src.cells {
		from := &src.cells[i]
		dst.cell(from.rank).merge(s.ranked[from.rank].agg, from)
	}
	dst.mergeOrders(src)
	dst.unsettle()
}
