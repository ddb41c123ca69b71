package rule

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Uses says what an expression reads. The lists are sorted, without repeats.
type Uses struct {
	Event, Item, Person, Context, Now bool // Person: traits, features or segments
	Attributes, Traits                []string
	Features, Segments                []string
	ItemFeatures, GlobalFeatures      []string
	// Open: some name is only known when it is evaluated (`traits[item.brand]`,
	// `segments.size()`), so the lists may be short.
	Open bool
	// AllSegments: segments is read other than by `"name" in segments`.
	AllSegments bool
	// Loops: there is a loop (exists, all, map, filter), so its cost is counted.
	Loops bool
}

// ItemOnly reports whether the value changes only when the item does.
func (u *Uses) ItemOnly() bool { return u.Item && !u.Event && !u.Person && !u.Context && !u.Now }

// PersonOnly reports whether the value is the same for every item.
func (u *Uses) PersonOnly() bool { return !u.Item }

// The parts of Split.
const (
	partItem = iota
	partPerson
	partBoth
)

func (u *Uses) part() int {
	switch {
	case u.PersonOnly():
		return partPerson
	case u.ItemOnly():
		return partItem
	default:
		return partBoth
	}
}

// usage gathers what a tree reads, and the names in it that do not exist.
type usage struct {
	names  *Names
	place  Place
	info   *ast.SourceInfo
	uses   Uses
	faults faults
	bound  []string // loop variables in scope
}

func (u *usage) done() Uses {
	for _, l := range []*[]string{&u.uses.Attributes, &u.uses.Traits, &u.uses.Features, &u.uses.Segments, &u.uses.ItemFeatures, &u.uses.GlobalFeatures} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	return u.uses
}

func (u *usage) walk(x ast.Expr) {
	switch x.Kind() {
	case ast.IdentKind:
		u.variable(x.AsIdent(), true)
	case ast.SelectKind:
		s := x.AsSelect()
		if v, ok := u.root(s.Operand()); ok {
			u.field(x, v, s.FieldName())
			return
		}
		if u.ofItem(s.Operand()) {
			u.itemFeature(x, s.FieldName())
			return
		}
		u.walk(s.Operand())
	case ast.CallKind:
		u.call(x)
	case ast.ListKind:
		for _, el := range x.AsList().Elements() {
			u.walk(el)
		}
	case ast.MapKind:
		for _, entry := range x.AsMap().Entries() {
			u.walk(entry.AsMapEntry().Key())
			u.walk(entry.AsMapEntry().Value())
		}
	case ast.ComprehensionKind:
		u.loop(x.AsComprehension())
	}
}

func (u *usage) loop(c ast.ComprehensionExpr) {
	u.uses.Loops = true
	u.walk(c.IterRange())
	u.walk(c.AccuInit())
	n := len(u.bound)
	u.bound = append(u.bound, c.IterVar(), c.IterVar2(), c.AccuVar())
	u.walk(c.LoopCondition())
	u.walk(c.LoopStep())
	u.walk(c.Result())
	u.bound = u.bound[:n]
}

// root returns the variable that x is, when it is one of ours.
func (u *usage) root(x ast.Expr) (string, bool) {
	if x.Kind() != ast.IdentKind || slices.Contains(u.bound, x.AsIdent()) {
		return "", false
	}
	return x.AsIdent(), true
}

// variable notes that v is read; whole, when it is read other than by field.
func (u *usage) variable(v string, whole bool) {
	if slices.Contains(u.bound, v) {
		return
	}
	switch v {
	case "event":
		u.uses.Event = true
	case "item":
		u.uses.Item = true
		u.uses.Open = u.uses.Open || whole
	case "traits", "features", "segments":
		u.uses.Person = true
		u.uses.Open = u.uses.Open || whole
		u.uses.AllSegments = u.uses.AllSegments || whole && v == "segments"
	case "context":
		u.uses.Context = true
	case "now":
		u.uses.Now = true
	case "global": // it changes whenever somebody does something
		u.uses.Now = true
		u.uses.Open = u.uses.Open || whole
	}
}

