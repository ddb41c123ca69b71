package catalog

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// record is what is known of one item. It is never changed, only replaced, so
// that readers need no lock.
type record struct {
	claims []claim // by name
	// removed and revived are the newest delete and the newest put of rank
	// Given; the item is deleted when removed is newer.
	removed, revived Stamp
	json             atomic.Pointer[json.RawMessage]
}

// claim is the claim that won a field; a nil value is a deleted field.
type claim struct {
	name  string
	value any
	stamp Stamp
}

func (r *record) deleted() bool {
	return r.removed != Stamp{} && cmp.Or(cmp.Compare(r.removed.At, r.revived.At), cmp.Compare(r.removed.Tie, r.revived.Tie)) >= 0
}

func (r *record) find(name string) (int, bool) {
	return slices.BinarySearchFunc(r.claims, name, func(c claim, n string) int { return strings.Compare(c.name, n) })
}

func (r *record) attr(name string) any {
	if i, ok := r.find(name); ok {
		return r.claims[i].value
	}
	return nil
}

// clone returns a copy that may be changed until it is published.
func (r *record) clone() *record {
	return &record{claims: slices.Clone(r.claims), removed: r.removed, revived: r.revived}
}

// apply lets one claim compete for its field, and reports whether the value a
// reader sees is another one now.
func (r *record) apply(c claim) bool {
	i, ok := r.find(c.name)
	if !ok {
		r.claims = slices.Insert(r.claims, i, c)
		return c.value != nil
	}
	old := &r.claims[i]
	d := cmp.Or(c.stamp.compare(old.stamp), compareValues(c.value, old.value))
	if d <= 0 {
		return false
	}
	seen := compareValues(c.value, old.value) != 0
	*old = c
	return seen
}

// trim cuts the fields to limit: the highest ranks, then the smallest names,
// stay. What is cut can never belong to the fields that stay unless its rank
// rises, so the order in which claims come does not matter.
func (r *record) trim(limit int) {
	if len(r.claims) <= limit {
		return
	}
	slices.SortFunc(r.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(b.stamp.Rank, a.stamp.Rank), strings.Compare(a.name, b.name))
	})
	r.claims = slices.Clone(r.claims[:limit])
	slices.SortFunc(r.claims, func(a, b claim) int { return strings.Compare(a.name, b.name) })
}

// state is what writers keep of an item, guarded by its lock.
//
// Most views say what the last one said. An echo stands for such views: its
// hash is that of the product's JSON, and every claim in its mask is understood
// to have been made at the echo's stamp too. So a repeated view costs one
// comparison, and a late contradiction still loses to it. There are two,
// because a shop's views and its cart events differ in what they say.
type state struct {
	echoes [2]echo
	dirty  uint8
}

type echo struct {
	hash  uint64 // 0: none
	stamp Stamp
	mask  uint64 // of the record's claims
}

// The rows of an item that changed.
const (
	rowItem uint8 = 1 << iota
	rowEcho
)

// settle writes the echoes' stamps into r's claims and ends them: r is about
// to change, and their masks would point at other claims.
func (s *state) settle(r *record) {
	for i := range s.echoes {
		e := &s.echoes[i]
		for j := range r.claims {
			if c := &r.claims[j]; e.hash != 0 && e.mask>>j&1 == 1 && c.stamp.compare(e.stamp) < 0 {
				c.stamp = e.stamp
			}
		}
		*e = echo{}
	}
}

// repeat takes note of a view that an echo stands for, and reports whether one
// does and whether its stamp rose.
func (s *state) repeat(hash uint64, stamp Stamp) (known, rose bool) {
	for i := range s.echoes {
		e := &s.echoes[i]
		if e.hash != hash || e.stamp.Rank != stamp.Rank {
			continue
		}
		if e.stamp.compare(stamp) < 0 {
			e.stamp = stamp
			return true, true
		}
		return true, false
	}
	return false, false
}

// maskOf returns the claims of r that facts repeat at stamp's rank. ok is false
// when a fact would change r, now or by being newer than what r says.
func maskOf(r *record, facts []fact, rank attune.Rank) (mask uint64, ok bool) {
	if len(r.claims) > 64 {
		return 0, false
	}
	for _, f := range facts {
		i, found := r.find(f.name)
		if !found {
			return 0, false
		}
		switch c := &r.claims[i]; {
		case c.stamp.Rank > rank: // the fact loses whatever its time
		case c.stamp.Rank == rank && f.equals(c.value):
			mask |= 1 << i
		default:
			return 0, false
		}
	}
	return mask, true
}

// listen makes an echo in the free place there has to be.
func (s *state) listen(e echo) {
	if s.echoes[0].hash == 0 {
		s.echoes[0] = e
		return
	}
	s.echoes[1] = e
}

// full reports whether both echoes are taken.
func (s *state) full() bool { return s.echoes[0].hash != 0 && s.echoes[1].hash != 0 }
