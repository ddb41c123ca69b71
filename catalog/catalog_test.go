package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// view is a "Product Viewed" of the product that props, a JSON object, says.
func view(id int, rank attune.Rank, at attune.Millis, props string) *attune.Event {
	return &attune.Event{
		Type: attune.Track, Name: "Product Viewed", Rank: rank, Time: at,
		MessageID: fmt.Sprint("m", id), Properties: []byte(props),
	}
}

func learn(c *Catalog, e *attune.Event) { c.Learn(e, attune.AppendProducts(nil, e)) }

// attrs are those of item p.
func attrs(t *testing.T, c *Catalog) string {
	t.Helper()
	n, ok := c.Number("p")
	if !ok {
		t.Fatal("item p is not known")
	}
	return string(c.View().JSON(n))
}

func TestNumbersAreGivenInOrderAndKept(t *testing.T) {
	c := New(Options{MaxItems: 3})
	for i, id := range []string{"a", "b", "c"} {
		if got := c.Ensure(id); got != int32(i) {
			t.Errorf("Ensure(%q) = %d, want %d", id, got, i)
		}
	}
	if got := c.Ensure("b"); got != 1 {
		t.Errorf("b again: %d, want 1", got)
	}
	if got := c.Ensure("d"); got != -1 || c.Dropped() != 1 {
		t.Errorf("past the bound: %d, %d dropped, want -1, 1", got, c.Dropped())
	}
	if got := c.Ensure(""); got != -1 {
		t.Errorf("the empty id: %d, want -1", got)
	}
	if err := c.Put("d", nil, Stamp{}); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("put past the bound: %v, want ErrBusy", err)
	}
	if got := c.ID(2) + c.ID(3) + c.ID(-1); got != "c" {
		t.Errorf("ids %q, want only c", got)
	}
}

func TestWhatIsLearnt(t *testing.T) {
	for _, x := range []struct{ name, event, props, want string }{
		{
			"a view", "Product Viewed",
			`{"product_id":"p","name":"Shoe","price":"19.90","color":"red","tags":["a"],"quantity":2,"position":3,"coupon":"X","email":"a@b.c","sale":true}`,
			`{"color":"red","name":"Shoe","price":19.9,"sale":true}`,
		},
		{"lines of an order", "Completed Order", `{"order_id":"1","products":[{"product_id":"p","brand":"B","quantity":1}]}`, `{"brand":"B"}`},
		{"a call of one's own", "Shoe Tried On", `{"sku":"p","name":"Shoe","room":7}`, `{"name":"Shoe"}`},
	} {
		c := New(Options{})
		learn(c, &attune.Event{Type: attune.Track, Name: x.event, Time: 1, Properties: []byte(x.props)})
		if got := attrs(t, c); got != x.want {
			t.Errorf("%s: got %s, want %s", x.name, got, x.want)
		}
	}
	c := New(Options{})
	learn(c, &attune.Event{Type: attune.Page, Name: "Home", Time: 1, Properties: []byte(`{"product_id":"p","name":"Home","url":"x"}`)})
	if got := attrs(t, c); got != `{}` {
		t.Errorf("a page taught %s, want nothing but the item", got)
	}
}

func TestNoVisitorEmptiesTheShop(t *testing.T) {
	for rank, want := range map[attune.Rank]bool{attune.Public: true, attune.Server: false} {
		for _, gone := range []string{`"in_stock":false`, `"availability":"out_of_stock"`, `"stock":0`, `"expires_at":"2001-01-01T00:00:00Z"`} {
			c := New(Options{})
			c.Tick(1 << 41)
			learn(c, view(1, rank, 100, `{"product_id":"p","name":"Shoe",`+gone+`}`))
			if got := c.View().Available(0); got != want {
				t.Errorf("%s from rank %d: available is %v, want %v", gone, rank, got, want)
			}
		}
	}
}

