package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Put claims fields of an item. Values are string, number (kept as float64),
// bool, []string or []any of strings; nil deletes the field; "id" is left out,
// and so is a price that is no number: what Put is given may be journaled, and
// the rest of it is good. On an error, which wraps attune.ErrInvalid and names every bad field, nothing
// is changed. A put of rank Given that is newer than a delete revives the item.
// What Put keeps is a copy.
func (c *Catalog) Put(id string, fields map[string]any, s Stamp) error {
	claims, err := c.claims(id, fields, s)
	if err != nil {
		return err
	}
	n := c.Ensure(id)
	if n < 0 {
		return fmt.Errorf("item %q: the catalog is full at %d items; raise its bound: %w", id, c.maxItems, attune.ErrBusy)
	}
	c.change(n, func(r *record) bool {
		seen := false
		for _, cl := range claims {
			seen = r.apply(cl) || seen
		}
		if s.Rank == attune.Given && s.compare(r.revived) > 0 {
			was := r.deleted()
			r.revived = s
			seen = seen || was != r.deleted()
		}
		return seen
	})
	return nil
}

// Check returns what Put would refuse about these fields of an item, nil when
// nothing: for callers that make a put durable before they apply it. It also
// refuses a price that is no number, or below 0.
func (c *Catalog) Check(id string, fields map[string]any) error {
	_, err := c.claims(id, fields, Stamp{})
	if _, bad := price(fields); bad != nil {
		err = errors.Join(err, fmt.Errorf("item %q: attribute %q: %w", id, "price", bad))
	}
	return err
}

// claims checks fields and copies them, in order of their names.
func (c *Catalog) claims(id string, fields map[string]any, s Stamp) ([]claim, error) {
	if id == "" || len(id) > 512 {
		return nil, fmt.Errorf("item id of %d bytes, want 1 to 512: %w", len(id), attune.ErrInvalid)
	}
	if len(fields) > c.maxFields {
		return nil, fmt.Errorf("item %q: %d attributes, at most %d: %w", id, len(fields), c.maxFields, attune.ErrInvalid)
	}
	var faults []error
	claims := make([]claim, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == "" || len(name) > maxName {
			faults = append(faults, fmt.Errorf("item %q: an attribute name of %d bytes, want 1 to %d: %w", id, len(name), maxName, attune.ErrInvalid))
			continue
		}
		v, err := value(fields[name])
		if name == "price" && err == nil {
			var bad error
			if v, bad = price(fields); bad != nil {
				continue
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("item %q: attribute %q: %w", id, name, err))
			continue
		}
		if name != "id" {
			_, kept := c.names.ensure(name)
			claims = append(claims, claim{name: kept, value: v, stamp: s})
		}
	}
	return claims, errors.Join(faults...)
}

// Delete takes the item out of every decision. Only a newer Put of rank Given
// brings it back, with the fields it had. The stamp's rank does not count: who
// may delete is the caller's to say.
func (c *Catalog) Delete(id string, s Stamp) {
	n := c.Ensure(id)
	if n < 0 {
		return
	}
	s.Rank = attune.Given
	c.change(n, func(r *record) bool {
		if s.compare(r.removed) <= 0 {
			return false
		}
		was := r.deleted()
		r.removed = s
		return was != r.deleted()
	})
}

// change publishes item n as edit leaves it; edit reports whether readers see a
// difference.
func (c *Catalog) change(n int32, edit func(*record) bool) {
	c.lock(n)
	defer c.unlock(n)
	old, s := c.chunk(n).records[n%chunkLen].Load(), &c.chunk(n).states[n%chunkLen]
	r := old.clone()
	s.settle(r)
	c.finish(n, r, edit)
}

// finish publishes r as edit leaves it, or only stores it when readers see no
// difference. The caller holds the item's lock and has settled the echoes.
func (c *Catalog) finish(n int32, r *record, edit func(*record) bool) {
	k := c.chunk(n)
	old := k.records[n%chunkLen].Load()
	seen := edit(r)
	if len(r.claims) > c.maxFields {
		r.trim(c.maxFields)
		seen = !slices.EqualFunc(r.claims, old.claims, func(a, b claim) bool {
			return a.name == b.name && compareValues(a.value, b.value) == 0
		}) || r.deleted() != old.deleted()
	}
	c.changed.mark(n, &k.states[n%chunkLen], rowItem|rowEcho)
	if seen {
		c.publish(n, r)
		return
	}
	r.json.Store(old.json.Load())
	k.records[n%chunkLen].Store(r)
}

