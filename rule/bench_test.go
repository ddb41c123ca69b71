package rule

import (
	"testing"

	"github.com/attune-io/attune"
)

func BenchmarkCandidate(b *testing.B) {
	e := env(b, Names{})
	for _, c := range []struct{ name, expr string }{
		{"both", `item.price < 50.0 && "vip" in segments`},
		{"item", `item.price < 50.0`},
		{"segment", `"vip" in segments`},
		{"category", `item.category == "shoes"`},
		{"absent", `item.colour == "red" || item.size > 3`},
		{"affinity", `features.category_affinity[item.category] > 0.5`},
		{"context", `context.page.path.startsWith("/shoes")`},
		{"pattern", `item.category.matches("^sh.*s$")`},
		{"loop", `item.tags.exists(t, t == "red")`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := e.CandidateCondition(c.expr)
			if err != nil {
				b.Fatal(err)
			}
			in := world()
			b.ReportAllocs()
			for b.Loop() {
				p.Match(in)
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	c, err := env(b, Names{}).EventCondition(`event.properties.total > 20 && item.category == "shoes"`)
	if err != nil {
		b.Fatal(err)
	}
	e := &attune.Event{
		Type: attune.Track, Name: "Product Viewed",
		Properties: []byte(`{"product_id":"sku-1","name":"Trail Shoe","category":"shoes","price":49.5,"total":30}`),
	}
	ps := attune.AppendProducts(nil, e)
	b.ReportAllocs()
	for b.Loop() {
		if !c.Match(e, &ps[0]) {
			b.Fatal("want a match")
		}
	}
}
