package rule

import (
	"math"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// Most conditions on people are comparisons of one field with one value, joined
// by &&. Those are evaluated without the machinery of CEL, at a tenth of the
// cost and with the same answer: test.holds says where it is not sure, and then
// CEL decides.

// test is a comparison of a trait or a feature with a literal, or a look for a
// segment.
type test struct {
	of   source
	name string
	op   string // an operator of CEL
	want literalKind
	num  float64
	str  string
	yes  bool
}

type source uint8

const (
	ofTraits source = iota
	ofFeatures
	ofSegments
)

type literalKind uint8

const (
	wantNull literalKind = iota
	wantNumber
	wantText
	wantBool
)

// maxExact is the largest whole number up to which every one is a double.
const maxExact = 1 << 53

// plainly returns the tests whose conjunction x is; nil when it is more than
// that.
func plainly(x ast.Expr) []test {
	terms := conjuncts(nil, x)
	tests := make([]test, len(terms))
	for i, term := range terms {
		if term.Kind() != ast.CallKind || !tests[i].read(term.AsCall()) {
			return nil
		}
	}
	return tests
}

// read takes t from a call, and reports false when it is none.
func (t *test) read(call ast.CallExpr) bool {
	args := call.Args()
	t.op = call.FunctionName()
	if len(args) != 2 || call.IsMemberFunction() {
		return false
	}
	if t.op == operators.In {
		name, ok := literal(args[0])
		t.of, t.name = ofSegments, name
		return ok && args[1].Kind() == ast.IdentKind && args[1].AsIdent() == "segments"
	}
	switch t.op {
	case operators.Equals, operators.NotEquals:
		return t.field(args[0]) && t.literal(args[1])
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return t.field(args[0]) && t.literal(args[1]) && (t.want == wantNumber || t.want == wantText)
	default:
		return false
	}
}

func (t *test) field(x ast.Expr) bool {
	if x.Kind() != ast.SelectKind {
		return false
	}
	s := x.AsSelect()
	if s.IsTestOnly() || s.Operand().Kind() != ast.IdentKind {
		return false
	}
	t.name = s.FieldName()
	switch s.Operand().AsIdent() {
	case "traits":
		t.of = ofTraits
	case "features":
		t.of = ofFeatures
	default:
		return false
	}
	return true
}

func (t *test) literal(x ast.Expr) bool {
	if x.Kind() != ast.LiteralKind {
		return false
	}
	switch v := x.AsLiteral().(type) {
	case types.Double:
		t.want, t.num = wantNumber, float64(v)
		return !math.IsNaN(t.num)
	case types.Int:
		t.want, t.num = wantNumber, float64(v)
		return v > -maxExact && v < maxExact
	case types.String:
		t.want, t.str = wantText, string(v)
	case types.Bool:
		t.want, t.yes = wantBool, bool(v)
	case types.Null:
		t.want = wantNull
	default:
		return false
	}
	return true
}

// matchPlain reports whether all of tests are true of in; sure is false when
// CEL has to say.
func matchPlain(tests []test, in *Input) (matches, sure bool) {
	matches, sure = true, true
	for i := range tests {
		holds, known := tests[i].holds(in)
		switch {
		case known && !holds:
			return false, true // whatever the others say
		case !known:
			sure = false
		}
	}
	return matches, sure
}

// holds reports whether t is true of in, and whether that is known. What CEL
// makes an error of is not true.
func (t *test) holds(in *Input) (holds, known bool) {
	var v any
	switch {
	case t.of == ofSegments:
		_, holds = slices.BinarySearch(in.Segments, t.name)
		return holds, true
	case in.Person == nil:
	case t.of == ofTraits:
		v, _ = in.Person.Trait(t.name)
	default:
		v = in.Person.Feature(t.name, in.Now)
	}
	switch v := v.(type) {
	case nil:
		return t.compared(wantNull, t.want == wantNull, 0), true
	case string:
		return t.compared(wantText, v == t.str, order(v, t.str)), true
	case float64:
		return t.number(v)
	case int64:
		return t.number(float64(v))
	case int:
		return t.number(float64(v))
	case bool:
		return t.compared(wantBool, v == t.yes, 0), true
	default:
		return false, false
	}
}

func (t *test) number(v float64) (holds, known bool) {
	return t.compared(wantNumber, v == t.num, order(v, t.num)), !math.IsNaN(v)
}

func order[T float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// compared applies the operator to a value of a kind, of which it is known
// whether it equals the literal, and how it is ordered beside it, if it is of
// the literal's kind.
func (t *test) compared(is literalKind, equal bool, order int) bool {
	equal = equal && is == t.want
	switch t.op {
	case operators.Equals:
		return equal
	case operators.NotEquals:
		return !equal
	}
	if is != t.want {
		return false // an error
	}
	switch t.op {
	case operators.Less:
		return order < 0
	case operators.LessEquals:
		return order <= 0
	case operators.Greater:
		return order > 0
	default:
		return order >= 0
	}
}
