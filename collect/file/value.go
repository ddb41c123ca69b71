package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// template is text with columns in it.
type template []piece

// piece is text, or a column with changes.
type piece struct {
	text    string
	column  string
	changes []string
}

func parseTemplate(text string) (template, error) {
	var t template
	for text != "" {
		before, rest, open := strings.Cut(text, "{")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !open {
			break
		}
		name, tail, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("a { without its }")
		}
		parts := strings.Split(name, "|")
		p := piece{column: strings.TrimSpace(parts[0])}
		if p.column == "" {
			return nil, errors.New("{} names no column")
		}
		for _, c := range parts[1:] {
			switch c = strings.TrimSpace(c); c {
			case "int", "lower", "upper", "hash":
				p.changes = append(p.changes, c)
			default:
				return nil, fmt.Errorf("|%s is not known; want |int, |lower, |upper or |hash", c)
			}
		}
		t = append(t, p)
		text = tail
	}
	return t, nil
}

func (t template) columns(fn func(string)) {
	for i := range t {
		if t[i].column != "" {
			fn(t[i].column)
		}
	}
}

// eval returns the text for a row; "" when a column of it is empty. The error
// names the column.
func (t template) eval(col func(string) string) (string, error) {
	if len(t) == 1 && t[0].column == "" {
		return t[0].text, nil
	}
	var b strings.Builder
	for i := range t {
		p := &t[i]
		if p.column == "" {
			b.WriteString(p.text)
			continue
		}
		v := col(p.column)
		if v == "" {
			return "", nil
		}
		for _, c := range p.changes {
			switch c {
			case "int":
				n, ok := integer(v)
				if !ok {
					return "", fmt.Errorf("%s: %q is no whole number", p.column, clip(v))
				}
				v = strconv.FormatInt(n, 10)
			case "lower":
				v = strings.ToLower(v)
			case "upper":
				v = strings.ToUpper(v)
			case "hash": // a name for what should not be said itself
				v = strconv.FormatUint(attune.Hash(v), 36)
			}
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// integer reads a whole number, also one written as 17850.0.
func integer(v string) (int64, bool) {
	whole, fraction, _ := strings.Cut(v, ".")
	// A date is told apart here, since an error costs more than the number.
	if strings.LastIndexAny(whole, "-:") > 0 || strings.Trim(fraction, "0") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	return n, err == nil
}

// number reads a finite number.
func number(v string) (float64, bool) {
	f, err := strconv.ParseFloat(v, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// constant returns v, a YAML value, as JSON.
func constant(v any) ([]byte, error) {
	switch v.(type) {
	case string, bool, int, int64, uint64, float64:
		return json.Marshal(v)
	default:
		return nil, errors.New("want text, a number, true or false")
	}
}

// appendMember appends "name":value, and nothing when there is no value. sum is
// what the rows' sum came to, in 1e-6.
func (m *member) appendMember(b []byte, col func(string) string, sum int64) ([]byte, error) {
	start := len(b)
	if len(b) > 0 && b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = gjson.AppendJSONString(b, m.name)
	b = append(b, ':')
	switch {
	case m.constant != nil:
		return append(b, m.constant...), nil
	case len(m.value.Sum) > 0:
		return appendMicros(b, sum), nil
	case m.template != nil:
		text, err := m.template.eval(col)
		if err != nil || text == "" {
			return b[:start], err
		}
		return gjson.AppendJSONString(b, text), nil
	}
	v := col(m.value.Column)
	if v == "" {
		return b[:start], nil
	}
	out, err := appendTyped(b, m.value.Type, v)
	if err != nil {
		return b[:start], fmt.Errorf("%s: %w", m.value.Column, err)
	}
	return out, nil
}

// appendTyped appends v as a JSON value of the type.
func appendTyped(b []byte, kind, v string) ([]byte, error) {
	switch kind {
	case "integer":
		n, ok := integer(v)
		if !ok {
			return b, fmt.Errorf("%q is no whole number", clip(v))
		}
		return strconv.AppendInt(b, n, 10), nil
	case "number":
		f, ok := number(v)
		if !ok {
			return b, fmt.Errorf("%q is no number", clip(v))
		}
		return strconv.AppendFloat(b, f, 'f', -1, 64), nil
	case "boolean":
		switch strings.ToLower(v) {
		case "true", "t", "yes", "y", "1":
			return append(b, "true"...), nil
		case "false", "f", "no", "n", "0":
			return append(b, "false"...), nil
		}
		return b, fmt.Errorf("%q is neither true nor false", clip(v))
	default:
		return gjson.AppendJSONString(b, v), nil
	}
}

// maxMicros bounds sums, so that adding many stays in range.
const maxMicros = 1e15

// product returns the product of columns in 1e-6, rounded once; an empty
// column makes it 0.
func product(columns []string, col func(string) string) (int64, error) {
	f := 1.0
	for _, c := range columns {
		v := col(c)
		if v == "" {
			return 0, nil
		}
		x, ok := number(v)
		if !ok {
			return 0, fmt.Errorf("%s: %q is no number", c, clip(v))
		}
		f *= x
	}
	if f = math.Round(f * 1e6); math.Abs(f) > maxMicros {
		return 0, fmt.Errorf("%s: the amount is out of range", strings.Join(columns, " × "))
	}
	return int64(f), nil
}

// appendMicros appends n·1e-6 as a JSON number.
func appendMicros(b []byte, n int64) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/1e6, 10)
	if n %= 1e6; n != 0 {
		digits := strings.TrimRight(fmt.Sprintf("%06d", n), "0")
		b = append(append(b, '.'), digits...)
	}
	return b
}

// clip shortens what a reason quotes.
func clip(v string) string {
	if len(v) > 64 {
		return strings.ToValidUTF8(v[:64], "") + "…"
	}
	return v
}
