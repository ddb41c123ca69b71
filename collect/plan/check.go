package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/tidwall/gjson"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/attune-io/attune"
)

// The types of violations, as RudderStack names them.
const (
	Unplanned  = "Unplanned-Event"
	Missing    = "Required-Missing"
	Mismatch   = "Datatype-Mismatch"
	Additional = "Additional-Properties"
	Unknown    = "Unknown-Violation" // every other keyword: enum, format, minimum…
)

// Violation is one thing in which an event is not as planned.
type Violation struct {
	Type     string `json:"type"`
	Property string `json:"property"` // as "products.0.price"; "" is the event itself
	Message  string `json:"message"`
}

// MaxViolations is how many are said of one event, and maxWords how long each.
const (
	MaxViolations = 20
	maxWords      = 300
)

// Check returns in what e is not as planned, in an order of its own; nil when
// it is. e has a type and its name; it is not changed or kept.
func (p *Plan) Check(e *attune.Event) (list []Violation) {
	// What a library makes of a shop's events must not end the process.
	defer func() {
		if r := recover(); r != nil {
			list = []Violation{{Type: Unknown, Message: fmt.Sprintf("the event cannot be checked: %v", r)}}
		}
	}()
	s := p.events[e.On()]
	if s == nil {
		if p.unplanned && e.Type == attune.Track {
			return []Violation{{Type: Unplanned, Message: fmt.Sprintf("the plan %q has no event %q", p.name, clip(e.Name))}}
		}
		return nil
	}
	err := s.Validate(instance(gjson.ParseBytes(checked(e))))
	if err == nil {
		return nil
	}
	var cause *jsonschema.ValidationError
	if !errors.As(err, &cause) {
		return []Violation{{Type: Unknown, Message: clip(err.Error())}}
	}
	leaves(cause, func(v *jsonschema.ValidationError) {
		list = append(list, violations(v)...)
	})
	slices.SortFunc(list, func(a, b Violation) int {
		if c := strings.Compare(a.Property, b.Property); c != 0 {
			return c
		}
		return strings.Compare(a.Type+a.Message, b.Type+b.Message)
	})
	list = slices.Compact(list)
	return list[:min(len(list), MaxViolations)]
}

// checked is the part of an event that a plan's schema is of.
func checked(e *attune.Event) []byte {
	part := e.Properties
	if e.Type == attune.Identify || e.Type == attune.Group {
		part = e.Traits
	}
	if part == nil {
		return []byte("{}")
	}
	return part
}

// instance returns v as the validator takes it. A number is an int64 where it
// is one, else a double; there is nothing infinite in JSON, so what is too large
// for a double is its largest.
func instance(v gjson.Result) any {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.True:
		return true
	case gjson.False:
		return false
	case gjson.Number:
		if n, err := strconv.ParseInt(v.Raw, 10, 64); err == nil {
			return n
		}
		return max(-math.MaxFloat64, min(math.MaxFloat64, v.Num))
	case gjson.JSON:
		if v.IsArray() {
			list := []any{}
			v.ForEach(func(_, x gjson.Result) bool {
				list = append(list, instance(x))
				return true
			})
			return list
		}
		members := map[string]any{}
		v.ForEach(func(k, x gjson.Result) bool {
			members[k.Str] = instance(x)
			return true
		})
		return members
	default:
		return nil
	}
}

// leaves calls each for the errors that say something themselves: those
// without causes. Of a choice (anyOf, oneOf) the choice itself is said.
func leaves(e *jsonschema.ValidationError, each func(*jsonschema.ValidationError)) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains:
		each(e)
		return
	}
	if len(e.Causes) == 0 {
		each(e)
		return
	}
	for _, c := range e.Causes {
		leaves(c, each)
	}
}

// violations says one error in the words of tracking plans.
func violations(e *jsonschema.ValidationError) []Violation {
	at := strings.Join(e.InstanceLocation, ".")
	below := func(name string) string {
		if at == "" {
			return name
		}
		return at + "." + name
	}
	var list []Violation
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, Violation{Type: Missing, Property: clip(below(name)), Message: "is missing"})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			list = append(list, Violation{Type: Additional, Property: clip(below(name)), Message: "is not planned"})
		}
	case *kind.Type:
		list = []Violation{{Type: Mismatch, Property: clip(at), Message: fmt.Sprintf("is %s, want %s", k.Got, strings.Join(k.Want, " or "))}}
	default:
		list = []Violation{{Type: Unknown, Property: clip(at), Message: words(e)}}
	}
	return list
}

// words is what an error says, in English.
func words(e *jsonschema.ValidationError) string {
	return clip(e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

// clip bounds what is quoted of an event.
func clip(s string) string {
	if len(s) <= maxWords {
		return s
	}
	n := maxWords
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
