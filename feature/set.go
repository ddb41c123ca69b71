package feature

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	of   bool // it is one of the other events
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
	money     bool       // a sum that refunds are taken off
	shared    bool       // orders keep operations of it
	derived   Expression // what a derived feature computes
	once      bool       // two lines of one order with the same key are one
	ttl       int64
	dimension int64 // of a vector
}

// take is what an aggregator is given of an event.
type take uint8

const (
	takeEvent  take = iota // only that it happened
	takeJSON               // the value as JSON
	takeNumber             // the value in millionths
	takeKey                // the value, or each element of it, as a key
	takeWeight             // by as keys, the value in millionths
	takeStay               // by as a key, or none
	takeVector             // the value as JSON, an array of numbers
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
	return CompileWith(defs, Language{Where: condition})
}

func compileAll(defs []Definition, l Language) (*Set, []error) {
	faults := checkAll(defs)
	s := &Set{defs: slices.Clone(defs), names: make(map[string]int, len(defs)), ranks: make([]int32, len(defs))}
	for i := range s.defs {
		c, err := compile(&s.defs[i], l)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		c.index = i
		s.names[s.defs[i].Name] = i
		s.ranked = append(s.ranked, c)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	slices.SortFunc(s.ranked, func(a, b compiled) int { return cmp.Compare(a.hash, b.hash) })
	for rank := range s.ranked {
		s.ranks[s.ranked[rank].index] = int32(rank)
		s.ranked[rank].rank = int32(rank)
	}
	if faults := s.chains(); len(faults) > 0 {
		return nil, faults
	}
	s.index()
	s.changes()
	return s, nil
}

func compile(d *Definition, l Language) (compiled, error) {
	c := compiled{hash: d.hash(), agg: d.aggregator(), ttl: d.TTL.Millis(), dimension: int64(d.N)}
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
	case l.Where == nil:
		fault("where", invalid(errors.New("no conditions are allowed here")))
	default:
		c.where, err = l.Where(d.Where)
		fault("where", err)
	}
	if d.Kind == KindSequence {
		c.seq, err = sequenceOf(d, l.Where)
		c.agg = c.seq
		return c, errors.Join(append(faults, err)...)
	}
	switch {
	case d.Kind != KindDerived || d.Expr == "":
	case l.Derive == nil:
		fault("expr", invalid(errors.New("no derived features are allowed here")))
	default:
		c.derived, err = l.Derive(d.Expr)
		fault("expr", err)
	}
	c.take = d.take()
	if c.value.timed() && c.take == takeJSON {
		c.take, c.value = takeEvent, nil // every entry knows its time
	}
	if c.take == takeKey && c.value == nil {
		c.value, c.by = c.by, nil
	}
	c.perItem = c.value.perItem() || c.by.perItem()
	c.money = (d.Kind == KindSum || d.Kind == KindAttribution) && !c.perItem && c.value.money()
	c.once = c.take == takeWeight && d.Kind != KindLatestBy || c.take == takeKey && (d.Kind != KindLast || d.Distinct)
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
	case KindSum, KindMean, KindMin, KindMax, KindDecayed, KindStddev, KindQuantile, KindHistogram, KindAttribution:
		return takeNumber
	case KindDistinct, KindLast, KindSet:
		return takeKey
	case KindAffinity, KindTop, KindLatestBy:
		return takeWeight
	case KindEmbedding:
		return takeVector
	case KindTimeSpent:
		if d.By != "" {
			return takeStay
		}
		return takeEvent
	default:
		return takeEvent
	}
}

func (d *Definition) aggregator() aggregator {
	half, win := cmp.Or(d.HalfLife, 30*day).Millis(), windowOf(d.Window)
	switch d.Kind {
	case KindLatest, KindFirst:
		p, err := compilePath(d.Value)
		return edge{first: d.Kind == KindFirst, timed: err == nil && p.timed()}
	case KindMin:
		return total{kind: d.Kind, f: least, win: windowOf(d.Window)}
	case KindMax:
		return total{kind: d.Kind, f: most, win: windowOf(d.Window)}
	case KindDistinct:
		if d.Window != 0 {
			return sliding{win: win}
		}
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
	case KindCount, KindSum, KindMean:
		return total{kind: d.Kind, win: win}
	default:
		return d.larger(win)
	}
}

