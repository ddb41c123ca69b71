package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/rule"
	"github.com/attune-io/attune/segment"
)

// Compiled is what the definitions of a Config become.
type Compiled struct {
	// Rules knows the names of all features and segments.
	Rules    *rule.Env
	Features *feature.Set
	// Scopes are the features of what is not a person, in the order of the file.
	Scopes   []Scoped
	Segments *segment.Set
	// Gates are what the events of sources pass, by the source's id.
	Gates map[string]*Gate
	// Placements are the built-in ones with the own ones laid over them, sorted
	// by name.
	Placements []recommend.Placement
}

// Compile compiles features, segments and placements. The error is Faults,
// every one there is.
func (c *Config) Compile() (*Compiled, error) {
	all := c.AllFeatures()
	definitions := c.PersonFeatures()
	of := func(scope string) []string {
		other := func(d feature.Definition) bool { return d.Scope != scope }
		names, _ := named(slices.DeleteFunc(slices.Clone(all), other))
		return names
	}
	names := rule.Names{
		Segments: make([]string, len(c.Segments)), ItemFeatures: of(feature.ScopeItem), GlobalFeatures: of(feature.ScopeGlobal),
	}
	names.Features, names.Shapes = named(definitions)
	for i := range c.Segments {
		names.Segments[i] = c.Segments[i].Name
	}
	env, err := rule.New(names)
	if err != nil {
		return nil, Faults{{What: message(err)}}
	}
	k := compiling{c: c, env: env, features: names.Features, definitions: definitions}
	derive(env, definitions, names.Shapes)
	k.scopes(all)
	out := &Compiled{Rules: env}
	out.Features = k.compileFeatures(definitions)
	if k.sound {
		out.Scopes = k.compileScopes(all)
	}
	out.Segments = k.compileSegments(definitions)
	out.Gates = k.compileGates()
	out.Placements = k.compilePlacements()
	if len(k.faults) > 0 {
		return nil, c.fresh(k.faults).err()
	}
	return out, nil
}

// AllFeatures returns the built-in features that are switched on and not
// replaced, then the own ones. The caller owns the slice.
func (c *Config) AllFeatures() []feature.Definition {
	var all []feature.Definition
	if c.Defaults.Features {
		for _, d := range feature.Defaults() {
			own := func(o feature.Definition) bool { return o.Name == d.Name && ofPerson(&o) }
			if !slices.ContainsFunc(c.Features, own) {
				all = append(all, d)
			}
		}
	}
	return append(all, c.Features...)
}

// compiling gathers faults of what is compiled.
type compiling struct {
	c        *Config
	env      *rule.Env
	features []string
	faults   Faults

	definitions []feature.Definition
	envs        map[string]*rule.Env // by scope
	sound       bool                 // each feature by itself is right
	set         *feature.Set         // of people; nil when it has faults
}

// compileFeatures compiles the set, and each own definition by itself first,
// so that a fault is known by its place in the file.
func (k *compiling) compileFeatures(all []feature.Definition) *feature.Set {
	condition := language(k.env).Where
	before := len(k.faults)
	first := map[[2]string]int{}
	for i, d := range k.c.Features {
		path := fmt.Sprintf("features[%d]", i)
		if ofPerson(&d) {
			d.Scope = ""
		}
		at := [2]string{d.Scope, d.Name}
		if j, twice := first[at]; twice && d.Name != "" {
			k.faults = append(k.faults, k.c.fault(path+".name", "feature %q is there twice, also as features[%d]", d.Name, j))
		}
		first[at] = i
		if d.Where != "" {
			if _, err := condition(d.Where); err != nil {
				k.expression(path+".where", err)
			}
			d.Where = "" // it has been looked at, with its places
		}
		d.Steps = k.steps(path, d.Steps, condition)
		derived := func(expr string) (feature.Expression, error) {
			if env := k.envs[d.Scope]; env != nil && expr != "" {
				if _, err := env.FeatureExpression(expr); err != nil {
					k.expression(path+".expr", err)
				}
			}
			return nothing{}, nil // it has been looked at, with its places
		}
		_, err := feature.CompileWith([]feature.Definition{d}, feature.Language{Where: condition, Derive: derived})
		k.joined(path, fmt.Sprintf("feature %q: ", d.Name), err)
	}
	if len(k.faults) > before {
		return nil
	}
	k.sound = true
	set, err := feature.CompileWith(all, language(k.env))
	k.placed("", err)
	k.set = set
	return set
}

// steps looks at the conditions of a sequence's steps, with their places, and
// returns the steps without them.
func (k *compiling) steps(path string, all []feature.Step, condition func(string) (feature.Condition, error)) []feature.Step {
	all = slices.Clone(all)
	for i := range all {
		if all[i].Where == "" {
			continue
		}
		if _, err := condition(all[i].Where); err != nil {
			k.expression(fmt.Sprintf("%s.steps[%d].where", path, i), err)
		}
		all[i].Where = ""
	}
	return all
}

