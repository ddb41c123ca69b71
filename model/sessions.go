package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/attune-io/attune"
)

// SessionsOptions bound Sessions. The zero value has the defaults.
type SessionsOptions struct {
	MaxSessions int           // 0 is 1,000,000; the longest untouched goes
	MaxItems    int           // distinct items of a session; 0 is 64
	Postings    int           // newest sessions kept of an item; 0 is 500
	Gap         time.Duration // a longer pause starts a new session; 0 is 30 min
}

// Sessions is an incremental index for VMIS-kNN: what a batch would build from
// all clicks so far, kept up to date click by click.
//
// Kersbergen, Sprangers, Schelter, "Serenade" (SIGMOD 2022). Three things
// differ from the batch. A session counts from its second distinct item on
// (with one it could only vote for what is already on the page, and the newest
// sessions of a live shop are mostly such ones). A session keeps its first
// MaxItems distinct items and takes no notice of further ones; the paper drops
// the longest 0.5 %, but a running quantile would make neighbours appear and
// vanish because of clicks in other sessions, and what the rule is against,
// robots, a fixed bound makes into one vote among many. And the number of
// sessions is bounded.
//
// Memory: about 200 bytes a session and 16 for each item of it; 300 MB at a
// million sessions of five items. A click costs O(items of the session), each
// a binary search and a move inside one posting.
type Sessions struct {
	maxSessions, maxItems, perItem int
	gap                            attune.Millis
	logs                           []float32 // natural logarithms of small counts

	mu         sync.RWMutex
	slots      []session
	head, tail int32 // longest untouched, newest touched; -1 when empty
	current    map[uint64]int32
	postings   [][]posting // chunks by item number
	supports   []int32     // by item number: indexed sessions that have it, in its posting or not
	items      int32       // one more than the highest item number seen
	indexed    int
	touches    uint64
	unlinked   bool    // rows were loaded: the list by touch is not built yet
	dirty      []int32 // slots
}

// session is one slot. Slots are given anew, never freed.
type session struct {
	owner       uint64
	first, last attune.Millis
	counted     attune.Millis // newest click that the index took notice of
	touch       uint64        // counts those clicks: settles equal times
	items       []int32
	prev, next  int32 // by touch
	dirty       bool
}

// order sorts sessions by time of the newest click, then by touch. Twenty bits
// of the touch are enough: equal ones would need a million clicks apart in the
// same millisecond.
func (e *session) order() uint64 {
	return uint64(max(e.counted, 0)+1)<<20 | e.touch&(1<<20-1)
}

func (e *session) isIndexed() bool { return len(e.items) >= 2 }

// posting is the newest sessions with one item, oldest first, by order.
type posting struct {
	entries []entry
}

type entry struct {
	order uint64
	slot  int32
}

const postingChunk = 1024

// NewSessions returns an empty index.
func NewSessions(o SessionsOptions) *Sessions {
	s := &Sessions{
		maxSessions: cmp.Or(o.MaxSessions, 1_000_000), maxItems: cmp.Or(o.MaxItems, 64), perItem: cmp.Or(o.Postings, 500),
		gap:  attune.Millis(cmp.Or(o.Gap, 30*time.Minute).Milliseconds()),
		head: -1, tail: -1, current: map[uint64]int32{}, logs: make([]float32, 1024),
	}
	for i := 1; i < len(s.logs); i++ {
		s.logs[i] = float32(math.Log(float64(i)))
	}
	return s
}

// Click adds item to the current session of owner (attune.Hash of the routing
// id, say); further than the gap from it, a new session begins. A click that
// repeats an item makes the session newer all the same. A click too late for
// the current session (before it by more than the gap) begins one as well, so
// that an import of old history counts.
func (s *Sessions) Click(owner uint64, item int32, at attune.Millis) {
	s.Join(owner, item, at, nil)
}

