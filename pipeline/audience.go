package pipeline

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/attune-io/attune"
)

// Audience is who is in a segment, as workers last saw it.
type Audience struct {
	Size int
	// Sample are some of them: those who entered last come first.
	Sample []string
	// Hours are the hours in which it changed, oldest first: the newest 168.
	Hours []Hour
}

// Hour is what became of a segment in an hour.
type Hour struct {
	At            attune.Millis // its beginning
	Size          int           // at its end
	Entered, Left int
}

const (
	hourMillis = attune.Millis(3_600_000)
	maxHours   = 168
	maxNewest  = 128 // of those who entered last
	maxScanned = 10_000
)

// audience is the state of a segment beside the memberships themselves.
type audience struct {
	size   int
	hours  []Hour
	newest []string // newest last; some have left since
	dirty  bool     // hours
}

// audience returns the one called name, making it; m.mu is held.
func (m *members) audience(name string) *audience {
	a := m.audiences[name]
	if a == nil {
		a = &audience{}
		m.audiences[name] = a
	}
	return a
}

// count follows one who entered or left.
func (a *audience) count(entered bool) { //nolint:revive // which of the two
	if entered {
		a.size++
	} else {
		a.size--
	}
}

// passed counts that user entered or left; m.mu is held.
func (m *members) passed(user string, p Passage) {
	a := m.audience(p.Segment)
	at := max(0, p.At-p.At%hourMillis)
	if n := len(a.hours); n == 0 || a.hours[n-1].At < at {
		a.hours = append(a.hours, Hour{At: at})
		if len(a.hours) > maxHours {
			a.hours = slices.Delete(a.hours, 0, len(a.hours)-maxHours)
		}
	}
	h := &a.hours[len(a.hours)-1]
	a.count(p.Entered)
	if p.Entered {
		h.Entered++
		if len(a.newest) >= maxNewest {
			a.newest = slices.Delete(a.newest, 0, maxNewest/2)
		}
		a.newest = append(a.newest, user)
	} else {
		h.Left++
	}
	h.Size, a.dirty = a.size, true
}

// Audience returns who is in the segment called name, with at most sample of
// them.
func (p *Pipeline) Audience(name string, sample int) Audience {
	m := &p.seg
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.audiences[name]
	if a == nil {
		return Audience{}
	}
	out := Audience{Size: a.size, Hours: slices.Clone(a.hours)}
	seen := map[string]bool{}
	take := func(user string) {
		if of := m.of[user]; of != nil && !seen[user] {
			if _, in := slices.BinarySearch(of.segments, name); in {
				seen[user] = true
				out.Sample = append(out.Sample, user)
			}
		}
	}
	for i := len(a.newest) - 1; i >= 0 && len(out.Sample) < sample; i-- {
		take(a.newest[i])
	}
	looked := 0
	for user := range m.of {
		if len(out.Sample) >= min(sample, a.size) || looked >= maxScanned {
			break
		}
		take(user)
		looked++
	}
	return out
}

// Members returns how many users are in each segment, as their workers last
// saw it.
func (p *Pipeline) Members() map[string]int {
	p.seg.mu.Lock()
	defer p.seg.mu.Unlock()
	n := map[string]int{}
	for name, a := range p.seg.audiences {
		if a.size > 0 {
			n[name] = a.size
		}
	}
	return n
}

// audienceFormat is the first byte of a row of hours.
const audienceFormat = 1

func (m *members) dirtyAudiences(put func(key, value []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, a := range m.audiences {
		if !a.dirty {
			continue
		}
		b := []byte{audienceFormat}
		for _, h := range a.hours {
			b = binary.AppendVarint(b, int64(h.At))
			for _, n := range [...]int{h.Size, h.Entered, h.Left} {
				b = binary.AppendVarint(b, int64(n))
			}
		}
		put([]byte(name), b)
		a.dirty = false
	}
}

func (m *members) loadAudience(key, value []byte) error {
	d := reading{b: value}
	if d.byte() != audienceFormat {
		d.bad = true
	}
	a := m.audience(string(key))
	for len(d.b) > 0 && !d.bad {
		a.hours = append(a.hours, Hour{At: d.instant(), Size: int(d.instant()), Entered: int(d.instant()), Left: int(d.instant())})
	}
	if d.bad {
		return fmt.Errorf("hours of segment %q: %w", key, attune.ErrCorrupt)
	}
	return nil
}
