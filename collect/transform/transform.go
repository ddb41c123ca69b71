// Package transform changes events as they come in, before they are checked
// and stored: it renames, maps, derives and removes members, and drops events
// that nobody wants. Values are expressions of package rule.
//
// Steps run in order, each over what the one before it left. A step is all or
// nothing: when an expression of it fails, the event is as it was before the
// step. The same event gives the same result whenever and wherever it is
// transformed; the cost of an expression is bounded by package rule, and the
// number of steps by MaxSteps. The package does no I/O and keeps no state.
package transform

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// What becomes of an event of which a step fails.
const (
	Continue   = "continue" // it goes on without the step; also when nothing is said
	DeadLetter = "dead_letter"
)

// Bounds of a source's steps.
const (
	MaxSteps = 100
	maxPath  = 8 // members of a path
)

// Step is one change as the configuration writes it. Paths are members of the
// event as Segment's specification has it, joined by dots: event,
// properties.price, context.page.url. Within a step the order is drop, rename,
// map, set, remove.
type Step struct {
	Name string `yaml:"name" json:"name"` // for metrics and reasons; "" is its number
	// On names the events the step is for, as conditions know them; none is all.
	On []string `yaml:"on" json:"on,omitempty"`
	// When is a condition on the event; one that fails does not hold.
	When string `yaml:"when" json:"when,omitempty"`
	// Drop forgets the event.
	Drop bool `yaml:"drop" json:"drop,omitempty"`
	// Rename moves what is at a path to another; what is absent is not moved.
	Rename map[string]string `yaml:"rename" json:"rename,omitempty"`
	// Map exchanges texts at a path by others; those not listed stay.
	Map map[string]map[string]string `yaml:"map" json:"map,omitempty"`
	// Set puts the value of an expression at a path; null removes it. Every
	// expression sees the event as the steps before this one left it.
	Set map[string]string `yaml:"set" json:"set,omitempty"`
	// Remove removes what is at the paths.
	Remove []string `yaml:"remove" json:"remove,omitempty"`
	// OnError is Continue or DeadLetter.
	OnError string `yaml:"on_error" json:"on_error,omitempty"`
}

// Fault is one thing that is wrong with a step.
type Fault struct {
	Step  int
	Field string // as "set.properties.price"; "" is the step
	Err   error
}

// Error returns the fault with its place.
func (f *Fault) Error() string { return fmt.Sprintf("[%d].%s: %v", f.Step, f.Field, f.Err) }

// Unwrap returns what is wrong.
func (f *Fault) Unwrap() error { return f.Err }

// Program is compiled steps. Any number of goroutines may use it at once.
type Program struct{ steps []step }

type step struct {
	name        string
	on          []string
	when        *rule.Condition
	drop        bool
	rename      []move
	exchange    []exchange
	set         []derived
	remove      [][]string
	deadLetters bool
}

type (
	move     struct{ from, to []string }
	exchange struct {
		path   []string
		values map[string]string
	}
	derived struct {
		path []string
		expr *rule.Transform
	}
)