// Join is Click for callers that count what goes together: fresh reports
// whether the item is new to the session, and before is dst with what the
// session had until then, if dst is not nil.
func (s *Sessions) Join(owner uint64, item int32, at attune.Millis, dst []int32) (before []int32, fresh bool) {
	if !validItem(item) {
		return dst, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link()
	slot, ok := s.current[owner]
	if ok {
		e := &s.slots[slot]
		ok = at <= e.last+s.gap && at >= e.first-s.gap
	}
	if !ok {
		slot = s.open(owner, at)
	}
	e := &s.slots[slot]
	e.first, e.last = min(e.first, at), max(e.last, at)
	s.mark(slot)
	fresh = !slices.Contains(e.items, item)
	if fresh && len(e.items) >= s.maxItems {
		return dst, false
	}
	if dst != nil {
		dst = append(dst, e.items...)
	}
	was, had := e.order(), e.isIndexed()
	s.unlink(slot)
	s.append(slot)
	s.touches++
	e.touch, e.counted = s.touches, max(e.counted, at)
	if fresh {
		e.items = append(e.items, item)
		s.items = max(s.items, item+1)
	}
	if !e.isIndexed() {
		return dst, fresh
	}
	if !had {
		s.indexed++
	}
	now := e.order()
	for i, it := range e.items {
		p := s.posting(it)
		switch {
		case !had || fresh && i == len(e.items)-1:
			s.supports[it]++
		default:
			p.remove(was)
		}
		p.insert(entry{order: now, slot: slot}, s.perItem)
	}
	return dst, fresh
}

// open gives owner a new session, in the slot of the longest untouched one
// when there are enough.
func (s *Sessions) open(owner uint64, at attune.Millis) int32 {
	slot := int32(len(s.slots)) //nolint:gosec // bounded by maxSessions
	if len(s.slots) < s.maxSessions {
		s.slots = append(s.slots, session{})
	} else {
		slot = s.head
		old := &s.slots[slot]
		s.unindex(slot, old.order())
		if s.current[old.owner] == slot {
			delete(s.current, old.owner)
		}
		s.unlink(slot)
	}
	e := &s.slots[slot]
	*e = session{owner: owner, first: at, last: at, items: e.items[:0], prev: -1, next: -1, dirty: e.dirty}
	s.current[owner] = slot
	s.append(slot)
	return slot
}

// unindex takes the session out of the postings it stands in under order.
func (s *Sessions) unindex(slot int32, order uint64) {
	e := &s.slots[slot]
	if !e.isIndexed() {
		return
	}
	s.indexed--
	for _, it := range e.items {
		p := s.posting(it)
		p.remove(order)
		s.supports[it]--
	}
}

func (s *Sessions) posting(item int32) *posting {
	for int(item)/postingChunk >= len(s.postings) {
		s.postings = append(s.postings, nil)
	}
	c := &s.postings[item/postingChunk]
	if *c == nil {
		*c = make([]posting, postingChunk)
		if n := len(s.postings)*postingChunk - len(s.supports); n > 0 {
			s.supports = append(s.supports, make([]int32, n)...)
		}
	}
	return &(*c)[item%postingChunk]
}

// seen is posting without growing: nil when the item has none.
func (s *Sessions) seen(item int32) *posting {
	if item < 0 || int(item)/postingChunk >= len(s.postings) || s.postings[item/postingChunk] == nil {
		return nil
	}
	return &s.postings[item/postingChunk][item%postingChunk]
}

func (p *posting) find(order uint64) (int, bool) {
	return slices.BinarySearchFunc(p.entries, order, func(e entry, o uint64) int { return cmp.Compare(e.order, o) })
}

func (p *posting) remove(order uint64) {
	if i, ok := p.find(order); ok {
		p.entries = slices.Delete(p.entries, i, i+1)
	}
}

// insert puts e at its place; of more than limit the oldest goes.
func (p *posting) insert(e entry, limit int) {
	i, _ := p.find(e.order)
	if len(p.entries) < limit {
		p.entries = slices.Insert(p.entries, i, e)
		return
	}
	if i == 0 {
		return
	}
	copy(p.entries, p.entries[1:i])
	p.entries[i-1] = e
}

// Len returns how many sessions can be neighbours.
func (s *Sessions) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.indexed
}

