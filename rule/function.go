package rule

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// functionNames are the functions and macros beside CEL's own, for suggestions.
func functionNames() []string {
	return []string{"default", "lower", "upper", "daysBetween", "daysSince", "has", "exists", "all", "map", "filter"}
}

// functions declares what the package comment lists.
func functions() cel.EnvOption {
	opts := []cel.EnvOption{
		cel.Function("default",
			cel.Overload("default_dyn_dyn", []*cel.Type{cel.DynType, cel.DynType}, cel.DynType,
				cel.OverloadIsNonStrict(), cel.BinaryBinding(orElse))),
		cel.Function("lower",
			cel.Overload("lower_string", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(lower))),
		cel.Function("upper",
			cel.Overload("upper_string", []*cel.Type{cel.StringType}, cel.StringType, cel.UnaryBinding(upper))),
		cel.Function("daysBetween",
			cel.Overload("days_between_dyn_dyn", []*cel.Type{cel.DynType, cel.DynType}, cel.DoubleType,
				cel.BinaryBinding(daysBetween))),
		// daysSince(t) is daysBetween(t, now): functions see no variables, macros do.
		cel.Macros(append(slices.Clip(cel.StandardMacros),
			cel.GlobalMacro("daysSince", 1, daysSince))...),
	}
	return cel.Lib(library(append(opts, mixed()...)))
}

// mixed declares arithmetic of an int with a double, which CEL's checker refuses.
// The pass doubles makes both doubles before anything is evaluated.
func mixed() []cel.EnvOption {
	var opts []cel.EnvOption
	pairs := [2][]*cel.Type{{cel.IntType, cel.DoubleType}, {cel.DoubleType, cel.IntType}}
	for _, f := range [...]struct {
		operator, name string
	}{
		{"_+_", "add"},
		{"_-_", "subtract"},
		{"_*_", "multiply"},
		{"_/_", "divide"},
	} {
		opts = append(opts, cel.Function(f.operator,
			cel.Overload(f.name+"_int64_double", pairs[0], cel.DoubleType),
			cel.Overload(f.name+"_double_int64", pairs[1], cel.DoubleType)))
	}
	return opts
}

// library is a set of options as cel.Lib takes it.
type library []cel.EnvOption

// CompileOptions implements cel.Library.
func (l library) CompileOptions() []cel.EnvOption { return l }

// ProgramOptions implements cel.Library.
func (library) ProgramOptions() []cel.ProgramOption { return nil }

func daysSince(h cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	return h.NewCall("daysBetween", args[0], h.NewIdent("now")), nil
}

// orElse is default(x, y): y where x is null or an error.
func orElse(x, y ref.Val) ref.Val {
	if types.IsError(x) || x == types.NullValue {
		x = y
	}
	switch n := x.(type) {
	case types.Int:
		return types.Double(n) // as every number of unknown type
	case types.Uint:
		return types.Double(n)
	default:
		return x
	}
}

func lower(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.NewErr("lower: not a string")
	}
	return types.String(strings.ToLower(string(s)))
}

func upper(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.NewErr("upper: not a string")
	}
	return types.String(strings.ToUpper(string(s)))
}

// daysBetween returns to − from in days of 24 hours, with fractions. Both are
// timestamps, or strings as RFC 3339 or 2006-01-02 (UTC).
func daysBetween(from, to ref.Val) ref.Val {
	f, ok := moment(from)
	if !ok {
		return types.NewErr("daysBetween: the first is not a time")
	}
	t, ok := moment(to)
	if !ok {
		return types.NewErr("daysBetween: the second is not a time")
	}
	return types.Double(float64(t.UnixMilli()-f.UnixMilli()) / (24 * 60 * 60 * 1000))
}

func moment(v ref.Val) (time.Time, bool) {
	switch v := v.(type) {
	case types.Timestamp:
		return v.Time, true
	case types.String:
		if t, err := time.Parse(time.RFC3339, string(v)); err == nil {
			return t, true
		}
		t, err := time.Parse(time.DateOnly, string(v))
		return t, err == nil
	default:
		return time.Time{}, false
	}
}