// ofItem reports whether x is item.features: of the product of an event that is
// what its line says.
func (u *usage) ofItem(x ast.Expr) bool {
	if u.place == OfEvent || x.Kind() != ast.SelectKind || x.AsSelect().FieldName() != "features" {
		return false
	}
	v, ok := u.root(x.AsSelect().Operand())
	return ok && v == "item"
}

// itemFeature notes that item.features.name is read at x. Like now it changes
// though the item does not, so it is no condition on the item alone.
func (u *usage) itemFeature(x ast.Expr, name string) {
	u.uses.Item, u.uses.Now = true, true
	u.uses.ItemFeatures = append(u.uses.ItemFeatures, name)
	if u.names.ItemFeatures != nil {
		u.known(x, "feature of items", name, u.names.ItemFeatures)
	}
}

// field notes that v.name is read at x.
func (u *usage) field(x ast.Expr, v, name string) {
	u.variable(v, false)
	switch v {
	case "event":
		u.known(x, `event field`, name, eventNames())
	case "global":
		u.uses.GlobalFeatures = append(u.uses.GlobalFeatures, name)
		if u.names.GlobalFeatures != nil {
			u.known(x, "global feature", name, u.names.GlobalFeatures)
		}
	case "item":
		if name == "features" && u.place != OfEvent {
			u.uses.Now, u.uses.Open = true, true
			return
		}
		if name != "id" {
			u.uses.Attributes = append(u.uses.Attributes, name)
			if u.names.Attributes != nil {
				u.known(x, "item attribute", name, append([]string{"id"}, u.names.Attributes...))
			}
		}
	case "traits":
		u.uses.Traits = append(u.uses.Traits, name)
		if u.names.Traits != nil {
			u.known(x, "trait", name, u.names.Traits)
		}
	case "features":
		u.uses.Features = append(u.uses.Features, name)
		if u.names.Features != nil {
			u.known(x, "feature", name, u.names.Features)
		}
	}
}

func (u *usage) segment(x ast.Expr, name string) {
	u.variable("segments", false)
	u.uses.Segments = append(u.uses.Segments, name)
	if u.names.Segments != nil {
		u.known(x, "segment", name, u.names.Segments)
	}
}

func (u *usage) known(x ast.Expr, what, name string, names []string) {
	if slices.Contains(names, name) {
		return
	}
	u.fault(x, "unknown "+what+" "+strconv.Quote(name), Suggest(name, names))
}

// fault notes what is wrong at x; near is what was probably meant, or "".
func (u *usage) fault(x ast.Expr, what, near string) {
	at := u.info.GetStartLocation(x.ID())
	u.faults = append(u.faults, &Fault{
		Line: max(at.Line(), 1), Column: max(at.Column()+1, 1), What: what, Suggestion: near,
	})
}

func (u *usage) call(x ast.Expr) {
	call := x.AsCall()
	u.sense(x, call)
	args := call.Args()
	switch call.FunctionName() {
	case "_[_]":
		if v, ok := u.root(args[0]); ok && len(args) == 2 {
			if name, ok := literal(args[1]); ok && v != "segments" {
				u.field(x, v, name)
				return
			}
		}
	case "@in":
		if v, ok := u.root(args[1]); ok && v == "segments" {
			if name, ok := literal(args[0]); ok {
				u.segment(args[0], name)
				return
			}
		}
	case "matches":
		u.pattern(x, args[len(args)-1])
	}
	if call.IsMemberFunction() {
		u.walk(call.Target())
	}
	for _, a := range args {
		u.walk(a)
	}
}

// pattern checks the pattern of the matches() at x: how long it takes on a text
// is bounded by its size.
func (u *usage) pattern(x, pattern ast.Expr) {
	text, ok := literal(pattern)
	if !ok {
		u.fault(x, "the pattern of matches() has to be written out: one that is read from data has no bounded cost", "")
		return
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		u.fault(pattern, "the pattern of matches(): "+err.Error(), "")
		return
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxPattern {
		u.fault(pattern, fmt.Sprintf("the pattern of matches() is too large; want at most %d steps", maxPattern), "")
	}
}

// literal returns the string that x is written as.
func literal(x ast.Expr) (string, bool) {
	if x.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := x.AsLiteral().(types.String)
	return string(s), ok
}
