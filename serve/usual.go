package serve

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// The bounds of a body that usual reads: past them nobody waits for its speed.
const (
	usualBytes = 64 << 10
	usualDepth = 200 // brackets that open, which is no less than how deep it nests
)

// usual reads the body of POST /v1/decide as clients write it, in a fraction
// of the time that encoding/json takes. It returns nil for whatever is out of
// the ordinary: a fault, a name it does not know or meets twice, null, an
// escape, bytes that are not UTF-8. Then encoding/json reads it, whose word
// counts. What it returns shares body's
// memory, which must not change from now on.
func usual(body []byte) *ask {
	if len(body) == 0 || len(body) > usualBytes || body[0] != '{' || !utf8.Valid(body) ||
		bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) > usualDepth || !gjson.ValidBytes(body) {
		return nil
	}
	a := new(ask)
	u := reading{body: body}
	// gjson.ParseBytes would copy it all first.
	text := unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // body does not change
	u.object(gjson.Parse(text), func(name string, v gjson.Result) int {
		switch name {
		case "user_id":
			return u.string(0, v, &a.UserID)
		case "anonymous_id":
			return u.string(1, v, &a.AnonymousID)
		case "events":
			return u.raws(2, v, &a.Events)
		case "after":
			return u.string(3, v, &a.After)
		case "deadline_ms":
			return u.number(4, v, &a.DeadlineMS)
		case "explain":
			return u.bool(5, v, &a.Explain)
		case "context":
			return u.raw(6, v, &a.Context)
		case "placements":
			return u.asks(7, v, &a.Placements)
		case "user_token":
			return u.string(8, v, &a.UserToken)
		default:
			return unusual
		}
	})
	if u.odd {
		return nil
	}
	return a
}

// unusual is the place of a member that is out of the ordinary.
const unusual = -1

// reading reads a body that is valid JSON. Its methods take the place of the
// member they read and return it, or unusual.
type reading struct {
	body []byte
	odd  bool
}

// object calls member for every member of v, and notes one that is unusual or
// whose place was taken.
func (u *reading) object(v gjson.Result, member func(name string, v gjson.Result) int) {
	taken := 0
	v.ForEach(func(k, v gjson.Result) bool {
		at := member(k.Str, v)
		if at == unusual || taken&(1<<at) != 0 {
			u.odd = true
			return false
		}
		taken |= 1 << at
		return true
	})
}

func (*reading) string(at int, v gjson.Result, into *string) int {
	if v.Type != gjson.String || strings.Contains(v.Raw, `\`) {
		return unusual
	}
	*into = v.Str
	return at
}

func (*reading) number(at int, v gjson.Result, into *int) int {
	n, err := strconv.Atoi(v.Raw)
	if v.Type != gjson.Number || err != nil {
		return unusual
	}
	*into = n
	return at
}

func (*reading) bool(at int, v gjson.Result, into *bool) int {
	if !v.IsBool() {
		return unusual
	}
	*into = v.Bool()
	return at
}

func (u *reading) raw(at int, v gjson.Result, into *json.RawMessage) int {
	if v.Type == gjson.Null {
		return unusual
	}
	end := v.Index + len(v.Raw)
	*into = u.body[v.Index:end:end]
	return at
}

func (u *reading) raws(at int, v gjson.Result, into *[]json.RawMessage) int {
	if !v.IsArray() {
		return unusual
	}
	*into = make([]json.RawMessage, 0, 1)
	v.ForEach(func(_, v gjson.Result) bool {
		var one json.RawMessage
		if u.raw(0, v, &one) == unusual {
			at = unusual
		}
		*into = append(*into, one)
		return at != unusual
	})
	return at
}

func (u *reading) strings(at int, v gjson.Result, into *[]string) int {
	if !v.IsArray() {
		return unusual
	}
	*into = []string{}
	v.ForEach(func(_, v gjson.Result) bool {
		var one string
		if u.string(0, v, &one) == unusual {
			at = unusual
		}
		*into = append(*into, one)
		return at != unusual
	})
	return at
}

func (u *reading) asks(at int, v gjson.Result, into *[]attune.Ask) int {
	if !v.IsArray() {
		return unusual
	}
	*into = make([]attune.Ask, 0, 1)
	v.ForEach(func(_, v gjson.Result) bool {
		if !v.IsObject() {
			at = unusual
			return false
		}
		var one attune.Ask
		u.object(v, func(name string, v gjson.Result) int {
			switch name {
			case "id":
				return u.string(0, v, &one.ID)
			case "limit":
				return u.number(1, v, &one.Limit)
			case "item":
				return u.string(2, v, &one.Item)
			case "items":
				return u.strings(3, v, &one.Items)
			case "query":
				return u.string(4, v, &one.Query)
			default:
				return unusual
			}
		})
		*into = append(*into, one)
		return !u.odd
	})
	return at
}
