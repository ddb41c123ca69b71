package model

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

const day attune.Millis = 24 * 3_600_000

func TestDecayedCountsEqualTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := 6 * time.Hour
		tr := newTrend(half, 5, func(item int32) int32 { return 1 + item%2 })
		base, now := attune.Millis(1_700_000_000_000), attune.Millis(0)
		want := map[int32]float64{}
		type seen struct {
			item   int32
			weight int64
			at     attune.Millis
		}
		var all []seen
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			s := seen{
				rapid.Int32Range(0, 9).Draw(t, "item"), rapid.SampledFrom([]int64{1, 3, 8}).Draw(t, "weight"),
				base + attune.Millis(rapid.IntRange(0, 3*86_400_000).Draw(t, "at")),
			}
			all = append(all, s)
			tr.add(s.item, s.weight, s.at)
			if rapid.Bool().Draw(t, "read") { // lists made on the way must not hide what comes
				now = max(now+1000, s.at)
				tr.Top(3, now)
			}
		}
		now = max(now, base+3*day) + 1000
		for _, s := range all {
			want[s.item] += float64(s.weight) * math.Exp2(-float64(now-s.at)/float64(half.Milliseconds()))
		}
		ranked := func(keep func(int32) bool) (items []int32) {
			for i := range want {
				if keep(i) {
					items = append(items, i)
				}
			}
			slices.SortFunc(items, func(a, b int32) int { return cmp.Or(cmp.Compare(want[b], want[a]), cmp.Compare(a, b)) })
			return items
		}
		near := func(got []Scored, order []int32, n int) {
			if len(got) != min(n, len(order)) {
				t.Fatalf("%d items, want %d", len(got), min(n, len(order)))
			}
			for i, g := range got {
				at := want[order[i]]
				if math.Abs(want[g.Item]-at) > 1e-3*at+1e-4 || math.Abs(float64(g.Score)-want[g.Item]) > 5e-3*at+1e-4 {
					t.Fatalf("place %d: item %d with %g, want %g, and %g at this place", i, g.Item, g.Score, want[g.Item], at)
				}
			}
		}
		tr.Refresh(now)
		near(tr.Top(5, now), ranked(func(int32) bool { return true }), 5)
		near(tr.TopIn(1, 1, now), ranked(func(i int32) bool { return i%2 == 0 }), 1)
		near(tr.TopIn(2, 1, now), ranked(func(i int32) bool { return i%2 == 1 }), 1)
	})
}

func TestListsFollowUndoAndCategory(t *testing.T) {
	category := map[int32]int32{1: 1, 2: 1, 3: 2}
	s := NewItems(ItemsOptions{Category: func(i int32) int32 { return category[i] }})
	see := func(item int32, n int, at attune.Millis, undo bool) {
		for range n {
			s.Observe(Observation{Signal: View, Item: item, At: at, Undo: undo})
		}
	}
	items := func(l []Scored) (out []int32) {
		for _, x := range l {
			out = append(out, x.Item)
		}
		return out
	}
	see(1, 5, day, false)
	see(2, 3, day, false)
	see(3, 4, day, false)
	if got := items(s.Popular.Top(10, day)); !slices.Equal(got, []int32{1, 3, 2}) {
		t.Errorf("top: %v", got)
	}
	see(1, 4, day, true)
	category[3] = 1
	if got := items(s.Popular.Top(10, day+70_000)); !slices.Equal(got, []int32{3, 2, 1}) {
		t.Errorf("top after an undo: %v", got)
	}
	if got := items(s.Popular.TopIn(1, 10, day+70_000)); !slices.Equal(got, []int32{3, 2, 1}) {
		t.Errorf("top of category 1 after a move: %v", got)
	}
	if got := s.Popular.TopIn(2, 10, day+70_000); len(got) != 0 {
		t.Errorf("top of an empty category: %v", got)
	}
	if got := s.Popular.Top(-1, day); len(got) != 0 {
		t.Errorf("a negative number: %v", got)
	}
}

