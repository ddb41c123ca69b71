package file_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/attune-io/attune/collect/file"
)

// feedOf reads a feed: its items as JSON, and its faults, in the order of the rows.
func feedOf(t *testing.T, format file.Format, text string) (items, faults []string, err error) {
	t.Helper()
	r, err := file.NewReader(strings.NewReader(text), file.Options{Format: format})
	if err != nil {
		return nil, nil, err
	}
	for {
		row, err := r.Next()
		var f *file.Fault
		switch {
		case errors.Is(err, io.EOF):
			return items, faults, nil
		case errors.As(err, &f):
			faults = append(faults, f.Error())
		case err != nil:
			return items, faults, err
		default:
			b, err := json.Marshal(row.Item)
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, string(b))
		}
	}
}

const merchantRSS = `<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>p1</g:id><title>Red &amp; blue lantern</title><link>https://shop.example/p1</link>
<g:price>1,219.90 EUR</g:price><g:sale_price>999 EUR</g:sale_price><g:availability>in stock</g:availability>
<g:product_type>Home &gt; Light</g:product_type><g:shipping><g:price>-9 EUR</g:price></g:shipping>
<g:additional_image_link>a</g:additional_image_link><g:additional_image_link>b</g:additional_image_link></item>
<item><g:id>p2</g:id><title>Broken</title><g:price>-1 EUR</g:price></item>
<item><title>No id</title></item>
<item><g:id>p3</g:id><title><![CDATA[Plain]]></title><g:availability>out_of_stock</g:availability></item>
</channel></rss>`

const merchantAtom = `<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<entry><g:id>p1</g:id><title>One</title><link href="https://shop.example/p1"/><g:price>GBP 2.50</g:price></entry></feed>`

const merchantTSV = "id\ttitle\tprice\timage link\tavailability\np1\tOne\t2,50 EUR\thttp://i\tpreorder\np2\tTwo\tfree\t\t\np3\tThree\t3 EUR\t\t\n"

const shopifyCSV = `Handle,Title,Vendor,Type,Tags,Published,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,Image Src,Status
lantern,Lantern,Acme,Light,"red, home",true,'L-1,shopify,0,deny,19.90,25.00,http://i/1,active
lantern,,,,,,L-2,shopify,3,deny,17.90,,http://i/2,
lantern,,,,,,,,,,,,http://i/3,
lamp,Lamp,Acme,Light,,true,X,shopify,5,deny,-1,,,active
sold,Sold,Acme,Light,,true,S,shopify,0,deny,5,,,active
draft,Draft,Acme,Light,,true,D,,,,5,,,draft
mixed,Mixed,Acme,Light,,true,M-1,,,,cheap,,,active
mixed,,,,,,M-2,,,,4,,,
null,Nothing,,,,true,,,,,1,,,active
`

func TestFeeds(t *testing.T) {
	for _, tc := range []struct {
		name          string
		format        file.Format
		text          string
		items, faults []string
	}{
		{
			"merchant RSS", file.Merchant, merchantRSS,
			[]string{
				`{"id":"p1","attributes":{"additional_image_link":["a","b"],"category":"Light","category_path":"Home \u003e Light","currency":"EUR","in_stock":true,"list_price":1219.9,"name":"Red \u0026 blue lantern","price":999,"url":"https://shop.example/p1"}}`,
				`{"id":"p3","attributes":{"in_stock":false,"name":"Plain"}}`,
			},
			[]string{`row 7: price: "-1 EUR" is below 0`, `row 8: id is empty`},
		},
		{
			"merchant Atom", file.Merchant, merchantAtom,
			[]string{`{"id":"p1","attributes":{"currency":"GBP","name":"One","price":2.5,"url":"https://shop.example/p1"}}`},
			nil,
		},
		{
			"merchant table", file.Merchant, merchantTSV,
			[]string{
				`{"id":"p1","attributes":{"currency":"EUR","image_url":"http://i","in_stock":true,"name":"One","price":2.5}}`,
				`{"id":"p3","attributes":{"currency":"EUR","name":"Three","price":3}}`,
			},
			[]string{`row 3: price: "free" is no price`},
		},
		{
			"shopify", file.Shopify, shopifyCSV,
			[]string{
				`{"id":"lantern","attributes":{"brand":"Acme","category":"Light","image_url":"http://i/1","in_stock":true,"name":"Lantern","price":17.9,"skus":["L-1","L-2"],"tags":["red","home"],"url":"/products/lantern"}}`,
				`{"id":"sold","attributes":{"brand":"Acme","category":"Light","in_stock":false,"name":"Sold","price":5,"skus":["S"],"url":"/products/sold"}}`,
				`{"id":"draft","attributes":{"brand":"Acme","category":"Light","in_stock":false,"name":"Draft","price":5,"skus":["D"],"url":"/products/draft"}}`,
				`{"id":"mixed","attributes":{"brand":"Acme","category":"Light","in_stock":true,"name":"Mixed","price":4,"skus":["M-2"],"url":"/products/mixed"}}`,
			},
			[]string{
				`row 5: variant price: "-1" is below 0`, `row 8: variant price: "cheap" is no price`,
				`row 10: handle: id: id "null" stands for a missing id; send the real one or leave it out`,
			},
		},
		{"nothing", file.Shopify, "", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			items, faults, err := feedOf(t, tc.format, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(items, "\n"), strings.Join(tc.items, "\n"); got != want {
				t.Errorf("items: got\n%s\nwant\n%s", got, want)
			}
			if got, want := strings.Join(faults, "\n"), strings.Join(tc.faults, "\n"); got != want {
				t.Errorf("faults: got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if _, _, err := feedOf(t, file.Shopify, "id,price\n1,2\n"); err == nil {
		t.Error("a table that is no Shopify export is taken for one")
	}
	if items, _, err := feedOf(t, file.Merchant, merchantRSS[:700]); err == nil || len(items) != 1 {
		t.Errorf("a feed that breaks off: got %d items, %v; want the one before, and an error", len(items), err)
	}
}

func FuzzFeed(f *testing.F) {
	for _, text := range []string{merchantRSS, merchantAtom, merchantTSV, shopifyCSV, "<a", "handle,title\n\"x"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, shop bool) {
		format := file.Merchant
		if shop {
			format = file.Shopify
		}
		r, err := file.NewReader(strings.NewReader(text), file.Options{Format: format})
		if err != nil {
			return
		}
		for range 10_000 {
			row, err := r.Next()
			if _, fault := errors.AsType[*file.Fault](err); fault {
				continue
			}
			if err != nil {
				return
			}
			if row.Item == nil || row.Item.ID == "" {
				t.Fatalf("a row without an item: %+v", row)
			}
			if price, ok := row.Item.Attributes["price"].(float64); ok && price < 0 {
				t.Fatalf("a price of %v", price)
			}
		}
	})
}
