package feature

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// root is where a path starts.
type root uint8

const (
	properties root = iota
	traits
	context
	item
	eventTime
	eventName
	eventURL
)

// path is a compiled path: a list of places, the first that holds something
// wins ("properties.revenue|properties.total").
type path []place

type place struct {
	root root
	key  string // a gjson path with every name escaped; of item the plain attribute
}

// perItem reports whether the path looks at the products of an event.
func (p path) perItem() bool {
	for _, at := range p {
		if at.root == item {
			return true
		}
	}
	return false
}

// timed reports whether the path is the time of the event.
func (p path) timed() bool { return len(p) == 1 && p[0].root == eventTime }

// money reports whether the path reads the amount of an order, which refunds
// are taken off.
func (p path) money() bool {
	for _, at := range p {
		if at.root != properties {
			continue
		}
		switch at.key {
		case "revenue", "total", "subtotal", "value":
			return true
		}
	}
	return false
}

// compilePath compiles s; "" is nil.
func compilePath(s string) (path, error) {
	if s == "" {
		return nil, nil
	}
	var p path
	for part := range strings.SplitSeq(s, "|") {
		at, err := compilePlace(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		p = append(p, at)
	}
	return p, nil
}

func compilePlace(s string) (place, error) {
	switch s {
	case "time":
		return place{root: eventTime}, nil
	case "name":
		return place{root: eventName}, nil
	case "url":
		return place{root: eventURL}, nil
	}
	head, rest, _ := strings.Cut(s, ".")
	roots := []string{"properties", "traits", "context", "item", "time", "name", "url"}
	if rest == "" || strings.Contains("."+rest+".", "..") {
		return place{}, fmt.Errorf("%q is not a path; want one like properties.total or item.category%s", s, didYouMean(head, roots))
	}
	var r root
	switch head {
	case "properties":
		r = properties
	case "traits":
		r = traits
	case "context":
		r = context
	case "item":
		return place{root: item, key: rest}, nil
	default:
		return place{}, fmt.Errorf("unknown start of path %q%s", s, didYouMean(head, roots))
	}
	names := strings.Split(rest, ".")
	for i, n := range names {
		names[i] = gjson.Escape(n)
	}
	return place{root: r, key: strings.Join(names, ".")}, nil
}

// didYouMean returns `; did you mean "x"?` for the nearest of names, or "".
func didYouMean(s string, names []string) string {
	best, at := "", len(s)/3+2
	for _, n := range names {
		if d := distance(s, n); d < at {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// maxProducts bounds the lines of one event that features see.
const maxProducts = 1000

// extraction reads values from one event; what costs is done at most once.
type extraction struct {
	e        *attune.Event
	products []attune.Product
	found    bool     // products is filled
	memo     [4]memo  // what was read last, for the next definition
	turn     uint8    // of memo to replace
	learnt   []learnt // Enriched.items; few
	looked   bool     // learnt is filled
}

// memo is a value that was read. Many definitions read few paths.
type memo struct {
	place place
	read  bool
	v     gjson.Result
}

// remembered is at, for a place that is no product's.
func (x *extraction) remembered(at place) gjson.Result {
	for i := range x.memo {
		if m := &x.memo[i]; m.read && m.place == at {
			return m.v
		}
	}
	m := &x.memo[x.turn%uint8(len(x.memo))]
	x.turn++
	*m = memo{place: at, read: true, v: x.at(at, nil)}
	return m.v
}

// learnt is what the catalog knew of a product, as JSON.
type learnt struct{ id, raw string }

// lines returns the products of the event.
func (x *extraction) lines() []attune.Product {
	if !x.found {
		x.found = true
		x.products = attune.AppendProducts(nil, x.e)
		if len(x.products) > maxProducts {
			x.products = x.products[:maxProducts]
		}
	}
	return x.products
}

// get returns the value of p in the event, or in product it; the zero Result
// when there is none. null is none.
func (x *extraction) get(p path, it *attune.Product) gjson.Result {
	for _, at := range p {
		var v gjson.Result
		if at.root <= context {
			v = x.remembered(at)
		} else {
			v = x.at(at, it)
		}
		if v.Exists() && v.Type != gjson.Null {
			return v
		}
	}
	return gjson.Result{}
}

func (x *extraction) at(at place, it *attune.Product) gjson.Result {
	switch at.root {
	case properties:
		return gjson.GetBytes(x.e.Properties, at.key)
	case traits:
		if v := gjson.GetBytes(x.e.Traits, at.key); v.Exists() {
			return v
		}
		return gjson.GetBytes(x.e.Context, "traits."+at.key)
	case context:
		return gjson.GetBytes(x.e.Context, at.key)
	case item:
		return x.attribute(at.key, it)
	case eventTime:
		return text(x.e.Time.String())
	case eventName:
		return text(x.e.Name)
	default:
		if v := gjson.GetBytes(x.e.Properties, "url"); v.Type == gjson.String {
			return v
		}
		return gjson.GetBytes(x.e.Context, "page.url")
	}
}

// text returns s as a JSON string; "" is none.
func text(s string) gjson.Result {
	if s == "" {
		return gjson.Result{}
	}
	return gjson.Result{Type: gjson.String, Str: s}
}

// attribute returns what the event's line says of the product, else what the
// catalog knew of it when the event came in.
func (x *extraction) attribute(name string, it *attune.Product) gjson.Result {
	if it == nil {
		return gjson.Result{}
	}
	if name == "id" {
		return text(it.ID)
	}
	if name == "quantity" {
		return gjson.Result{Type: gjson.Number, Num: float64(it.Quantity), Raw: strconv.FormatInt(it.Quantity, 10)}
	}
	// A flat walk over the line instead of a gjson path: the attribute may
	// have any name, and the walk is as fast.
	if v := member(it.Raw, name); v.Exists() && v.Type != gjson.Null {
		return v
	}
	if len(x.e.Enriched) == 0 {
		return gjson.Result{}
	}
	if !x.looked {
		x.looked = true
		gjson.GetBytes(x.e.Enriched, "items").ForEach(func(k, v gjson.Result) bool {
			x.learnt = append(x.learnt, learnt{id: k.Str, raw: v.Raw})
			return true
		})
	}
	for _, l := range slices.Backward(x.learnt) {
		if l.id == it.ID {
			return member(l.raw, name)
		}
	}
	return gjson.Result{}
}

// member returns the member called name of the JSON object o.
func member(o, name string) (v gjson.Result) {
	if o == "" {
		return v
	}
	gjson.Parse(o).ForEach(func(k, m gjson.Result) bool {
		if k.Str != name {
			return true
		}
		v = m
		return false
	})
	return v
}

// number returns v as millionths: a number, a string that is one, or a bool.
func number(v gjson.Result) (int64, bool) {
	switch v.Type {
	case gjson.Number:
		return parseMicro(v.Raw)
	case gjson.String:
		return parseMicro(v.Str)
	case gjson.True:
		return micro, true
	case gjson.False:
		return 0, true
	default:
		return 0, false
	}
}

// key returns v as the key it stands for; "" when it is none.
func key(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number, gjson.True, gjson.False:
		return v.Raw
	default:
		return ""
	}
}
