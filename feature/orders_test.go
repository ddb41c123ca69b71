package feature_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

func orderFeatures(tb testing.TB) *feature.Set {
	tb.Helper()
	paid := []string{"Order Completed"}
	return compile(tb, []feature.Definition{
		{Name: "n", Kind: "count", On: paid},
		{Name: "revenue", Kind: "sum", On: paid, Value: "properties.total"},
		{Name: "bought", Kind: "last", On: paid, Value: "item.id", N: 5, Distinct: true},
		{Name: "at", Kind: "latest", On: paid, Value: "time"},
		{Name: "mean", Kind: "mean", On: paid, Value: "properties.total"},
	})
}

func TestOrders(t *testing.T) {
	done := func(id string, at attune.Millis, total string, rank attune.Rank) *attune.Event {
		e := event(id, "Order Completed", at, `{"order_id":"o1","total":`+total+`,"products":[{"product_id":"a"},{"product_id":"b"}]}`)
		e.Rank = rank
		return e
	}
	browser, server := done("b", noon+1000, "10", attune.Public), done("s", noon, "11", attune.Server)
	updated := event("u", "Order Updated", noon+day, `{"order_id":"o1","total":20,"products":[{"product_id":"c"}]}`)
	updated.Rank = attune.Server
	about := func(id, name, props string) *attune.Event { return event(id, name, noon+2*day, props) }
	part := about("r1", "Order Refunded", `{"order_id":"o1","total":4}`)
	loose := event("l", "Order Completed", noon-day, `{"total":5,"products":[{"product_id":"z"}]}`)
	for name, test := range map[string]struct {
		events []*attune.Event
		want   string
	}{
		"once":               {[]*attune.Event{browser}, "1 10 [a b] 2026-03-01T12:00:01.000Z"},
		"server wins":        {[]*attune.Event{browser, server}, "1 11 [a b] 2026-03-01T12:00:00.000Z"},
		"update replaces":    {[]*attune.Event{browser, server, updated}, "1 20 [c] 2026-03-01T12:00:00.000Z"},
		"update alone":       {[]*attune.Event{updated}, "1 20 [c] 2026-03-02T12:00:00.000Z"},
		"cancelled":          {[]*attune.Event{server, about("c", "Order Cancelled", `{"order_id":"o1"}`)}, "0 0 <nil> <nil>"},
		"part refunded":      {[]*attune.Event{server, part}, "1 7 [a b] 2026-03-01T12:00:00.000Z"},
		"refunded twice":     {[]*attune.Event{server, part, about("r2", "Order Refunded", `{"order_id":"o1","refund":3}`)}, "1 4 [a b] 2026-03-01T12:00:00.000Z"},
		"refunded by amount": {[]*attune.Event{server, about("r2", "Order Refunded", `{"order_id":"o1","value":11}`)}, "0 0 <nil> <nil>"},
		"refunded whole":     {[]*attune.Event{server, about("r2", "Order Refunded", `{"order_id":"o1"}`)}, "0 0 <nil> <nil>"},
		"refunded products": {
			[]*attune.Event{server, about("r2", "Order Refunded", `{"order_id":"o1","products":[{"product_id":"a","price":2,"quantity":3}]}`)},
			"1 5 [a b] 2026-03-01T12:00:00.000Z",
		},
		"refund of another": {[]*attune.Event{server, about("r2", "Order Refunded", `{"order_id":"o2"}`)}, "1 11 [a b] 2026-03-01T12:00:00.000Z"},
		"without an id":     {[]*attune.Event{loose, server}, "2 16 [a b z] 2026-03-01T12:00:00.000Z"},
	} {
		t.Run(name, func(t *testing.T) {
			s := orderFeatures(t)
			for range 2 {
				st := fold(s, test.events)
				read := func(n string) any { return s.Read(st, n, noon+3*day) }
				if got := fmt.Sprintf("%v %v %v %v", read("n"), read("revenue"), read("bought"), read("at")); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				slices.Reverse(test.events)
			}
		})
	}
}

// told is what an oracle knows of one order.
type told struct {
	versions  []*attune.Event
	cancelled bool
	refunds   int
}

// TestOrdersEqualDefinition tells orders from two sources in any order, over
// several parts, and compares with the definition.
func TestOrdersEqualDefinition(t *testing.T) {
	s := orderFeatures(t)
	rapid.Check(t, func(r *rapid.T) {
		orders := map[string]*told{}
		parts := make([]feature.State, 3)
		totals := map[string]int{}
		for i := range rapid.IntRange(0, 30).Draw(r, "events") {
			id := "o" + strconv.Itoa(rapid.IntRange(0, 4).Draw(r, "order"))
			o := orders[id]
			if o == nil {
				o = &told{}
				orders[id] = o
			}
			at := noon + attune.Millis(rapid.IntRange(0, 5).Draw(r, "at"))
			name := rapid.SampledFrom([]string{"Order Completed", "Order Completed", "Order Completed", "Order Cancelled", "Order Refunded"}).Draw(r, "name")
			total := rapid.IntRange(1, 30).Draw(r, "total")
			e := event("m"+strconv.Itoa(i), name, at, fmt.Sprintf(`{"order_id":%q,"total":%d,"products":[{"product_id":"p%d"}]}`, id, total, i))
			e.Rank = attune.Rank(rapid.IntRange(0, 1).Draw(r, "rank"))
			switch name {
			case "Order Completed":
				o.versions = append(o.versions, e)
				totals[e.MessageID] = total
			case "Order Cancelled":
				o.cancelled = true
			default:
				o.refunds += total
			}
			s.Fold(&parts[rapid.IntRange(0, 2).Draw(r, "part")], e)
		}
		var person feature.State
		for i := range parts {
			s.Merge(&person, &parts[i])
		}
		var n, revenue int
		for _, id := range slices.Sorted(maps.Keys(orders)) {
			o := orders[id]
			if len(o.versions) == 0 || o.cancelled {
				continue
			}
			best := slices.MaxFunc(o.versions, func(a, b *attune.Event) int {
				return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Tie(), b.Tie()))
			})
			if left := totals[best.MessageID] - o.refunds; left > 0 {
				n, revenue = n+1, revenue+left
			}
		}
		got := fmt.Sprint(s.Read(&person, "n", noon), s.Read(&person, "revenue", noon))
		if want := fmt.Sprint(n, revenue); got != want {
			r.Fatalf("orders: got %s, want %s", got, want)
		}
	})
}

func TestOrdersAreBounded(t *testing.T) {
	s := orderFeatures(t)
	var st feature.State
	for i := range 510 {
		s.Fold(&st, event("m"+strconv.Itoa(i), "Order Completed", noon+attune.Millis(i), fmt.Sprintf(`{"order_id":"o%d","total":1}`, i)))
	}
	if got := s.Read(&st, "n", noon); got != int64(500) {
		t.Errorf("orders: got %v, want 500", got)
	}
	if !s.Approximate(&st, 0) {
		t.Error("orders were dropped, but the count is not said to be approximate")
	}
}
