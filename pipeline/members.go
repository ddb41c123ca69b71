package pipeline

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/segment"
)

// member is which segments a user was in when her worker last looked.
type member struct {
	segments []string      // sorted
	next     attune.Millis // when time alone may change that; 0 is never
	by       *segment.Set  // what they were evaluated with; nil is not known
}

// members keeps the memberships of users. A user's is written by the worker of
// her partition alone; a part of hers on another partition reaches that worker
// as a touch record. Transitions and touches are outputs: they wait in outbox
// until the journal has them, and a checkpoint waits for that.
//
// What was published is what the journal says: after a crash the transitions
// that are journaled behind the checkpoint are taken as they are, and only then
// is anybody evaluated again. So a crash repeats none and loses none.
type members struct {
	opt  *Options
	tick time.Duration
	// published is, per partition, where the records of earlier processes end.
	published []uint64

	passages *passages

	mu        sync.Mutex
	of        map[string]*member
	audiences map[string]*audience
	dirty     map[string]bool
	due       []dueHeap // one a partition
	outbox    []attune.Record
	touch     map[string]*reason // users to touch, coalesced
	wake      chan struct{}      // one token: outbox or touch has something; never closed
	send      sync.Mutex         // one flush at a time, so that transitions keep their order
}

// maxOutbox bounds what waits for the journal. Past it a worker waits too,
// which is what back-pressure is.
const maxOutbox = 10_000

func (m *members) init(opt *Options, last []uint64) {
	m.opt, m.tick, m.published = opt, opt.Tick, last
	if opt.Replay {
		m.published = make([]uint64, len(last))
	}
	if m.tick <= 0 {
		m.tick = 10 * time.Second
	}
	m.of, m.dirty, m.audiences = map[string]*member{}, map[string]bool{}, map[string]*audience{}
	m.touch, m.wake = map[string]*reason{}, make(chan struct{}, 1)
	m.due = make([]dueHeap, len(last))
}

func (m *members) definitions() *segment.Set {
	if m.opt.Segments == nil {
		return nil
	}
	return m.opt.Segments()
}

// none reports whether there is no segment, so that there is nothing to do.
func (m *members) none() bool { return len(m.definitions().Definitions()) == 0 }

// later notes that the worker of user's partition is to look at her again. It
// is journaled by the next checkpoint, or once signal says that it is urgent.
func (m *members) later(user string, why *reason) {
	m.mu.Lock()
	m.asked(user, why)
	m.mu.Unlock()
}

// asked adds a reason to touch user; m.mu is held.
func (m *members) asked(user string, why *reason) {
	of := m.touch[user]
	if of == nil {
		of = &reason{}
		m.touch[user] = of
	}
	of.add(why)
}

func (m *members) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// cause is the record that makes somebody's segments be looked at, and why.
type cause struct {
	journal.Position
	*reason
}

// transitionID is what attune.Transition says of its ID.
func transitionID(t attune.Transition, c cause) string {
	return fmt.Sprintf("%016x", attune.Hash(fmt.Sprintf("%q %q %t %d %d", t.UserID, t.Segment, t.Entered, c.Partition, c.Offset)))
}

// look evaluates the segments of user because of c, and keeps what changed.
// Only the worker of the user's partition calls it.
func (m *members) look(ctx context.Context, user string, c cause) error {
	set := m.definitions()
	person, err := m.opt.People.User(ctx, user)
	if err != nil {
		return fmt.Errorf("segments of %q: %w", user, err)
	}
	m.mu.Lock()
	was := member{}
	if of := m.of[user]; of != nil {
		was = *of
	}
	m.mu.Unlock() // nobody else writes to hers
	change := m.changeOf(set, &was, person, c.reason)
	now, _ := set.Update(person, c.at, was.segments, &change)
	next := set.NextChange(person, c.at, was.next, &change)
	moved := segment.Diff(user, was.segments, now)
	if err := m.remember(ctx, user, moved, c.at); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if next != 0 && next != was.next {
		heap.Push(&m.due[c.Partition], due{at: next, user: user})
	}
	if next == was.next && len(moved) == 0 {
		if was.by != set {
			m.keep(user, &member{segments: was.segments, next: next, by: set})
		}
		return nil
	}
	for _, t := range moved {
		m.passed(user, Passage{Segment: t.Segment, Entered: t.Entered, At: c.at})
		t.ID = transitionID(t, c)
		if payload, err := json.Marshal(t); err == nil && !m.opt.Replay {
			m.outbox = append(m.outbox, attune.Record{
				Kind: attune.KindTransition, Key: identity.UserKey(user), Time: c.at, ReceivedAt: m.opt.Now(), Payload: payload,
			})
		}
	}
	m.set(user, &member{segments: now, next: next, by: set})
	m.signal()
	return nil
}

