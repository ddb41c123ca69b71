package plan

import (
	"fmt"
	"maps"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// Inferring says how a plan is proposed. The zero value is right.
type Inferring struct {
	Ranges bool // numbers get the smallest and the largest that was seen
	Closed bool // a property that was never seen is not planned
	// Values is how many different texts a property may have had to be listed
	// one by one; 0 is 10, below 0 is never.
	Values int
}

// Bounds of an inference.
const (
	maxInferred   = 500 // properties of one object
	maxInferDepth = 8
	maxListed     = 64 // characters of a text that is listed
	minPerValue   = 5  // texts seen for each different one, or it is no list of values
)

// Inference proposes a plan from events that it is shown. It accepts every one
// of them, as long as no event has more than 500 properties beside each other.
// Memory is bounded by the number of names, not of events. One goroutine uses
// it at a time.
type Inference struct {
	how    Inferring
	events map[string]*seen
	over   int // events with a name beyond MaxEvents
}

// NewInference returns an Inference that has seen nothing.
func NewInference(how Inferring) *Inference {
	if how.Values == 0 {
		how.Values = 10
	}
	return &Inference{how: how, events: map[string]*seen{}}
}

// Add shows it an event.
func (i *Inference) Add(e *attune.Event) {
	name := e.On()
	s := i.events[name]
	if s == nil {
		if len(i.events) >= MaxEvents {
			i.over++
			return
		}
		s = &seen{}
		i.events[strings.Clone(name)] = s
	}
	s.add(gjson.ParseBytes(checked(e)), &i.how, 0)
}

// Seen returns how many events there were of each name.
func (i *Inference) Seen() map[string]int {
	out := make(map[string]int, len(i.events))
	for name, s := range i.events {
		out[name] = s.n
	}
	return out
}

// Left returns how many events were not looked at, since there were too many
// names.
func (i *Inference) Left() int { return i.over }

// Definition returns the plan. It is the same in whatever order the events
// came.
func (i *Inference) Definition(name string) Definition {
	d := Definition{Name: name, Events: make(map[string]any, len(i.events))}
	if i.over > 0 {
		d.Unplanned = UnplannedAllowed
	}
	for event, s := range i.events {
		d.Events[event] = s.schema(&i.how)
	}
	return d
}

// seen is what was seen at one place of an event.
type seen struct {
	n                      int // values, null too
	texts, numbers, truths int
	objects, lists, nulls  int
	fraction               bool // some number is not whole
	low, high              float64

	values  map[string]struct{} // different texts; nil once there were too many
	tooMany bool
	formats []string // that all texts have had

	members map[string]*seen // of objects
	full    bool             // some member found no room
	items   *seen            // of lists
}

func (s *seen) add(v gjson.Result, how *Inferring, depth int) {
	s.n++
	switch v.Type {
	case gjson.String:
		s.text(v.Str, how)
	case gjson.Number:
		s.number(v)
	case gjson.True, gjson.False:
		s.truths++
	case gjson.Null:
		s.nulls++
	case gjson.JSON:
		if v.IsArray() {
			s.list(v, how, depth)
		} else {
			s.object(v, how, depth)
		}
	}
}

func (s *seen) number(v gjson.Result) {
	if s.numbers++; s.numbers == 1 {
		s.low, s.high = v.Num, v.Num
	}
	s.low, s.high = min(s.low, v.Num), max(s.high, v.Num)
	if _, err := strconv.ParseInt(v.Raw, 10, 64); err != nil {
		s.fraction = true
	}
}

func (s *seen) text(v string, how *Inferring) {
	if s.texts++; s.texts == 1 {
		s.formats = formats()
	}
	s.formats = slices.DeleteFunc(s.formats, func(f string) bool { return !hasFormat(v, f) })
	if s.tooMany {
		return
	}
	if _, known := s.values[v]; known {
		return
	}
	if len(s.values) >= how.Values || len(v) > maxListed {
		s.values, s.tooMany = nil, true
		return
	}
	if s.values == nil {
		s.values = map[string]struct{}{}
	}
	s.values[strings.Clone(v)] = struct{}{}
}

func (s *seen) list(v gjson.Result, how *Inferring, depth int) {
	s.lists++
	if depth >= maxInferDepth {
		return
	}
	if s.items == nil {
		s.items = &seen{}
	}
	v.ForEach(func(_, x gjson.Result) bool {
		s.items.add(x, how, depth+1)
		return true
	})
}

func (s *seen) object(v gjson.Result, how *Inferring, depth int) {
	s.objects++
	if depth >= maxInferDepth {
		s.full = true
		return
	}
	if s.members == nil {
		s.members = map[string]*seen{}
	}
	last := map[string]gjson.Result{} // of two members with one name the last counts
	v.ForEach(func(k, x gjson.Result) bool {
		last[k.Str] = x
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(last)) {
		m := s.members[name]
		if m == nil {
			if len(s.members) >= maxInferred {
				s.full = true
				continue
			}
			m = &seen{}
			s.members[strings.Clone(name)] = m
		}
		m.add(last[name], how, depth+1)
	}
}

// schema is the JSON Schema of what was seen.
func (s *seen) schema(how *Inferring) map[string]any {
	out := map[string]any{}
	var types []any
	for _, t := range []struct {
		n    int
		name string
	}{
		{s.objects, "object"},
		{s.lists, "array"},
		{s.texts, "string"},
		{s.numbers, s.numeric()},
		{s.truths, "boolean"},
		{s.nulls, "null"},
	} {
		if t.n > 0 {
			types = append(types, t.name)
		}
	}
	switch {
	case len(types) == 1:
		out["type"] = types[0]
	case len(types) > 1:
		out["type"] = types
	}
	s.objectSchema(out, how)
	if s.items != nil && s.items.n > 0 {
		out["items"] = s.items.schema(how)
	}
	if s.texts > 0 && len(s.formats) > 0 {
		out["format"] = s.formats[0] // of texts alone: others have none
	} else if s.texts > 0 && len(types) == 1 && !s.tooMany && s.texts >= minPerValue*len(s.values) {
		values := []any{}
		for _, v := range slices.Sorted(maps.Keys(s.values)) {
			values = append(values, v)
		}
		out["enum"] = values
	}
	if how.Ranges && s.numbers > 0 && !math.IsInf(s.low, 0) && !math.IsInf(s.high, 0) {
		out["minimum"], out["maximum"] = s.low, s.high
	}
	return out
}

func (s *seen) numeric() string {
	if s.fraction {
		return "number"
	}
	return "integer"
}

func (s *seen) objectSchema(out map[string]any, how *Inferring) {
	if s.objects == 0 {
		return
	}
	properties := make(map[string]any, len(s.members))
	required := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		m := s.members[name]
		properties[name] = m.schema(how)
		if m.n == s.objects {
			required = append(required, name)
		}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if how.Closed && !s.full {
		out["additionalProperties"] = false
	}
}

// formats are those that are looked for, the narrowest first.
func formats() []string { return []string{"uuid", "date-time", "date", "email", "ipv4", "ipv6", "uri"} }

// hasFormat reports whether v has a format, by a rule at least as narrow as the
// one it will be checked by.
func hasFormat(v, format string) bool {
	switch format {
	case "uuid":
		return len(v) == 36 && uuid.Validate(v) == nil
	case "date-time":
		_, err := time.Parse(time.RFC3339, v)
		return err == nil && len(v) >= 20 && v[10] == 'T'
	case "date":
		_, err := time.Parse(time.DateOnly, v)
		return err == nil
	case "email":
		a, err := mail.ParseAddress(v)
		at := strings.LastIndexByte(v, '@')
		return err == nil && a.Address == v && a.Name == "" && at <= 64 && len(v) <= 254 && plainAddress(v)
	case "ipv4":
		a, err := netip.ParseAddr(v)
		return err == nil && a.Is4()
	case "ipv6":
		a, err := netip.ParseAddr(v)
		return err == nil && a.Is6() && !a.Is4In6() && a.Zone() == ""
	case "uri":
		u, err := url.Parse(v)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.ContainsAny(v, " \\[]{}|^`\"<>")
	default:
		return false
	}
}

func plainAddress(v string) bool {
	name, host, _ := strings.Cut(v, "@")
	for i := range len(v) {
		c := v[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("@.-_+", rune(c)) {
			return false
		}
	}
	return name != "" && strings.Contains(host, ".") && !strings.ContainsAny(host, "_+@")
}

// String says what an inference has seen, for logs.
func (i *Inference) String() string { return fmt.Sprintf("%d events by name", len(i.events)) }
