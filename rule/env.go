package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/parser"

	"github.com/attune-io/attune"
)

// Env compiles expressions. It is immutable and may be used by many at once.
type Env struct {
	names  Names
	envs   [places]*cel.Env
	shared Shared
}

// New returns an Env that knows names.
func New(names Names) (*Env, error) {
	warm()
	base, err := cel.NewEnv(
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableMacroCallTracking(),
		cel.EnableHiddenAccumulatorName(true),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(MaxNodes),
		ext.Math(),
		functions(),
	)
	if err != nil {
		return nil, fmt.Errorf("expression language: %w", err)
	}
	e := &Env{names: names}
	for p := range places {
		var opts []cel.EnvOption
		for _, name := range variableNames(p) {
			opts = append(opts, cel.Variable(name, variableType(name)))
		}
		if e.envs[p], err = base.Extend(opts...); err != nil {
			return nil, fmt.Errorf("expression language of %s: %w", p, err)
		}
	}
	return e, nil
}

// variableNames lists what an expression at p may name, in the order errors
// list them.
func variableNames(p Place) []string {
	switch p {
	case OfEvent:
		return []string{"event", "item"}
	case OfPerson:
		return []string{"traits", "features", "global", "segments", "context", "now"}
	case OfItem:
		return []string{"item", "global", "now"}
	case OfCandidate:
		return []string{"item", "traits", "features", "global", "segments", "context", "now"}
	case OfSegment:
		return []string{"traits", "features", "segments", "now"}
	case OfFeature:
		return []string{"features"}
	default:
		return nil
	}
}

func variableType(name string) *cel.Type {
	switch name {
	case "segments":
		return cel.ListType(cel.StringType)
	case "now":
		return cel.TimestampType
	default:
		return cel.MapType(cel.StringType, cel.DynType)
	}
}

// EventCondition compiles a condition at OfEvent, for feature.Compile.
func (e *Env) EventCondition(expr string) (*Condition, error) {
	p, err := e.Condition(OfEvent, expr)
	if err != nil {
		return nil, err
	}
	return &Condition{program: p, inputs: &pool{}}, nil
}

// PersonCondition compiles a condition at OfPerson.
func (e *Env) PersonCondition(expr string) (*Program, error) { return e.Condition(OfPerson, expr) }

// ItemCondition compiles a condition at OfItem.
func (e *Env) ItemCondition(expr string) (*Program, error) { return e.Condition(OfItem, expr) }

// SegmentCondition compiles a condition at OfSegment.
func (e *Env) SegmentCondition(expr string) (*Program, error) { return e.Condition(OfSegment, expr) }

// CandidateCondition compiles a condition at OfCandidate.
func (e *Env) CandidateCondition(expr string) (*Program, error) {
	return e.Condition(OfCandidate, expr)
}

// Condition compiles a condition. The error joins every fault that was found,
// each a *Fault, and wraps attune.ErrInvalid.
func (e *Env) Condition(p Place, expr string) (*Program, error) {
	c, err := e.compile(p, expr)
	if err != nil {
		return nil, err
	}
	if c.kind != anything && c.kind != aTruth {
		return nil, faults{{Line: 1, Column: 1, What: "the value is " + string(c.kind) + ", want a condition, such as a comparison"}}
	}
	if t := c.ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, faults{{Line: 1, Column: 1, What: "the value is a " + t.String() + ", want a bool"}}
	}
	run, err := c.plan()
	if err != nil {
		return nil, err
	}
	return &Program{code: run, uses: c.uses, text: expr, plain: plainly(c.ast.NativeRep().Expr())}, nil
}

// CompileNumber compiles an expression with a numeric value. Errors are as for
// Condition.
func (e *Env) CompileNumber(p Place, expr string) (*Number, error) {
	c, err := e.compile(p, expr)
	if err != nil {
		return nil, err
	}
	switch t := c.ast.OutputType(); {
	case t.IsExactType(cel.DoubleType), t.IsExactType(cel.IntType), t.IsExactType(cel.UintType), t.IsExactType(cel.DynType):
	default:
		return nil, faults{{Line: 1, Column: 1, What: "the value is a " + t.String() + ", want a number"}}
	}
	run, err := c.plan()
	if err != nil {
		return nil, err
	}
	return &Number{code: run, uses: c.uses, text: expr}, nil
}

// compiled is an expression on its way to a program.
type compiled struct {
	env    *cel.Env
	shared Shared
	ast    *cel.Ast
	uses   Uses
	kind   kind // of the value, as far as it is known
}

func (e *Env) compile(p Place, expr string) (_ *compiled, err error) {
	// An expression is somebody's input, and cel-go's checker has panicked on
	// some (its limit of a pattern's size does, on "a{2}").
	defer func() {
		if r := recover(); r != nil {
			err = faults{{Line: 1, Column: 1, What: fmt.Sprintf("the expression cannot be compiled: %v", r)}}
		}
	}()
	if strings.TrimSpace(expr) == "" {
		return nil, faults{{Line: 1, Column: 1, What: "the expression is empty"}}
	}
	env := e.envs[p]
	checked, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, e.issues(p, expr, issues)
	}
	u := usage{names: &e.names, place: p, info: checked.NativeRep().SourceInfo()}
	u.walk(checked.NativeRep().Expr())
	is := u.kindOf(checked.NativeRep().Expr())
	if len(u.faults) > 0 {
		return nil, u.faults
	}
	optimizer, err := cel.NewStaticOptimizer(doubles{})
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", expr, err)
	}
	rewritten, issues := optimizer.Optimize(env, checked)
	if issues.Err() != nil {
		return nil, e.issues(p, expr, issues)
	}
	return &compiled{env: env, shared: e.shared, ast: rewritten, uses: u.done(), kind: is}, nil
}

