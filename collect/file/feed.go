package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// Feed reports whether files of this format list what a shop has, rather than
// what happened: an item that such a file does not name has left it.
func (f Format) Feed() bool { return f == Merchant || f == Shopify }

// sheet is a table with a header, for formats whose columns have fixed names.
type sheet struct {
	recs  *records
	index map[string]int // column → place, in small letters, with _ for blanks
}

// columnName is how a header's column is known: "g:image link" is image_link.
func columnName(text string) string {
	name := strings.ToLower(strings.TrimSpace(text))
	name = strings.TrimPrefix(name, "g:")
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '_' }), "_")
}

// newSheet reads the header, which has to have the columns wanted. An empty
// file is a sheet without rows.
func newSheet(recs *records, wanted ...string) (*sheet, error) {
	s := &sheet{recs: recs, index: map[string]int{}}
	err := recs.next()
	if errors.Is(err, io.EOF) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(recs.fields) > maxColumns {
		return nil, fmt.Errorf("header: %d columns, at most %d: %w", len(recs.fields), maxColumns, attune.ErrInvalid)
	}
	for i, f := range recs.fields {
		if _, twice := s.index[columnName(string(f))]; !twice {
			s.index[columnName(string(f))] = i
		}
	}
	for _, name := range wanted {
		if _, ok := s.index[name]; !ok {
			return nil, fmt.Errorf("header: there is no column %q, so this is another format: %w", name, attune.ErrInvalid)
		}
	}
	return s, nil
}

// next reads a row. One with fewer fields than the header is a fault.
func (s *sheet) next() error {
	if err := s.recs.next(); err != nil {
		return err
	}
	if got, want := len(s.recs.fields), len(s.index); got < want {
		return faultAt(s.recs.row, s.recs.raw, "the row has %d fields, the header has %d", got, want)
	}
	return nil
}

// col returns a column of the row at hand, "" when there is no such column.
func (s *sheet) col(name string) string {
	if i, ok := s.index[name]; ok && i < len(s.recs.fields) {
		return string(bytes.TrimSpace(s.recs.fields[i]))
	}
	return ""
}

// maxPrice is more than anything costs; a larger number is a mistake.
const maxPrice = 1e12

// amount reads a price: a number with or without a currency before or behind
// it. A comma is taken for a decimal point where it can only be one.
func amount(text string) (value float64, currency string, err error) {
	number := strings.TrimSpace(text)
	if before, after, two := strings.Cut(number, " "); two {
		number, currency = strings.TrimSpace(before), strings.TrimSpace(after)
		if strings.ContainsAny(currency, "0123456789") {
			number, currency = currency, number
		}
	}
	if i := strings.LastIndexByte(number, ','); i >= 0 {
		if !strings.Contains(number, ".") && len(number)-i <= 3 {
			number = number[:i] + "." + number[i+1:]
		}
		number = strings.ReplaceAll(number, ",", "")
	}
	value, err = strconv.ParseFloat(number, 64)
	switch {
	case err != nil, math.IsNaN(value), math.IsInf(value, 0):
		return 0, "", fmt.Errorf("%q is no price", clip(text))
	case value < 0:
		return 0, "", fmt.Errorf("%q is below 0", clip(text))
	case value > maxPrice:
		return 0, "", fmt.Errorf("%q is more than anything costs", clip(text))
	}
	return value, strings.ToUpper(currency), nil
}

// checkItem returns what is wrong with an id that a feed gives.
func checkItem(id string) error {
	if id == "" {
		return errors.New("id is empty")
	}
	if err := identity.CheckID(id); err != nil {
		return fmt.Errorf("id: %s", attune.Message(err))
	}
	return nil
}

// words cuts a list that is written with sep.
func words(text, sep string) []any {
	var out []any
	for w := range strings.SplitSeq(text, sep) {
		if w = strings.TrimSpace(w); w != "" && !slices.Contains(out, any(w)) {
			out = append(out, w)
		}
	}
	return out
}

// last is the last part of a path of categories.
func last(path string) string {
	parts := words(path, ">")
	if len(parts) == 0 {
		return ""
	}
	name, _ := parts[len(parts)-1].(string)
	return name
}
