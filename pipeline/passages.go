package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// Passage is a segment that somebody entered or left.
type Passage struct {
	Segment string
	Entered bool
	At      attune.Millis // the instant it was evaluated for
}

// Membership is a segment that somebody is in.
type Membership struct {
	Segment string
	Since   attune.Millis
}

// maxPassages bounds those that are remembered of a person, the newest.
const maxPassages = 64

// passageRow is what is remembered of a person.
type passageRow struct {
	since []Membership // by name
	past  []Passage    // oldest first
}

func (r *passageRow) add(p Passage) {
	i, in := slices.BinarySearchFunc(r.since, p.Segment, func(m Membership, name string) int { return strings.Compare(m.Segment, name) })
	switch {
	case p.Entered && !in:
		r.since = slices.Insert(r.since, i, Membership{Segment: p.Segment, Since: p.At})
	case !p.Entered && in:
		r.since = slices.Delete(r.since, i, i+1)
	}
	r.past = append(r.past, p)
	if n := len(r.past) - maxPassages; n > 0 {
		r.past = slices.Delete(r.past, 0, n)
	}
}

// passageFormat is the first byte of a row.
const passageFormat = 1

func (r *passageRow) encode() []byte {
	b := []byte{passageFormat}
	b = binary.AppendUvarint(b, uint64(len(r.since)))
	for _, m := range r.since {
		b = binary.AppendVarint(appendText(b, m.Segment), int64(m.Since))
	}
	for _, p := range r.past {
		b = append(appendText(b, p.Segment), flag(p.Entered))
		b = binary.AppendVarint(b, int64(p.At))
	}
	return b
}

func flag(set bool) byte { //nolint:revive // it is the value
	if set {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (r *passageRow) decode(b []byte) bool {
	d := reading{b: b}
	if d.byte() != passageFormat {
		return false
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		r.since = append(r.since, Membership{Segment: d.text(), Since: d.instant()})
	}
	for len(d.b) > 0 && !d.bad {
		r.past = append(r.past, Passage{Segment: d.text(), Entered: d.byte() == 1, At: d.instant()})
	}
	return !d.bad
}

// reading takes values off the front of b; bad once one is not there.
type reading struct {
	b   []byte
	bad bool
}

func (d *reading) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

func (d *reading) number() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *reading) instant() attune.Millis {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return attune.Millis(x)
}

func (d *reading) text() string {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// passages is the table of what people entered and left: rows read from the
// store when they are needed, the changed ones kept until a checkpoint has them.
type passages struct {
	store profile.Store

	mu      sync.Mutex
	changed map[string]*passageRow
	writing map[string]*passageRow // taken by a checkpoint, not committed yet
}

func (t *passages) init(s profile.Store) { t.store, t.changed = s, map[string]*passageRow{} }

// get returns user's row as it is; the caller does not change it.
func (t *passages) get(ctx context.Context, user string) (passageRow, error) {
	t.mu.Lock()
	row := t.changed[user]
	if row == nil {
		row = t.writing[user]
	}
	if row != nil {
		defer t.mu.Unlock()
		return *row, nil
	}
	t.mu.Unlock()
	b, err := t.store.Get(ctx, append([]byte(tablePassages), user...))
	if err != nil {
		return passageRow{}, fmt.Errorf("what %q entered and left: %w", user, err)
	}
	var out passageRow
	if b != nil && !out.decode(b) {
		return passageRow{}, fmt.Errorf("what %q entered and left: %w", user, attune.ErrCorrupt)
	}
	return out, nil
}

// add notes what user entered and left. Only one goroutine adds to a user's.
func (t *passages) add(ctx context.Context, user string, all []Passage) error {
	was, err := t.get(ctx, user)
	if err != nil {
		return err
	}
	row := &passageRow{since: slices.Clone(was.since), past: slices.Clone(was.past)}
	for _, p := range all {
		row.add(p)
	}
	t.mu.Lock()
	t.changed[strings.Clone(user)] = row
	t.mu.Unlock()
	return nil
}

func (t *passages) dirtyRows(put func(key, value []byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for user, row := range t.changed {
		put([]byte(user), row.encode())
	}
	if t.writing == nil {
		t.writing = map[string]*passageRow{}
	}
	// What a checkpoint that failed took is still not in the store.
	maps.Copy(t.writing, t.changed)
	t.changed = map[string]*passageRow{}
}

func (t *passages) committed() {
	t.mu.Lock()
	t.writing = nil
	t.mu.Unlock()
}

// Passages returns the segments that user is in by what the journal was told,
// by name, and what she entered and left, oldest first: the newest 64.
func (p *Pipeline) Passages(ctx context.Context, user string) ([]Membership, []Passage, error) {
	row, err := p.passages.get(ctx, user)
	return row.since, row.past, err
}