func (c *compiled) plan() (code, error) {
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if c.uses.Loops {
		// Counting costs about as much as evaluating, and only a loop can cost
		// more than the length of an expression and of what it reads.
		opts = append(opts, cel.CostLimit(maxCost))
	}
	p, err := c.env.Program(c.ast, opts...)
	if err != nil {
		return code{}, faults{{Line: 1, Column: 1, What: err.Error()}}
	}
	return code{p, c.shared}, nil
}

// Parts are the conjuncts of a candidate condition by what they depend on. The
// condition is true exactly when all three are; nil is one that is always true.
type Parts struct {
	Item   *Program // item alone: changes when the item does
	Person *Program // all but item: once a decision
	Both   *Program // item together with something else: once a candidate
}

// Split compiles a condition at OfCandidate into its parts, so that what
// depends on the item alone is kept as a set and what depends on the person
// alone is evaluated once. Errors are as for Condition.
func (e *Env) Split(expr string) (Parts, error) {
	c, err := e.compile(OfCandidate, expr)
	if err != nil {
		return Parts{}, err
	}
	if _, err := e.Condition(OfCandidate, expr); err != nil {
		return Parts{}, err
	}
	// The tree before the rewriting of numbers: it prints as it was written.
	checked, issues := c.env.Compile(expr)
	if issues.Err() != nil {
		return Parts{}, e.issues(OfCandidate, expr, issues)
	}
	native := checked.NativeRep()
	var texts [3][]string
	for _, term := range conjuncts(nil, native.Expr()) {
		u := usage{names: &e.names, place: OfCandidate, info: native.SourceInfo()}
		u.walk(term)
		text, err := parser.Unparse(term, native.SourceInfo())
		if err != nil {
			return Parts{}, fmt.Errorf("expression %q: %w", expr, err)
		}
		k := u.uses.part()
		texts[k] = append(texts[k], "("+text+")")
	}
	var parts Parts
	for k, into := range []**Program{&parts.Item, &parts.Person, &parts.Both} {
		if len(texts[k]) == 0 {
			continue
		}
		if *into, err = e.Condition(OfCandidate, strings.Join(texts[k], " && ")); err != nil {
			return Parts{}, err
		}
	}
	return parts, nil
}

// conjuncts appends the terms of a chain of && to list, in order.
func conjuncts(list []ast.Expr, x ast.Expr) []ast.Expr {
	if x.Kind() == ast.CallKind {
		if call := x.AsCall(); call.FunctionName() == "_&&_" {
			for _, a := range call.Args() {
				list = conjuncts(list, a)
			}
			return list
		}
	}
	return append(list, x)
}

// warm gives cel-go's shared error values the node id that their first use
// would write into them, so that two goroutines whose first evaluations fail at
// once do not race over it.
func warm() {
	types.LabelErrNode(1, types.NoSuchOverloadErr())
}

// issues turns what cel-go found into faults.
func (e *Env) issues(p Place, expr string, issues *cel.Issues) error {
	var list faults
	broken := false
	for _, x := range issues.Errors() {
		if strings.HasPrefix(x.Message, syntaxError) {
			if broken {
				continue // what comes behind one is a guess
			}
			broken = true
		}
		f := Fault{Line: max(x.Location.Line(), 1), Column: max(x.Location.Column()+1, 1), What: inWords(x.Message)}
		if name, ok := undeclared(x.Message); ok {
			f.What, f.Suggestion = e.unknown(p, name)
		} else if s := slip(expr); strings.HasPrefix(x.Message, syntaxError) && s != "" {
			f.Suggestion = s
		}
		list = append(list, &f)
	}
	if len(list) == 0 {
		return errors.Join(issues.Err(), attune.ErrInvalid)
	}
	return list
}

// undeclared takes the name out of cel-go's message about an unknown one.
func undeclared(message string) (string, bool) {
	rest, ok := strings.CutPrefix(message, "undeclared reference to '")
	if !ok {
		return "", false
	}
	name, _, found := strings.Cut(rest, "'")
	return name, found
}

func (e *Env) unknown(p Place, name string) (what, suggestion string) {
	here := variableNames(p)
	for other := range places {
		if slices.Contains(variableNames(other), name) {
			return fmt.Sprintf("%q is not known in a condition on %s; there are %s", name, p, strings.Join(here, ", ")), ""
		}
	}
	known := slices.Concat(here, functionNames())
	for name := range e.envs[p].Functions() {
		if !strings.ContainsAny(name, "_@!-") {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	if near := Suggest(name, known); near != "" {
		return fmt.Sprintf("unknown name %q", name), near
	}
	return fmt.Sprintf("unknown name %q; there are %s", name, strings.Join(here, ", ")), ""
}

// slip names a habit from other languages that CEL does not share.
func slip(expr string) string {
	for word := range strings.FieldsSeq(expr) {
		switch strings.ToLower(word) {
		case "and":
			return "&&"
		case "or":
			return "||"
		case "not":
			return "!"
		case "=":
			return "=="
		}
	}
	return ""
}
