package pipeline

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/rule"
	"github.com/attune-io/attune/segment"
)

// shopEvents are events of a shop, as Segment's specification of e-commerce
// names them.
func shopEvents() []string {
	return []string{
		"Product Viewed", "Product Added", "Product Clicked", "Order Completed", "Product Removed", "Cart Viewed", "Checkout Started",
		"Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered", "Order Refunded", "Order Cancelled", "Coupon Entered",
		"Coupon Applied", "Coupon Denied", "Promotion Viewed", "Promotion Clicked", "Product Added to Wishlist", "Product Removed from Wishlist",
		"Wishlist Product Added to Cart", "Product Shared", "Cart Shared", "Product Reviewed", "Products Searched", "Product List Viewed",
	}
}

// growthTeam is what a growth team has after a year: 200 features, among them
// the built-in ones, and 1,000 segments over them.
func growthTeam(t tb) (*feature.Set, *segment.Set) {
	t.Helper()
	defs := feature.Defaults()
	day := feature.Duration(24 * time.Hour)
	for i := 0; len(defs) < 200; i++ {
		name := shopEvents()[i%len(shopEvents())]
		d := feature.Definition{Name: fmt.Sprintf("f%d", i), On: []string{name}}
		switch i / len(shopEvents()) {
		case 0:
			d.Kind = feature.KindCount
		case 1:
			d.Kind, d.Window = feature.KindCount, day
		case 2:
			d.Kind, d.Window = feature.KindCount, 30*day
		case 3:
			d.Kind, d.Value, d.Window = feature.KindSum, "properties.price", 7*day
		case 4:
			d.Kind, d.Value, d.N, d.Distinct = feature.KindLast, "item.id", 10, true
		case 5:
			d.Kind, d.Value = feature.KindMax, "properties.price"
		case 6:
			d.Kind, d.Value = feature.KindDistinct, "item.category"
		default:
			d.Kind, d.Value = feature.KindLatest, "properties.brand"
		}
		defs = append(defs, d)
	}
	set, err := feature.Compile(defs, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := rule.Names{Traits: []string{"plan", "country"}}
	known := make([]segment.Feature, len(defs))
	for i := range defs {
		names.Features = append(names.Features, defs[i].Name)
		known[i] = segment.Feature{Name: defs[i].Name, Moves: defs[i].Moving(), Steps: defs[i].Stepping()}
	}
	var list []segment.Definition
	for i := range 1000 {
		d := &defs[len(feature.Defaults())+i%(len(defs)-len(feature.Defaults()))]
		when := fmt.Sprintf("features.%s >= %d", d.Name, 1+i/100)
		switch d.Shape() {
		case feature.List:
			when = fmt.Sprintf(`features.%s != null && "sku-%d" in features.%s`, d.Name, i, d.Name)
		case feature.Any:
			when = fmt.Sprintf(`features.%s == "b%d"`, d.Name, i%60)
		}
		switch i % 10 {
		case 0:
			when += ` && traits.plan == "pro"`
		case 1:
			when = fmt.Sprintf(`traits.country == "c%d"`, i)
		case 2:
			when += fmt.Sprintf(` && "s%d" in segments`, i-1)
		}
		name := fmt.Sprintf("s%d", i)
		names.Segments = append(names.Segments, name)
		list = append(list, segment.Definition{Name: name, When: when})
	}
	env, err := rule.New(names)
	if err != nil {
		t.Fatal(err)
	}
	segments, err := segment.Compile(list, env, known)
	if err != nil {
		t.Fatal(err)
	}
	return set, segments
}

// cost is what folding took, on the clock and of the processors.
type cost struct{ wall, cpu time.Duration }

func spent(t tb) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fold measures what it costs to fold n events of traffic, after the first
// event of each device.
func (w *world) fold(b *testing.B, n int) cost {
	b.Helper()
	recs := traffic(b, 6000+n)
	w.cache = 64 << 20
	w.must(w.open())
	w.append(recs[:6000]...)
	w.run()
	w.settle()
	for rest := recs[6000:]; len(rest) > 0; {
		n := min(len(rest), 1000)
		w.cancelled(func() { w.append(rest[:n]...) })
		rest = rest[n:]
	}
	runtime.GC()
	began, cpu := time.Now(), spent(w)
	w.run()
	w.must(w.pipe.CaughtUp(context.Background()))
	out := cost{wall: time.Since(began), cpu: spent(w) - cpu}
	w.stop()
	return out
}

// BenchmarkAudiences folds the same events with the built-in features alone and
// with 200 features and 1,000 segments, in turns, and says what part of the
// throughput is left, on the clock and by the time of the processors, which
// others on the machine disturb less: the medians of the turns.
//
//	go test ./pipeline -run '^$' -bench Audiences -benchtime 5x
func BenchmarkAudiences(b *testing.B) {
	const events = 100_000
	var wall, cpu []float64
	for range b.N {
		plain := newWorld(b, b.TempDir(), 4)
		alone := plain.fold(b, events)
		team := newWorld(b, b.TempDir(), 4)
		set, segments := growthTeam(b)
		team.features = set
		team.segments.Store(segments)
		with := team.fold(b, events)
		wall = append(wall, alone.wall.Seconds()/with.wall.Seconds())
		cpu = append(cpu, alone.cpu.Seconds()/with.cpu.Seconds())
		micros := func(d time.Duration) float64 { return d.Seconds() / events * 1e6 }
		b.Logf("an event: built-in %.1f µs, %.1f of CPU; with all %.1f µs, %.1f of CPU",
			micros(alone.wall), micros(alone.cpu), micros(with.wall), micros(with.cpu))
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	b.ReportMetric(wall[len(wall)/2], "of-throughput")
	b.ReportMetric(cpu[len(cpu)/2], "of-cpu")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLook evaluates the 1,000 segments of a person: those that a view
// concerns, and all of them.
func BenchmarkLook(b *testing.B) {
	w := newWorld(b, b.TempDir(), 1)
	set, segments := growthTeam(b)
	w.features = set
	w.segments.Store(segments)
	w.start()
	for i := range 50 {
		w.send(server(fmt.Sprint("m", i), "u1", shopEvents()[i%25], start, fmt.Sprintf(`{"product_id":"sku-%d","price":9,"category":"c%d"}`, i, i)))
	}
	w.settle()
	for _, c := range []struct {
		name string
		why  reason
	}{{"view", reason{at: start, on: []string{"Product Viewed"}}}, {"all", reason{at: start, all: true}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.must(w.pipe.seg.look(b.Context(), "u1", cause{reason: &c.why}))
			}
		})
	}
	w.stop()
}