// larger returns the aggregator of a kind that keeps more than a few numbers.
func (d *Definition) larger(win window) aggregator {
	switch d.Kind {
	case KindStddev:
		return newDeviation(win)
	case KindQuantile:
		return newQuantile(win, d.Quantile)
	case KindHistogram:
		return newHistogram(win, d.Buckets)
	case KindRatio:
		return ratio{grid{win: win, width: 1}}
	case KindEmbedding:
		return embedding{grid{win: win, width: int64(d.N)}}
	case KindTop:
		return top{win: win, n: cmp.Or(d.N, 10)}
	case KindLatestBy:
		return newestOf{n: cmp.Or(d.N, 500)}
	case KindAttribution:
		return attribution{
			recency: recency{n: maxTouches}, model: cmp.Or(d.Model, ModelLast),
			lookback: cmp.Or(d.Window, 30*day).Millis(), half: cmp.Or(d.HalfLife, 7*day).Millis(),
		}
	case KindTimeSpent:
		gap := cmp.Or(d.Gap, 30*minute).Millis()
		if d.By != "" {
			return dwell{recency: recency{n: cmp.Or(d.N, 500)}, win: win, gap: gap}
		}
		return sessions{gap: gap, win: windowOf(cmp.Or(d.Window, 365*day)), spent: true}
	default:
		return since{} // a derived feature keeps nothing
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
	// What came later is written only where it is used, so that the rest keeps
	// its hash.
	if len(d.Of) > 0 || len(d.Buckets) > 0 || d.Quantile != 0 || d.Model != "" || d.Expr != "" || d.Scope != "" {
		b = append(b, 2)
		list(d.Of)
		b = binary.AppendUvarint(b, uint64(len(d.Buckets)))
		for _, v := range append(slices.Clone(d.Buckets), d.Quantile) {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		str(d.Model)
		str(d.Expr)
		str(d.Scope)
	}
	return attune.Hash(string(b))
}

// index makes the map from event names to what they touch, so that an event
// costs nothing to the definitions it does not concern.
func (s *Set) index() {
	s.events = make(map[string][]touch)
	on := func(c *compiled, name string) (out []touch) {
		d, rank := &s.defs[c.index], s.ranks[c.index]
		same := func(n string) bool { return attune.CanonicalName(n) == name }
		among := func(list []string) bool { return slices.Contains(list, "*") || slices.ContainsFunc(list, same) }
		counts, removes := d.names()
		if off := slices.ContainsFunc(removes, same); off || among(counts) {
			out = append(out, touch{rank: rank, off: off})
		}
		if among(d.Of) {
			out = append(out, touch{rank: rank, of: true})
		}
		return out
	}
	names := []string{"*", "Order Completed", "Order Updated"}
	for i := range s.defs {
		counts, removes := s.defs[i].names()
		for _, n := range slices.Concat(counts, removes, s.defs[i].Of) {
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
			s.events[name] = append(s.events[name], on(c, name)...)
		}
		completed, updated := on(c, "Order Completed"), on(c, "Order Updated")
		if len(completed) > 0 {
			s.updated = append(s.updated, completed...)
		} else {
			s.updated = append(s.updated, updated...)
		}
		kept := func(t touch) bool { return !t.off }
		c.shared = c.seq == nil && slices.ContainsFunc(slices.Concat(completed, updated), kept)
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
			if t.off || t.of || d.where == nil || d.where.Match(f.x.e, nil) {
				f.take(d, t, nil, 0)
			}
			continue
		}
		lines := f.x.lines()
		if len(lines) == 0 && d.take == takeStay {
			f.take(d, t, nil, 0) // it ends the stay at an item
		}
		for i := range lines {
			if t.off || t.of || d.where == nil || d.where.Match(f.x.e, &lines[i]) {
				f.take(d, t, &lines[i], int32(i))
			}
		}
	}
}

// take reads from the event what d wants and puts it where it belongs. A
// value that is missing or of the wrong type does not count.
func (f *folding) take(d *compiled, t touch, it *attune.Product, pos int32) {
	o := op{at: f.at, tie: f.tie, pos: pos, off: t.off}
	if t.of {
		f.other(d, t, o, it)
		return
	}
	if d.take == takeNumber || d.take == takeWeight {
		o.val = micro // without a value each counts as 1
	}
	if d.take != takeKey && d.take != takeStay && d.value != nil {
		v := f.x.get(d.value, it)
		if !v.Exists() {
			return
		}
		switch d.take {
		case takeJSON:
			if o.key = raw(v); len(o.key) > maxJSON {
				return
			}
		case takeVector:
			o.key = v.Raw
			if _, ok := vector(o.key, d.dimension); !ok || len(o.key) > maxVector {
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
	case takeStay:
		if o.key = key(f.x.get(d.by, it)); len(o.key) > maxKey {
			o.key = ""
		}
		f.put(d, t, o)
	default:
		f.put(d, t, o)
	}
}

// other takes one of the other events: one more of the whole, or a touch. A
// touch is not an order's, so it is off: it is folded at once.
func (f *folding) other(d *compiled, t touch, o op, it *attune.Product) {
	if d.by != nil {
		o.off = true
		f.each(d, t, o, f.x.get(d.by, it))
		return
	}
	o.key = ofKey
	f.put(d, t, o)
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
