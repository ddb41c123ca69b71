package recommend

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/rule"
)

// The reasons for which a candidate is dropped.
const (
	kept int32 = iota
	unavailable
	isCurrent
	wasViewed
	wasPurchased
	isInCart
	byFilter
	byCap
	notGiven
	byLimit
	byPrice
	byOptions
	seenOften
	onPage
	isPinned
	byRequest
	reasons
)

// reasonName names a reason as Explanation.Filtered does.
func reasonName(r int32) string {
	return [reasons]string{
		"kept", "unavailable", "current", "viewed", "purchased", "in_cart", "filter", "cap", "not given",
		"at_most", "price", "options of the request", "frequency", "on_page", "pinned", "filters of the request",
	}[r]
}

// condition is a compiled expression in the parts of rule.Split: what depends
// on the item alone is a set that follows the catalog, what depends on the
// person alone is settled once a decision, the rest once a candidate. The zero
// condition is always true.
type condition struct {
	items  *itemSet
	person *rule.Program
	both   *rule.Program
}

func (e *Engine) condition(expr string) (condition, error) {
	parts, err := e.world.Rules.Split(expr)
	if err != nil {
		return condition{}, err
	}
	c := condition{person: parts.Person, both: parts.Both}
	if parts.Item != nil {
		c.items = e.itemSet(parts.Item)
	}
	return c, nil
}

// itemSet returns the set of a condition: that of another rule, or of the engine
// before, when there is one. To fill one takes a while where there are many
// items.
func (e *Engine) itemSet(program *rule.Program) *itemSet {
	text := program.String()
	set := e.sets[text]
	if set == nil {
		set = e.old[text]
	}
	if set == nil {
		set = &itemSet{program: program, catalog: e.world.Catalog}
		set.refresh()
	}
	e.sets[text] = set
	return set
}

// start brings the item set up to date and reports whether the person's part
// holds.
func (c *condition) start(s *scratch) bool {
	if c.person != nil && !c.person.Match(s.bindPerson()) {
		return false
	}
	if c.items != nil {
		c.items.refresh()
	}
	return true
}

// itemHolds reports whether the item's part holds for n: one load of a bit.
func (c *condition) itemHolds(n int32) bool { return c.items == nil || c.items.has(n) }

// bothHolds evaluates the part that depends on item and person together.
func (c *condition) bothHolds(s *scratch, n int32) bool {
	return c.both == nil || c.both.Match(s.bindItem(n))
}

// itemSet is the set of items for which a program holds, kept up to date with
// the catalog's feed of changes. Reading it takes no lock.
type itemSet struct {
	program *rule.Program       // nil: true of all
	among   map[string]struct{} // ids that are meant; nil: all
	catalog *catalog.Catalog

	words   atomic.Pointer[[]uint64] // written under mu, each word atomically
	version atomic.Uint64            // of the catalog, that words reflect
	filled  atomic.Bool

	mu      sync.Mutex
	input   rule.Input
	item    itemRef
	changed []int32
}

// has reports whether n is in the set.
func (b *itemSet) has(n int32) bool {
	words := b.words.Load()
	i := int(n >> 6)
	if words == nil || i >= len(*words) {
		return false
	}
	return atomic.LoadUint64(&(*words)[i])>>(uint(n)&63)&1 == 1 //nolint:gosec // below 64
}

// refresh evaluates the program on every item that changed since the last
// time. A decision that begins after a change is applied sees it: whoever
// comes second waits for the one who refreshes.
func (b *itemSet) refresh() {
	if b.filled.Load() && b.version.Load() == b.catalog.Version() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	changed, version, ok := b.catalog.Changes(b.version.Load(), b.changed[:0])
	b.changed = changed[:0]
	view := b.catalog.View()
	b.grow(view.Len())
	b.item.view = view
	b.input.Item = &b.item
	if ok && b.filled.Load() {
		for _, n := range changed {
			b.evaluate(n)
		}
	} else {
		for n := range view.Len() {
			b.evaluate(int32(n))
		}
	}
	b.version.Store(version)
	b.filled.Store(true)
}

