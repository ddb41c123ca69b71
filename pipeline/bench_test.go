package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// traffic returns the records of n events as a browser sends them: mostly
// views, of some thousand items by some thousand devices, a third of them known.
func traffic(b *testing.B, n int) []attune.Record {
	b.Helper()
	names := []string{"Product Viewed", "Product Viewed", "Product Viewed", "Product Viewed", "Product Added", impressionEvent, clickEvent, "Order Completed"}
	recs := make([]attune.Record, 0, 2*n)
	for i := range n {
		x := attune.Hash(strconv.Itoa(i))
		device := x % 2000
		who := fmt.Sprintf("%08x-1111-4111-8111-111111111111", device)
		at := start + attune.Millis(i*20)
		e := browser(fmt.Sprintf("ajs-next-%032x", i), who, names[x>>20%8], at, fmt.Sprintf(
			`{"product_id":"sku-%d","name":"Running shoe %d","category":"c%d","brand":"b%d","price":%d.9,"currency":"EUR","url":"https://shop.example/p/%d","placement":"home","order_id":"o%d"}`,
			x>>24%3000, x>>24%3000, x>>24%40, x>>24%60, x>>24%90, x>>24%3000, i))
		e.Context = []byte(`{"library":{"name":"analytics.js","version":"2.1.0"},"locale":"en-US","page":{"path":"/p/1","referrer":"","search":"","title":"Shoes","url":"https://shop.example/p/1"},"traits":{"plan":"pro"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}`)
		if device%3 == 0 {
			e.UserID = fmt.Sprint("user-", device)
		}
		all := records(b, e)
		if e.UserID != "" && i > 2000 {
			all = all[1:] // its link has been acknowledged within the hour
		}
		recs = append(recs, all...)
	}
	return recs
}

// BenchmarkFold folds what is in a journal: one operation is one event.
func BenchmarkFold(b *testing.B) {
	for _, c := range []struct {
		name       string
		partitions int
		defs       []string
	}{{"one", 1, nil}, {"four", 4, nil}, {"segments", 4, audiences(b)}} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b, b.TempDir(), c.partitions)
			w.segments.Store(segments(b, c.defs...))
			w.must(w.open())
			// The first event of each device makes its part: that is not the usual one.
			recs := traffic(b, 6000+b.N)
			w.append(recs[:6000]...)
			w.run()
			w.settle()
			for rest := recs[6000:]; len(rest) > 0; {
				n := min(len(rest), 1000)
				w.cancelled(func() { w.append(rest[:n]...) })
				rest = rest[n:]
			}
			b.ReportAllocs()
			b.ResetTimer()
			w.run()
			w.must(w.pipe.CaughtUp(context.Background()))
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			w.stop()
		})
	}
}

// cancelled does what while nothing is folded, and leaves the world stopped.
func (w *world) cancelled(do func()) {
	w.Helper()
	if w.cancel != nil {
		w.cancel()
		w.must(<-w.done)
		w.cancel = nil
	}
	do()
}

// BenchmarkWait waits for what is applied, and for what is applied meanwhile.
func BenchmarkWait(b *testing.B) {
	b.Run("applied", func(b *testing.B) {
		w := newWorld(b, b.TempDir(), 1)
		w.must(w.open())
		w.pipe.marks[0].advance(1)
		token := journal.Token{Journal: w.pipe.token, Positions: []journal.Position{{Offset: 1}}}
		b.ReportAllocs()
		for b.Loop() {
			w.must(w.pipe.Wait(context.Background(), token))
		}
		w.close()
	})
	b.Run("advance", func(b *testing.B) {
		var there, back watermark
		go func() {
			for i := range uint64(b.N) {
				_ = there.wait(context.Background(), i+1) // the context does not end
				back.advance(i + 1)
			}
		}()
		b.ReportAllocs()
		for i := range uint64(b.N) {
			there.advance(i + 1)
			_ = back.wait(context.Background(), i+1) // the context does not end
		}
	})
}

// BenchmarkCheckpoint writes 10,000 changed parts and the statistics of the
// events that changed them.
func BenchmarkCheckpoint(b *testing.B) {
	const parts = 10_000
	w := newWorld(b, b.TempDir(), 1).start()
	w.send(browser("first", "d0", "Product Viewed", start, `{"product_id":"p0"}`))
	w.settle() // a pipeline checkpoints at once what it folds first
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		var recs []attune.Record
		for j := range parts {
			at := start + attune.Millis(i*1000)
			recs = append(recs, records(b, browser(fmt.Sprint("m", i, ".", j), fmt.Sprint("d", j), "Product Viewed", at, fmt.Sprintf(`{"product_id":"p%d"}`, j%1000)))...)
		}
		w.pipe.writing.Lock() // so that none goes with another checkpoint
		w.append(recs...)
		w.must(w.pipe.CaughtUp(context.Background()))
		w.pipe.writing.Unlock()
		b.StartTimer()
		w.must(w.pipe.Checkpoint(context.Background()))
	}
	b.StopTimer()
	w.stop()
}
