package attune_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/attune-io/attune"
)

func sample() attune.Event {
	raw := []byte(`{"type":"track","event":"Product Viewed","properties":{"product_id":"p1","price":2.5},"context":{"page":{"path":"/x"}}}`)
	props := bytes.Index(raw, []byte(`{"product_id"`))
	ctx := bytes.Index(raw, []byte(`{"page"`))
	return attune.Event{
		Type: attune.Track, Rank: attune.Server, Flags: attune.Device | attune.Verified, Name: "Product Viewed",
		MessageID: "m1", UserID: "u1", AnonymousID: "a1", Source: "web", Time: 1, ReceivedAt: 2, SentAt: -3, Original: 4,
		Raw: raw, Properties: raw[props : props+33], Context: raw[ctx : len(raw)-1], Enriched: []byte(`{"device":{}}`),
	}
}

func TestEventRoundTrip(t *testing.T) {
	for name, mod := range map[string]func(*attune.Event){
		"spans of raw":    func(*attune.Event) {},
		"part not of raw": func(e *attune.Event) { e.Traits = []byte(`{"a":1}`) },
		"empty":           func(e *attune.Event) { *e = attune.Event{} },
		"equal copy": func(e *attune.Event) {
			e.Properties = bytes.Clone(e.Properties)
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := sample()
			mod(&want)
			b, err := want.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			var got attune.Event
			if err := got.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			if len(want.Raw) == 0 {
				want.Raw, got.Raw = nil, nil
			}
			if got, want := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestEventSpansAreNotCopied holds the size: the parts cost a few bytes each.
func TestEventSpansAreNotCopied(t *testing.T) {
	e := sample()
	b, err := e.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, limit := len(b), len(e.Raw)+100; got > limit {
		t.Errorf("event takes %d bytes for %d of JSON, want at most %d", got, len(e.Raw), limit)
	}
}

func FuzzEvent(f *testing.F) {
	e := sample()
	b, err := e.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e attune.Event
		if err := e.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		again, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var second attune.Event
		if err := second.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if second.MessageID != e.MessageID || !bytes.Equal(second.Properties, e.Properties) {
			t.Errorf("got %+v, want %+v", second, e)
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := attune.Record{Kind: attune.KindEvent, Key: "a:1", Time: 5, ReceivedAt: 6, Payload: []byte("x")}
	b, err := r.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r attune.Record
		if err := r.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		again, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var second attune.Record
		if err := second.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if second.Key != r.Key || !bytes.Equal(second.Payload, r.Payload) {
			t.Errorf("got %+v, want %+v", second, r)
		}
	})
}

func TestAppendProducts(t *testing.T) {
	for _, tc := range []struct {
		name, properties string
		want             []attune.Product
	}{
		{"a view", `{"product_id":"p1","position":3}`, []attune.Product{{ID: "p1", Quantity: 1, Position: 3, Raw: `{"product_id":"p1","position":3}`}}},
		{"sku when no product_id", `{"sku":"s1"}`, []attune.Product{{ID: "s1", Quantity: 1, Raw: `{"sku":"s1"}`}}},
		{"a number is an id", `{"product_id":42}`, []attune.Product{{ID: "42", Quantity: 1, Raw: `{"product_id":42}`}}},
		{
			"an order", `{"order_id":"o","products":[{"product_id":"a","quantity":2},{"name":"no id"},{"product_id":"b","quantity":-1}]}`,
			[]attune.Product{{ID: "a", Quantity: 2, Raw: `{"product_id":"a","quantity":2}`}, {ID: "b", Quantity: 1, Raw: `{"product_id":"b","quantity":-1}`}},
		},
		{"nothing", `{"query":"x"}`, nil},
		{"not an object", `[]`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := attune.AppendProducts(nil, &attune.Event{Properties: []byte(tc.properties)})
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestOn(t *testing.T) {
	for _, tc := range []struct {
		event attune.Event
		want  string
	}{
		{attune.Event{Type: attune.Track, Name: "Viewed Product"}, "Product Viewed"},
		{attune.Event{Type: attune.Track, Name: "Product Viewed"}, "Product Viewed"},
		{attune.Event{Type: attune.Track, Name: "Song Played"}, "Song Played"},
		{attune.Event{Type: attune.Page, Name: "Home"}, "page"},
		{attune.Event{Type: attune.Identify}, "identify"},
	} {
		if got := tc.event.On(); got != tc.want {
			t.Errorf("On() of %v %q: got %q, want %q", tc.event.Type, tc.event.Name, got, tc.want)
		}
	}
}
