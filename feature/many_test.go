package feature_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// hundreds is n features of the event on, of the kinds in turn.
func hundreds(n int, on string) []feature.Definition {
	names := []string{on}
	shapes := []feature.Definition{
		{Kind: "count", Window: feature.Duration(24 * 3600e9)},
		{Kind: "sum", Value: "properties.total"},
		{Kind: "stddev", Value: "properties.total"},
		{Kind: "quantile", Value: "properties.total", Quantile: 0.9, Window: feature.Duration(24 * 3600e9)},
		{Kind: "histogram", Value: "properties.total", Buckets: []float64{10, 100}},
		{Kind: "top", By: "properties.k"},
		{Kind: "distinct", Value: "properties.k"},
		{Kind: "last", Value: "properties.k"},
		{Kind: "decayed"},
		{Kind: "latest_by", By: "properties.k", Value: "properties.total"},
	}
	out := make([]feature.Definition, n)
	for i := range out {
		out[i] = shapes[i%len(shapes)]
		out[i].Name, out[i].On = on+strconv.Itoa(i), names
	}
	return out
}

// BenchmarkTwoHundred folds a view with the defaults alone, with 200 features
// of another event beside them, and with 200 features of views.
func BenchmarkTwoHundred(b *testing.B) {
	for _, c := range []struct {
		name string
		more []feature.Definition
	}{{"defaults", nil}, {"of_others", hundreds(200, "Paid")}, {"of_views", hundreds(200, "Viewed")}} {
		for i := range c.more {
			if c.name == "of_views" {
				c.more[i].On = []string{"Product Viewed"}
			}
		}
		s := compile(b, append(feature.Defaults(), c.more...))
		b.Run(c.name, func(b *testing.B) {
			var st feature.State
			es := make([]*attune.Event, 64)
			for i := range es {
				es[i] = event(strconv.Itoa(i), "Product Viewed", noon, fmt.Sprintf(`{"product_id":"p%d","category":"c%d","total":%d.5,"k":"k%d"}`, i%40, i%5, i, i%20))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e := es[i%len(es)]
				e.Time = noon + attune.Millis(i)*minute
				s.Fold(&st, e)
			}
		})
	}
}

// BenchmarkDistinctValues adds a value to a sketch.
func BenchmarkDistinctValues(b *testing.B) {
	s := compile(b, []feature.Definition{{Name: "d", Kind: "distinct", On: []string{"*"}, Value: "properties.k", Window: dur(b, "30d")}})
	es := make([]*attune.Event, 4096)
	for i := range es {
		es[i] = event(strconv.Itoa(i), "x", noon, fmt.Sprintf(`{"k":"k%d"}`, i))
	}
	st := fold(s, es)
	for i := 0; b.Loop(); i++ {
		s.Fold(st, es[i%len(es)])
	}
}
