package attune

import (
	"strconv"
	"unsafe"

	"github.com/tidwall/gjson"
)

// Item is one thing that can be shown, as the catalog's API speaks it.
// Attributes hold JSON values: string, float64, bool, []any of strings, nil.
// The usual names are name, category, brand, price, currency, image_url, url
// and in_stock; every other name is as good.
type Item struct {
	ID         string         `json:"id"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Deleted    bool           `json:"deleted,omitempty"`
}

// Product is one product an event names: the product of "Product Viewed", a
// line of "Order Completed". Raw is its JSON, with every other property.
type Product struct {
	ID       string
	Quantity int64 // 1 when not said; never below 1
	Position int64 // rank on the page, from 1; 0 when not said
	Raw      string
}

// AppendProducts appends the products e names to ps, in order: the lines of
// properties.products when there are any, else the properties themselves when
// they have a product_id or a sku. Lines without an id are left out. What it
// appends shares e's memory: clone what is to be kept.
func AppendProducts(ps []Product, e *Event) []Product {
	if len(e.Properties) == 0 {
		return ps
	}
	// gjson.ParseBytes would copy them all first.
	root := gjson.Parse(unsafe.String(unsafe.SliceData(e.Properties), len(e.Properties))) //nolint:gosec // e does not change
	if !root.IsObject() {
		return ps
	}
	p, list := product(root)
	if list.IsArray() {
		list.ForEach(func(_, line gjson.Result) bool {
			if p, _ := product(line); p.ID != "" {
				ps = append(ps, p)
			}
			return true
		})
		return ps
	}
	if p.ID != "" {
		ps = append(ps, p)
	}
	return ps
}

// product reads o as a product, in one pass; its ID is "" when it is none.
// list is o's products, if it has such.
func product(o gjson.Result) (p Product, list gjson.Result) {
	p.Quantity, p.Raw = 1, o.Raw
	var sku string
	o.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "product_id":
			p.ID = scalar(v)
		case "sku":
			sku = scalar(v)
		case "quantity":
			if n := v.Int(); n > 1 {
				p.Quantity = n
			}
		case "position":
			p.Position = v.Int()
		case "products":
			list = v
		}
		return true
	})
	if p.ID == "" {
		p.ID = sku
	}
	return p, list
}

// scalar returns a JSON string or number as the id it stands for.
func scalar(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		if f := v.Num; f == float64(int64(f)) {
			return strconv.FormatInt(int64(f), 10)
		}
		return v.Raw
	default:
		return ""
	}
}
