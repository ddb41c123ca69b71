package console_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/console"
)

// TestMeterLosesNothing: what many goroutines count in parallel is in the
// totals, and the points of the seconds add up to them.
func TestMeterLosesNothing(t *testing.T) {
	m := console.NewMeter()
	ctx, cancel := context.WithCancel(t.Context())
	var clock atomic.Int64
	done := make(chan error, 1)
	go func() {
		done <- m.Run(ctx, func() attune.Millis { return attune.Millis(clock.Add(1000)) }, func() uint64 { return 7 })
	}()
	time.Sleep(10 * time.Millisecond) // Run takes its first look
	const workers, rounds = 4, 5000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				m.Accepted(2)
				m.Rejected(1, 1)
				m.Folded(3 * time.Millisecond)
				m.Decided("home", "", 200*time.Microsecond)
				m.Decided("home", "trending", 900*time.Microsecond)
			}
		})
	}
	wg.Wait()
	var points []console.Point
	for len(points) == 0 || points[len(points)-1].Accepted != 0 {
		time.Sleep(50 * time.Millisecond)
		points = m.Points(0)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	totals := m.Totals()
	if got, want := totals.Decisions["home"], uint64(2*workers*rounds); got != want {
		t.Errorf("%d decisions, want %d", got, want)
	}
	var sum console.Point
	for _, p := range points {
		sum.Accepted += p.Accepted
		sum.Rejected += p.Rejected
		sum.Folded += p.Folded
		sum.Decisions += p.Decisions
		if p.Lag != 7 {
			t.Errorf("lag %d, want 7", p.Lag)
		}
	}
	if sum.Accepted != totals.Accepted || sum.Accepted != 2*workers*rounds || sum.Rejected != workers*rounds || sum.Folded != totals.Folded || sum.Decisions != totals.Decisions["home"] {
		t.Errorf("the points add up to %+v, the totals are %+v", sum, totals)
	}
	p := points[0]
	if p.Decide50 == nil || p.Reflect50 == nil || p.Fallbacks["trending"] == 0 {
		t.Fatalf("the first second is %+v, want quantiles and a fallback", p)
	}
	near := func(name string, got, want float64) {
		if got < want*0.93 || got > want*1.07 {
			t.Errorf("%s is %v ms, want %v within 7 %%", name, got, want)
		}
	}
	near("decide p99", *p.Decide99, 0.9)
	near("reflect p50", *p.Reflect50, 3)
	if got := m.Points(points[len(points)-1].At); len(got) > 1 {
		t.Errorf("%d points after the last one known", len(got))
	}
}

func BenchmarkMeterDecided(b *testing.B) {
	m := console.NewMeter()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Decided("home", "trending", 200*time.Microsecond)
		}
	})
}

func BenchmarkMeterFolded(b *testing.B) {
	m := console.NewMeter()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Folded(3 * time.Millisecond)
		}
	})
}
