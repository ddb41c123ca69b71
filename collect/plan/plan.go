// Package plan is tracking plans: what the events of a source are meant to look
// like, a JSON Schema for each, and what one that looks otherwise violates. It
// also proposes a plan from events that were seen (see Inference).
//
// A Plan is compiled once. Nothing outside of it is ever loaded: a $ref names
// something of the same schema or one of the drafts of JSON Schema. Checking is
// deterministic, never panics, and says at most MaxViolations things of an
// event. The package does no I/O.
package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/attune-io/attune"
)

// What becomes of a track event that a plan does not name.
const (
	UnplannedViolates = "violates" // also when nothing is said
	UnplannedAllowed  = "allowed"
)

// Definition is a plan as the configuration writes it.
type Definition struct {
	Name string `yaml:"name" json:"name"`
	// Unplanned says what a track event is that Events does not have.
	Unplanned string `yaml:"unplanned,omitempty" json:"unplanned,omitempty"`
	// Events has a JSON Schema (draft 2020-12 unless it says otherwise) by the
	// name of an event as conditions know it: a track's name, "page",
	// "identify". It is of the properties; of the traits for identify and group.
	Events map[string]any `yaml:"events" json:"events"`
}

// Fault is one thing that is wrong with a Definition.
type Fault struct {
	Keys []string // where: the members, as ["events", "Order Completed", "type"]; numbers are indices
	What string
}

// Error returns the fault with its place.
func (f *Fault) Error() string { return strings.Join(f.Keys, ".") + ": " + f.What }

// Unwrap makes a Fault an attune.ErrInvalid.
func (*Fault) Unwrap() error { return attune.ErrInvalid }

// Plan is a compiled Definition. Any number of goroutines may use it at once.
type Plan struct {
	name      string
	unplanned bool // violates
	events    map[string]*jsonschema.Schema
}

// MaxEvents bounds the events of a plan.
const MaxEvents = 1000

// Compile compiles d. The error joins every Fault there is.
func Compile(d *Definition) (*Plan, error) {
	p := &Plan{name: d.Name, unplanned: d.Unplanned != UnplannedAllowed, events: make(map[string]*jsonschema.Schema, len(d.Events))}
	var errs []error
	fault := func(what string, keys ...string) { errs = append(errs, &Fault{Keys: keys, What: what}) }
	if d.Unplanned != "" && d.Unplanned != UnplannedAllowed && d.Unplanned != UnplannedViolates {
		fault(fmt.Sprintf("unknown value %q; want %s or %s", d.Unplanned, UnplannedViolates, UnplannedAllowed), "unplanned")
	}
	if len(d.Events) > MaxEvents {
		fault(fmt.Sprintf("there are %d; want at most %d", len(d.Events), MaxEvents), "events")
		return nil, errors.Join(errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Events)) {
		s, err := compile(d.Events[name])
		if err != nil {
			for _, f := range schemaFaults(err) {
				fault(f.What, append([]string{"events", name}, f.Keys...)...)
			}
			continue
		}
		canonical := attune.CanonicalName(name)
		if _, twice := d.Events[canonical]; twice && canonical != name {
			fault(fmt.Sprintf("is an older name of %q, which is there too", canonical), "events", name)
		}
		p.events[canonical] = s
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Name returns the plan's name.
func (p *Plan) Name() string { return p.name }

// base is the address of the one schema that is compiled; it is never fetched.
const base = "attune:event"

// compile compiles one schema, anything that came out of YAML or JSON.
func compile(schema any) (_ *jsonschema.Schema, err error) {
	// A schema is somebody's input.
	defer func() {
		if r := recover(); r != nil {
			err = &Fault{What: fmt.Sprintf("the schema cannot be compiled: %v", r)}
		}
	}()
	doc, err := normal(schema, 0)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(base, doc); err != nil {
		return nil, err
	}
	return c.Compile(base)
}

// nowhere loads nothing.
type nowhere struct{}

// Load refuses.
func (nowhere) Load(url string) (any, error) {
	return nil, &Fault{What: fmt.Sprintf("%q is not loaded; write the schema out, or refer to its own $defs", url)}
}

// maxSchemaDepth bounds how deep a schema nests.
const maxSchemaDepth = 64

// normal returns v as encoding/json would have decoded it, whole numbers as
// int64 or uint64.
func normal(v any, depth int) (any, error) {
	if depth > maxSchemaDepth {
		return nil, &Fault{What: fmt.Sprintf("nests deeper than %d levels", maxSchemaDepth)}
	}
	switch v := v.(type) {
	case nil, bool, string, float64, int64, uint64, int:
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			x, err := normal(v[i], depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			x, err := normal(v[name], depth+1)
			if err != nil {
				return nil, err
			}
			out[name] = x
		}
		return out, nil
	default:
		return nil, &Fault{What: fmt.Sprintf("%v has no form in JSON", v)}
	}
}

// schemaFaults says where a schema is no schema.
func schemaFaults(err error) []*Fault {
	var f *Fault
	var invalid *jsonschema.SchemaValidationError
	var cause *jsonschema.ValidationError
	if !errors.As(err, &invalid) || !errors.As(invalid.Err, &cause) {
		if errors.As(err, &f) {
			return []*Fault{{Keys: f.Keys, What: f.What}}
		}
		var re *jsonschema.InvalidRegexError
		var load *jsonschema.LoadURLError
		switch {
		case errors.As(err, &re):
			return []*Fault{{Keys: pointer(re.URL), What: fmt.Sprintf("%q is no pattern: %v", re.Regex, re.Err)}}
		case errors.As(err, &load):
			if errors.As(load.Err, &f) {
				return []*Fault{f}
			}
			return []*Fault{{What: attune.Message(load.Err)}}
		default:
			return []*Fault{{What: strings.ReplaceAll(err.Error(), base+"#", "")}}
		}
	}
	var out []*Fault
	leaves(cause, func(e *jsonschema.ValidationError) {
		out = append(out, &Fault{Keys: slices.Clone(e.InstanceLocation), What: choices(e)})
	})
	slices.SortFunc(out, func(a, b *Fault) int { return slices.Compare(a.Keys, b.Keys) })
	return slices.CompactFunc(out, func(a, b *Fault) bool { return slices.Equal(a.Keys, b.Keys) })
}

// choices says what would have been right instead of e, of a choice each.
func choices(e *jsonschema.ValidationError) string {
	if len(e.Causes) == 0 {
		return words(e)
	}
	var list []string
	for _, c := range e.Causes {
		list = append(list, choices(c))
	}
	return clip(strings.Join(list, ", or: "))
}

// pointer returns the members that a location names behind its "#".
func pointer(url string) []string {
	_, path, _ := strings.Cut(url, "#/")
	if path == "" {
		return nil
	}
	keys := strings.Split(path, "/")
	for i := range keys {
		keys[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(keys[i])
	}
	return keys
}
