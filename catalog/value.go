package catalog

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// The bounds of one attribute.
const (
	maxName   = 128  // bytes
	maxString = 4096 // bytes of a string that was given; a quarter of it when learnt
	maxList   = 64   // strings of a list, each of at most maxWord bytes
	maxWord   = 256
)

// value turns what a caller gave into string, float64, bool, []string or nil.
// What it returns shares nothing with v.
func value(v any) (any, error) {
	switch x := v.(type) {
	case nil, bool:
		return x, nil
	case string:
		if len(x) > maxString {
			return nil, fmt.Errorf("a string of %d bytes, at most %d: %w", len(x), maxString, attune.ErrInvalid)
		}
		return strings.Clone(x), nil
	case float64:
		return number(x)
	case float32:
		return number(float64(x))
	case int:
		return number(float64(x))
	case int32:
		return number(float64(x))
	case int64:
		return number(float64(x))
	case uint64:
		return number(float64(x))
	case []string:
		return list(x)
	case []any:
		return anyList(x)
	default:
		return nil, fmt.Errorf("%s is none of string, number, bool, list of strings and null: %w", kindOf(v), attune.ErrInvalid)
	}
}

// kindOf names what v is in JSON.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case float64:
		return "a number"
	case map[string]any:
		return "an object"
	case []any, []string:
		return "a list"
	default:
		return fmt.Sprintf("a %T", v)
	}
}

// price is the value of fields' price: a number that is not negative, so that a
// filter and a boost can count on it, or nil. A text that is a plain number, as
// many shops keep prices, counts as one.
func price(fields map[string]any) (any, error) {
	kept, err := value(fields["price"])
	if err != nil || kept == nil {
		return nil, nil //nolint:nilnil,nilerr // nil takes the price away; value says what is wrong with the rest
	}
	if text, ok := kept.(string); ok {
		f, plain := plainNumber(text)
		if !plain {
			return nil, fmt.Errorf("%q is no number%s: %w", text, meant(text), attune.ErrInvalid)
		}
		kept = f
	}
	switch f, ok := kept.(float64); {
	case !ok:
		return nil, fmt.Errorf("%s is no number: %w", kindOf(kept), attune.ErrInvalid)
	case f < 0:
		return nil, fmt.Errorf("%s is below 0: %w", strconv.FormatFloat(f, 'f', -1, 64), attune.ErrInvalid)
	default:
		return f, nil
	}
}

// plainNumber reads digits with a point, and nothing else.
func plainNumber(text string) (float64, bool) {
	text = strings.TrimSpace(text)
	if strings.Trim(text, "+-.0123456789") != "" {
		return 0, false // "1e3", "0x1", "Inf": no price is written so
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// meant says how a price with a currency and commas is sent, "" when text is
// something else.
func meant(text string) string {
	number := strings.TrimFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	f, ok := plainNumber(strings.ReplaceAll(number, ",", ""))
	if !ok || len(text) > 32 {
		return ""
	}
	return fmt.Sprintf("; send %s, and the currency as \"currency\"", strconv.FormatFloat(f, 'f', -1, 64))
}

func number(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("number %g: %w", f, attune.ErrInvalid)
	}
	return f, nil
}

func anyList(x []any) (any, error) {
	words := make([]string, 0, min(len(x), maxList))
	for i, e := range x {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("element %d of the list is %T, want string: %w", i, e, attune.ErrInvalid)
		}
		words = append(words, s)
	}
	return list(words)
}

func list(x []string) (any, error) {
	if len(x) > maxList {
		return nil, fmt.Errorf("a list of %d, at most %d: %w", len(x), maxList, attune.ErrInvalid)
	}
	out := make([]string, len(x))
	for i, s := range x {
		if len(s) > maxWord {
			return nil, fmt.Errorf("element %d of the list has %d bytes, at most %d: %w", i, len(s), maxWord, attune.ErrInvalid)
		}
		out[i] = strings.Clone(s)
	}
	return out, nil
}

// compareValues is a total order of values, for claims whose stamps are equal.
func compareValues(a, b any) int {
	if d := cmp.Compare(kind(a), kind(b)); d != 0 {
		return d
	}
	switch x := a.(type) {
	case string:
		y, _ := b.(string)
		return cmp.Compare(x, y)
	case float64:
		y, _ := b.(float64)
		return cmp.Compare(x, y)
	case bool:
		y, _ := b.(bool)
		return cmp.Compare(strconv.FormatBool(x), strconv.FormatBool(y))
	case []string:
		y, _ := b.([]string)
		return slices.Compare(x, y)
	default:
		return 0
	}
}

