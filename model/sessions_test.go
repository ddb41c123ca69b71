package model

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// click is one row of a click log.
type click struct {
	owner uint64
	item  int32
	at    attune.Millis
}

// serenade reads a file of the Serenade toy data in order of time, items as
// numbers of their own.
func serenade(tb testing.TB, name string) []click {
	tb.Helper()
	var out []click
	for i, line := range lines(tb, outside(tb, "serenade-toy/"+name)) {
		f := strings.Split(line, "\t")
		if i == 0 || len(f) != 3 {
			continue
		}
		owner, err1 := strconv.ParseUint(f[0], 10, 64)
		item, err2 := strconv.ParseInt(f[1], 10, 32)
		at, err3 := strconv.ParseFloat(f[2], 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			tb.Fatalf("%s:%d: %v", name, i+1, err)
		}
		out = append(out, click{owner, int32(item), attune.Millis(at * 1000)})
	}
	slices.SortStableFunc(out, func(a, b click) int { return cmp.Compare(a.at, b.at) })
	return out
}

// outside finds a file that is not in the repository: in the folder that
// ATTUNE_DATA names, else in shared/data beside the checkout. It skips when the
// file is not there.
func outside(tb testing.TB, name string) string {
	tb.Helper()
	const places = 6 // from a package up past the checkout
	var folders []string
	if dir := os.Getenv("ATTUNE_DATA"); dir != "" {
		folders = []string{dir}
	} else {
		for up := range places {
			folders = append(folders, strings.Repeat("../", up+1)+"shared/data")
		}
	}
	for _, dir := range folders {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	tb.Skipf("NOT TESTED: %s is not in %s; set ATTUNE_DATA to the folder that holds it", name, folders[min(1, len(folders)-1)])
	return ""
}

// lines reads a gzipped text file.
func lines(tb testing.TB, path string) []string {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	scan := bufio.NewScanner(z)
	for scan.Scan() {
		out = append(out, scan.Text())
	}
	if err := scan.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

// toySessions has no gap: a session of the data is a session.
func toySessions(tb testing.TB) *Sessions {
	tb.Helper()
	s := NewSessions(SessionsOptions{Gap: 1 << 60})
	for _, c := range serenade(tb, "train.txt.gz") {
		s.Click(c.owner, c.item, c.at)
	}
	return s
}

// toyQueries are the histories of the test sessions, newest first, and what
// came next.
func toyQueries(tb testing.TB) (histories [][]int32, next []int32) {
	tb.Helper()
	of := map[uint64][]int32{}
	var owners []uint64
	for _, c := range serenade(tb, "test.txt.gz") {
		if of[c.owner] == nil {
			owners = append(owners, c.owner)
		}
		of[c.owner] = append(of[c.owner], c.item)
	}
	for _, o := range owners {
		items := of[o]
		for t := 1; t < len(items); t++ {
			h := slices.Clone(items[:t])
			slices.Reverse(h)
			histories, next = append(histories, h), append(next, items[t])
		}
	}
	return histories, next
}

func TestSessionsOnSerenadeToy(t *testing.T) {
	s := toySessions(t)
	histories, next := toyQueries(t)
	var scratch Scratch
	var dst []Scored
	var mrr, hits float64
	for i, h := range histories {
		dst = s.Query(&Query{Items: h, L: 2, M: 500, K: 50, N: 20}, &scratch, dst[:0])
		if r := slices.IndexFunc(dst, func(x Scored) bool { return x.Item == next[i] }); r >= 0 {
			hits++
			mrr += 1 / float64(r+1)
		}
	}
	n := float64(len(next))
	t.Logf("%d sessions, %d predictions: MRR@20 %.4f, HR@20 %.4f", s.Len(), len(next), mrr/n, hits/n)
	if got, want := mrr/n, .3277; math.Abs(got-want) > .003 {
		t.Errorf("MRR@20 %.4f, want %.4f ± .003", got, want)
	}
	if got, want := hits/n, .6402; math.Abs(got-want) > .003 {
		t.Errorf("HR@20 %.4f, want %.4f ± .003", got, want)
	}
}

// batch is VMIS-kNN as the paper writes it: an index built from the whole log,
// maps, and a scan for the oldest instead of a heap.
type batch struct {
	sessions []batchSession
	postings map[int32][]int // newest first
	support  map[int32]int
}

type batchSession struct {
	owner uint64
	items []int32
	last  attune.Millis
	touch int // row of its newest click that counts
}

// newBatch splits a log at gaps and drops the longest untouched session when
// there are too many, like the index.
func newBatch(log []click, o SessionsOptions) *batch {
	var all []*batchSession
	current := map[uint64]*batchSession{}
	oldest := func(a, b *batchSession) int { return cmp.Compare(a.touch, b.touch) }
	for i, c := range log {
		e := current[c.owner]
		if e == nil || c.at > e.last+attune.Millis(o.Gap.Milliseconds()) {
			e = &batchSession{owner: c.owner}
			current[c.owner] = e
			if len(all) >= o.MaxSessions {
				slices.SortFunc(all, oldest)
				if current[all[0].owner] == all[0] {
					delete(current, all[0].owner)
				}
				all = all[1:]
			}
			all = append(all, e)
		}
		e.last = c.at
		if has := slices.Contains(e.items, c.item); has || len(e.items) < o.MaxItems {
			e.touch = i
			if !has {
				e.items = append(e.items, c.item)
			}
		}
	}
	slices.SortFunc(all, oldest)
	b := &batch{postings: map[int32][]int{}, support: map[int32]int{}}
	for _, e := range slices.Backward(all) { // newest first: the log is in order of time
		if len(e.items) < 2 {
			continue
		}
		for _, it := range e.items {
			b.support[it]++
			if len(b.postings[it]) < o.Postings {
				b.postings[it] = append(b.postings[it], len(b.sessions))
			}
		}
		b.sessions = append(b.sessions, *e)
	}
	return b
}

// query follows MODELS of the paper line by line. Sessions are numbered newest
// first, so a larger number is an older session.
func (b *batch) query(items []int32, l, m, k int) map[int32]float64 {
	items = items[:min(l, len(items))]
	distinct := map[int32]bool{}
	for _, it := range items {
		distinct[it] = true
	}
	r := map[int]float64{}
	oldest := func() int {
		o := -1
		for s := range r {
			o = max(o, s)
		}
		return o
	}
	for pos, it := range items {
		if slices.Contains(items[:pos], it) {
			continue
		}
		w := float64(len(items)-pos) / float64(len(distinct))
		for _, s := range b.postings[it] {
			if _, in := r[s]; in {
				r[s] += w
			} else if len(r) < m {
				r[s] = w
			} else if o := oldest(); s < o {
				delete(r, o)
				r[s] = w
			} else {
				break
			}
		}
	}
	var near []int
	for s := range r {
		near = append(near, s)
	}
	slices.SortFunc(near, func(x, y int) int { return cmp.Or(cmp.Compare(r[y], r[x]), cmp.Compare(x, y)) })
	scores := map[int32]float64{}
	for _, s := range near[:min(k, len(near))] {
		p := 1 + slices.IndexFunc(items, func(it int32) bool { return slices.Contains(b.sessions[s].items, it) })
		for _, y := range b.sessions[s].items {
			idf := math.Log(float64(len(b.sessions)) / float64(b.support[y]))
			scores[y] += max(0, 1-.1*float64(p)) * r[s] * idf
		}
	}
	delete(scores, items[0])
	return scores
}

// same reports a ranking that is not what scores say.
func same(t interface{ Fatalf(string, ...any) }, got []Scored, scores map[int32]float64, n int) {
	var want []float64
	for _, v := range scores {
		want = append(want, v)
	}
	slices.Sort(want)
	slices.Reverse(want)
	if len(got) != min(n, len(want)) {
		t.Fatalf("got %d items, want %d", len(got), min(n, len(want)))
	}
	for i, g := range got {
		own, ok := scores[g.Item]
		if !ok || math.Abs(own-float64(g.Score)) > 1e-4*(1+own) || math.Abs(want[i]-own) > 1e-4*(1+own) {
			t.Fatalf("place %d: item %d with %g, want its score %g, and at this place %g", i, g.Item, g.Score, own, want[i])
		}
		if i > 0 && !g.worse(got[i-1]) {
			t.Fatalf("place %d: %v before %v", i, got[i-1], g)
		}
	}
}

// TestSessionsEqualABatchOnRealLogs compares with the paper's algorithm over
// the invoices that the repository holds, always, and over the Serenade toy
// data when it is there.
func TestSessionsEqualABatchOnRealLogs(t *testing.T) {
	t.Run("slice", func(t *testing.T) {
		log, histories := bought(t)
		sessionsEqualABatch(t, log, histories[:300])
	})
	t.Run("serenade", func(t *testing.T) {
		histories, _ := toyQueries(t)
		sessionsEqualABatch(t, serenade(t, "train.txt.gz"), histories[:300])
	})
}

func sessionsEqualABatch(t *testing.T, log []click, histories [][]int32) {
	t.Helper()
	o := SessionsOptions{MaxSessions: 1 << 30, MaxItems: 64, Postings: 500, Gap: 1 << 60}
	s := NewSessions(o)
	for _, c := range log {
		s.Click(c.owner, c.item, c.at)
	}
	b := newBatch(log, o)
	var scratch Scratch
	for _, h := range histories {
		for l := 2; l <= 4; l++ { // one to three postings, and more
			got := s.Query(&Query{Items: h, L: l, M: 300, K: 50, N: 20}, &scratch, nil)
			same(t, got, b.query(h, l, 300, 50), 20)
			for _, n := range []int{20, 2000} {
				q := Query{Items: h, L: l, M: 300, K: 50, N: n, Shared: true}
				want := s.Query(&q, &scratch, nil)
				q.Unsorted = true
				got := s.Query(&q, &scratch, nil)
				slices.SortFunc(got, func(a, b Scored) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item)) })
				if !slices.Equal(got, want) {
					t.Fatalf("unsorted %v, want %v in any order", got, want)
				}
			}
		}
	}
}