func TestRankThenTimeThenTieWins(t *testing.T) {
	c := New(Options{})
	learn(c, view(1, attune.Public, 100, `{"product_id":"p","price":10,"name":"n1"}`))
	learn(c, view(2, attune.Public, 50, `{"product_id":"p","price":9,"name":"n0"}`))
	if got, want := attrs(t, c), `{"name":"n1","price":10}`; got != want {
		t.Errorf("a late view: got %s, want %s", got, want)
	}
	if err := c.Put("p", map[string]any{"price": 8}, Stamp{Rank: attune.Given, At: 20}); err != nil {
		t.Fatal(err)
	}
	learn(c, view(3, attune.Public, 200, `{"product_id":"p","price":1,"name":"n2"}`))
	if got, want := attrs(t, c), `{"name":"n2","price":8}`; got != want {
		t.Errorf("a console against a feed: got %s, want %s", got, want)
	}
	if err := c.Put("p", map[string]any{"name": nil}, Stamp{Rank: attune.Given, At: 300}); err != nil {
		t.Fatal(err)
	}
	learn(c, view(4, attune.Server, 400, `{"product_id":"p","name":"n3"}`))
	if got, want := attrs(t, c), `{"price":8}`; got != want {
		t.Errorf("a deleted field: got %s, want %s", got, want)
	}
}

