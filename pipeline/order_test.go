package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/model"
)

// TestOrderOnce: an order counts once, whoever sends it and how often; an
// update replaces its lines, a cancellation takes back what was counted, and
// nothing revives it.
func TestOrderOnce(t *testing.T) {
	w := newWorld(t, t.TempDir(), 4).start()
	defer func() { w.stop() }()
	two := `{"order_id":"o1","products":[{"product_id":"p1","quantity":2},{"product_id":"p2"}]}`
	other := `{"order_id":"o1","products":[{"product_id":"p2","quantity":3},{"product_id":"p3"}]}`
	for i, step := range []struct {
		event *attune.Event
		want  [3]model.Counts // p1, p2, p3
		pairs [2]int          // p1 with p2, p2 with p3
	}{
		{browser("m1", "d1", "Order Completed", start, two), [3]model.Counts{{Purchases: 1, Units: 2}, {Purchases: 1, Units: 1}}, [2]int{1, 0}},
		{server("m2", "u1", "Order Completed", start, two), [3]model.Counts{{Purchases: 1, Units: 2}, {Purchases: 1, Units: 1}}, [2]int{1, 0}},
		{server("m3", "u1", "Completed Order", start, other), [3]model.Counts{{Purchases: 1, Units: 2}, {Purchases: 1, Units: 1}}, [2]int{1, 0}},
		{server("m4", "u1", "Order Updated", start+5, other), [3]model.Counts{{}, {Purchases: 1, Units: 3}, {Purchases: 1, Units: 1}}, [2]int{0, 1}},
		{server("m5", "u1", "Order Updated", start+6, `{"order_id":"o1","total":4}`), [3]model.Counts{{}, {Purchases: 1, Units: 3}, {Purchases: 1, Units: 1}}, [2]int{0, 1}},
		{server("m6", "u1", "Order Cancelled", start+7, `{"order_id":"o1"}`), [3]model.Counts{}, [2]int{}},
		{server("m7", "u1", "Order Completed", start+8, two), [3]model.Counts{}, [2]int{}},
		{server("m8", "u1", "Order Updated", start+9, two), [3]model.Counts{}, [2]int{}},
	} {
		w.send(step.event)
		w.settle()
		if i%2 == 1 {
			w.stop()
			w.start()
		}
		for j, item := range []string{"p1", "p2", "p3"} {
			if got := w.counts(item); got != step.want[j] {
				t.Errorf("after %s %s: %s has %+v, want %+v", step.event.MessageID, step.event.Name, item, got, step.want[j])
			}
		}
		got := [2]int{w.together(w.models.Bought, "p1", "p2"), w.together(w.models.Bought, "p2", "p3")}
		if got != step.pairs {
			t.Errorf("after %s: pairs %v, want %v", step.event.MessageID, got, step.pairs)
		}
	}
}

// TestRefund: a refund of the whole order takes it back, one of an amount or of
// lines does not.
func TestRefund(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2).start()
	for i, c := range []struct {
		refund string
		want   int64
	}{
		{`{"order_id":"o1"}`, 0},
		{`{"order_id":"o2","total":3}`, 1},
		{`{"order_id":"o3","products":[{"product_id":"p1"}]}`, 1},
	} {
		item := fmt.Sprint("q", i)
		w.send(server(fmt.Sprint("a", i), "u1", "Order Completed", start, fmt.Sprintf(`{"order_id":"o%d","products":[{"product_id":%q}]}`, i+1, item)))
		w.send(server(fmt.Sprint("b", i), "u1", "Order Refunded", start, c.refund))
		w.settle()
		if got := w.counts(item).Purchases; got != c.want {
			t.Errorf("after %s: %d purchases, want %d", c.refund, got, c.want)
		}
	}
	w.stop()
}