// bought is the slice of Online Retail as a click log, a session an invoice
// and a second a line, and what the last invoices hold, newest first.
func bought(tb testing.TB) (log []click, histories [][]int32) {
	tb.Helper()
	sets, _ := invoices(tb, slice)
	for owner, set := range sets {
		for _, item := range set {
			log = append(log, click{uint64(owner), item, attune.Millis(1_300_000_000_000 + 1000*len(log))})
		}
	}
	for _, set := range slices.Backward(sets) {
		histories = append(histories, set[:min(len(set), 6)])
	}
	return log, histories
}

// drawLog is a click log in order of time: few people, few items, some pauses.
func drawLog(t *rapid.T) []click {
	var log []click
	at := attune.Millis(1_600_000_000_000)
	for range rapid.IntRange(1, 200).Draw(t, "clicks") {
		at += attune.Millis(rapid.SampledFrom([]int{0, 1, 1000, 60_000, 700_000}).Draw(t, "pause"))
		log = append(log, click{
			owner: rapid.Uint64Range(1, 12).Draw(t, "owner"), item: rapid.Int32Range(0, 15).Draw(t, "item"), at: at,
		})
	}
	return log
}

func drawOptions(t *rapid.T) SessionsOptions {
	return SessionsOptions{
		MaxSessions: rapid.IntRange(2, 40).Draw(t, "max sessions"), MaxItems: rapid.IntRange(2, 8).Draw(t, "max items"),
		Postings: rapid.IntRange(1, 12).Draw(t, "postings"), Gap: 1_800_000_000_000,
	}
}

func TestSessionsEqualABatchOnRandomLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, log := drawOptions(t), drawLog(t)
		s := NewSessions(o)
		for _, c := range log {
			s.Click(c.owner, c.item, c.at)
		}
		b := newBatch(log, o)
		if s.Len() != len(b.sessions) {
			t.Fatalf("%d sessions, want %d", s.Len(), len(b.sessions))
		}
		var scratch Scratch
		for range 5 {
			h := rapid.SliceOfN(rapid.Int32Range(0, 17), 1, 5).Draw(t, "history")
			l, k := rapid.IntRange(1, 5).Draw(t, "l"), rapid.IntRange(1, 10).Draw(t, "k")
			m := rapid.IntRange(1, o.Postings).Draw(t, "m")
			got := s.Query(&Query{Items: h, L: l, M: m, K: k, N: 6}, &scratch, nil)
			same(t, got, b.query(h, l, m, k), 6)
		}
	})
}

// rows keeps what Dirty gives.
type rows map[string][]byte

func (r rows) put(key, value []byte) { r[string(key)] = bytes.Clone(value) }

// load gives every row to load, in an order that is not that of writing.
func (r rows) load(t interface{ Fatalf(string, ...any) }, load func(key, value []byte) error) {
	var keys []string
	for k := range r {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(attune.Hash(a), attune.Hash(b)) })
	for _, k := range keys {
		if err := load([]byte(k), r[k]); err != nil {
			t.Fatalf("load %q: %v", k, err)
		}
	}
}

func TestSessionsSurviveInRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, log := drawOptions(t), drawLog(t)
		s, kept := NewSessions(o), rows{}
		half := rapid.IntRange(0, len(log)).Draw(t, "restart after")
		for i, c := range log[:half] {
			s.Click(c.owner, c.item, c.at)
			if i%7 == 0 {
				s.Dirty(kept.put)
			}
		}
		s.Dirty(kept.put)
		again := NewSessions(o)
		kept.load(t, again.Load)
		for _, c := range log[half:] {
			s.Click(c.owner, c.item, c.at)
			again.Click(c.owner, c.item, c.at)
		}
		var x, y Scratch
		for item := range int32(16) {
			q := &Query{Items: []int32{item, (item + 5) % 16}}
			got, want := again.Query(q, &y, nil), s.Query(q, &x, nil)
			if !slices.Equal(got, want) {
				t.Fatalf("item %d after a restart: %v, want %v", item, got, want)
			}
		}
	})
}

func TestSessionsOwnSessionAndCurrentItem(t *testing.T) {
	s := NewSessions(SessionsOptions{})
	for _, c := range []click{{1, 10, 1}, {1, 11, 2}, {2, 10, 3}, {2, 12, 4}, {3, 13, 5}, {3, 14, 6}} {
		s.Click(c.owner, c.item, c.at)
	}
	items := func(q Query) []int32 {
		var scratch Scratch
		var out []int32
		for _, x := range s.Query(&q, &scratch, nil) {
			out = append(out, x.Item)
		}
		slices.Sort(out)
		return out
	}
	for _, c := range []struct {
		name string
		q    Query
		want []int32
	}{
		{"a stranger sees both neighbours", Query{Items: []int32{10}}, []int32{11, 12}},
		{"her own session is no neighbour", Query{Items: []int32{10}, Owner: 1}, []int32{12}},
		{"the current item on request", Query{Items: []int32{10}, KeepCurrent: true}, []int32{10, 11, 12}},
		{"skipped", Query{Items: []int32{10}, Skip: func(i int32) bool { return i == 11 }}, []int32{12}},
		{"an item nobody saw", Query{Items: []int32{99}}, nil},
		{"no items", Query{}, nil},
	} {
		if got := items(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSessionsManyReadersAndWriters(t *testing.T) {
	s := NewSessions(SessionsOptions{MaxSessions: 50, Postings: 20, MaxItems: 6})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 2000 {
				s.Click(uint64(w*100+i%40), int32(i*7%30), attune.Millis(i)*1000)
			}
		})
		wg.Go(func() {
			var scratch Scratch
			var dst []Scored
			for i := range 2000 {
				dst = s.Query(&Query{Items: []int32{int32(i % 30), int32(i % 7)}, N: 5}, &scratch, dst[:0])
				if len(dst) > 5 {
					t.Errorf("%d items, want at most 5", len(dst))
				}
			}
		})
	}
	wg.Wait()
	if got := s.Len(); got > 50 {
		t.Errorf("%d sessions, want at most 50", got)
	}
}

