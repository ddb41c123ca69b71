package rule

import (
	"fmt"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/attune-io/attune/feature"
)

// kind is what a value is, in the words of a fault. What comes from data may be
// anything, but of a feature its definition says it; so a condition that could
// never hold is found before it never holds.
type kind string

const (
	anything kind = ""
	aNumber  kind = "a number"
	aText    kind = "a text"
	aTruth   kind = "true or false"
	aList    kind = "a list"
	aMap     kind = "a map"
)

// kindOf returns what x is, as far as it is known.
func (u *usage) kindOf(x ast.Expr) kind {
	switch x.Kind() {
	case ast.LiteralKind:
		switch x.AsLiteral().(type) {
		case types.String:
			return aText
		case types.Int, types.Uint, types.Double:
			return aNumber
		case types.Bool:
			return aTruth
		}
	case ast.ListKind:
		return aList
	case ast.MapKind:
		return aMap
	case ast.SelectKind:
		if s := x.AsSelect(); !s.IsTestOnly() {
			if v, ok := u.root(s.Operand()); ok && v == "features" {
				return u.featureKind(s.FieldName())
			}
		}
	case ast.CallKind:
		return u.callKind(x.AsCall())
	}
	return anything
}

func (u *usage) callKind(call ast.CallExpr) kind {
	args := call.Args()
	switch call.FunctionName() {
	case operators.Index:
		if v, ok := u.root(args[0]); ok && v == "features" {
			if name, ok := literal(args[1]); ok {
				return u.featureKind(name)
			}
		}
	case "default":
		if len(args) == 2 && u.kindOf(args[0]) == u.kindOf(args[1]) {
			return u.kindOf(args[0])
		}
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In, operators.LogicalNot:
		return aTruth
	case operators.Subtract, operators.Multiply, operators.Divide:
		if u.kindOf(args[0]) == aNumber && u.kindOf(args[1]) == aNumber {
			return aNumber
		}
	}
	return anything
}

// featureKind returns what reading a feature gives when there is something.
func (u *usage) featureKind(name string) kind {
	shape, known := u.names.Shapes[name]
	if !known {
		return anything
	}
	switch shape {
	case feature.Integer, feature.Number:
		return aNumber
	case feature.List, feature.Vector:
		return aList
	case feature.Weights:
		return aMap
	default:
		return anything
	}
}

// sense notes that the operator call at x can only ever fail, since of what its
// operands are.
func (u *usage) sense(x ast.Expr, call ast.CallExpr) {
	args := call.Args()
	switch f := call.FunctionName(); f {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		for _, a := range args {
			u.condition(a)
		}
	case operators.Conditional:
		u.condition(args[0])
	case operators.Equals, operators.NotEquals:
		u.alike(x, args[0], args[1])
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		for _, a := range args {
			if k := u.kindOf(a); k == aList || k == aMap {
				u.fault(a, fmt.Sprintf("this is %s, which is neither more nor less than something; its size() is a number", k), "")
				return
			}
		}
		u.alike(x, args[0], args[1])
	case operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		for _, a := range args {
			if k := u.kindOf(a); k == aList || k == aMap || k == aText || k == aTruth {
				u.fault(a, fmt.Sprintf("this is %s; want a number to calculate with", k), "")
			}
		}
	case operators.In:
		if k := u.kindOf(args[1]); k == aNumber || k == aText || k == aTruth {
			u.fault(args[1], fmt.Sprintf("this is %s; want a list or a map on the right of \"in\"", k), "")
		}
	}
}

// alike notes that a and b, which are compared at x, are never alike.
func (u *usage) alike(x, a, b ast.Expr) {
	ka, kb := u.kindOf(a), u.kindOf(b)
	if ka != anything && kb != anything && ka != kb {
		u.fault(x, fmt.Sprintf("%s is compared with %s, which never holds", ka, kb), "")
	}
}

// condition notes that x, whose value has to be true or false, is something
// else.
func (u *usage) condition(x ast.Expr) {
	if k := u.kindOf(x); k != anything && k != aTruth {
		u.fault(x, fmt.Sprintf("this is %s, want a condition, such as a comparison", k), "")
	}
}
