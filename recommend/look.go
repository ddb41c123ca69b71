package recommend

import (
	"slices"
	"sync"

	"github.com/attune-io/attune/catalog"
)

// The bounds of what complete_look looks at.
const (
	maxLook  = 1000 // items with one value; a value of more is no look
	maxLooks = 8    // values of one item
)

// completeLook gives the items that share a value of the attribute with the
// page's item (or the cart's), and are of another category: what else belongs to
// the outfit, the room, the set. Popular ones come first.
func (s *scratch) completeLook(g *generator) string {
	s.seeds = s.seeds[:0]
	from := g.from
	if !from.given {
		from = source{item: true, index: -1}
	}
	items := s.from(from)
	if len(items) == 0 && !g.from.given {
		items = s.cart()
	}
	s.seeds = append(s.seeds, items[:min(len(items), maxSeeds)]...)
	if len(s.seeds) == 0 {
		return "there is no item to start from"
	}
	g.look.refresh()
	popular := s.engine.world.Items.Popular
	weight := float32(1)
	for _, seed := range s.seeds {
		for _, n := range g.look.alike(seed) {
			if slices.Contains(s.seeds, n) || s.sameCategory(n) {
				continue
			}
			p := popular.Score(n, s.q.Now)
			s.give(n, weight*(1+p/(1+p)), seed)
		}
		weight *= seedDecay
	}
	if len(s.one) == 0 {
		return "nothing shares its " + g.attribute
	}
	return ""
}

func (s *scratch) sameCategory(n int32) bool {
	category := s.view.Category(n)
	return category != 0 && slices.ContainsFunc(s.seeds, func(seed int32) bool { return s.view.Category(seed) == category })
}

// lookIndex is the items of each value of an attribute, kept up to date with the
// catalog's feed of changes. Any number of goroutines may use it.
type lookIndex struct {
	attribute string
	catalog   *catalog.Catalog

	mu      sync.RWMutex
	filled  bool
	version uint64
	items   map[string][]int32 // ascending
	values  map[int32][]string // under which an item is listed
	changed []int32
}

// alike returns the items that share a value with n. The caller owns the list.
func (x *lookIndex) alike(n int32) []int32 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var all []int32
	for _, v := range x.values[n] {
		all = append(all, x.items[v]...)
	}
	return all
}

// refresh looks at every item that changed since the last time.
func (x *lookIndex) refresh() {
	x.mu.RLock()
	fresh := x.filled && x.version == x.catalog.Version()
	x.mu.RUnlock()
	if fresh {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	changed, version, ok := x.catalog.Changes(x.version, x.changed[:0])
	x.changed = changed[:0]
	view := x.catalog.View()
	if !ok || !x.filled {
		x.items, x.values = map[string][]int32{}, map[int32][]string{}
		for n := range view.Len() {
			x.put(view, int32(n))
		}
	} else {
		for _, n := range changed {
			x.put(view, n)
		}
	}
	x.version, x.filled = version, true
}

// put lists n under its values, and no longer under those it had.
func (x *lookIndex) put(view catalog.View, n int32) {
	var few [1]string
	now := few[:0]
	switch v := view.Attr(n, x.attribute).(type) {
	case string:
		now = append(now, v)
	case []string:
		now = v[:min(len(v), maxLooks)]
	}
	was := x.values[n]
	if slices.Equal(was, now) {
		return
	}
	for _, v := range was {
		list := x.items[v]
		if i, found := slices.BinarySearch(list, n); found {
			x.items[v] = slices.Delete(list, i, i+1)
		}
	}
	delete(x.values, n)
	for _, v := range now {
		list := x.items[v]
		i, found := slices.BinarySearch(list, n)
		if v == "" || found || len(list) >= maxLook {
			continue
		}
		x.items[v] = slices.Insert(list, i, n)
		x.values[n] = append(x.values[n], v)
	}
}
