package journaltest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// trim: only a prefix goes, never past keep, and offsets do not start again.
func (k *kit) trim(t *testing.T) {
	t.Helper()
	j := k.open(t)
	defer func() { shut(t, j) }()
	n := j.Status().Partitions()
	ks := keys(n)
	for i := range 10 {
		for _, key := range ks {
			mustAppend(t, j, record(key, i))
		}
	}
	slow := mustRead(t, j, 0, 3)
	keep := make([]uint64, n)
	keep[0], keep[1] = 6, math.MaxUint64
	if err := j.Trim(patient(t), 2008, keep); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		s := j.Status()
		for p := range n {
			want := uint64(1)
			switch p {
			case 0:
				want = 7
			case 1:
				want = 9
			}
			if s.First[p] != want || s.Last[p] != 10 {
				t.Errorf("partition %d: %d to %d, want %d to 10", p, s.First[p], s.Last[p], want)
			}
			if got := drain(t, mustRead(t, j, p, 1), 1, 1)[0].Offset; got != want {
				t.Errorf("partition %d: a reader from 1 starts at %d, want %d", p, got, want)
			}
		}
	}
	check()
	if got := drain(t, slow, 1, 1)[0].Offset; got != 7 {
		t.Errorf("a reader on a dropped record goes on at %d, want 7", got)
	}
	j = k.reopen(t, j)
	check()
	for p := range keep {
		keep[p] = 10
	}
	if err := j.Trim(patient(t), 1<<40, keep); err != nil {
		t.Fatal(err)
	}
	j = k.reopen(t, j)
	s := j.Status()
	for p, key := range ks {
		if s.First[p] != 11 || s.Last[p] != 10 {
			t.Errorf("partition %d, all trimmed: %d to %d, want 11 to 10", p, s.First[p], s.Last[p])
		}
		rec := mustAppend(t, j, record(key, 99))
		equal(t, drain(t, mustRead(t, j, p, 1), 1, 5), rec)
		if rec[0].Offset != 11 {
			t.Errorf("partition %d: offset %d after all were trimmed, want 11", p, rec[0].Offset)
		}
	}
}

// machine walks a journal and a model of it side by side.
type machine struct {
	k     *kit
	t     *testing.T
	j     journal.Journal
	id    string
	first []uint64
	recs  [][]attune.Record // per partition, from offset 1
	open  []*follower
	n     int // records appended, to tell them apart
}

// follower is a reader that lives over many steps.
type follower struct {
	partition int
	next      uint64
	r         journal.Reader
}

// model: random appends, reads, trims and reopens against slices.
func (k *kit) model(t *testing.T) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{k: k, t: t, j: k.open(t)}
		defer func() { _ = m.j.Close() }()
		s := m.j.Status()
		m.id, m.first, m.recs = s.ID, s.First, make([][]attune.Record, s.Partitions())
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"read":   m.read,
			"follow": m.follow,
			"trim":   m.trim,
			"reopen": m.reopen,
			"":       m.check,
		})
	})
}

func (m *machine) append(t *rapid.T) {
	recs := make([]attune.Record, rapid.IntRange(0, 8).Draw(t, "records"))
	for i := range recs {
		m.n++
		recs[i] = record(fmt.Sprintf("a:%d", rapid.IntRange(0, 9).Draw(t, "key")), m.n)
		recs[i].ReceivedAt = attune.Millis(m.n + rapid.IntRange(-3, 3).Draw(t, "skew"))
		recs[i].Payload = append(recs[i].Payload, make([]byte, rapid.IntRange(0, 2000).Draw(t, "more"))...)
	}
	if err := m.j.Append(m.t.Context(), recs); err != nil {
		t.Fatalf("append: %v", err)
	}
	for _, rec := range recs {
		p := journal.Partition(rec.Key, len(m.recs))
		if want := uint64(len(m.recs[p]) + 1); rec.Offset != want {
			t.Fatalf("partition %d: offset %d, want %d", p, rec.Offset, want)
		}
		m.recs[p] = append(m.recs[p], rec)
	}
}

// compare reads n records from next and compares them with the model.
func (m *machine) compare(t *rapid.T, r journal.Reader, p int, next uint64, n, limit int) {
	got, err := take(m.t.Context(), r, n, limit)
	if err != nil {
		t.Fatalf("partition %d at %d: %v", p, next, err)
	}
	for i := range got {
		if want := &m.recs[p][next-1+uint64(i)]; !same(&got[i], want) {
			t.Fatalf("partition %d: got %s, want %s", p, show(&got[i]), show(want))
		}
	}
}

func (m *machine) read(t *rapid.T) {
	p := rapid.IntRange(0, len(m.recs)-1).Draw(t, "partition")
	last := uint64(len(m.recs[p]))
	from := rapid.Uint64Range(0, last+1).Draw(t, "from")
	r, err := m.j.Read(p, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	next := max(from, m.first[p])
	m.compare(t, r, p, next, int(last+1-min(next, last+1)), rapid.IntRange(1, 10).Draw(t, "limit")) //nolint:gosec // small
}

// follow opens a reader that stays, or moves one on.
func (m *machine) follow(t *rapid.T) {
	if len(m.open) < 3 {
		f := &follower{partition: rapid.IntRange(0, len(m.recs)-1).Draw(t, "partition"), next: 1}
		var err error
		if f.r, err = m.j.Read(f.partition, f.next); err != nil {
			t.Fatal(err)
		}
		m.open = append(m.open, f)
		return
	}
	f := m.open[rapid.IntRange(0, len(m.open)-1).Draw(t, "reader")]
	f.next = max(f.next, m.first[f.partition])
	there := uint64(len(m.recs[f.partition])) + 1 - f.next
	n := rapid.Uint64Range(0, there).Draw(t, "records")
	m.compare(t, f.r, f.partition, f.next, int(n), rapid.IntRange(1, 10).Draw(t, "limit")) //nolint:gosec // small
	f.next += n
}

func (m *machine) trim(t *rapid.T) {
	before := attune.Millis(rapid.IntRange(0, m.n).Draw(t, "before"))
	keep := make([]uint64, len(m.recs))
	for p := range keep {
		last := uint64(len(m.recs[p]))
		keep[p] = rapid.Uint64Range(0, last+2).Draw(t, "keep")
		for m.first[p] <= min(last, keep[p]) && m.recs[p][m.first[p]-1].ReceivedAt < before {
			m.first[p]++
		}
	}
	if err := m.j.Trim(m.t.Context(), before, keep); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) reopen(*rapid.T) {
	m.j = m.k.reopen(m.t, m.j)
	m.open = nil
}

func (m *machine) check(t *rapid.T) {
	s := m.j.Status()
	if s.ID != m.id || !slices.Equal(s.First, m.first) {
		t.Fatalf("journal %s from %v, want %s from %v", s.ID, s.First, m.id, m.first)
	}
	for p := range m.recs {
		if s.Last[p] != uint64(len(m.recs[p])) {
			t.Fatalf("partition %d: last %d, want %d", p, s.Last[p], len(m.recs[p]))
		}
	}
}
