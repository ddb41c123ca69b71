package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/rule"
)

// Entity is something that events are about and that features can be kept of: a
// store, an address, a device's fingerprint.
type Entity struct {
	Name string `yaml:"name" json:"name"`
	// Key is the path of its id in events, as properties.store_id.
	Key string `yaml:"key" json:"key"`
}

// maxEntities bounds the kinds of entities: an event is folded once for each.
const maxEntities = 20

// Scoped is a scope other than the person's, with its features.
type Scoped struct {
	Scope    *feature.Scope
	Features *feature.Set
}

// entities checks the declared entities.
func (v *validation) entities() {
	if n := len(v.c.Entities); n > maxEntities {
		v.fault("entities", "there are %d; want at most %d", n, maxEntities)
	}
	for i, e := range v.c.Entities {
		path := fmt.Sprintf("entities[%d]", i)
		switch {
		case !plainName(e.Name):
			v.fault(path+".name", "name %q: want letters, digits, - and _ (at most 100)", e.Name)
		case slices.Contains(feature.Scopes(), e.Name):
			v.fault(path+".name", "%q is a scope that is built in; choose another name", e.Name)
		case slices.ContainsFunc(v.c.Entities[:i], func(o Entity) bool { return o.Name == e.Name }):
			v.fault(path+".name", "entity %q is there twice", e.Name)
		}
		if e.Key == "" {
			v.fault(path+".key", "is missing; name the path of its id, as properties.store_id")
		} else if _, err := feature.NewScope(e.Name, e.Key); err != nil {
			what, near := suggestion(message(err))
			f := v.c.fault(path+".key", "%s", what)
			f.Suggestion = near
			v.faults = append(v.faults, f)
		}
	}
}

func plainName(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// ofPerson reports whether d is a person's.
func ofPerson(d *feature.Definition) bool { return d.Scope == "" || d.Scope == feature.ScopePerson }

// PersonFeatures returns AllFeatures without those of other scopes.
func (c *Config) PersonFeatures() []feature.Definition {
	return slices.DeleteFunc(c.AllFeatures(), func(d feature.Definition) bool { return !ofPerson(&d) })
}

// scope returns the scope called name.
func (c *Config) scope(name string) (*feature.Scope, error) {
	for _, e := range c.Entities {
		if e.Name == name {
			return feature.NewScope(name, e.Key)
		}
	}
	return feature.NewScope(name, "")
}

// named returns the names and shapes of definitions; not nil, so that every
// other name is unknown. Derived features get their shapes later.
func named(definitions []feature.Definition) (names []string, shapes map[string]feature.Shape) {
	names, shapes = make([]string, len(definitions)), make(map[string]feature.Shape, len(definitions))
	for i := range definitions {
		names[i] = definitions[i].Name
		if definitions[i].Kind != feature.KindDerived {
			shapes[names[i]] = definitions[i].Shape()
		}
	}
	return names, shapes
}

// derive adds the shapes of the derived features among definitions to shapes,
// which env reads: each may need those of others.
func derive(env *rule.Env, definitions []feature.Definition, shapes map[string]feature.Shape) {
	for again := true; again; {
		again = false
		for i := range definitions {
			d := &definitions[i]
			if _, known := shapes[d.Name]; known || d.Kind != feature.KindDerived {
				continue
			}
			if x, err := env.FeatureExpression(d.Expr); err == nil && x.Shape() == feature.Number {
				shapes[d.Name], again = feature.Number, true
			}
		}
	}
}

// language compiles the expressions of features, with env's names.
func language(env *rule.Env) feature.Language {
	return feature.Language{
		Where: func(where string) (feature.Condition, error) {
			p, err := env.EventCondition(where)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
		Derive: func(expr string) (feature.Expression, error) {
			x, err := env.FeatureExpression(expr)
			if err != nil {
				return nil, err
			}
			return x, nil
		},
	}
}

// nothing stands for an expression that has been looked at.
type nothing struct{}

func (nothing) Compute(func(string) any) any { return nil }
func (nothing) Reads() []string              { return nil }

// compileScopes compiles the features that are not a person's, by scope.
func (k *compiling) compileScopes(all []feature.Definition) []Scoped {
	by := map[string][]feature.Definition{}
	var order []string
	for i := range all {
		if d := all[i]; !ofPerson(&d) {
			if by[d.Scope] == nil {
				order = append(order, d.Scope)
			}
			by[d.Scope] = append(by[d.Scope], d)
		}
	}
	var out []Scoped
	for _, name := range order {
		env, ok := k.envs[name]
		scope, err := k.c.scope(name)
		if !ok || err != nil {
			continue // it has been said
		}
		set, err := feature.CompileWith(by[name], language(env))
		k.placed(name, err)
		out = append(out, Scoped{Scope: scope, Features: set})
	}
	return out
}

// scopes makes an Env for each scope of definitions, and says which scopes and
// pairs of kind and scope there are not.
func (k *compiling) scopes(all []feature.Definition) {
	k.envs = map[string]*rule.Env{"": k.env, feature.ScopePerson: k.env}
	for i := range k.c.Features {
		d, path := &k.c.Features[i], fmt.Sprintf("features[%d]", i)
		if _, err := k.c.scope(d.Scope); err != nil && !ofPerson(d) {
			what, near := suggestion(message(err))
			f := k.c.fault(path+".scope", "%s", what)
			if f.Suggestion = near; near == "" {
				known := feature.Scopes()
				for _, e := range k.c.Entities {
					known = append(known, e.Name)
				}
				f.Suggestion = rule.Suggest(d.Scope, known)
			}
			k.faults = append(k.faults, f)
			continue
		}
		if err := feature.Legal(d.Kind, d.Scope); err != nil {
			k.faults = append(k.faults, k.c.fault(path+".scope", "%s", message(err)))
		}
		if k.envs[d.Scope] != nil {
			continue
		}
		mine := slices.DeleteFunc(slices.Clone(all), func(o feature.Definition) bool { return o.Scope != d.Scope })
		names, shapes := named(mine)
		env, err := rule.New(rule.Names{Features: names, Shapes: shapes})
		if err != nil {
			k.faults = append(k.faults, Fault{What: message(err)})
			continue
		}
		derive(env, mine, shapes)
		k.envs[d.Scope] = env
	}
}

// placed adds the faults of a whole set of features, with the place of the
// definition that they name.
func (k *compiling) placed(scope string, err error) {
	for _, err := range each(err) {
		text, path := message(err), "features"
		for i := range k.c.Features {
			d := &k.c.Features[i]
			rest, ok := strings.CutPrefix(text, fmt.Sprintf("feature %q: ", d.Name))
			if ok && (d.Scope == scope || ofPerson(d) && scope == "") {
				text, path = rest, fmt.Sprintf("features[%d]", i)
				break
			}
		}
		k.joined(path, "", errors.New(text))
	}
}
