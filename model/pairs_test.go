package model

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// direct ranks the neighbours of item by the definition over whole sets, which
// are sorted and distinct.
func direct(sets [][]int32, item int32, m Measure, n int) []Scored {
	support, both := make([]int, 5000), map[int32]int{}
	for _, s := range sets {
		_, has := slices.BinarySearch(s, item)
		for _, i := range s {
			support[i]++
			if has && i != item {
				both[i]++
			}
		}
	}
	type exact struct {
		item  int32
		score float64
	}
	var all []exact
	for i, c := range both {
		score := float64(c) / float64(support[i]+support[item]-c)
		if m == Lift {
			score = float64(len(sets)) * float64(c) / (float64(support[item]) * float64(support[i]))
		}
		all = append(all, exact{i, score})
	}
	slices.SortFunc(all, func(a, b exact) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.item, b.item)) })
	var out []Scored
	for _, e := range all[:min(n, len(all))] {
		out = append(out, Scored{e.item, float32(e.score)})
	}
	return out
}

func TestPairsEqualADirectComputation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, kept := NewPairs(PairsOptions{}), rows{}
		var sets [][]int32
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			set := rapid.SliceOfN(rapid.Int32Range(0, 20), 1, 8).Draw(t, "set")
			switch rapid.IntRange(0, 4).Draw(t, "how") {
			case 0: // a cancelled order
				if len(sets) > 0 {
					j := rapid.IntRange(0, len(sets)-1).Draw(t, "cancelled")
					p.Remove(sets[j])
					sets = slices.Delete(sets, j, j+1)
				}
			case 1: // a session, item by item
				var so []int32
				for _, item := range set {
					p.AddTo(so, item)
					if !slices.Contains(so, item) {
						so = append(so, item)
					}
				}
				slices.Sort(so)
				sets = append(sets, so)
			default:
				p.AddSet(set)
				sets = append(sets, slices.Compact(slices.Sorted(slices.Values(set))))
			}
			if i%6 == 5 { // a restart
				p.Dirty(kept.put)
				p = NewPairs(PairsOptions{})
				kept.load(t, p.Load)
			}
			item := rapid.Int32Range(0, 21).Draw(t, "item")
			m := rapid.SampledFrom([]Measure{Jaccard, Lift}).Draw(t, "measure")
			n := rapid.IntRange(1, 25).Draw(t, "n")
			if got, want := p.Neighbours(item, n, m, nil), direct(sets, item, m, n); !slices.Equal(got, want) {
				t.Fatalf("neighbours of %d by %d: got %v, want %v", item, m, got, want)
			}
			if p.Sets() != len(sets) {
				t.Fatalf("%d sets, want %d", p.Sets(), len(sets))
			}
		}
	})
}

func TestPairsDropTheLightestAndSaySo(t *testing.T) {
	p := NewPairs(PairsOptions{MaxNeighbours: 16})
	for n := int32(1); n <= 16; n++ {
		for range n {
			p.AddSet([]int32{0, n})
		}
	}
	if p.Approximate(0) {
		t.Error("approximate before the bound")
	}
	p.AddSet([]int32{0, 100})
	if !p.Approximate(0) || p.Count(0, 1) != 0 || p.Count(0, 2) != 0 || p.Count(0, 3) != 3 || p.Count(0, 100) != 1 {
		t.Errorf("approximate %t, counts %d %d %d %d, want the lightest two gone",
			p.Approximate(0), p.Count(0, 1), p.Count(0, 2), p.Count(0, 3), p.Count(0, 100))
	}
	big := make([]int32, 300)
	for i := range big {
		big[i] = int32(200 + i)
	}
	q := NewPairs(PairsOptions{MaxSet: 200})
	q.AddSet(big)
	if q.Cut() != 1 || q.Support(200+199) != 1 || q.Support(200+200) != 0 {
		t.Errorf("cut %d, supports %d %d", q.Cut(), q.Support(200+199), q.Support(200+200))
	}
}

func TestPairsCountPastSixteenBits(t *testing.T) {
	h := &hood{}
	h.add(7, 65_535, 100)
	h.add(8, 1, 100)
	h.add(7, 2, 100)
	if got, other := h.count(7), h.count(8); got != 65_537 || other != 1 {
		t.Errorf("got %d and %d, want 65537 and 1", got, other)
	}
	for i := range int32(50) {
		h.add(100+i, 1, 100)
	}
	if got := h.count(7); got != 65_537 {
		t.Errorf("after growing: %d", got)
	}
}

// slice is the part of Online Retail that the repository holds.
const slice = "../examples/shop/data/online-retail-slice.csv.gz"

// invoices are the baskets of an Online Retail file, cancellations too, with the
// numbers of stock codes in order of appearance.
func invoices(tb testing.TB, path string) (sets [][]int32, number map[string]int32) {
	tb.Helper()
	text := strings.Join(lines(tb, path), "\n")
	r := csv.NewReader(strings.NewReader(text))
	r.ReuseRecord = true
	number = map[string]int32{}
	at := map[string]int{}
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return sets, number
		}
		if err != nil {
			tb.Fatal(err)
		}
		if first {
			continue
		}
		code := strings.Clone(row[1])
		n, ok := number[code]
		if !ok {
			n = int32(len(number))
			number[code] = n
		}
		i, ok := at[row[0]]
		if !ok {
			i = len(sets)
			at[strings.Clone(row[0])] = i
			sets = append(sets, nil)
		}
		sets[i] = append(sets[i], n)
	}
}