// Learn folds what e says of its products (attune.AppendProducts of e). A
// track call of the e-commerce specification teaches every scalar property
// that is not of the cart line or the person; any other track call teaches the attributes the
// specification names; other calls (a page has a name and a url of its own)
// teach only that the item exists. Whether it can be had is learnt from servers
// alone. A repeated view costs some 150 ns.
func (c *Catalog) Learn(e *attune.Event, products []attune.Product) {
	if len(products) == 0 {
		return
	}
	l := lesson{stamp: Stamp{Rank: e.Rank, At: e.Time, Tie: e.Tie()}, scope: named}
	on := e.On()
	for _, prefix := range [...]string{"Product ", "Order ", "Cart ", "Checkout ", "Wishlist "} {
		if strings.HasPrefix(on, prefix) {
			l.scope = all
		}
	}
	if e.Rank > attune.Public {
		l.scope |= trusted
	}
	for i := range products {
		n := c.Ensure(products[i].ID)
		if n >= 0 && e.Type == attune.Track {
			c.learn(n, products[i].Raw, l)
		}
	}
}

// lesson is what the products of one event have in common.
type lesson struct {
	stamp Stamp
	scope scope
}

func (c *Catalog) learn(n int32, raw string, l lesson) {
	hash := cmp.Or(attune.Hash(raw)+uint64(l.scope), 1)
	c.lock(n)
	defer c.unlock(n)
	k := c.chunk(n)
	s := &k.states[n%chunkLen]
	if known, rose := s.repeat(hash, l.stamp); known {
		if rose {
			c.changed.mark(n, s, rowEcho)
		}
		return
	}
	var room [16]fact
	facts := appendFacts(room[:0], raw, l.scope)
	if len(facts) == 0 {
		return
	}
	r := k.records[n%chunkLen].Load()
	if !s.full() {
		if mask, ok := maskOf(r, facts, l.stamp.Rank); ok {
			s.listen(echo{hash: hash, stamp: l.stamp, mask: mask})
			c.changed.mark(n, s, rowEcho)
			return
		}
	}
	r = r.clone()
	s.settle(r)
	c.finish(n, r, func(r *record) bool {
		seen := false
		for _, f := range facts {
			seen = c.teach(r, f, l.stamp) || seen
		}
		return seen
	})
	if mask, ok := maskOf(k.records[n%chunkLen].Load(), facts, l.stamp.Rank); ok {
		s.listen(echo{hash: hash, stamp: l.stamp, mask: mask})
	}
}

// teach is record.apply for a fact: what r says already is not copied again.
func (c *Catalog) teach(r *record, f fact, s Stamp) bool {
	if i, ok := r.find(f.name); ok {
		old := &r.claims[i]
		if f.equals(old.value) {
			if s.compare(old.stamp) > 0 {
				old.stamp = s
			}
			return false
		}
		if s.compare(old.stamp) < 0 {
			return false
		}
	}
	_, name := c.names.ensure(f.name)
	return r.apply(claim{name: name, value: f.keep(), stamp: s})
}

// publish makes r what readers see of item n: record, columns, availability,
// change feed. The caller holds the item's lock.
func (c *Catalog) publish(n int32, r *record) {
	k, i := c.chunk(n), n%chunkLen
	old := k.records[i].Swap(r)
	k.category[i].Store(c.word(r.attr("category")))
	k.brand[i].Store(c.word(r.attr("brand")))
	price, _ := r.attr("price").(float64)
	k.price[i].Store(math.Float64bits(price))
	now := attune.Millis(c.now.Load())
	k.settle(i, r, now)
	if flip := r.nextFlip(now); flip != never && (old == nil || old.nextFlip(now) != flip) {
		c.flips.push(flipAt{at: flip, item: n}, c)
	}
	c.feed.add(n)
}

// word is the interned number of an attribute: a list counts by its first.
func (c *Catalog) word(v any) int32 {
	s, ok := v.(string)
	if l, isList := v.([]string); isList && len(l) > 0 {
		s, ok = l[0], true
	}
	if !ok {
		return 0
	}
	w, _ := c.words.ensure(s)
	return w
}
