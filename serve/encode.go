package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/attune-io/attune"
)

// AppendDecision appends d as the JSON of POST /v1/decide. Placements are
// sorted by name, so that equal decisions are equal bytes. It is what
// encoding/json would write, at a fraction of the cost: a decision is mostly
// attributes, which are JSON already.
func AppendDecision(b []byte, d *attune.Decision) []byte {
	b = append(b, `{"decision_id":`...)
	b = appendString(b, d.ID)
	b = append(b, `,"profile_version":`...)
	b = strconv.AppendUint(b, d.ProfileVersion, 10)
	b = append(b, `,"stale":`...)
	b = strconv.AppendBool(b, d.Stale)
	b = append(b, `,"placements":`...)
	b = appendPlacements(b, d.Placements)
	return append(b, '}')
}

func appendPlacements(b []byte, placements map[string]*attune.Answer) []byte {
	var few [8]string
	names := few[:0]
	for name := range placements {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = AppendAnswer(b, placements[name])
	}
	return append(b, '}')
}

// AppendAnswer appends a as JSON. A nil Items is an empty list.
func AppendAnswer(b []byte, a *attune.Answer) []byte {
	if a == nil {
		return append(b, "null"...)
	}
	b = append(b, `{"items":[`...)
	for i := range a.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRanked(b, &a.Items[i])
	}
	b = append(b, `],"model":`...)
	b = appendString(b, a.Model)
	if a.Experiment != "" {
		b = append(b, `,"experiment":`...)
		b = appendString(b, a.Experiment)
	}
	if a.Variant != "" {
		b = append(b, `,"variant":`...)
		b = appendString(b, a.Variant)
	}
	b = append(b, `,"fallback":`...)
	b = appendString(b, a.Fallback)
	if a.Content != nil {
		b = append(b, `,"content":{"name":`...)
		b = appendString(b, a.Content.Name)
		b = append(b, `,"payload":`...)
		b = append(append(b, a.Content.Payload...), '}')
	}
	if a.Total != nil {
		b = append(b, `,"total":`...)
		b = strconv.AppendInt(b, int64(*a.Total), 10)
	}
	if len(a.Facets) > 0 {
		if raw, err := marshal(a.Facets); err == nil {
			b = append(b, `,"facets":`...)
			b = append(b, raw...)
		}
	}
	if a.Explain != nil {
		// Asked for by a person who debugs: rare, so the standard library does it.
		if raw, err := marshal(a.Explain); err == nil {
			b = append(b, `,"explain":`...)
			b = append(b, raw...)
		}
	}
	return append(b, '}')
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

func appendRanked(b []byte, r *attune.Ranked) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	b = append(b, `,"score":`...)
	b = appendFloat(b, r.Score, scoreDigits)
	if r.Reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, r.Reason)
	}
	if len(r.Attributes) > 0 {
		b = append(b, `,"attributes":`...)
		b = append(b, r.Attributes...)
	}
	b = append(b, `,"propensity":`...)
	b = appendFloat(b, r.Propensity, -1)
	return append(b, '}')
}

// scoreDigits are those of a score that mean something.
const scoreDigits = 6

// appendFloat appends f with so many significant digits, -1 for all it needs;
// what JSON cannot say is 0.
func appendFloat(b []byte, f float64, digits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, '0')
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'g', digits, 64)
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD; the
// line separators that end a script in old browsers are escaped. <, > and & are
// not: what is answered is read by programs and people, and never as HTML.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, s[start:i]...)
			b = append(b, `\u`...)
			b = appendHex(b, r)
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	default:
		b = append(b, `\u`...)
		return appendHex(b, rune(c))
	}
}

func appendHex(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