// remember notes what user entered and left at an instant.
func (m *members) remember(ctx context.Context, user string, moved []attune.Transition, at attune.Millis) error {
	if len(moved) == 0 {
		return nil
	}
	all := make([]Passage, len(moved))
	for i, t := range moved {
		all[i] = Passage{Segment: t.Segment, Entered: t.Entered, At: at}
	}
	return m.passages.add(ctx, user, all)
}

// take notes a transition that is in the journal.
//
// The checkpoint may know it already, and those behind it too: then the
// membership goes through the same changes again, and nothing is counted twice.
func (m *members) take(ctx context.Context, t attune.Transition, at attune.Millis) error {
	passage := Passage{Segment: t.Segment, Entered: t.Entered, At: at}
	row, err := m.passages.get(ctx, t.UserID)
	if err != nil {
		return err
	}
	known := slices.Contains(row.past, passage)
	m.mu.Lock()
	now := &member{} // by is nil: she is evaluated whole when she is looked at
	if was := m.of[t.UserID]; was != nil {
		*now = member{segments: slices.Clone(was.segments), next: was.next}
	}
	i, in := slices.BinarySearch(now.segments, t.Segment)
	switch {
	case in == t.Entered: // it is there twice
	case t.Entered:
		now.segments = slices.Insert(now.segments, i, t.Segment)
	default:
		now.segments = slices.Delete(now.segments, i, i+1)
	}
	switch {
	case in == t.Entered:
	case known:
		m.audience(t.Segment).count(t.Entered)
	default:
		m.passed(t.UserID, passage)
	}
	m.set(t.UserID, now)
	m.mu.Unlock()
	if in == t.Entered || known {
		return nil
	}
	return m.remember(ctx, t.UserID, []attune.Transition{t}, at)
}

// set keeps user's membership, and notes that it is to be saved. m.mu is held.
func (m *members) set(user string, now *member) {
	m.dirty[user] = true
	m.keep(user, now)
}

// keep keeps user's membership, or forgets it when there is nothing to keep:
// that she is in none of many segments is worth knowing. m.mu is held.
func (m *members) keep(user string, now *member) {
	if now.none() && now.by.Small() {
		delete(m.of, user)
		return
	}
	m.of[user] = now
}

// none reports whether she is in no segment, and never will be by time alone.
func (m *member) none() bool { return len(m.segments) == 0 && m.next == 0 }

// expired returns the users of partition whose windows may have moved by at.
func (m *members) expired(partition int, at attune.Millis) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &m.due[partition]
	var users []string
	for h.Len() > 0 && (*h)[0].at <= at {
		d := heap.Pop(h).(due) //nolint:forcetypeassert // the heap holds nothing else
		if now := m.of[d.user]; now != nil && now.next == d.at {
			now.next = 0 // so that look puts the next one in
			m.dirty[d.user] = true
			users = append(users, d.user)
		}
	}
	return users
}

// run sends what waits in the outbox, and asks for a look at the people whose
// windows expire: as tick records, so that it is in the journal who left when.
func (m *members) run(ctx context.Context) error {
	ticker := time.NewTicker(m.tick)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
			err = m.flush(ctx)
		case <-ticker.C:
			err = m.sendTicks(ctx)
		}
		if errors.Is(err, attune.ErrBusy) {
			m.opt.Log.Warn("the journal is busy; segment changes wait", slog.Any("error", err))
			m.signal()
			rest(ctx)
			continue
		}
		if err != nil {
			return quiet(err)
		}
	}
}