func TestJoinSaysWhatTheSessionHad(t *testing.T) {
	s := NewSessions(SessionsOptions{MaxItems: 3})
	for i, x := range []struct {
		item   int32
		at     attune.Millis
		before []int32
		fresh  bool
	}{
		{5, 1, nil, true},
		{6, 2, []int32{5}, true},
		{5, 3, []int32{5, 6}, false},
		{7, 4, []int32{5, 6}, true},
		{8, 5, nil, false},        // past the bound: not counted
		{8, 4_000_000, nil, true}, // another session
		{-1, 4_000_001, nil, false},
	} {
		before, fresh := s.Join(1, x.item, x.at, []int32{})
		if !slices.Equal(before, x.before) || fresh != x.fresh {
			t.Errorf("click %d: before %v, fresh %t, want %v, %t", i, before, fresh, x.before, x.fresh)
		}
	}
}

func TestSessionsQueryDoesNotAllocate(t *testing.T) {
	s := NewSessions(SessionsOptions{})
	for i := range 200 {
		s.Click(uint64(i/4), int32(i*7%30), attune.Millis(i)*1000)
	}
	var scratch Scratch
	q := &Query{Items: []int32{1, 8, 15}}
	dst := s.Query(q, &scratch, nil)
	if got := testing.AllocsPerRun(100, func() { dst = s.Query(q, &scratch, dst[:0]) }); got != 0 || len(dst) == 0 {
		t.Errorf("%g allocations for %d items, want none", got, len(dst))
	}
}

func BenchmarkSessionsQuery(b *testing.B) {
	s := toySessions(b)
	histories, _ := toyQueries(b)
	var scratch Scratch
	dst := make([]Scored, 0, 21)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		dst = s.Query(&Query{Items: histories[i%len(histories)], L: 2, M: 500, K: 50}, &scratch, dst[:0])
		i++
	}
}

// BenchmarkSessionsQuantiles times every query of the toy test by itself.
func BenchmarkSessionsQuantiles(b *testing.B) {
	s := toySessions(b)
	histories, _ := toyQueries(b)
	var scratch Scratch
	dst := make([]Scored, 0, 21)
	var took []float64
	for b.Loop() {
		for _, h := range histories {
			start := nanos()
			dst = s.Query(&Query{Items: h, L: 2, M: 500, K: 50}, &scratch, dst[:0])
			took = append(took, float64(nanos()-start)/1000)
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-µs")
	b.ReportMetric(took[len(took)*9/10], "p90-µs")
	b.ReportMetric(took[len(took)*99/100], "p99-µs")
}

func BenchmarkSessionsClick(b *testing.B) {
	s := toySessions(b)
	log := serenade(b, "train.txt.gz")
	shift := log[len(log)-1].at - log[0].at + 3_600_000
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c := log[i%len(log)]
		s.Click(c.owner, c.item, c.at+shift*attune.Millis(1+i/len(log)))
		i++
	}
}

// nanos is the clock of benchmarks.
func nanos() int64 { return time.Now().UnixNano() }

// TestSharedTellsNobodysSession: an item that one owner alone looked at is not
// told to whoever put a bait into her session; what two looked at is.
func TestSharedTellsNobodysSession(t *testing.T) {
	const secret, common, bait = 1, 2, 3
	s := NewSessions(SessionsOptions{})
	for i, click := range []struct {
		owner uint64
		item  int32
	}{{10, secret}, {10, common}, {10, bait}, {11, common}, {11, bait}} {
		s.Click(click.owner, click.item, attune.Millis(1000*i))
	}
	for shared, want := range map[bool][]int32{true: {common}, false: {common, secret}} {
		var got []int32
		for _, x := range s.Query(&Query{Items: []int32{bait}, Shared: shared}, &Scratch{}, nil) {
			got = append(got, x.Item)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("shared %v: got %v, want %v", shared, got, want)
		}
	}
}