func (s *Sessions) unlink(slot int32) {
	e := &s.slots[slot]
	if e.prev >= 0 {
		s.slots[e.prev].next = e.next
	} else if s.head == slot {
		s.head = e.next
	}
	if e.next >= 0 {
		s.slots[e.next].prev = e.prev
	} else if s.tail == slot {
		s.tail = e.prev
	}
	e.prev, e.next = -1, -1
}

func (s *Sessions) append(slot int32) {
	e := &s.slots[slot]
	e.prev, e.next = s.tail, -1
	if s.tail >= 0 {
		s.slots[s.tail].next = slot
	} else {
		s.head = slot
	}
	s.tail = slot
}

// link builds the list by touch once all rows are loaded.
func (s *Sessions) link() {
	if !s.unlinked {
		return
	}
	s.unlinked, s.head, s.tail = false, -1, -1
	order := make([]int32, len(s.slots))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(s.slots[a].touch, s.slots[b].touch) })
	for _, slot := range order {
		s.append(slot)
	}
}

func (s *Sessions) mark(slot int32) {
	if e := &s.slots[slot]; !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, slot)
	}
}

// Dirty gives the row of every session that changed since the last call to
// put. Queries may run meanwhile; clicks may not.
func (s *Sessions) Dirty(put func(key, value []byte)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var key, v []byte
	for _, slot := range s.dirty {
		e := &s.slots[slot]
		e.dirty = false
		v = binary.AppendUvarint(v[:0], 1)
		v = binary.BigEndian.AppendUint64(v, e.owner)
		v = binary.AppendVarint(v, int64(e.first))
		v = binary.AppendVarint(v, int64(e.last))
		v = binary.AppendVarint(v, int64(e.counted))
		v = binary.AppendUvarint(v, e.touch)
		v = binary.AppendUvarint(v, uint64(len(e.items)))
		for _, it := range e.items {
			v = binary.AppendUvarint(v, uint64(it)) //nolint:gosec // never negative
		}
		key = rowKey(key[:0], 's', slot)
		put(key, v)
	}
	s.dirty = s.dirty[:0]
}

// Load takes a row that Dirty gave. Sessions beyond MaxSessions are left out.
func (s *Sessions) Load(key, value []byte) error {
	kind, slot, err := parseKey(key)
	if err != nil {
		return err
	}
	if kind != 's' {
		return fmt.Errorf("sessions row %q: %w", kind, attune.ErrCorrupt)
	}
	e, err := s.decode(value)
	if err != nil || int(slot) >= s.maxSessions {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for int(slot) >= len(s.slots) {
		s.slots = append(s.slots, session{prev: -1, next: -1})
	}
	if s.slots[slot].touch != 0 {
		s.unindex(slot, s.slots[slot].order())
	}
	s.slots[slot] = e
	s.unlinked, s.touches = true, max(s.touches, e.touch)
	if now, ok := s.current[e.owner]; !ok || s.slots[now].touch < e.touch || s.slots[now].owner != e.owner {
		s.current[e.owner] = slot
	}
	for _, it := range e.items {
		s.items = max(s.items, it+1)
	}
	if !e.isIndexed() {
		return nil
	}
	s.indexed++
	for _, it := range e.items {
		p := s.posting(it)
		s.supports[it]++
		p.insert(entry{order: e.order(), slot: slot}, s.perItem)
	}
	return nil
}

func (s *Sessions) decode(value []byte) (session, error) {
	r := rowReader{b: value}
	e := session{prev: -1, next: -1}
	if r.uvarint() != 1 || len(r.b) < 8 {
		return e, fmt.Errorf("session row of %d bytes: %w", len(value), attune.ErrCorrupt)
	}
	e.owner, r.b = binary.BigEndian.Uint64(r.b), r.b[8:]
	e.first, e.last, e.counted, e.touch = attune.Millis(r.varint()), attune.Millis(r.varint()), attune.Millis(r.varint()), r.uvarint()
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return e, fmt.Errorf("session row of %d items in %d bytes: %w", n, len(r.b), attune.ErrCorrupt)
	}
	for range n {
		if it := r.item(); len(e.items) < s.maxItems && !slices.Contains(e.items, it) {
			e.items = append(e.items, it)
		}
	}
	return e, r.done("session row")
}
