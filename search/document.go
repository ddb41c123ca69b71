package search

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
)

// MaxKeyword is the longest value, in bytes, that can be filtered by. A longer
// one is something to read.
const MaxKeyword = 100

// Document makes d what s says of item n of view. d's slices are used again.
func (s *Settings) Document(view catalog.View, n int32, d *Document) {
	*d = Document{ID: view.ID(n), Text: d.Text[:0], Keywords: d.Keywords[:0], Numbers: d.Numbers[:0]}
	if w := s.Fields["id"]; w > 0 {
		d.Text = append(d.Text, Text{Value: d.ID, Weight: w})
	}
	view.Each(n, func(name string, value any) {
		d.text(value, s.Fields[name])
		if s.filterable(name) {
			d.values(name, value)
		}
	})
}

// filterable reports whether an attribute can be filtered and counted.
func (s *Settings) filterable(name string) bool {
	if s.Attributes != nil {
		return slices.Contains(s.Attributes, name)
	}
	switch name {
	case "name", "title", "description", "image_url", "image", "url", "link":
		return false
	default:
		return true
	}
}

func (d *Document) text(value any, weight int) {
	if weight == 0 {
		return
	}
	switch v := value.(type) {
	case string:
		d.Text = append(d.Text, Text{Value: v, Weight: weight})
	case []string:
		for _, one := range v {
			d.Text = append(d.Text, Text{Value: one, Weight: weight})
		}
	case float64:
		text, _ := attune.FilterText(v)
		d.Text = append(d.Text, Text{Value: text, Weight: weight})
	}
}

func (d *Document) values(name string, value any) {
	keyword := func(text string) {
		if text != "" && len(text) <= MaxKeyword {
			d.Keywords = append(d.Keywords, Keyword{Attribute: name, Value: text})
		}
	}
	if list, ok := value.([]string); ok {
		for _, one := range list {
			keyword(one)
		}
		return
	}
	if f, ok := value.(float64); ok {
		d.Numbers = append(d.Numbers, Number{Attribute: name, Value: f})
	}
	if text, ok := attune.FilterText(value); ok {
		keyword(text)
	}
}

// Sum is the checksum of d: a number other than 0 that changes with whatever is
// in it. buffer is used and returned.
func (d *Document) Sum(version uint64, buffer []byte) (sum uint64, used []byte) {
	b := binary.LittleEndian.AppendUint64(buffer[:0], version)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(d.ID)
	for i := range d.Text {
		text(d.Text[i].Value)
		b = binary.AppendUvarint(b, uint64(d.Text[i].Weight)) //nolint:gosec // 1 to MaxWeight
	}
	b = append(b, 0)
	for i := range d.Keywords {
		text(d.Keywords[i].Attribute)
		text(d.Keywords[i].Value)
	}
	b = append(b, 0)
	for i := range d.Numbers {
		text(d.Numbers[i].Attribute)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d.Numbers[i].Value))
	}
	return max(attune.Hash(string(b)), 1), b
}
