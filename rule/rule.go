// Package rule is the expression language of conditions, boosts and derived
// values: CEL, the Common Expression Language (https://cel.dev), compiled once
// and run many times.
//
// # What an expression sees
//
// Which variables there are depends on the place: see Place. `event` is the
// event, `item` the item (or the product of the event), `traits` what was told
// of the person, `features` what was computed of her, `item.features` and
// `global` what was computed of the item and of everybody, `segments` the names
// of the audiences she is in, `context` what the request said of the page, `now`
// the instant of the decision. Beside CEL's own functions there are
// default(x, y), lower(s), upper(s), daysBetween(from, to), daysSince(t) and the
// math functions of cel-go's extension (math.least, math.greatest, math.round…).
//
// # What is not there
//
// A field that is absent is null. So `x == null` is true of it, `x == 3` false,
// `x != 3` true, has(x) false, default(x, 3) is 3, and every ordering or
// arithmetic with it is an error. An error makes a condition false and a number
// absent: `item.price < 50.0` and `!(item.price < 50.0)` are both false of an
// item without a price. `a || b` is true when one of them is, whatever becomes
// of the other.
//
// # Numbers
//
// Every number that comes from data is a double. It compares with whole numbers
// as one expects, and a whole number that meets it in arithmetic becomes a
// double too, so `features.views_30d / 4 > 1` needs no decimal points. `%` takes
// whole numbers of both sides.
//
// # Guarantees
//
// Compiling finds every unknown variable, function, event field, feature and
// segment, with its line and column and the name that was probably meant. An
// expression has at most MaxLength characters and MaxNodes nodes, a pattern of
// matches() is a literal, and an expression with a loop runs within a cost
// limit; so evaluation is bounded, and it never panics. A program may be used by
// many goroutines at once, each with an Input of its own.
//
// The package does no I/O and reads no clock: `now` is what the caller says.
package rule

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// Bounds of one expression.
const (
	MaxLength  = 4096 // characters
	MaxNodes   = 1000 // after macros are expanded
	maxDepth   = 60
	maxCost    = 20_000 // units of cel-go's cost model, where there are loops
	maxPattern = 1000   // instructions of a compiled pattern
)

// Place says where an expression stands, and so which variables it may use.
type Place uint8

// The places.
const (
	// OfEvent: event, item (the product of the event). No clock: what a fold
	// counts must not depend on when it runs.
	OfEvent Place = iota
	// OfPerson: traits, features, global, segments, context, now.
	OfPerson
	// OfItem: item, global, now.
	OfItem
	// OfCandidate: item, traits, features, global, segments, context, now.
	OfCandidate
	// OfSegment: traits, features, segments, now. No context: an audience is
	// the same whoever asks.
	OfSegment
	// OfFeature: features alone. It is what a derived feature is computed of.
	OfFeature
	places
)

// String returns the place as an error says it: "a condition on …".
func (p Place) String() string {
	switch p {
	case OfEvent:
		return "events"
	case OfPerson:
		return "people"
	case OfItem:
		return "items"
	case OfCandidate:
		return "candidates"
	case OfSegment:
		return "segments"
	case OfFeature:
		return "features"
	default:
		return "nothing"
	}
}

// Names lists what there is, so that a misspelt name is found when an
// expression is compiled. A nil list means that every name is accepted.
type Names struct {
	Features   []string
	Traits     []string
	Segments   []string
	Attributes []string // of items, beside id
	// ItemFeatures and GlobalFeatures are those of item.features and global.
	ItemFeatures, GlobalFeatures []string
	// Shapes says what features are, so that one that is compared with what it
	// can never equal is found too; none is not to know.
	Shapes map[string]feature.Shape
}

// Person is what an expression reads of somebody; *profile.Person is one.
// Values are string, float64, int64, bool, []string, []any, map[string]any,
// map[string]float64, json.RawMessage (read on access), attune.Millis or nil.
type Person interface {
	Trait(name string) (any, bool)
	// Feature returns the value at now, nil when there is none.
	Feature(name string, now attune.Millis) any
}

// Shared is where the features of items and of everybody come from. It may be
// asked by many at once.
type Shared interface {
	// ItemFeature returns the value at now, nil when there is none.
	ItemFeature(item, name string, now attune.Millis) any
	// GlobalFeature does the same of everybody together.
	GlobalFeature(name string, now attune.Millis) any
}

// Item is what an expression reads of an item. Values are as for Person.
type Item interface {
	// ItemID is the id of the item: `item.id`.
	ItemID() string
	Attribute(name string) (any, bool)
}

// Program is a compiled condition.
type Program struct {
	code  code
	uses  Uses
	text  string
	plain []test // what it is a conjunction of; nil when it is more
}

// Match reports whether the condition is true of in. An error counts as false.
func (p *Program) Match(in *Input) bool {
	if len(p.plain) > 0 {
		if matches, sure := matchPlain(p.plain, in); sure {
			return matches
		}
	}
	v, err := p.code.run(in)
	return err == nil && v == types.True
}

// Eval is Match that says why: the error is that of a comparison or an
// arithmetic with an absent or unfit value, or of a cost limit that was passed.
func (p *Program) Eval(in *Input) (bool, error) {
	v, err := p.code.run(in)
	if err != nil {
		return false, fmt.Errorf("evaluate %q: %w", p.text, err)
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("evaluate %q: the value is a %s, want a bool: %w", p.text, v.Type().TypeName(), attune.ErrInvalid)
	}
	return bool(b), nil
}

// Uses says what the condition reads. The caller does not change it.
func (p *Program) Uses() *Uses { return &p.uses }

// String returns the expression.
func (p *Program) String() string { return p.text }

// Number is a compiled expression with a numeric value.
type Number struct {
	code code
	uses Uses
	text string
}

// Value returns the value for in. It is false when there is none: an error, or
// a value that is not a finite number.
func (n *Number) Value(in *Input) (float64, bool) {
	v, err := n.code.run(in)
	if err != nil {
		return 0, false
	}
	return finite(v)
}

// Uses says what the expression reads. The caller does not change it.
func (n *Number) Uses() *Uses { return &n.uses }

// String returns the expression.
func (n *Number) String() string { return n.text }

// Condition is a compiled condition on an event and one of its products. It is
// a feature.Condition.
type Condition struct {
	program *Program
	inputs  *pool
}

// Match reports whether the condition is true of e and p. A nil p makes item
// absent in every field.
func (c *Condition) Match(e *attune.Event, p *attune.Product) bool {
	in := c.inputs.get()
	in.event, in.product = e, p
	ok := c.program.Match(in)
	in.event, in.product = nil, nil
	c.inputs.put(in)
	return ok
}

// Uses says what the condition reads. The caller does not change it.
func (c *Condition) Uses() *Uses { return c.program.Uses() }

// String returns the expression.
func (c *Condition) String() string { return c.program.text }

// code is a planned expression. cel-go recovers panics of an evaluation and
// returns them as errors.
type code struct {
	program cel.Program
	shared  Shared
}

func (c code) run(in *Input) (ref.Val, error) {
	in.shared = c.shared
	v, _, err := c.program.Eval(in.bind())
	return v, err
}
