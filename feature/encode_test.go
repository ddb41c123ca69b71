package feature_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

func FuzzDecode(f *testing.F) {
	s := compile(f, everyKind(f))
	defaults := compile(f, feature.Defaults())
	f.Add(s.AppendBinary(fold(s, story()), nil))
	f.Add(defaults.AppendBinary(fold(defaults, story()), nil))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []*feature.Set{s, defaults} {
			st, err := s.Decode(b)
			if err != nil {
				if !errors.Is(err, attune.ErrCorrupt) {
					t.Fatalf("got %v, want ErrCorrupt", err)
				}
				continue
			}
			first := s.AppendBinary(&st, nil)
			again, err := s.Decode(first)
			if err != nil {
				t.Fatalf("what was decoded does not decode: %v", err)
			}
			if second := s.AppendBinary(&again, nil); !bytes.Equal(first, second) {
				t.Fatalf("bytes:\n got %x\nwant %x", second, first)
			}
			// Whatever was accepted can be used.
			s.Each(&st, noon, func(string, any) {})
			s.NextChange(&st, noon)
			for i := range s.Definitions() {
				s.List(&st, i, nil, noon)
				s.Weights(&st, i, nil, noon)
			}
			s.Merge(&st, &again)
			for _, e := range story() {
				s.Fold(&st, e)
			}
			s.Each(&st, noon, func(string, any) {})
		}
	})
}

func TestDecodeRefusesWhatIsCutOff(t *testing.T) {
	s := compile(t, everyKind(t))
	b := s.AppendBinary(fold(s, story()), nil)
	for n := range b {
		if _, err := s.Decode(b[:n]); !errors.Is(err, attune.ErrCorrupt) {
			t.Fatalf("%d of %d bytes: got %v, want ErrCorrupt", n, len(b), err)
		}
	}
	if _, err := s.Decode(append(b, 0)); !errors.Is(err, attune.ErrCorrupt) {
		t.Errorf("a byte too many: got %v, want ErrCorrupt", err)
	}
}

// busy is n events of a shop visit, with what the edge knew of the items.
func busy(n int, device string) []*attune.Event {
	es := make([]*attune.Event, 0, n)
	for i := range n {
		product := fmt.Sprintf(`{"product_id":"sku-%d","name":"A Thing Number %d","category":"c%d","brand":"b%d","price":12.95,`+
			`"image_url":"https://shop.example/i/%d.jpg","url":"https://shop.example/p/%d","currency":"EUR"}`, i*7%40, i, i%5, i%7, i, i)
		name := "Product Viewed"
		switch {
		case i%40 == 39:
			name = "Order Completed"
			product = fmt.Sprintf(`{"order_id":"o-%s-%d","total":25.9,"products":[%s,%s]}`, device, i, product, product)
		case i%10 == 9:
			name = "Product Added"
		}
		es = append(es, event(device+strconv.Itoa(i), name, noon-30*day+attune.Millis(i)*2*hour, product))
	}
	return es
}

func TestListDoesNotAllocate(t *testing.T) {
	s := compile(t, feature.Defaults())
	st := fold(s, busy(200, "d"))
	dst := make([]string, 0, 300)
	for _, name := range []string{"last_viewed", "cart", "purchased", "recent_five_purchases", "category_affinity"} {
		i := s.Index(name)
		if len(s.List(st, i, dst, noon)) == 0 {
			t.Errorf("%s is empty", name)
		}
		if got := testing.AllocsPerRun(100, func() { s.List(st, i, dst, noon) }); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

// Many may read one State at once, also the first time after a change.
func TestReadersTogether(t *testing.T) {
	s := compile(t, feature.Defaults())
	st := fold(s, busy(200, "d"))
	want := readable(t, s, fold(s, busy(200, "d")), noon)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := readable(t, s, st, noon); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	wg.Wait()
}

func TestAnyTimeIsBorne(t *testing.T) {
	s := compile(t, everyKind(t))
	var st feature.State
	for i, at := range []attune.Millis{0, -1, math.MinInt64, math.MaxInt64, noon, -noon} {
		s.Fold(&st, event(strconv.Itoa(i), "Product Viewed", at, `{"product_id":"p","total":1}`))
		for _, now := range []attune.Millis{0, math.MinInt64, math.MaxInt64} {
			s.Each(&st, now, func(string, any) {})
			s.NextChange(&st, now)
		}
	}
	if got := s.Read(&st, "count", 0); got != int64(6) {
		t.Errorf("count: got %v, want 6", got)
	}
}

func BenchmarkFold(b *testing.B) {
	s := compile(b, feature.Defaults())
	st := fold(s, busy(200, "d"))
	es := busy(400, "e")[200:]
	views := es[:0]
	for _, e := range es {
		if e.Name == "Product Viewed" {
			views = append(views, e)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := views[i%len(views)]
		e.Time = noon + attune.Millis(i)*minute
		s.Fold(st, e)
	}
}

func BenchmarkMerge(b *testing.B) {
	s := compile(b, feature.Defaults())
	x, y := fold(s, busy(60, "d")), fold(s, busy(60, "e"))
	b.ReportAllocs()
	for b.Loop() {
		var c feature.State
		s.Merge(&c, x)
		s.Merge(&c, y)
	}
}

func BenchmarkDecode(b *testing.B) {
	s := compile(b, feature.Defaults())
	stored := s.AppendBinary(fold(s, busy(60, "d")), nil)
	b.ReportAllocs()
	b.ReportMetric(float64(len(stored)), "bytes")
	for b.Loop() {
		if _, err := s.Decode(stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendBinary(b *testing.B) {
	s := compile(b, feature.Defaults())
	st := fold(s, busy(60, "d"))
	buf := s.AppendBinary(st, nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendBinary(st, buf[:0])
	}
}

func BenchmarkList(b *testing.B) {
	s := compile(b, feature.Defaults())
	st := fold(s, busy(200, "d"))
	dst := make([]string, 0, 300)
	for _, name := range []string{"last_viewed", "purchased", "category_affinity"} {
		i := s.Index(name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.List(st, i, dst, noon)
			}
		})
	}
}

// A wholesaler: 250 orders of 25 lines, the first read after a change.
func BenchmarkManyOrders(b *testing.B) {
	s := compile(b, feature.Defaults())
	var st feature.State
	for i := range 250 {
		lines := make([]string, 25)
		for j := range lines {
			lines[j] = fmt.Sprintf(`{"product_id":"sku-%d","category":"c%d","quantity":2,"price":3.5}`, (i*13+j*7)%900, j%9)
		}
		s.Fold(&st, event("m"+strconv.Itoa(i), "Order Completed", noon+attune.Millis(i)*hour,
			fmt.Sprintf(`{"order_id":"o%d","total":175,"products":[%s]}`, i, strings.Join(lines, ","))))
	}
	index := s.Index("purchased")
	dst := make([]string, 0, 300)
	b.ReportMetric(float64(len(s.AppendBinary(&st, nil))), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		var c feature.State
		s.Merge(&c, &st)
		s.List(&c, index, dst, noon)
	}
}
