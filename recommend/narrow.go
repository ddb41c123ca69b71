package recommend

import (
	"github.com/attune-io/attune"
)

// dates are a request's range of dates, compiled; both bounds are left out.
type dates struct {
	name          string
	after, before attune.Millis // 0 is open
}

// MaxOffset bounds how many items a request leaves out for the pages before.
const MaxOffset = 1000

// narrow settles what the request's own options take away. It comes before the
// wishes, whose pins they bind too.
func (s *scratch) narrow() {
	if s.plan.Exclude.OnPage || s.q.Dedup {
		for _, a := range s.q.Above {
			if a == nil {
				continue
			}
			for i := range a.Items {
				s.skipID(a.Items[i].ID, onPage)
			}
		}
	}
	o := s.q.Narrow
	if o == nil {
		return
	}
	for _, id := range o.Blacklist {
		s.skipID(id, byOptions)
	}
	for i := range o.Fields {
		s.fields = append(s.fields, attune.Filter{Attribute: o.Fields[i].Name, Values: o.Fields[i].Values})
		s.extra = s.extra || o.Fields[i].Bias <= 0
	}
	if r := o.DateRange; r != nil {
		s.dates.name = r.Name
		s.dates.after, _ = dayOf(r.After) // serve has said its faults
		s.dates.before, _ = dayOf(r.Before)
		s.extra = true
	}
}

func (s *scratch) skipID(id string, reason int32) {
	if n, ok := s.engine.world.Catalog.Number(id); ok {
		s.skip.add(n, reason)
	}
}

// within reports whether n meets the request's fields and dates.
func (s *scratch) within(n int32) bool {
	o := s.q.Narrow
	for i := range s.fields {
		f := &s.fields[i]
		if bias := o.Fields[i].Bias; bias <= 0 && f.Holds(s.view.Attr(n, f.Attribute)) != (bias < 0) {
			return false
		}
	}
	if s.dates.name == "" {
		return true
	}
	at, ok := dayOf(s.view.Attr(n, s.dates.name))
	return ok && (o.DateRange.After == "" || at > s.dates.after) && (o.DateRange.Before == "" || at < s.dates.before)
}

// favour multiplies the scores of what the request's fields favour.
func (s *scratch) favour(list []candidate) {
	for i := range s.fields {
		f := &s.fields[i]
		bias := float32(s.q.Narrow.Fields[i].Bias)
		if bias <= 0 {
			continue
		}
		for j := range list {
			c := &list[j]
			if f.Holds(s.view.Attr(c.item, f.Attribute)) {
				c.score *= bias
				s.trace.boosted(j, bias)
				s.trace.noted(kindField, c.item)
			}
		}
	}
}
