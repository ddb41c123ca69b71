package file

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
)

// shopify reads a product export: rows of one Handle, which follow each other,
// are one product, the first of them with its title, the others with further
// variants and images. The handle is the item's id.
// Shopify, "Using CSV files to import and export products".
type shopify struct {
	sheet *sheet
	of    *goods // the product whose rows are coming; nil: none
	ready []Row  // whole, not handed on yet: at most one
	ended bool
}

// goods is a product whose rows are still coming.
type goods struct {
	row    int64
	handle string
	attrs  map[string]any
	skus   []any
	priced bool
	stock  bool // some variant can be bought
	hidden bool // a draft, or not published
	broken bool // some variant was a fault
}

// maxVariants bounds those of one product that are kept.
const maxVariants = 2000

func newShopify(l *lines, limit int) (*shopify, error) {
	s, err := newSheet(&records{lines: l, comma: ',', limit: limit}, "handle", "title")
	return &shopify{sheet: s}, err
}

// next returns the next product that is whole, or the fault of a row. A product
// with a bad variant goes on without it; one of which every variant is bad is
// left out.
func (s *shopify) next() (Row, error) {
	for {
		if len(s.ready) > 0 {
			row := s.ready[0]
			s.ready = s.ready[:0]
			return row, nil
		}
		if s.ended {
			return Row{}, io.EOF
		}
		err := s.sheet.next()
		if errors.Is(err, io.EOF) {
			s.ended = true
			s.close()
			continue
		}
		if err != nil {
			return Row{}, err
		}
		if err := s.row(); err != nil {
			return Row{}, faultAt(s.sheet.recs.row, s.sheet.recs.raw, "%v", err)
		}
	}
}

// row takes the row at hand.
func (s *shopify) row() error {
	handle := s.sheet.col("handle")
	if err := checkItem(handle); err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	if s.of == nil || s.of.handle != handle {
		s.close()
		s.of = &goods{row: s.sheet.recs.row, handle: handle, attrs: map[string]any{"url": "/products/" + handle}}
	}
	g := s.of
	for column, name := range map[string]string{
		"title": "name", "vendor": "brand", "type": "category", "product_category": "product_category", "image_src": "image_url", "body_(html)": "description",
	} {
		if text := s.sheet.col(column); text != "" && g.attrs[name] == nil {
			g.attrs[name] = text
		}
	}
	if tags := words(s.sheet.col("tags"), ","); len(tags) > 0 {
		g.attrs["tags"] = tags
	}
	if status := strings.ToLower(s.sheet.col("status")); status == "draft" || status == "archived" || strings.EqualFold(s.sheet.col("published"), "false") {
		g.hidden = true
	}
	if err := s.variant(g); err != nil {
		g.broken = true
		return err
	}
	return nil
}

// variant takes what the row says of a variant; a row of an image says nothing.
func (s *shopify) variant(g *goods) error {
	text := s.sheet.col("variant_price")
	if text == "" {
		return nil
	}
	price, _, err := amount(text)
	if err != nil {
		return fmt.Errorf("variant price: %w", err)
	}
	full, list := 0.0, s.sheet.col("variant_compare_at_price")
	if list != "" {
		if full, _, err = amount(list); err != nil {
			return fmt.Errorf("variant compare at price: %w", err)
		}
	}
	stock := true
	if text := s.sheet.col("variant_inventory_qty"); text != "" && s.sheet.col("variant_inventory_tracker") != "" {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("variant inventory qty: %q is no number", clip(text))
		}
		stock = n > 0 || strings.EqualFold(s.sheet.col("variant_inventory_policy"), "continue")
	}
	if cheapest, ok := g.attrs["price"].(float64); !ok || price < cheapest {
		g.attrs["price"] = price
		delete(g.attrs, "list_price")
		if full > price {
			g.attrs["list_price"] = full
		}
	}
	if sku := strings.TrimPrefix(s.sheet.col("variant_sku"), "'"); sku != "" && len(g.skus) < maxVariants && !slices.Contains(g.skus, any(sku)) {
		g.skus = append(g.skus, sku)
	}
	g.priced, g.stock = true, g.stock || stock
	return nil
}

// close makes the item of the product whose rows came.
func (s *shopify) close() {
	g := s.of
	s.of = nil
	if g == nil || g.broken && !g.priced {
		return
	}
	if len(g.skus) > 0 {
		g.attrs["skus"] = g.skus
	}
	g.attrs["in_stock"] = (g.stock || !g.priced) && !g.hidden
	s.ready = append(s.ready, Row{Number: g.row, Item: &attune.Item{ID: g.handle, Attributes: g.attrs}})
}
