package feature

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/attune-io/attune"
)

// TestNothingOfAnEventIsKept: the journal's memory is used again after a fold,
// so a State must not share it.
func TestNothingOfAnEventIsKept(t *testing.T) {
	set, err := Compile(Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var kept, fresh State
	for i, raw := range []string{
		`{"product_id":"p%d","category":"c%d","brand":"b%d","price":3}`,
		`{"order_id":"o%d","revenue":9.5,"products":[{"product_id":"x%d","category":"k%d"},{"sku":"y"}]}`,
		`{"query":"red %d shoes %d %d"}`,
	} {
		names := []string{"Product Viewed", "Product Added", "Order Completed", "Products Searched"}
		for j, name := range names {
			raw := fmt.Appendf(nil, raw, j, j, j)
			e := attune.Event{Type: attune.Track, Name: name, MessageID: fmt.Sprint(i, j), Time: attune.Millis(1e12 + i), Raw: raw, Properties: raw}
			c := e
			c.Raw = bytes.Clone(raw)
			c.Properties = c.Raw
			set.Fold(&fresh, &c)
			set.Fold(&kept, &e)
			for k := range raw {
				raw[k] = 'Z'
			}
		}
	}
	if got, want := set.AppendBinary(&kept, nil), set.AppendBinary(&fresh, nil); !bytes.Equal(got, want) {
		t.Errorf("the state changed with the event's memory:\n got %q\nwant %q", got, want)
	}
}
