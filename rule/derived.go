package rule

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// Derived is a compiled expression over features. It is a feature.Expression.
type Derived struct {
	code   code
	uses   Uses
	kind   kind
	inputs *pool
}

// FeatureExpression compiles an expression at OfFeature, whose value is a
// number, a text, or true or false. It names the features it reads one by one,
// so that circles are found. Errors are as for Condition.
func (e *Env) FeatureExpression(expr string) (*Derived, error) {
	c, err := e.compile(OfFeature, expr)
	if err != nil {
		return nil, err
	}
	fault := func(what string) error { return faults{{Line: 1, Column: 1, What: what}} }
	if c.uses.Open {
		return nil, fault("a derived feature names what it reads, as in features.views")
	}
	if c.kind == aList || c.kind == aMap {
		return nil, fault("the value is " + string(c.kind) + ", want a number, a text, or true or false")
	}
	switch t := c.ast.OutputType(); {
	case c.kind != anything:
	case t.IsExactType(cel.DoubleType), t.IsExactType(cel.IntType), t.IsExactType(cel.UintType):
		c.kind = aNumber
	case t.IsExactType(cel.DynType), t.IsExactType(cel.BoolType), t.IsExactType(cel.StringType):
	default:
		return nil, fault("the value is a " + t.String() + ", want a number, a text, or true or false")
	}
	run, err := c.plan()
	if err != nil {
		return nil, err
	}
	return &Derived{code: run, uses: c.uses, kind: c.kind, inputs: &pool{}}, nil
}

// Shape is what the value is: feature.Number, or feature.Any.
func (d *Derived) Shape() feature.Shape {
	if d.kind == aNumber {
		return feature.Number
	}
	return feature.Any
}

// Reads lists the features it reads, sorted. The caller does not change it.
func (d *Derived) Reads() []string { return d.uses.Features }

// Compute returns the value; nil when there is none, as of an arithmetic with
// what is absent, a division by zero, or a list.
func (d *Derived) Compute(read func(name string) any) any {
	in := d.inputs.get()
	in.Person = reader(read)
	v, err := d.code.run(in)
	in.Person = nil
	d.inputs.put(in)
	if err != nil {
		return nil
	}
	switch v := v.(type) {
	case types.Bool:
		return bool(v)
	case types.String:
		return string(v)
	default:
		if f, ok := finite(v); ok {
			return f
		}
		return nil
	}
}

// reader is the Person that a derived feature sees.
type reader func(name string) any

// Trait returns nothing.
func (reader) Trait(string) (any, bool) { return nil, false }

// Feature returns what the features come to.
func (r reader) Feature(name string, _ attune.Millis) any { return r(name) }

// With returns an Env whose programs read item.features and global from s.
func (e *Env) With(s Shared) *Env {
	out := *e
	out.shared = s
	return &out
}
