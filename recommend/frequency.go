package recommend

import (
	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// frequent marks the items that the person saw as often as the placement
// allows within its span.
func (s *scratch) frequent() {
	m := s.plan.merch
	if m.frequency < 0 || s.denied() {
		return
	}
	f := &s.plan.Frequency
	since := s.q.Now - attune.Millis(f.Within.Millis())
	var few [64]feature.Seen
	s.times.reset()
	for _, x := range s.engine.world.Features.Recent(&s.q.Person.State.Features, m.frequency, few[:0], s.q.Now) {
		if x.Time <= since {
			break // they are newest first
		}
		n, ok := s.engine.world.Catalog.Number(x.Key)
		if !ok {
			continue
		}
		s.times.add(n, 0)
		times := s.times.at(n)
		times.value++
		if int(times.value) == f.Max {
			s.skip.add(n, seenOften)
		}
	}
}
