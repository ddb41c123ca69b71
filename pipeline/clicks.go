package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/attune-io/attune"
)

// The bounds of attribution.
const (
	// attributionWindow is how long after a click a purchase is credited to it.
	attributionWindow = attune.Millis(7 * 24 * 60 * 60 * 1000)
	maxClicks         = 20      // newest clicks kept of one routing id
	maxClickers       = 200_000 // routing ids with clicks kept; the oldest click goes first
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
	mu    sync.Mutex
	of    map[string][]click // by routing id, oldest first
	order []string           // routing ids in the order of their first click kept
	dirty map[string]bool
}

func (c *clicks) init() { c.of, c.dirty = map[string][]click{}, map[string]bool{} }

// clicked notes that key clicked items in placement.
func (c *clicks) clicked(key string, items []attune.Product, placement string, at attune.Millis) {
	if placement == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list, known := c.of[key]
	if !known {
		c.order = append(c.order, key)
	}
	for i := range items {
		list = slices.DeleteFunc(list, func(x click) bool { return x.item == items[i].ID })
		list = append(list, click{item: items[i].ID, placement: placement, at: at})
	}
	c.of[key] = list[max(0, len(list)-maxClicks):]
	c.dirty[key] = true
	for len(c.of) > maxClickers {
		delete(c.of, c.order[0])
		c.dirty[c.order[0]] = true
		c.order = c.order[1:]
	}
}

// bought returns the clicks that the purchase of items converts, and forgets
// them, so that the same order sent twice converts once.
func (c *clicks) bought(key string, items []attune.Product, at attune.Millis) []click {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.of[key]
	if len(list) == 0 {
		return nil
	}
	var converted []click
	c.of[key] = slices.DeleteFunc(list, func(x click) bool {
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
	return converted
}

func (c *clicks) dirtyRows(put func(key, value []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.dirty {
		list := c.of[key]
		if len(list) == 0 {
			put([]byte(key), nil)
			continue
		}
		put([]byte(key), encodeClicks(list))
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
	c.of[string(key)] = list
	c.order = append(c.order, string(key))
	return nil
}