func (m *members) sendTicks(ctx context.Context) error {
	if m.opt.Replay {
		return nil
	}
	now := m.opt.Now()
	var ticks []attune.Record
	m.mu.Lock()
	for partition := range m.due {
		if h := m.due[partition]; h.Len() > 0 && h[0].at <= now {
			ticks = append(ticks, attune.Record{Kind: attune.KindTick, Key: tickKey(partition, len(m.due)), Time: now, ReceivedAt: now})
		}
	}
	m.mu.Unlock()
	return m.opt.Journal.Append(ctx, ticks)
}

// tickKey returns a t: key that is routed to partition.
func tickKey(partition, partitions int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprintf("t:%d.%d", partition, i); journal.Partition(key, partitions) == partition {
			return key
		}
	}
}

// flush journals what waits. On an error everything still waits.
func (m *members) flush(ctx context.Context) error {
	m.send.Lock()
	defer m.send.Unlock()
	m.mu.Lock()
	recs := m.outbox
	m.outbox = nil
	touched := m.touch
	m.touch = map[string]*reason{}
	m.mu.Unlock()
	if m.opt.Replay {
		return nil
	}
	said := len(recs)
	for user, why := range touched {
		recs = append(recs, attune.Record{Kind: attune.KindTouch, Key: identity.UserKey(user), Time: why.at, ReceivedAt: why.at, Payload: why.payload()})
	}
	if len(recs) == 0 {
		return nil
	}
	slices.SortFunc(recs[said:], func(a, b attune.Record) int { return strings.Compare(a.Key, b.Key) })
	if err := m.opt.Journal.Append(ctx, recs); err != nil {
		m.mu.Lock()
		m.outbox = append(recs[:said:said], m.outbox...)
		for user, why := range touched {
			m.asked(user, why)
		}
		m.mu.Unlock()
		return fmt.Errorf("journal segment changes: %w", err)
	}
	return nil
}

// room returns once the outbox has room, or the journal's or ctx's error.
func (m *members) room(ctx context.Context) error {
	for {
		m.mu.Lock()
		full := len(m.outbox)+len(m.touch) > maxOutbox
		m.mu.Unlock()
		if !full {
			return nil
		}
		if err := m.flush(ctx); errors.Is(err, attune.ErrBusy) {
			rest(ctx)
		} else if err != nil {
			return err
		}
	}
}

// rest gives a busy journal a moment.
func rest(ctx context.Context) {
	pause := time.NewTimer(50 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

func (m *members) dirtyRows(put func(key, value []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for user := range m.dirty {
		if m.of[user] == nil || m.of[user].none() {
			put([]byte(user), nil)
			continue
		}
		b := binary.AppendVarint(nil, int64(m.of[user].next))
		for _, s := range m.of[user].segments {
			b = append(append(b, s...), 0)
		}
		put([]byte(user), b)
	}
	clear(m.dirty)
}

func (m *members) load(key, value []byte) error {
	next, n := binary.Varint(value)
	if n <= 0 {
		return fmt.Errorf("segments of %q: %w", key, attune.ErrCorrupt)
	}
	user := string(key)
	row := &member{next: attune.Millis(next)}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(value[n:], []byte{0}), []byte{0}) {
		if len(name) > 0 {
			row.segments = append(row.segments, string(name))
			m.audience(string(name)).size++
		}
	}
	m.of[user] = row
	if next != 0 {
		heap.Push(&m.due[journal.Partition(identity.UserKey(user), len(m.due))], due{at: row.next, user: user})
	}
	return nil
}

// due is a user to look at again.
type due struct {
	at   attune.Millis
	user string
}

// dueHeap is a min-heap by time. An entry whose user has another next time by
// now is stale and dropped when it comes up.
type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *dueHeap) Push(x any) { *h = append(*h, x.(due)) } //nolint:forcetypeassert // only dues are pushed

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
