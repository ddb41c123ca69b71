package recommend

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// override is an Override compiled.
type override struct {
	personal

	name string
	plan *plan
}

// overrides resolves the overrides of every plan, once all are there.
func (e *Engine) overrides() (errs []error) {
	for _, name := range e.names {
		p := e.plans[name]
		for i := range p.Overrides {
			o := &p.Overrides[i]
			path := fmt.Sprintf("placements.%s.overrides[%d]", name, i)
			who, err := e.personal(o.When, &o.During)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s.when: %w", path, err))
				continue
			}
			as := e.plans[o.As]
			if as == nil {
				errs = append(errs, fmt.Errorf("%s.as: %w", path, unknownPlacement(o.As, e.names)))
				continue
			}
			called := o.Name
			if called == "" {
				called = "overrides[" + strconv.Itoa(i) + "]"
			}
			// A copy, since to come here reads of the person too.
			mine := *as
			mine.reads = append(slices.Clone(as.reads), e.readsOfConditions([]*rule.Program{who.when})...)
			slices.Sort(mine.reads)
			mine.reads = slices.Compact(mine.reads)
			p.overrides = append(p.overrides, override{personal: who, name: called, plan: &mine})
		}
	}
	return errs
}

func unknownPlacement(name string, names []string) error {
	message := "unknown placement " + strconv.Quote(name)
	if near := rule.Suggest(name, names); near != "" {
		message += "; did you mean " + strconv.Quote(near) + "?"
	}
	return fmt.Errorf("%s: %w", message, attune.ErrInvalid)
}

// override returns the plan that answers: that of the first override that
// holds, else the placement's own.
func (s *scratch) override(p *plan) *plan {
	for i := range p.overrides {
		if o := &p.overrides[i]; o.holds(s) {
			s.over = o.name
			return o.plan
		}
	}
	return p
}
