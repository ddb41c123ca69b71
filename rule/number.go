package rule

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// doubles is the pass that makes whole numbers doubles where they meet a double
// or a value of unknown type, which is a double when it is a number: CEL adds an int and a
// double no more than a string and a bool. `%` has no form for doubles at all,
// so there the value of unknown type becomes an int.
type doubles struct{}

// Optimize implements cel.ASTOptimizer.
func (doubles) Optimize(ctx *cel.OptimizerContext, a *ast.AST) *ast.AST {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.CallKind {
			return
		}
		call := x.AsCall()
		args := call.Args()
		switch call.FunctionName() {
		case "_+_", "_-_", "_*_", "_/_", "_==_", "_!=_":
			meet(ctx, a, args[0], args[1])
		case "_%_":
			whole(ctx, a, args[0], args[1])
		case "_?_:_":
			meet(ctx, a, args[1], args[2])
		}
	}))
	return ctx.NewAST(a.Expr())
}

func meet(ctx *cel.OptimizerContext, a *ast.AST, l, r ast.Expr) {
	lt, rt := a.GetType(l.ID()), a.GetType(r.ID())
	switch {
	case inexact(lt) && isInt(rt):
		toDouble(ctx, r)
	case isInt(lt) && inexact(rt):
		toDouble(ctx, l)
	}
}

func whole(ctx *cel.OptimizerContext, a *ast.AST, args ...ast.Expr) {
	for _, x := range args {
		if isDyn(a.GetType(x.ID())) {
			wrap(ctx, x, "int")
		}
	}
}

func toDouble(ctx *cel.OptimizerContext, x ast.Expr) {
	if x.Kind() == ast.LiteralKind {
		if n, ok := x.AsLiteral().(types.Int); ok {
			ctx.UpdateExpr(x, ctx.NewLiteral(types.Double(n)))
			return
		}
	}
	wrap(ctx, x, "double")
}

// wrap makes x the call f(x), in place.
func wrap(ctx *cel.OptimizerContext, x ast.Expr, f string) {
	inner := ctx.NewLiteral(types.NullValue)
	inner.SetKindCase(x)
	ctx.UpdateExpr(x, ctx.NewCall(f, inner))
}

func isDyn(t *types.Type) bool { return t != nil && t.Kind() == types.DynKind }

func inexact(t *types.Type) bool { return isDyn(t) || t != nil && t.Kind() == types.DoubleKind }

func isInt(t *types.Type) bool { return t != nil && t.Kind() == types.IntKind }
