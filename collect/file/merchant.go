package file

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/attune-io/attune"
)

// Google Merchant Center, "Product data specification": the attributes of an
// item, as RSS 2.0 or Atom 1.0 with the namespace http://base.google.com/ns/1.0,
// or as a table with a header.

const (
	maxFields    = 200      // of an item
	maxFeedField = 16 << 10 // bytes
)

// newMerchant returns the decoder for what in begins as.
func newMerchant(in *bufio.Reader, l *lines, limit int) (decoder, error) {
	head, err := in.Peek(peekBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("read: %w", err)
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(head) > 0 && head[0] == '<' {
		d := xml.NewDecoder(in)
		d.Strict = false // HTML in descriptions is often not escaped well
		d.Entity = xml.HTMLEntity
		return &merchantXML{d: d}, nil
	}
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	comma := byte(',')
	if bytes.IndexByte(line, '\t') >= 0 {
		comma = '\t'
	}
	s, err := newSheet(&records{lines: l, comma: comma, limit: limit}, "id")
	if err != nil {
		return nil, err
	}
	return &merchantTable{sheet: s}, nil
}

// field is one attribute of an item as it is written.
type field struct{ name, text string }

// merchantItem makes the item that fields say.
func merchantItem(row int64, fields []field) (Row, error) {
	attrs, id, prices := map[string]any{}, "", map[string]string{}
	var raw strings.Builder
	for _, f := range fields {
		if raw.Len() < maxRaw {
			fmt.Fprintf(&raw, "%s=%s ", f.name, f.text)
		}
		if f.text == "" {
			continue
		}
		switch f.name {
		case "id":
			id = f.text
		case "title":
			attrs["name"] = f.text
		case "link":
			attrs["url"] = f.text
		case "image_link":
			attrs["image_url"] = f.text
		case "price", "sale_price":
			prices[f.name] = f.text
		case "availability":
			switch columnName(f.text) {
			case "in_stock", "preorder", "backorder", "available_for_order":
				attrs["in_stock"] = true
			case "out_of_stock":
				attrs["in_stock"] = false
			}
		case "product_type":
			attrs["category"], attrs["category_path"] = last(f.text), f.text
		case "additional_image_link":
			list, _ := attrs[f.name].([]any)
			attrs[f.name] = append(list, f.text)
		default:
			attrs[f.name] = f.text
		}
	}
	bad := func(err error) (Row, error) { return Row{}, faultAt(row, []byte(raw.String()), "%v", err) }
	if err := checkItem(id); err != nil {
		return bad(err)
	}
	if path, ok := attrs["google_product_category"].(string); ok && attrs["category"] == nil {
		attrs["category"] = last(path)
	}
	if err := merchantPrice(attrs, prices); err != nil {
		return bad(err)
	}
	return Row{Number: row, Item: &attune.Item{ID: id, Attributes: attrs}}, nil
}

// merchantPrice settles what an item costs: its sale price, when it has one.
func merchantPrice(attrs map[string]any, prices map[string]string) error {
	for _, name := range [...]string{"price", "sale_price"} {
		text, ok := prices[name]
		if !ok {
			continue
		}
		value, currency, err := amount(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if full, ok := attrs["price"]; ok {
			attrs["list_price"] = full
		}
		attrs["price"] = value
		if currency != "" {
			attrs["currency"] = currency
		}
	}
	return nil
}

type merchantTable struct{ sheet *sheet }

func (m *merchantTable) next() (Row, error) {
	if err := m.sheet.next(); err != nil {
		return Row{}, err
	}
	fields := make([]field, len(m.sheet.recs.fields))
	for name, i := range m.sheet.index {
		if i < len(fields) {
			fields[i] = field{name, m.sheet.col(name)}
		}
	}
	return merchantItem(m.sheet.recs.row, fields)
}

type merchantXML struct {
	d     *xml.Decoder
	ended bool
}

// next reads up to the end of the next item. XML that breaks off, or is not
// well-formed, ends the reading: what follows cannot be told apart.
func (m *merchantXML) next() (Row, error) {
	for !m.ended {
		t, err := m.d.Token()
		if errors.Is(err, io.EOF) {
			m.ended = true
			break
		}
		if err != nil {
			return Row{}, m.broken(err)
		}
		if start, ok := t.(xml.StartElement); ok && (start.Name.Local == "item" || start.Name.Local == "entry") {
			row, _ := m.d.InputPos()
			fields, err := m.fields()
			if err != nil {
				return Row{}, m.broken(err)
			}
			return merchantItem(int64(row), fields)
		}
	}
	return Row{}, io.EOF
}

func (m *merchantXML) broken(err error) error {
	m.ended = true
	line, _ := m.d.InputPos()
	return fmt.Errorf("line %d: the XML does not go on as it should (%w): %w", line, err, attune.ErrInvalid)
}

// fields reads the children of an item. What lies deeper (shipping, tax) is
// left out.
func (m *merchantXML) fields() (fields []field, err error) {
	depth, name := 0, ""
	var text []byte
	for {
		t, err := m.d.Token()
		if err != nil {
			return nil, errors.Join(err, unexpected(err))
		}
		switch x := t.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				name = columnName(x.Name.Local)
				text = append(text[:0], linkOf(name, x.Attr)...)
			}
		case xml.CharData:
			if depth == 1 && len(text)+len(x) <= maxFeedField {
				text = append(text, x...)
			}
		case xml.EndElement:
			if depth == 0 {
				return fields, nil
			}
			if depth--; depth == 0 && len(fields) < maxFields {
				fields = append(fields, field{name, string(bytes.TrimSpace(text))})
			}
		}
	}
}

// linkOf returns the address of Atom's link, which is an attribute.
func linkOf(name string, attributes []xml.Attr) string {
	for _, a := range attributes {
		if name == "link" && a.Name.Local == "href" {
			return a.Value
		}
	}
	return ""
}

// unexpected makes the end of a file inside of an item the fault it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return nil
}