// The kinds of a value; their numbers are part of the row format.
const (
	kindNull = iota
	kindFalse
	kindString
	kindNumber
	kindList
	kindTrue
)

func kind(v any) int {
	switch v.(type) {
	case string:
		return kindString
	case float64:
		return kindNumber
	case bool:
		return kindFalse
	case []string:
		return kindList
	default:
		return kindNull
	}
}

// fact is one field of a product as an event states it. Its strings share the
// event's memory until it is kept.
type fact struct {
	name  string
	value gjson.Result
}

// equals reports whether the fact states v, without allocation.
func (f fact) equals(v any) bool {
	switch x := v.(type) {
	case string:
		return f.value.Type == gjson.String && f.value.Str == x
	case float64:
		return f.value.Type == gjson.Number && cmp.Compare(f.value.Num, x) == 0
	case bool:
		return f.value.Type == gjson.True && x || f.value.Type == gjson.False && !x
	default:
		return false
	}
}

// keep returns the fact's value in memory of its own.
func (f fact) keep() any {
	switch f.value.Type {
	case gjson.String:
		return strings.Clone(f.value.Str)
	case gjson.Number:
		return f.value.Num
	case gjson.True, gjson.False:
		return f.value.Type == gjson.True
	default:
		return nil
	}
}

// appendFacts appends what the JSON object raw says of an item. With known,
// only the attributes that the e-commerce specification names.
func appendFacts(facts []fact, raw string, scope scope) []fact {
	gjson.Parse(raw).ForEach(func(k, v gjson.Result) bool {
		name := k.Str
		if len(facts) >= maxFacts || name == "" || len(name) > maxName || isLine(name) || !scope.allows(name) {
			return true
		}
		switch v.Type {
		case gjson.String:
			if len(v.Str) > maxString/4 {
				return true
			}
		case gjson.Number:
			if math.IsInf(v.Num, 0) || math.IsNaN(v.Num) {
				return true
			}
		case gjson.True, gjson.False:
		default:
			return true
		}
		if name == "price" {
			var ok bool
			if v, ok = priceOf(v); !ok {
				return true
			}
		}
		facts = append(facts, fact{name: name, value: v})
		return true
	})
	return facts
}

// maxFacts bounds what one event says of one item.
const maxFacts = 64

// scope says which properties of a product are attributes of the item.
type scope uint8

const (
	named   scope = iota // those that the specification names
	all                  // every scalar
	trusted scope = 2    // beside either: a server speaks, so also whether the item can be had
)

// allows reports whether a property called name is learnt. Whether an item can
// be had is no visitor's to say: from a page's console anybody could empty the
// shop.
func (s scope) allows(name string) bool {
	if isStock(name) {
		return s&trusted != 0
	}
	return s&all != 0 || isNamed(name)
}

// isStock reports the attributes that take an item out of decisions.
func isStock(name string) bool {
	switch name {
	case "in_stock", "availability", "stock", "inventory", "available_from", "expires_at":
		return true
	default:
		return false
	}
}

// priceOf makes a number of an event's price. What is none, or below 0, is not
// learnt: an event is never refused for it.
func priceOf(v gjson.Result) (gjson.Result, bool) {
	if v.Type == gjson.String {
		f, ok := plainNumber(v.Str)
		return gjson.Result{Type: gjson.Number, Num: f}, ok && f >= 0
	}
	return v, v.Type == gjson.Number && v.Num >= 0
}

// isNamed reports the attributes of a product in Segment's "Ecommerce events
// spec v2", and the two by which shops say that an item cannot be had.
func isNamed(name string) bool {
	switch name {
	case "name", "category", "brand", "variant", "price", "currency", "image_url", "url", "in_stock", "availability":
		return true
	default:
		return false
	}
}

// isLine reports properties of a cart line, of the event or of the person, not
// of the item: what is learnt of an item is shown to everybody.
func isLine(name string) bool {
	switch name {
	case "product_id", "quantity", "position", "coupon", "discount", "cart_id", "order_id", "checkout_id", "list_id", "wishlist_id",
		"list", "query", "placement", "decision_id", "id", "revenue", "total", "value", "user_id", "userId", "anonymous_id",
		"anonymousId", "session_id", "email", "phone", "customer_id", "timestamp":
		return true
	default:
		return false
	}
}
