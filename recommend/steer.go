package recommend

import (
	"math"
	"time"

	"github.com/attune-io/attune"
)

// burial is the factor that puts an item behind all others and keeps the order
// among those that are.
const burial = 1e-6

// steer multiplies into the scores of list what rules, freshness and the
// request's fields say.
func (s *scratch) steer(list []candidate) {
	if m := s.plan.merch; m != nil {
		for i := range m.wishes {
			w := &m.wishes[i]
			factor := float32(w.Boost)
			if w.Bury {
				factor = burial
			}
			if factor != 0 && s.on[i] {
				s.steerBy(list, i, w, factor)
			}
		}
		if s.plan.Fresh.Boost > 0 {
			s.fresh(list)
		}
	}
	if s.q.Narrow != nil {
		s.favour(list)
	}
}

func (s *scratch) steerBy(list []candidate, i int, w *wish, factor float32) {
	for j := range list {
		c := &list[j]
		if w.when.itemHolds(c.item) && w.when.bothHolds(s, c.item) {
			c.score *= factor
			s.trace.boosted(j, factor)
			s.trace.moved(i, c.item)
		}
	}
}

// fresh favours what is new.
func (s *scratch) fresh(list []candidate) {
	f := &s.plan.Fresh
	attribute := f.Attribute
	if attribute == "" {
		attribute = "published_at"
	}
	half := float64(f.HalfLife.Millis())
	for j := range list {
		c := &list[j]
		at, ok := dayOf(s.view.Attr(c.item, attribute))
		age := s.q.Now - at
		if !ok || age < 0 {
			continue
		}
		factor := float32(1 + (f.Boost-1)*math.Exp2(-float64(age)/half))
		c.score *= factor
		s.trace.boosted(j, factor)
		s.trace.noted(kindFresh, c.item)
	}
}

// dayOf reads a day or an instant that an attribute holds.
func dayOf(v any) (attune.Millis, bool) {
	text, ok := v.(string)
	if !ok {
		return 0, false
	}
	layout := time.RFC3339
	if len(text) == len(time.DateOnly) {
		layout = time.DateOnly
	}
	t, err := time.Parse(layout, text)
	return attune.MillisOf(t), err == nil
}
