package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune/collect/plan"
	"github.com/attune-io/attune/collect/transform"
	"github.com/attune-io/attune/rule"
)

// What becomes of events that violate a plan.
const (
	ViolationsAllow = "allow"
	ViolationsDrop  = "drop"
)

// Bounds of what collect is told.
const (
	maxPlans    = 100
	maxNetworks = 1000
)

// Collect says what is made of events as they come in.
type Collect struct {
	// Plans are what sources name.
	Plans []plan.Definition `yaml:"plans" json:"plans"`
	Geo   Geo               `yaml:"geo"   json:"geo"`
	Bots  Bots              `yaml:"bots"  json:"bots"`
}

// Geo says where visitors are.
type Geo struct {
	// Database is a file in MaxMind's format; "" is none.
	Database string `yaml:"database" json:"database"`
	// AnonymizeIP takes context.ip out of events.
	AnonymizeIP bool `yaml:"anonymize_ip" json:"anonymize_ip"`
}

// Bots says who is a robot beside those whose user agent is known for it.
type Bots struct {
	Agents   []string `yaml:"agents"   json:"agents"`   // patterns (RE2)
	Networks []string `yaml:"networks" json:"networks"` // addresses or prefixes
}

// Patterns returns Agents, compiled. Those that do not compile, which Validate
// refuses, are left out.
func (b *Bots) Patterns() []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, text := range b.Agents {
		if x, err := regexp.Compile(text); err == nil {
			out = append(out, x)
		}
	}
	return out
}

// Prefixes returns Networks. Those that do not read, which Validate refuses, are
// left out.
func (b *Bots) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range b.Networks {
		if p, err := prefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// prefix reads a network, or an address as one of its own.
func prefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone("").Prefix(a.Unmap().BitLen())
	}
	return netip.ParsePrefix(text)
}

// bots checks collect.bots.
func (v *validation) bots() {
	b := &v.c.Collect.Bots
	if n := len(b.Agents); n > maxNetworks {
		v.fault("collect.bots.agents", "there are %d; want at most %d", n, maxNetworks)
		return
	}
	if n := len(b.Networks); n > maxNetworks {
		v.fault("collect.bots.networks", "there are %d; want at most %d", n, maxNetworks)
		return
	}
	for i, text := range b.Agents {
		x, err := regexp.Compile(text)
		switch {
		case err != nil:
			v.fault(fmt.Sprintf("collect.bots.agents[%d]", i), "%q is no pattern: %v", text, err)
		case x.MatchString(""):
			v.fault(fmt.Sprintf("collect.bots.agents[%d]", i), "%q fits everything, so that everybody were a robot", text)
		}
	}
	for i, text := range b.Networks {
		if _, err := prefix(text); err != nil {
			v.fault(fmt.Sprintf("collect.bots.networks[%d]", i), "%q: want an address, or a network like 192.0.2.0/24 or 2001:db8::/32", text)
		}
	}
}

// Gate is what the events of one source pass.
type Gate struct {
	Steps *transform.Program // nil: none
	Plan  *plan.Plan         // nil: none
	Drop  bool               // what violates the plan
}

// compileGates compiles plans and transformations, by the id of the source;
// sources without either have no gate.
func (k *compiling) compileGates() map[string]*Gate {
	plans := k.compilePlans()
	gates := map[string]*Gate{}
	for i := range k.c.Keys.Sources {
		s := &k.c.Keys.Sources[i]
		path := fmt.Sprintf("keys.sources[%d]", i)
		g := Gate{Drop: s.Violations == ViolationsDrop}
		if len(s.Transform) > 0 {
			g.Steps = k.compileSteps(path+".transform", s.Transform)
		}
		p, known := plans[s.Plan]
		switch {
		case s.Plan == "" && s.Violations != "":
			k.faults = append(k.faults, k.c.fault(path+".violations", "there is no plan to violate; name one with plan"))
		case s.Plan != "" && !known:
			f := k.c.fault(path+".plan", "there is no plan %q under collect.plans", s.Plan)
			f.Suggestion = rule.Suggest(s.Plan, k.planNames())
			k.faults = append(k.faults, f)
		}
		g.Plan = p
		if g.Steps != nil || g.Plan != nil {
			gates[s.ID] = &g
		}
	}
	return gates
}

func (k *compiling) planNames() []string {
	var names []string
	for i := range k.c.Collect.Plans {
		names = append(names, k.c.Collect.Plans[i].Name)
	}
	return names
}

// compilePlans compiles the plans by name; one with a fault is there as nil.
func (k *compiling) compilePlans() map[string]*plan.Plan {
	plans := map[string]*plan.Plan{}
	if n := len(k.c.Collect.Plans); n > maxPlans {
		k.faults = append(k.faults, k.c.fault("collect.plans", "there are %d; want at most %d", n, maxPlans))
		return plans
	}
	for i := range k.c.Collect.Plans {
		d := &k.c.Collect.Plans[i]
		path := fmt.Sprintf("collect.plans[%d]", i)
		if _, twice := plans[d.Name]; twice {
			k.faults = append(k.faults, k.c.fault(path+".name", "plan %q is there twice", d.Name))
		}
		p, err := plan.Compile(d)
		plans[d.Name] = p
		for _, err := range each(err) {
			var f *plan.Fault
			if !errors.As(err, &f) {
				k.faults = append(k.faults, k.c.fault(path, "%s", message(err)))
				continue
			}
			k.faults = append(k.faults, k.c.fault(path+inside(d, f.Keys), "%s", f.What))
		}
	}
	return plans
}

// inside returns the path of what keys name in d, as places are written.
func inside(d *plan.Definition, keys []string) string {
	var path strings.Builder
	var at any = map[string]any{"events": d.Events, "unplanned": d.Unplanned}
	for _, key := range keys {
		switch v := at.(type) {
		case []any:
			path.WriteString("[" + key + "]")
			if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(v) {
				at = v[n]
			}
		case map[string]any:
			path.WriteString("." + key)
			at = v[key]
		default:
			path.WriteString("." + key)
		}
	}
	return path.String()
}

func (k *compiling) compileSteps(path string, steps []transform.Step) *transform.Program {
	p, err := transform.Compile(steps, k.env)
	for _, err := range each(err) {
		var f *transform.Fault
		if !errors.As(err, &f) {
			k.faults = append(k.faults, k.c.fault(path, "%s", message(err)))
			continue
		}
		at := path
		if f.Step < len(steps) {
			at = fmt.Sprintf("%s[%d]", path, f.Step)
		}
		if f.Field != "" {
			at = join(at, f.Field)
		}
		if slices.Contains([]string{"when", "set"}, head(f.Field)) && len(rule.Faults(f.Err)) > 0 {
			k.expression(at, f.Err)
			continue
		}
		what, near := suggestion(message(f.Err))
		fault := k.c.fault(at, "%s", what)
		fault.Suggestion = near
		k.faults = append(k.faults, fault)
	}
	return p
}

// head is the first name of a path.
func head(path string) string {
	for i := range len(path) {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return path
}
