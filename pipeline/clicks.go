package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/attune-io/attune"
)

// The bounds of attribution.
const (
	// attributionWindow is how long after a click a purchase is credited to it.
	attributionWindow = attune.Millis(7 * 24 * 60 * 60 * 1000)
	maxClicks         = 20      // newest clicks kept of one routing id
	maxClickers       = 200_000 // routing ids with clicks kept; who clicked first goes first
	maxPlacement      = 256     // longest name of a placement, in bytes; model.Items counts no longer one
)

// click is an item somebody clicked in a placement.
type click struct {
	item      string
	placement string
	at        attune.Millis
}

// clicks remembers who clicked what where, so that a purchase by the same
// device or user counts as the placement's conversion: last click, within the
// attribution window, once.
type clicks struct {
	limit int // of routing ids

	mu    sync.Mutex
	of    map[string]*clicker // by routing id
	order []turn              // in the order in which they came; those that are gone stay until their turn
	turns uint64
	dirty map[string]bool
	rows  bool // rows were loaded: order is not one yet
}

// clicker is a routing id's clicks, oldest first, at least one.
type clicker struct {
	list []click
	turn uint64
}

// turn is a routing id's place in the order of those that may have to go.
type turn struct {
	key  string
	turn uint64
}

func (c *clicks) init() {
	c.limit, c.of, c.dirty = maxClickers, map[string]*clicker{}, map[string]bool{}
}

// clicked notes that key clicked items in placement.
func (c *clicks) clicked(key string, items []attune.Product, placement string, at attune.Millis) {
	if placement == "" || len(placement) > maxPlacement || len(items) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	who := c.of[key]
	if who == nil {
		who = c.enter(key)
	}
	list := who.list
	for i := range items {
		list = slices.DeleteFunc(list, func(x click) bool { return x.item == items[i].ID })
		// A product's id is a piece of its event's properties: those must not stay.
		list = append(list, click{item: strings.Clone(items[i].ID), placement: placement, at: at})
	}
	who.list = slices.Delete(list, 0, max(0, len(list)-maxClicks))
	c.dirty[key] = true
	c.evict()
}

// enter gives key its turn.
func (c *clicks) enter(key string) *clicker {
	c.turns++
	who := &clicker{turn: c.turns}
	c.of[key] = who
	c.order = append(c.order, turn{key: key, turn: c.turns})
	return who
}

// evict lets whoever came first go, while there are too many.
func (c *clicks) evict() {
	if len(c.order) > 2*c.limit {
		c.order = slices.DeleteFunc(c.order, func(t turn) bool { return c.of[t.key] == nil || c.of[t.key].turn != t.turn })
	}
	for len(c.of) > c.limit {
		first := c.order[0]
		c.order = c.order[1:]
		if who := c.of[first.key]; who != nil && who.turn == first.turn {
			delete(c.of, first.key)
			c.dirty[first.key] = true
		}
	}
}

// settle puts loaded rows in the order of their oldest clicks.
func (c *clicks) settle() {
	if !c.rows {
		return
	}
	c.rows = false
	slices.SortFunc(c.order, func(a, b turn) int {
		return cmp.Or(cmp.Compare(c.of[a.key].list[0].at, c.of[b.key].list[0].at), strings.Compare(a.key, b.key))
	})
}

// bought returns the clicks that the purchase of items converts, and forgets
// them, so that the same order sent twice converts once.
func (c *clicks) bought(key string, items []attune.Product, at attune.Millis) []click {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := c.of[key]
	if who == nil {
		return nil
	}
	c.settle()
	var converted []click
	who.list = slices.DeleteFunc(who.list, func(x click) bool {
		hit := at >= x.at && at-x.at <= attributionWindow &&
			slices.ContainsFunc(items, func(p attune.Product) bool { return p.ID == x.item })
		if hit {
			converted = append(converted, x)
		}
		return hit
	})
	if len(converted) > 0 {
		c.dirty[key] = true
	}
	if len(who.list) == 0 {
		delete(c.of, key)
	}
	return converted
}

func (c *clicks) dirtyRows(put func(key, value []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.dirty {
		if who := c.of[key]; who != nil {
			put([]byte(key), encodeClicks(who.list))
			continue
		}
		put([]byte(key), nil)
	}
	clear(c.dirty)
}

func encodeClicks(list []click) []byte {
	var b []byte
	for _, x := range list {
		for _, s := range [...]string{x.item, x.placement} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
		b = binary.AppendVarint(b, int64(x.at))
	}
	return b
}

func (c *clicks) load(key, value []byte) error {
	r := bytes.NewReader(value)
	var list []click
	for r.Len() > 0 {
		var x click
		for _, s := range [...]*string{&x.item, &x.placement} {
			n, err := binary.ReadUvarint(r)
			if err != nil || n > uint64(r.Len()) { //nolint:gosec // Len is not negative
				return fmt.Errorf("clicks of %q: %w", key, attune.ErrCorrupt)
			}
			text := make([]byte, n)
			_, _ = r.Read(text) // n bytes are there
			*s = string(text)
		}
		at, err := binary.ReadVarint(r)
		if err != nil {
			return fmt.Errorf("clicks of %q: %w", key, attune.ErrCorrupt)
		}
		x.at = attune.Millis(at)
		list = append(list, x)
	}
	if len(list) == 0 {
		return nil
	}
	c.enter(string(key)).list = slices.Delete(list, 0, max(0, len(list)-maxClicks))
	c.rows = true
	return nil
}