func (b *itemSet) grow(n int) {
	want := n>>6 + 1
	old := b.words.Load()
	if old != nil && len(*old) >= want {
		return
	}
	words := make([]uint64, want+want/4)
	if old != nil {
		copy(words, *old) // only refresh writes, and it holds mu
	}
	b.words.Store(&words)
}

func (b *itemSet) evaluate(n int32) {
	words := *b.words.Load()
	i := int(n >> 6)
	if n < 0 || i >= len(words) {
		return
	}
	b.item.n = n
	bit := uint64(1) << (uint(n) & 63)
	if b.holds() {
		atomic.StoreUint64(&words[i], words[i]|bit)
	} else {
		atomic.StoreUint64(&words[i], words[i]&^bit)
	}
}

// holds reports whether the item at hand belongs to the set.
func (b *itemSet) holds() bool {
	if b.among != nil {
		if _, ok := b.among[b.item.ItemID()]; !ok {
			return false
		}
	}
	return b.program == nil || b.program.Match(&b.input)
}

// each calls fn with the items of the set, in order, until it returns false.
func (b *itemSet) each(fn func(n int32) bool) {
	words := b.words.Load()
	if words == nil {
		return
	}
	for i := range *words {
		for w := atomic.LoadUint64(&(*words)[i]); w != 0; w &= w - 1 {
			if !fn(int32(i<<6 + bits.TrailingZeros64(w))) { //nolint:gosec // item numbers are int32
				return
			}
		}
	}
}

// among makes c hold for items with these ids only.
func (c *condition) among(ids []string, of *catalog.Catalog) {
	own := &itemSet{catalog: of}
	if c.items != nil {
		own.program = c.items.program // the set itself is others' too
	}
	set := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	own.among = set
	own.refresh()
	c.items = own
}

// itemRef is an item of the catalog as a rule reads it.
type itemRef struct {
	view catalog.View
	n    int32
}

// ItemID implements rule.Item.
func (r *itemRef) ItemID() string { return r.view.ID(r.n) }

// Attribute implements rule.Item.
func (r *itemRef) Attribute(name string) (any, bool) {
	v := r.view.Attr(r.n, name)
	return v, v != nil
}

// bindPerson returns the input of rules with the person bound. Of one who
// denied personalization, or is nobody, rules see nothing.
func (s *scratch) bindPerson() *rule.Input {
	in := &s.input
	if !s.bound {
		s.bound = true
		if !s.denied() && s.q.Person.Features() != nil {
			in.Person = s.q.Person
		}
		in.Segments = s.segments()
		in.Context = s.q.Context
		in.Now = s.q.Now
	}
	return in
}

func (s *scratch) bindItem(n int32) *rule.Input {
	in := s.bindPerson()
	s.item.view, s.item.n = s.view, n
	in.Item = &s.item
	return in
}

// exclusions marks what the placement excludes: whatever the person has
// viewed, bought or put into the cart, and the page's item.
func (s *scratch) exclusions() {
	s.skip.reset()
	x := &s.plan.Exclude
	in := &s.engine.inputs
	if x.Current && s.current >= 0 {
		s.skip.add(s.current, isCurrent)
	}
	if x.Viewed {
		s.exclude(s.lastViewed(), wasViewed)
	}
	if x.Purchased {
		index := in.purchased
		if index < 0 {
			index = in.five
		}
		s.exclude(s.feature("purchased", index), wasPurchased)
	}
	if x.InCart {
		s.exclude(s.cart(), isInCart)
	}
}

func (s *scratch) exclude(items []int32, reason int32) {
	for _, n := range items {
		s.skip.add(n, reason)
	}
}

// verdict returns why item n may not be shown, or kept. What costs most, the
// condition on item and person together, is not asked here.
func (s *scratch) verdict(n int32) int32 {
	if !s.view.Available(n) {
		return unavailable
	}
	if s.skip.n > 0 {
		if r := s.skip.get(n); r >= 0 {
			return r
		}
	}
	if s.refused || !s.plan.filter.itemHolds(n) {
		return byFilter
	}
	if s.extra {
		return s.barred(n)
	}
	if len(s.q.Filters) > 0 && !s.asked(n) {
		return byRequest
	}
	return kept
}
