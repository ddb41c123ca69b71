package disk

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/attune-io/attune"
)

// BenchmarkAppend is many callers of one record, few of one hundred, and one
// alone. records/fsync says how well the fsync is shared. Allocations are those
// of one Append, the committer's share included.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, records int }{{1, 1}, {16, 1}, {128, 1}, {1, 100}, {8, 100}} {
		b.Run(fmt.Sprintf("callers=%d/records=%d", c.callers, c.records), func(b *testing.B) {
			j := mustOpen(b, Options{Partitions: 16})
			body := text(1300, 0)
			b.SetBytes(int64(c.records * len(body)))
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for caller := range c.callers {
				wg.Go(func() {
					recs := make([]attune.Record, c.records)
					for i := range recs {
						recs[i] = attune.Record{
							Kind: attune.KindEvent, Key: fmt.Sprintf("a:%d-%d", caller, i),
							Time: 1_700_000_000_000, ReceivedAt: 1_700_000_000_000, Payload: body,
						}
					}
					for left.Add(-1) >= 0 {
						if err := j.Append(b.Context(), recs); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := j.Stats()
			b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(s.Records)/float64(s.Commits), "records/fsync")
		})
	}
}

// BenchmarkRead reads from memory and from storage.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name string
		tail int64
	}{{"memory", 0}, {"storage", 1}} {
		b.Run(c.name, func(b *testing.B) {
			const n = 20_000
			j := mustOpen(b, Options{Partitions: 1, TailBytes: c.tail})
			recs := make([]attune.Record, 100)
			for i := range recs {
				recs[i] = attune.Record{Kind: attune.KindEvent, Key: fmt.Sprintf("a:%d", i), Payload: text(1300, i)}
			}
			for range n / len(recs) {
				if err := j.Append(b.Context(), recs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for read := 0; read < b.N; {
				r, err := j.Read(0, 1)
				if err != nil {
					b.Fatal(err)
				}
				for got := 0; got < n && read < b.N; {
					recs, err := r.Next(b.Context(), 512)
					if err != nil {
						b.Fatal(err)
					}
					got += len(recs)
					read += len(recs)
				}
				_ = r.Close()
			}
		})
	}
}

// BenchmarkSize is the disk an event takes after flush and compaction.
func BenchmarkSize(b *testing.B) {
	const n = 40_000
	for range b.N {
		j := mustOpen(b, Options{Partitions: 16})
		recs := make([]attune.Record, 100)
		for at := 0; at < n; at += len(recs) {
			for i := range recs {
				key := fmt.Sprintf("a:%016x", attune.Hash(strconv.Itoa(at+i)))
				recs[i] = attune.Record{Kind: attune.KindEvent, Key: key, Time: 1_700_000_000_000, ReceivedAt: 1_700_000_000_000, Payload: text(1300, at+i)}
			}
			if err := j.Append(b.Context(), recs); err != nil {
				b.Fatal(err)
			}
		}
		if err := j.db.Flush(); err != nil {
			b.Fatal(err)
		}
		m := j.db.Metrics()
		tables := m.Total().TablesSize
		b.ReportMetric(float64(tables)/n, "table-B/event")
		b.ReportMetric(float64(m.WAL.BytesWritten)/n, "log-B/event")
	}
}

// text is JSON of about n bytes: half of it names that every text has, half
// hexadecimal digits of its own.
func text(n, seed int) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; b.Len() < n-60; i++ {
		fmt.Fprintf(&b, `"field_%d":"%x",`, i, attune.Hash(fmt.Sprint(seed, i)))
	}
	fmt.Fprintf(&b, `"end":%*d}`, max(n-b.Len()-7, 1), 1)
	return b.Bytes()
}