func TestARepeatedViewHoldsOffALateContradiction(t *testing.T) {
	c := New(Options{})
	learn(c, view(1, 0, 100, `{"product_id":"p","name":"old"}`))
	learn(c, view(2, 0, 300, `{"product_id":"p","name":"old"}`)) // an echo
	learn(c, view(3, 0, 200, `{"product_id":"p","name":"new"}`)) // late
	if got, want := attrs(t, c), `{"name":"old"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestADeletedItemIsRevivedOnlyByANewerGivenPut(t *testing.T) {
	c := New(Options{})
	learn(c, view(1, 0, 100, `{"product_id":"p","name":"x"}`))
	c.Delete("p", Stamp{At: 200})
	gone := func(when string, want bool) {
		t.Helper()
		it, ok := c.Item("p")
		if !ok || it.Deleted != want || c.View().Available(0) == want {
			t.Errorf("%s: deleted %t, available %t, want deleted %t", when, it.Deleted, c.View().Available(0), want)
		}
	}
	gone("deleted", true)
	learn(c, view(2, 0, 300, `{"product_id":"p","name":"y"}`))
	gone("viewed later", true)
	put := func(s Stamp) {
		t.Helper()
		if err := c.Put("p", map[string]any{"name": "z"}, s); err != nil {
			t.Fatal(err)
		}
	}
	put(Stamp{Rank: attune.Server, At: 400})
	gone("put by a server's event", true)
	put(Stamp{Rank: attune.Given, At: 150})
	gone("an older put", true)
	put(Stamp{Rank: attune.Given, At: 500})
	gone("a newer put", false)
	c.Delete("p", Stamp{At: 450})
	gone("an older delete", false)
}

func TestAvailability(t *testing.T) {
	const now = 1_700_000_000_000
	for _, x := range []struct {
		field string
		value any
		want  bool
	}{
		{"in_stock", true, true},
		{"in_stock", false, false},
		{"in_stock", "false", false},
		{"in_stock", 0, false},
		{"availability", "in stock", true},
		{"availability", "out_of_stock", false},
		{"availability", "Out of stock", false},
		{"availability", "https://schema.org/OutOfStock", false},
		{"availability", "sold-out", false},
		{"stock", 1, true},
		{"stock", 0, false},
		{"inventory", -3, false},
		{"inventory", "none", true}, // not a number: says nothing
		{"available_from", "2030-01-01", false},
		{"available_from", "2020-01-01T00:00:00Z", true},
		{"expires_at", now / 1000, false},
		{"expires_at", now + 1, true},
		{"expires_at", "soon", true}, // not a date: says nothing
	} {
		c := New(Options{})
		c.Tick(now)
		if err := c.Put("p", map[string]any{x.field: x.value}, Stamp{Rank: attune.Given, At: 1}); err != nil {
			t.Fatal(err)
		}
		if got := c.View().Available(0); got != x.want {
			t.Errorf("%s %v: available %t, want %t", x.field, x.value, got, x.want)
		}
	}
}

func TestDatesFlipByTick(t *testing.T) {
	c := New(Options{})
	c.Tick(1_000_000_000_000)
	base := attune.Millis(1_000_000_000_000)
	err := c.Put("p", map[string]any{"available_from": float64(base + 10), "expires_at": float64(base + 20)}, Stamp{Rank: attune.Given, At: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		at   attune.Millis
		want bool
	}{{9, false}, {10, true}, {19, true}, {20, false}, {30, false}} {
		c.Tick(base + x.at)
		if got := c.View().Available(0); got != x.want {
			t.Errorf("after %d ms: available %t, want %t", x.at, got, x.want)
		}
	}
	if c.Tick(base); c.View().Available(0) {
		t.Error("time went back")
	}
	for i := range 20_000 { // the heap stays small whatever the feed does
		v := map[string]any{"expires_at": float64(base + 1000 + attune.Millis(i))}
		if err := c.Put("p", v, Stamp{Rank: attune.Given, At: attune.Millis(2 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(c.flips.heap); got > 2*c.Len()+chunkLen+1 {
		t.Errorf("%d flips wait for one item", got)
	}
}

func TestBadPutsChangeNothingAndNameEveryFault(t *testing.T) {
	c := New(Options{})
	err := c.Put("p", map[string]any{
		"ok": 1, "deep": map[string]any{}, "mixed": []any{"a", 1}, "long": strings.Repeat("x", 5000), strings.Repeat("n", 200): 1,
	}, Stamp{Rank: attune.Given})
	if !errors.Is(err, attune.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, want := range []string{`"deep"`, `"mixed"`, `"long"`, "200 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if c.Len() != 0 {
		t.Error("a refused put made an item")
	}
}

func TestChangesFeed(t *testing.T) {
	c := New(Options{})
	learn(c, view(1, 0, 1, `{"product_id":"a","name":"x"}`))
	learn(c, view(2, 0, 2, `{"product_id":"b","name":"x"}`))
	since := c.Version()
	learn(c, view(3, 0, 3, `{"product_id":"a","name":"x"}`)) // nothing new
	learn(c, view(4, 0, 4, `{"product_id":"b","name":"y"}`))
	got, version, ok := c.Changes(since, nil)
	if !slices.Equal(got, []int32{1}) || version != since+1 || !ok {
		t.Errorf("got %v, %d, %t, want [1], %d, true", got, version, ok, since+1)
	}
	for i := range feedLen + 1 {
		c.Ensure(fmt.Sprint("x", i))
	}
	if _, _, ok := c.Changes(since, nil); ok {
		t.Error("the feed claims to reach back further than it does")
	}
}

func TestListAndSearch(t *testing.T) {
	c := New(Options{})
	for _, n := range []string{"Red Shoe", "Shoe Rack", "Hat"} {
		if err := c.Put("sku-"+n[:3], map[string]any{"name": n, "tags": []string{"t"}}, Stamp{Rank: attune.Given, At: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, it := range c.Search("sHoe", 5) {
		ids = append(ids, it.ID)
	}
	if want := []string{"sku-Sho", "sku-Red"}; !slices.Equal(ids, want) {
		t.Errorf("search: got %v, want %v", ids, want)
	}
	page, next, err := c.List("", 2)
	rest, end, err2 := c.List(next, 2)
	if err != nil || err2 != nil || len(page) != 2 || len(rest) != 1 || end != "" || rest[0].ID != "sku-Hat" {
		t.Errorf("pages %v %q %v, then %v %q %v", page, next, err, rest, end, err2)
	}
	if _, ok := rest[0].Attributes["tags"].([]any); !ok {
		t.Errorf("tags are %T, want the list that JSON has", rest[0].Attributes["tags"])
	}
	if _, _, err := c.List("zz", 2); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("a foreign cursor: %v, want ErrInvalid", err)
	}
}

// op is one write of a random schedule; every op has a stamp of its own.
type op struct {
	kind  int
	id    string
	props map[string]any
	rank  attune.Rank
	at    attune.Millis
	msg   int
}

func (o op) do(t interface{ Fatalf(string, ...any) }, c *Catalog) {
	s := Stamp{Rank: o.rank, At: o.at, Tie: attune.Hash(fmt.Sprint("m", o.msg))}
	switch o.kind {
	case 0:
		c.Delete(o.id, s)
	case 1:
		s.Rank = attune.Given
		if err := c.Put(o.id, o.props, s); err != nil {
			t.Fatalf("put: %v", err)
		}
	default:
		props := maps.Clone(o.props)
		props["product_id"] = o.id
		b, err := json.Marshal(props)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		learn(c, view(o.msg, o.rank, o.at, string(b)))
	}
}

func drawOps(t *rapid.T) []op {
	var ops []op
	for i := range rapid.IntRange(1, 60).Draw(t, "ops") {
		o := op{
			kind: rapid.IntRange(0, 8).Draw(t, "kind"), id: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "id"), msg: i,
			at: attune.Millis(rapid.IntRange(1, 30).Draw(t, "at")), rank: attune.Rank(rapid.IntRange(0, 1).Draw(t, "rank")),
			props: map[string]any{},
		}
		for _, name := range []string{"name", "sale", "variant", "x", "y"} {
			switch rapid.IntRange(0, 5).Draw(t, name) {
			case 0, 1, 2:
				o.props[name] = "one"
			case 3:
				o.props[name] = 2.5
			case 4:
				o.props[name] = true
			}
		}
		ops = append(ops, o)
	}
	return ops
}

// want is the definition: per field the greatest stamp wins.
func want(ops []op, id string, limit int) (fields map[string]any, deleted bool) {
	best := map[string]Stamp{}
	fields = map[string]any{}
	var removed, revived Stamp
	for _, o := range ops {
		s := Stamp{Rank: o.rank, At: o.at, Tie: attune.Hash(fmt.Sprint("m", o.msg))}
		if o.id != id {
			continue
		}
		if o.kind <= 1 {
			s.Rank = attune.Given
		}
		if o.kind == 0 {
			if s.compare(removed) > 0 {
				removed = s
			}
			continue
		}
		if o.kind == 1 && s.compare(revived) > 0 {
			revived = s
		}
		for name, v := range o.props {
			if b, ok := best[name]; !ok || s.compare(b) > 0 {
				best[name], fields[name] = s, v
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(best), func(a, b string) int {
		return cmpOr(int(best[b].Rank)-int(best[a].Rank), strings.Compare(a, b))
	})
	for _, n := range names[min(limit, len(names)):] {
		delete(fields, n)
	}
	return fields, removed != Stamp{} && removed.compare(revived) >= 0
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

func TestAnyOrderAndARestartGiveTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := drawOps(t)
		limit := rapid.SampledFrom([]int{3, 64}).Draw(t, "limit")
		if limit < 5 {
			for i := range ops { // a put of more fields than the bound is refused
				for _, n := range []string{"x", "y"} {
					if ops[i].kind == 1 {
						delete(ops[i].props, n)
					}
				}
			}
		}
		order := rapid.Permutation(ops).Draw(t, "order")
		c, rows := New(Options{MaxFields: limit}), map[string][]byte{}
		stop := rapid.IntRange(0, len(ops)).Draw(t, "restart after")
		for i, o := range order {
			o.do(t, c)
			if i%5 == 0 || i == stop {
				c.Dirty(func(k, v []byte) { rows[string(k)] = bytes.Clone(v) })
			}
			if i == stop {
				c = New(Options{MaxFields: limit})
				for _, k := range slices.SortedFunc(maps.Keys(rows), func(a, b string) int { return strings.Compare(b, a) }) {
					if err := c.Load([]byte(k), rows[k]); err != nil {
						t.Fatalf("load: %v", err)
					}
				}
			}
		}
		for _, id := range []string{"p", "q"} {
			fields, deleted := want(ops, id, limit)
			got, _ := c.Item(id)
			if !maps.Equal(got.Attributes, fields) && len(got.Attributes)+len(fields) > 0 || got.Deleted != deleted {
				t.Fatalf("%s: got %v deleted %t, want %v deleted %t", id, got.Attributes, got.Deleted, fields, deleted)
			}
		}
	})
}

func TestNumbersSurviveInRows(t *testing.T) {
	c, again := New(Options{}), New(Options{})
	for i := range 3000 {
		c.Ensure(fmt.Sprint("item-", i))
	}
	c.Dirty(func(k, v []byte) {
		if err := again.Load(k, v); err != nil {
			t.Error(err)
		}
	})
	for i := range 3000 {
		if n, ok := again.Number(fmt.Sprint("item-", i)); !ok || n != int32(i) || !again.View().Available(n) {
			t.Fatalf("item-%d has number %d, %t", i, n, ok)
		}
	}
	if got := again.Ensure("another"); got != 3000 {
		t.Errorf("the next number is %d, want 3000", got)
	}
	again.Dirty(func(k, _ []byte) {
		if !bytes.HasSuffix(k, []byte{3000 >> 8, 3000 & 255}) {
			t.Errorf("row %q is dirty after loading", k)
		}
	})
}

func TestManyReadersAndWriters(t *testing.T) {
	c := New(Options{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				learn(c, view(i, 0, attune.Millis(i), fmt.Sprintf(`{"product_id":"p%d","name":"n%d","category":"c%d","price":%d}`, i%50, i%3, i%7, w)))
				if i%100 == 0 {
					c.Delete(fmt.Sprint("p", i%50), Stamp{At: attune.Millis(i)})
					c.Tick(attune.Millis(i))
				}
			}
		})
		wg.Go(func() {
			for range 500 {
				v := c.View()
				for n := range int32(v.Len()) {
					_ = v.Available(n) && v.Price(n) >= 0 && v.Category(n) > 0 && v.Attr(n, "name") != nil
					if !json.Valid(v.JSON(n)) {
						t.Error("bad JSON")
					}
				}
				_, _, _ = c.Changes(0, nil)
			}
		})
	}
	wg.Wait()
	if c.Len() != 50 {
		t.Errorf("%d items, want 50", c.Len())
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	c := New(Options{})
	e := view(1, 0, 1, `{"product_id":"p","name":"Shoe","category":"Shoes","brand":"B","price":10}`)
	products := attune.AppendProducts(nil, e)
	c.Learn(e, products)
	if got := testing.AllocsPerRun(100, func() {
		v := c.View()
		_ = v.Attr(0, "name")
		_ = v.Available(0)
		_ = v.Category(0)
		_ = v.JSON(0)
		c.Learn(e, products)
	}); got != 0 {
		t.Errorf("%g allocations, want none", got)
	}
	if got := c.WordOf(c.View().Category(0)); got != "Shoes" || c.Word("Shoes") == 0 {
		t.Errorf("category %q", got)
	}
}

func FuzzLoad(f *testing.F) {
	c := New(Options{})
	learn(c, view(1, 0, 1, `{"product_id":"p","name":"Shoe","price":10,"sale":true}`))
	learn(c, view(2, 0, 2, `{"product_id":"p","name":"Shoe","price":10,"sale":true}`))
	c.Dirty(func(k, v []byte) { f.Add(bytes.Clone(k), bytes.Clone(v)) })
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 5 && (key[1] != 0 || key[2] != 0) {
			t.Skip("numbers this high only cost memory")
		}
		c := New(Options{})
		if err := c.Load(key, value); err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			return
		}
		learn(c, view(3, 0, 3, `{"product_id":"p","name":"Boot"}`))
		for n := range int32(c.Len()) {
			if !json.Valid(c.View().JSON(n)) {
				t.Fatal("bad JSON")
			}
		}
	})
}

const benchProduct = `{"product_id":"85123A","name":"WHITE HANGING HEART T-LIGHT HOLDER","category":"Lights","brand":"Attune","price":2.55,"currency":"GBP",` +
	`"image_url":"https://shop.example/i/85123A.svg","url":"https://shop.example/p/85123A"}`

func BenchmarkLearnRepeated(b *testing.B) {
	c := New(Options{})
	e := view(1, 0, 1, benchProduct)
	ps := attune.AppendProducts(nil, e)
	b.ReportAllocs()
	for b.Loop() {
		e.Time++
		c.Learn(e, ps)
	}
}

func BenchmarkLearnChanged(b *testing.B) {
	c := New(Options{})
	es := []*attune.Event{view(1, 0, 1, benchProduct), view(1, 0, 1, strings.Replace(benchProduct, "2.55", "2.65", 1))}
	ps := [][]attune.Product{attune.AppendProducts(nil, es[0]), attune.AppendProducts(nil, es[1])}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		es[i&1].Time = attune.Millis(i)
		c.Learn(es[i&1], ps[i&1])
		i++
	}
}

func BenchmarkAvailable(b *testing.B) {
	c := New(Options{})
	for i := range 100_000 {
		c.Ensure(strconv.Itoa(i))
	}
	v := c.View()
	n := int32(0)
	for b.Loop() {
		if !v.Available(n) {
			b.Fatal("gone")
		}
		n = (n + 7919) % 100_000
	}
}

func BenchmarkAttr(b *testing.B) {
	c := New(Options{})
	learn(c, view(1, 0, 1, benchProduct))
	v := c.View()
	b.ReportAllocs()
	for b.Loop() {
		if v.Attr(0, "currency") == nil {
			b.Fatal("gone")
		}
	}
}

// TestPriceIsANumber gives prices as feeds and pages write them.
func TestPriceIsANumber(t *testing.T) {
	for _, tc := range []struct {
		given any
		want  string // the attributes
		fault string // of Check; events never have one
	}{
		{12.5, `{"name":"x","price":12.5}`, ""},
		{"12.50", `{"name":"x","price":12.5}`, ""},
		{" 3 ", `{"name":"x","price":3}`, ""},
		{"$1,200.50", `{"name":"x"}`, `"$1,200.50" is no number; send 1200.5, and the currency as "currency"`},
		{"free", `{"name":"x"}`, `"free" is no number`},
		{"1e3", `{"name":"x"}`, `"1e3" is no number`},
		{-10.0, `{"name":"x"}`, "-10 is below 0"},
		{"-0.5", `{"name":"x"}`, "-0.5 is below 0"},
		{true, `{"name":"x"}`, "a boolean is no number"},
	} {
		fields := map[string]any{"product_id": "p", "name": "x", "price": tc.given}
		raw, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		c := New(Options{})
		learn(c, view(1, attune.Public, 100, string(raw)))
		if got := attrs(t, c); got != tc.want {
			t.Errorf("%v in an event: got %s, want %s", tc.given, got, tc.want)
		}
		delete(fields, "product_id")
		c = New(Options{})
		said := ""
		if err := c.Check("p", fields); err != nil {
			said = strings.TrimPrefix(attune.Message(err), `item "p": attribute "price": `)
		}
		if said != tc.fault {
			t.Errorf("%v given: refused with %q, want %q", tc.given, said, tc.fault)
		}
		if err := c.Put("p", fields, Stamp{Rank: attune.Given, At: 1}); err != nil || attrs(t, c) != tc.want {
			t.Errorf("%v put: got %s, %v, want %s", tc.given, attrs(t, c), err, tc.want)
		}
	}
}
