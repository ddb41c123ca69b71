package recommend

import (
	"encoding/json"
	"fmt"

	"github.com/attune-io/attune"
)

// content is a Content compiled.
type content struct {
	personal

	answer attune.Content
}

// contents compiles the content of p.
func (e *Engine) contents(p *Placement) (all []content, errs []error) {
	for i := range p.Content {
		c := &p.Content[i]
		who, err := e.personal(c.When, &c.During)
		if err != nil {
			errs = append(errs, fmt.Errorf("content[%d].when: %w", i, err))
		}
		all = append(all, content{personal: who, answer: attune.Content{Name: c.Name, Payload: json.RawMessage(c.Payload)}})
	}
	return all, errs
}

// content returns the first content that is for this person at this time, nil
// when none is.
func (s *scratch) content() *attune.Content {
	for i := range s.plan.content {
		if c := &s.plan.content[i]; c.holds(s) {
			return &c.answer
		}
	}
	return nil
}