// compileSegments compiles the segments in one go: they name each other.
func (k *compiling) compileSegments(definitions []feature.Definition) *segment.Set {
	features := make([]segment.Feature, len(definitions))
	for i := range definitions {
		d := &definitions[i]
		features[i] = segment.Feature{Name: d.Name, Moves: d.Moving(), Steps: d.Stepping()}
		if d.Kind == feature.KindDerived && k.set != nil {
			features[i].Moves, features[i].Steps = k.set.Moves(i), k.set.Steps(i)
		}
	}
	set, err := segment.Compile(k.c.Segments, k.env, features)
	for _, err := range each(err) {
		var f *segment.Fault
		if !errors.As(err, &f) {
			k.faults = append(k.faults, k.c.fault("segments", "%s", message(err)))
			continue
		}
		k.expression(fmt.Sprintf("segments[%d].%s", f.Index, f.Field), f.Err)
	}
	return set
}

func (k *compiling) compilePlacements() []recommend.Placement {
	own := make([]recommend.Placement, 0, len(k.c.Placements))
	for _, name := range slices.Sorted(maps.Keys(k.c.Placements)) {
		p := k.c.Placements[name]
		p.Name = name
		k.placement("placements."+name, &p)
		own = append(own, p)
	}
	if k.c.Defaults.Placements {
		return recommend.Merge(own)
	}
	return own
}

func (k *compiling) placement(path string, p *recommend.Placement) {
	k.joined(path, "", p.Validate())
	before := len(k.faults)
	for _, x := range p.Expressions() {
		if err := k.compiles(x); err != nil {
			k.expression(path+"."+x.Path, err)
		}
	}
	if len(k.faults) == before {
		k.joined(path, "", p.Check(k.env, k.definitions))
	}
	for i := range p.Overrides {
		k.override(fmt.Sprintf("%s.overrides[%d].as", path, i), p.Overrides[i].As)
	}
	for i, g := range p.Generators {
		name, ok := strings.CutPrefix(g.From, "features.")
		if ok && !slices.Contains(k.features, name) {
			f := k.c.fault(fmt.Sprintf("%s.generators[%d].from", path, i), "unknown feature %q", name)
			if near := rule.Suggest(name, k.features); near != "" {
				f.Suggestion = "features." + near
			}
			k.faults = append(k.faults, f)
		}
	}
}

// compiles returns what is wrong with an expression of a placement.
func (k *compiling) compiles(x recommend.Expression) error {
	if x.Place == rule.OfCandidate {
		_, err := k.env.Split(x.Text)
		return err
	}
	_, err := k.env.Condition(x.Place, x.Text)
	return err
}

// override checks that there is a placement of that name.
func (k *compiling) override(path, name string) {
	names := slices.Sorted(maps.Keys(k.c.Placements))
	if k.c.Defaults.Placements {
		for _, p := range recommend.Defaults() {
			names = append(names, p.Name)
		}
	}
	if name == "" || slices.Contains(names, name) {
		return
	}
	f := k.c.fault(path, "unknown placement %q", name)
	f.Suggestion = rule.Suggest(name, names)
	k.faults = append(k.faults, f)
}

// joined adds the errors joined in err, each of which begins with the path
// inside the thing at path, then ": ".
func (k *compiling) joined(path, prefix string, err error) {
	for _, err := range each(err) {
		text := strings.TrimPrefix(message(err), prefix)
		at := path
		if field, what, found := strings.Cut(text, ": "); found && field != "" && !strings.ContainsAny(field, ` "`) {
			at, text = join(path, field), what
		}
		what, near := suggestion(text)
		f := k.c.fault(at, "%s", what)
		f.Suggestion = near
		k.faults = append(k.faults, f)
	}
}

// suggestion takes a guess out of the end of a text, so that it is a field.
func suggestion(text string) (what, near string) {
	what, rest, found := strings.Cut(text, `; did you mean "`)
	near, ok := strings.CutSuffix(rest, `"?`)
	if !found || !ok {
		return text, ""
	}
	return what, near
}

// expression adds the faults of the expression at path.
func (k *compiling) expression(path string, err error) {
	found := rule.Faults(err)
	if len(found) == 0 {
		k.faults = append(k.faults, k.c.fault(path, "%s", message(err)))
		return
	}
	for _, x := range found {
		f := k.c.fault(path, "%s", x.What)
		f.Suggestion = x.Suggestion
		at, known := k.c.file.place(path)
		switch {
		case known && at.textLine > 0:
			f.Line, f.Column = at.textLine+x.Line-1, 0
			if at.textColumn > 0 {
				f.Column, f.inside = at.textColumn+x.Column-1, true
			}
		case x.Line > 1:
			f.What += fmt.Sprintf(" (line %d of the expression)", x.Line)
		}
		k.faults = append(k.faults, f)
	}
}

// each returns the errors joined in err, however deep, or err alone; nil for
// nil. An error that wraps two by one format is not a joined one.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
		lines = append(lines, one.Error())
	}
	if strings.Join(lines, "\n") != err.Error() {
		return []error{err}
	}
	return all
}

// message is err without the sentinel at its end: a fault is invalid anyway.
func message(err error) string { return attune.Message(err) }

// Refuse returns, as Faults, that the value at path cannot be taken, with its
// place in the file.
func (c *Config) Refuse(path, why string) error { return Faults{c.fault(path, "%s", why)} }
