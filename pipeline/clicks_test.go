package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

func products(ids ...string) (ps []attune.Product) {
	for _, id := range ids {
		ps = append(ps, attune.Product{ID: id, Quantity: 1})
	}
	return ps
}

// TestAttribution: the last click on an item within seven days is what its
// purchase converts, once, whoever sends the order.
func TestAttribution(t *testing.T) {
	const day = attune.Millis(24 * 3600 * 1000)
	w := newWorld(t, t.TempDir(), 2).start()
	click := func(id, item, placement string, at attune.Millis) {
		w.send(browser(id, "d1 u1", clickEvent, at, fmt.Sprintf(`{"product_id":%q,"placement":%q}`, item, placement)))
	}
	order := func(id, item string, at attune.Millis) {
		p := fmt.Sprintf(`{"order_id":%q,"products":[{"product_id":%q}]}`, id, item)
		w.send(browser(id+"b", "d1 u1", "Order Completed", at, p))
		w.send(server(id+"s", "u1", "Order Completed", at+1, p))
	}
	click("c1", "p1", "home", start)
	click("c2", "p1", "cart", start+day)
	click("c3", "p2", "home", start+day)
	click("c4", "p3", "home", start)
	w.settle()
	w.stop() // clicks survive a restart
	w.start()
	order("o1", "p1", start+2*day)   // cart, which was last
	order("o2", "p1", start+3*day)   // that click is used up
	order("o3", "p2", start+8*day)   // seven days to the millisecond
	order("o4", "p3", start+7*day+1) // too late
	w.settle()
	got := map[string]int64{}
	for _, p := range w.models.Items.Placements() {
		got[p.Placement] = p.Conversions
	}
	if got["cart"] != 1 || got["home"] != 1 {
		t.Errorf("conversions %v, want one of cart and one of home", got)
	}
	if c := w.counts("p1"); c.Conversions != 1 || c.Purchases != 2 {
		t.Errorf("p1 has %+v, want 1 conversion of 2 purchases", c)
	}
	w.stop()
}

// TestClickBounds: the newest clicks of a routing id are kept, and of routing
// ids those that came last; those without clicks take no room, and rows give
// all of it back.
func TestClickBounds(t *testing.T) {
	var c clicks
	c.init()
	c.limit = 3
	for i := range 2 * maxClicks {
		c.clicked("a", products(fmt.Sprint("p", i)), "home", start+attune.Millis(i))
	}
	c.clicked("a", products("q"), strings.Repeat("x", maxPlacement+1), start)
	if got := c.of["a"].list; len(got) != maxClicks || got[0].item != "p20" {
		t.Errorf("%d clicks from %q on, want the newest %d", len(got), got[0].item, maxClicks)
	}
	c.clicked("b", products("p1"), "home", start+100)
	c.clicked("c", products("p1"), "home", start+90)
	if got := c.bought("b", products("p1"), start+101); len(got) != 1 {
		t.Errorf("converted %v", got)
	}
	c.clicked("d", products("p1"), "home", start+110) // b makes room
	if len(c.of) != 3 || c.of["a"] == nil {
		t.Errorf("%d routing ids, want a, c and d", len(c.of))
	}
	c.clicked("b", products("p1"), "home", start+120) // it comes anew, and a was first
	rows := map[string][]byte{}
	put := func(k, v []byte) {
		if v == nil {
			delete(rows, string(k))
			return
		}
		rows[string(k)] = slices.Clone(v)
	}
	c.dirtyRows(put)
	var again clicks
	again.init()
	again.limit = 3
	for k, v := range rows {
		if err := again.load([]byte(k), v); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []*clicks{&c, &again} {
		x.clicked("e", products("p1"), "home", start+130)
		got := []string{}
		for k := range x.of {
			got = append(got, k)
		}
		slices.Sort(got)
		if x == &again && !slices.Equal(got, []string{"b", "d", "e"}) {
			t.Errorf("after a restart %v is kept, want b, d and e: c clicked longest ago", got)
		}
		if len(got) != 3 {
			t.Errorf("kept %v, want three", got)
		}
	}
	for range 20 { // turns of those who are gone do not pile up
		c.bought("e", products("p1"), start+200)
		c.clicked("e", products("p1"), "home", start+200)
	}
	if len(c.order) > 2*c.limit+1 {
		t.Errorf("%d turns for %d routing ids", len(c.order), len(c.of))
	}
}

func FuzzClicks(f *testing.F) {
	f.Add(encodeClicks([]click{{"p1", "home", start}, {"p2", "", -1}}))
	f.Add([]byte{200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again clicks
		c.init()
		again.init()
		if err := c.load([]byte("a:1"), b); err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("%v does not wrap ErrCorrupt", err)
			}
			return
		}
		if c.of["a:1"] == nil {
			return
		}
		if err := again.load([]byte("a:1"), encodeClicks(c.of["a:1"].list)); err != nil || !slices.Equal(again.of["a:1"].list, c.of["a:1"].list) {
			t.Errorf("wrote %v, read %v (%v)", c.of["a:1"].list, again.of["a:1"], err)
		}
	})
}