// TestPairsOnOnlineRetail compares with a direct computation over the slice
// that the repository holds, always, and over the whole file when it is there.
func TestPairsOnOnlineRetail(t *testing.T) {
	t.Run("slice", func(t *testing.T) { pairsOnOnlineRetail(t, slice) })
	t.Run("whole", func(t *testing.T) {
		if testing.Short() {
			t.Skip("NOT TESTED in short mode: the whole of Online Retail; its slice is")
		}
		pairsOnOnlineRetail(t, outside(t, "online-retail/online_retail.csv.gz"))
	})
}

func pairsOnOnlineRetail(t *testing.T, path string) {
	t.Helper()
	sets, number := invoices(t, path)
	sets = sets[:min(len(sets), invoicesLimit)]
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	p := NewPairs(PairsOptions{})
	for _, s := range sets {
		p.AddSet(s)
	}
	t.Logf("%d invoices, %d items, %.1f MB", len(sets), len(number), float64(heap()-before)/1e6)
	for i, s := range sets {
		slices.Sort(s)
		sets[i] = slices.Compact(s)
	}
	for _, code := range []string{"85123A", "22423", "POST"} {
		item := number[code]
		for _, m := range []Measure{Jaccard, Lift} {
			if got, want := p.Neighbours(item, 50, m, nil), direct(sets, item, m, 50); !slices.Equal(got, want) {
				t.Errorf("%s by %d: got %v, want %v", code, m, got, want)
			}
		}
	}
	size, n := 0, 0
	p.Dirty(func(k, v []byte) { size, n = size+len(k)+len(v), n+1 })
	t.Logf("%d rows, %.1f MB", n, float64(size)/1e6)
}

func TestPairsManyReadersAndWriters(t *testing.T) {
	p := NewPairs(PairsOptions{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				a := int32((i*7 + w) % 40)
				p.AddSet([]int32{a, (a + 1) % 40, (a + 5) % 40})
				p.AddTo([]int32{a}, a+1)
				p.Neighbours(a, 10, Jaccard, nil)
				p.Neighbours(a, 10, Lift, nil)
			}
		})
	}
	wg.Wait()
	if got := p.Sets(); got != 2000 {
		t.Errorf("%d sets, want 2000", got)
	}
}

func FuzzLoad(f *testing.F) {
	add := func(k, v []byte) { f.Add(bytes.Clone(k), bytes.Clone(v)) }
	s, p, it := NewSessions(SessionsOptions{}), NewPairs(PairsOptions{}), NewItems(ItemsOptions{})
	s.Click(1, 2, 3)
	s.Click(1, 4, 5)
	p.AddSet([]int32{1, 2, 3})
	it.Observe(Observation{Signal: Purchase, Item: 3, At: 1 << 40, Placement: "home"})
	it.Observe(Observation{Signal: Click, Item: 3, At: 1 << 40, Placement: "home"})
	s.Dirty(add)
	p.Dirty(add)
	it.Dirty(add)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 5 && (key[1] != 0 || key[2] != 0) || len(value) > 1<<12 {
			t.Skip("numbers this high only cost memory")
		}
		s, p, it := NewSessions(SessionsOptions{}), NewPairs(PairsOptions{}), NewItems(ItemsOptions{})
		for _, load := range []func(k, v []byte) error{s.Load, p.Load, it.Load} {
			if err := load(key, value); err != nil && !errors.Is(err, attune.ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
		}
		if s.items > 1<<20 {
			t.Skip("a session of an item this high only costs memory")
		}
		var scratch Scratch
		s.Click(1, 3, 1000)
		s.Query(&Query{Items: []int32{1, 2, 3}}, &scratch, nil)
		p.AddSet([]int32{1, 2, 3})
		p.Neighbours(1, 5, Lift, nil)
		it.Observe(Observation{Signal: View, Item: 3, At: 1 << 41})
		it.Trending.Top(5, 1<<41)
		if r := it.Rate(3); math.IsNaN(float64(r)) {
			t.Fatal("the rate is not a number")
		}
	})
}

func TestDamagedRowsDoNotPanic(t *testing.T) {
	p := NewPairs(PairsOptions{}) // the row of item 1 came, that of its neighbour is lost
	row := []byte{1, 2, 0, 0x90, 0xa1, 0x0f, 3}
	if err := p.Load([]byte{'n', 0, 0, 0, 1}, row); err != nil {
		t.Fatal(err)
	}
	if got := p.Neighbours(1, 5, Jaccard, nil); len(got) != 1 {
		t.Errorf("got %v, want the one neighbour", got)
	}
	it := NewItems(ItemsOptions{})
	row = append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 2}, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 0) // a tile before the epoch
	if err := it.Load([]byte{'c', 0, 0, 0, 1}, row); !errors.Is(err, attune.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func BenchmarkPairsAddSet(b *testing.B) {
	sets, _ := invoices(b, slice)
	p := NewPairs(PairsOptions{})
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		p.AddSet(sets[n%len(sets)])
		n++
	}
}

func BenchmarkPairsNeighbours(b *testing.B) {
	sets, number := invoices(b, slice)
	p := NewPairs(PairsOptions{})
	for _, s := range sets {
		p.AddSet(s)
	}
	item := number["85123A"]
	dst := make([]Scored, 0, 100)
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = p.Neighbours(item, 100, Jaccard, dst[:0])
		}
	})
	b.Run("found out", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.items.at(item).hood.Load().change.Add(1)
			dst = p.Neighbours(item, 100, Jaccard, dst[:0])
		}
	})
}