// TestOrders: purchases, units and what is bought together are what a direct
// computation gives, whatever is completed, updated, cancelled and repeated,
// and whenever the process ends.
func TestOrders(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, t.TempDir(), rapid.SampledFrom([]int{1, 3}).Draw(rt, "partitions")).start()
		book := map[string]*bookOrder{}
		for i := range rapid.IntRange(1, 20).Draw(rt, "records") {
			id := fmt.Sprint("o", rapid.IntRange(1, 3).Draw(rt, "order"))
			name := rapid.SampledFrom([]string{"Order Completed", "Order Updated", "Order Cancelled"}).Draw(rt, "name")
			items := rapid.SliceOfN(rapid.SampledFrom([]string{"p1", "p2", "p3"}), 0, 3).Draw(rt, "items")
			var lines []string
			for j, p := range items {
				lines = append(lines, fmt.Sprintf(`{"product_id":%q,"quantity":%d}`, p, j+1))
			}
			e := server(fmt.Sprint("m", i), "u1", name, start+attune.Millis(i), fmt.Sprintf(`{"order_id":%q,"products":[%s]}`, id, strings.Join(lines, ",")))
			for range rapid.IntRange(1, 2).Draw(rt, "times") {
				w.send(e)
				rt.Logf("%s %s %v", name, id, items)
			}
			if book[id] == nil {
				book[id] = &bookOrder{}
			}
			book[id].take(name, items)
			switch rapid.IntRange(0, 7).Draw(rt, "then") {
			case 0:
				w.settle()
			case 1:
				w.kill()
				w.start()
			case 2:
				w.stop()
				w.start()
			}
		}
		w.settle()
		compareBook(rt, w, book)
		w.stop()
	})
}

// bookOrder is an order as a shopkeeper would write it down.
type bookOrder struct {
	counted, cancelled bool
	items              []string
}

func (o *bookOrder) take(name string, items []string) {
	switch {
	case o.cancelled:
	case name == "Order Completed" && !o.counted, name == "Order Updated" && o.counted && len(items) > 0:
		o.counted, o.items = true, items
	case name == "Order Cancelled":
		*o = bookOrder{cancelled: true}
	}
}

func compareBook(t tb, w *world, book map[string]*bookOrder) {
	t.Helper()
	all := []string{"p1", "p2", "p3"}
	want, pairs := map[string]model.Counts{}, map[[2]string]int{}
	for _, o := range book {
		for j, p := range o.items {
			c := want[p]
			c.Purchases++
			c.Units += int64(j + 1)
			want[p] = c
		}
		for _, a := range all {
			for _, b := range all {
				if a < b && slices.Contains(o.items, a) && slices.Contains(o.items, b) {
					pairs[[2]string{a, b}]++
				}
			}
		}
	}
	for _, a := range all {
		if got := w.counts(a); got != want[a] {
			t.Fatalf("%s has %+v, want %+v", a, got, want[a])
		}
		for _, b := range all {
			if a < b && w.together(w.models.Bought, a, b) != pairs[[2]string{a, b}] {
				t.Fatalf("%s with %s in %d orders, want %d", a, b, w.together(w.models.Bought, a, b), pairs[[2]string{a, b}])
			}
		}
	}
}

// TestOrderRowDamaged: a stored order that does not read stops the pipeline
// with ErrCorrupt: it is not a record to be stepped over.
func TestOrderRowDamaged(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	w.must(w.open())
	b := w.pipe.batch
	b.Put([]byte(tableOrders+"o1"), []byte{1})
	w.must(w.store.Store.Commit(t.Context(), &b))
	w.send(server("m1", "u1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.append(attune.Record{Kind: attune.KindOrder, Key: identity.OrderKey("o1"), Payload: records(t, server("m2", "u1", "Order Completed", start, `{"order_id":"o1"}`))[0].Payload})
	w.run()
	err := <-w.done
	if !errors.Is(err, attune.ErrCorrupt) {
		t.Errorf("Run returned %v, want ErrCorrupt", err)
	}
	if n := w.pipe.Corrupt(); n != 0 {
		t.Errorf("%d records were stepped over", n)
	}
	if err := w.pipe.Checkpoint(t.Context()); !errors.Is(err, errTorn) {
		t.Errorf("a checkpoint of half a batch: got %v", err)
	}
	w.close()
}

func FuzzOrderRow(f *testing.F) {
	f.Add((&orderRow{counted: true, at: start, lines: []orderLine{{1, 2}, {3, 4}}}).encode())
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var row, again orderRow
		if !row.decode(b) {
			return
		}
		if !again.decode(row.encode()) || again.counted != row.counted || again.at != row.at || !slices.Equal(again.lines, row.lines) {
			t.Errorf("%+v was written, %+v read", row, again)
		}
	})
}