// Compile compiles steps. The error joins every *Fault there is.
func Compile(steps []Step, env *rule.Env) (*Program, error) {
	c := compiling{env: env}
	if len(steps) > MaxSteps {
		return nil, &Fault{Step: MaxSteps, Err: fmt.Errorf("there are %d steps; want at most %d: %w", len(steps), MaxSteps, attune.ErrInvalid)}
	}
	p := &Program{steps: make([]step, len(steps))}
	for i := range steps {
		c.at = i
		p.steps[i] = c.step(&steps[i])
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return p, nil
}

type compiling struct {
	env  *rule.Env
	at   int
	errs []error
}

func (c *compiling) fault(field string, err error) {
	c.errs = append(c.errs, &Fault{Step: c.at, Field: field, Err: err})
}

func (c *compiling) invalid(field, format string, args ...any) {
	c.fault(field, fmt.Errorf(format+": %w", append(args, attune.ErrInvalid)...))
}

func (c *compiling) step(s *Step) step {
	out := step{name: s.Name, drop: s.Drop, deadLetters: s.OnError == DeadLetter}
	if out.name == "" {
		out.name = strconv.Itoa(c.at)
	}
	for _, name := range s.On {
		out.on = append(out.on, attune.CanonicalName(name))
	}
	if s.OnError != "" && s.OnError != Continue && s.OnError != DeadLetter {
		c.invalid("on_error", "unknown value %q; want %s or %s", s.OnError, Continue, DeadLetter)
	}
	changes := len(s.Rename) + len(s.Map) + len(s.Set) + len(s.Remove)
	switch {
	case s.Drop && changes > 0:
		c.invalid("drop", "an event that is dropped is not changed; use two steps")
	case !s.Drop && changes == 0:
		c.invalid("", "does nothing; want drop, rename, map, set or remove")
	}
	if s.When != "" {
		var err error
		if out.when, err = c.env.EventCondition(s.When); err != nil {
			c.fault("when", err)
		}
	}
	for _, from := range slices.Sorted(maps.Keys(s.Rename)) {
		out.rename = append(out.rename, move{c.path("rename."+from, from), c.path("rename."+from, s.Rename[from])})
	}
	for _, at := range slices.Sorted(maps.Keys(s.Map)) {
		out.exchange = append(out.exchange, exchange{c.path("map."+at, at), s.Map[at]})
	}
	for _, at := range slices.Sorted(maps.Keys(s.Set)) {
		expr, err := c.env.EventTransform(s.Set[at])
		if err != nil {
			c.fault("set."+at, err)
		}
		out.set = append(out.set, derived{c.path("set."+at, at), expr})
	}
	for i, at := range s.Remove {
		out.remove = append(out.remove, c.path(fmt.Sprintf("remove[%d]", i), at))
	}
	return out
}

// path takes a path apart.
func (c *compiling) path(field, text string) []string {
	keys := strings.Split(text, ".")
	switch {
	case slices.Contains(keys, ""):
		c.invalid(field, "%q is no path; want names joined by dots, as properties.price", text)
	case len(keys) > maxPath:
		c.invalid(field, "%q is deeper than %d names", text, maxPath)
	case !slices.Contains(members(), keys[0]):
		f := fmt.Errorf("an event has no %q; there are %s: %w", keys[0], strings.Join(members(), ", "), attune.ErrInvalid)
		if near := rule.Suggest(keys[0], members()); near != "" {
			f = fmt.Errorf("an event has no %q; did you mean %q?: %w", keys[0], near, attune.ErrInvalid)
		}
		c.fault(field, f)
	case len(keys) > 1 && !slices.Contains(objects(), keys[0]):
		c.invalid(field, "%q: %s is a single value", text, keys[0])
	}
	return keys
}

// members are the first names of paths, and objects those that have members.
func members() []string {
	return []string{"event", "name", "userId", "anonymousId", "previousId", "groupId", "properties", "traits", "context", "integrations"}
}

func objects() []string { return []string{"properties", "traits", "context", "integrations"} }

// Steps returns how many there are.
func (p *Program) Steps() int {
	if p == nil {
		return 0
	}
	return len(p.steps)
}

// Name returns the name of step i.
func (p *Program) Name(i int) string { return p.steps[i].name }

// Refuses reports whether an event on which step i fails is refused.
func (p *Program) Refuses(i int) bool { return p.steps[i].deadLetters }

// Outcome is what a step did.
type Outcome uint8

// The outcomes.
const (
	Same Outcome = iota
	Changed
	Dropped
)

// Run runs step i over e, whose Raw is valid JSON. Changed comes with the JSON
// of the event as it is now, which is the caller's; e itself never changes. An
// error is the failure of the step, and says why.
func (p *Program) Run(i int, e *attune.Event) (Outcome, []byte, error) {
	s := &p.steps[i]
	if len(s.on) > 0 && !slices.Contains(s.on, e.On()) {
		return Same, nil, nil
	}
	if s.when != nil && !s.when.Match(e, nil) {
		return Same, nil, nil
	}
	if s.drop {
		return Dropped, nil, nil
	}
	values := make([]value, len(s.set))
	for j := range s.set {
		v, err := s.set[j].expr.Append(nil, e)
		if err != nil {
			return Same, nil, fmt.Errorf("set %s: %w", strings.Join(s.set[j].path, "."), err)
		}
		values[j] = value(v)
	}
	tree := open(string(e.Raw))
	changed, err := s.edit(tree, values)
	if err != nil || !changed {
		return Same, nil, err
	}
	return Changed, tree.append(make([]byte, 0, len(e.Raw)+256)), nil
}

// edit changes tree, and reports whether it did.
func (s *step) edit(tree object, values []value) (changed bool, err error) {
	for _, m := range s.rename {
		at, name := tree.parent(m.from)
		v, ok := at[name]
		if !ok {
			continue
		}
		delete(at, name)
		if err := tree.put(m.to, v); err != nil {
			return false, err
		}
		changed = true
	}
	for _, x := range s.exchange {
		at, name := tree.parent(x.path)
		raw, _ := at[name].(value)
		old := gjson.Parse(string(raw))
		if next, listed := x.values[old.Str]; listed && old.Type == gjson.String && next != old.Str {
			at[name] = value(gjson.AppendJSONString(nil, next))
			changed = true
		}
	}
	for j := range s.set {
		if values[j] == "null" {
			changed = tree.remove(s.set[j].path) || changed
			continue
		}
		if err := tree.put(s.set[j].path, values[j]); err != nil {
			return false, err
		}
		changed = true
	}
	for _, at := range s.remove {
		changed = tree.remove(at) || changed
	}
	return changed, nil
}