func TestCountsRatesAndPlacementsSurviveInRows(t *testing.T) {
	s := NewItems(ItemsOptions{})
	observe := func(signal Signal, item int32, n int, placement string) {
		for range n {
			s.Observe(Observation{Signal: signal, Item: item, Units: 3, At: day, Placement: placement})
		}
	}
	observe(Impression, 1, 100, "home")
	observe(Click, 1, 10, "home")
	observe(Impression, 2, 100, "home")
	observe(Purchase, 2, 2, "")
	observe(Conversion, -1, 4, "home")
	s.Observe(Observation{Signal: 99, Item: 1})
	s.Observe(Observation{Signal: View, Item: -7})
	check := func(when string, s *Items) {
		t.Helper()
		// (10 + clicks) / (10·200/10 + 100)
		for item, want := range map[int32]float32{1: 20. / 300, 2: 10. / 300, 3: 10. / 200} {
			if got := s.Rate(item); math.Abs(float64(got-want)) > 1e-6 {
				t.Errorf("%s: rate of %d is %g, want %g", when, item, got, want)
			}
		}
		if got, want := s.Counts(2), (Counts{Purchases: 2, Units: 6, Impressions: 100}); got != want {
			t.Errorf("%s: counts %+v, want %+v", when, got, want)
		}
		if got, want := s.Placements(), []PlacementCounts{{"home", 200, 10, 4}}; !slices.Equal(got, want) {
			t.Errorf("%s: placements %v, want %v", when, got, want)
		}
		if p := s.Placements()[0]; p.CTR() != .05 || p.ConversionRate() != .02 {
			t.Errorf("%s: rates %g and %g", when, p.CTR(), p.ConversionRate())
		}
		if got := s.Popular.Score(2, day); math.Abs(float64(got)-16) > .02 { // moments are told in 1/1024 of the half-life
			t.Errorf("%s: popular %g, want 16", when, got)
		}
	}
	check("live", s)
	kept := rows{}
	s.Dirty(kept.put)
	again := NewItems(ItemsOptions{})
	kept.load(t, again.Load)
	check("restarted", again)
	s.Dirty(func(k, _ []byte) { t.Errorf("row %q is dirty though nothing happened", k) })
	if got := (PlacementCounts{}).CTR(); got != 0 {
		t.Errorf("rate of nothing: %g", got)
	}
}

func TestItemsManyReadersAndWriters(t *testing.T) {
	s := NewItems(ItemsOptions{Category: func(i int32) int32 { return 1 + i%3 }})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3000 {
				at := day + attune.Millis(i)*100
				s.Observe(Observation{Signal: Signal(i % 6), Item: int32(i % 200), At: at, Placement: "home"})
				s.Trending.Top(10, at)
				s.Popular.TopIn(1, 10, at)
				s.Rate(int32(i % 300))
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for i := range int32(200) {
		total += s.Counts(i).Views
	}
	if total != 2000 {
		t.Errorf("%d views, want 2000", total)
	}
}

func BenchmarkObserve(b *testing.B) {
	s := NewItems(ItemsOptions{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Observe(Observation{Signal: View, Item: int32(i * 7919 % 10_000), At: day + attune.Millis(i)})
		i++
	}
}

// BenchmarkTop reads popular lists over a million items while views come in.
func BenchmarkTop(b *testing.B) {
	s := NewItems(ItemsOptions{Category: func(i int32) int32 { return 1 + i%500 }})
	for i := range 1_000_000 {
		s.Observe(Observation{Signal: View, Item: int32(i), At: day})
	}
	s.Popular.Top(1, day)
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Popular.Top(100, day)
		}
	})
	b.Run("made anew after 1000 views", func(b *testing.B) {
		at := day
		for b.Loop() {
			at += 300
			for i := range 1000 {
				s.Popular.add(int32(i*7919%1_000_000), 1, at)
			}
			s.Popular.Top(100, at)
		}
	})
	b.Run("made anew from all", func(b *testing.B) {
		at := 2 * day
		for b.Loop() {
			at += 11_000
			s.Popular.add(1, -1, at)
			s.Popular.Top(100, at)
		}
	})
}
