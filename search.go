package attune

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Filter asks for items by one attribute: it has one of Values, or is a number
// from Min to Max, both included. A number or a truth value of an item is met
// by its text, as JSON writes it.
type Filter struct {
	Attribute string
	Values    []string
	Min, Max  *float64 // nil is open
}

// Filters are conditions that all hold, sorted by attribute. In JSON they are
// an object: {"category": "Kitchen", "colour": ["red", "blue"], "price": {"min": 1, "max": 5}}.
type Filters []Filter

// Bounds of Filters.
const (
	MaxFilters      = 20
	MaxFilterValues = 100
	maxFilterBytes  = 512 // of one value
	maxFilterName   = 128 // bytes, as of an item's attribute
)

// FacetCount says how many items have a value of an attribute.
type FacetCount struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// UnmarshalJSON reads the object. An error wraps ErrInvalid and names the
// attribute.
func (f *Filters) UnmarshalJSON(b []byte) error {
	*f = nil
	if string(b) == "null" {
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		return fmt.Errorf(`filters: want an object, as {"category": "Kitchen"}: %w`, ErrInvalid)
	}
	if len(object) > MaxFilters {
		return fmt.Errorf("filters: want at most %d, got %d: %w", MaxFilters, len(object), ErrInvalid)
	}
	for name, raw := range object {
		one := Filter{Attribute: name}
		if name == "" || len(name) > maxFilterName {
			return fmt.Errorf("filters: an attribute without a name, or with one of more than %d bytes: %w", maxFilterName, ErrInvalid)
		}
		if err := one.read(raw); err != nil {
			return fmt.Errorf("filters.%s: %w: %w", name, err, ErrInvalid)
		}
		*f = append(*f, one)
	}
	slices.SortFunc(*f, func(a, b Filter) int { return strings.Compare(a.Attribute, b.Attribute) })
	return nil
}

// read reads a value, a list of values, or limits.
func (f *Filter) read(raw json.RawMessage) error {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) > 0 && raw[0] == '{':
		return f.limits(raw)
	case len(raw) > 0 && raw[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("want a list of values: %w", err)
		}
		if len(list) == 0 || len(list) > MaxFilterValues {
			return fmt.Errorf("want 1 to %d values, got %d", MaxFilterValues, len(list))
		}
		for _, one := range list {
			if err := f.value(one); err != nil {
				return err
			}
		}
		return nil
	default:
		return f.value(raw)
	}
}

func (f *Filter) value(raw json.RawMessage) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("want a value: %w", err)
	}
	text, ok := FilterText(v)
	if !ok {
		return fmt.Errorf(`want a text, a number, true, false, a list of these, or {"min": 1, "max": 5}, got %.40s`, raw)
	}
	if len(text) > maxFilterBytes {
		return fmt.Errorf("want a value of at most %d bytes, got %d", maxFilterBytes, len(text))
	}
	f.Values = append(f.Values, text)
	return nil
}

func (f *Filter) limits(raw json.RawMessage) error {
	var l struct {
		Min, Max *float64
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	switch err := d.Decode(&l); {
	case err != nil:
		return fmt.Errorf(`want {"min": 1, "max": 5} with numbers, got %.40s`, raw)
	case l.Min == nil && l.Max == nil:
		return fmt.Errorf(`want {"min": 1, "max": 5}, or one of the two, got %.40s`, raw)
	}
	f.Min, f.Max = l.Min, l.Max
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Filters) MarshalJSON() ([]byte, error) {
	object := make(map[string]any, len(f))
	for i := range f {
		one := &f[i]
		switch {
		case one.Min == nil && one.Max == nil:
			object[one.Attribute] = one.Values
		default:
			limits := map[string]float64{}
			if one.Min != nil {
				limits["min"] = *one.Min
			}
			if one.Max != nil {
				limits["max"] = *one.Max
			}
			object[one.Attribute] = limits
		}
	}
	return json.Marshal(object)
}

// FilterText returns the text by which a Filter meets a value of an attribute,
// and whether it has one: strings, numbers and truth values do.
func FilterText(v any) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	default:
		return "", false
	}
}

// Holds reports whether an attribute's value (string, float64, bool, []string,
// nil when there is none) meets f. A list does when one of its values does.
func (f *Filter) Holds(v any) bool {
	if f.Min != nil || f.Max != nil {
		n, ok := v.(float64)
		return ok && (f.Min == nil || n >= *f.Min) && (f.Max == nil || n <= *f.Max)
	}
	if list, ok := v.([]string); ok {
		return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(f.Values, s) })
	}
	text, ok := FilterText(v)
	return ok && slices.Contains(f.Values, text)
}
