package recommend

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/rule"
)

// The kinds of rules, as explanations say them.
const (
	kindPin      = "pin"
	kindBoost    = "boost"
	kindBury     = "bury"
	kindPromote  = "promote"
	kindAtMost   = "at_most"
	kindOverride = "override"
	kindContent  = "content"
	kindFresh    = "fresh"
	kindMMR      = "diversity"
	kindExplore  = "explore"
	kindField    = "fields"
)

// merchandise is what a placement wants beyond scores, compiled; a plan without
// any has none, and pays nothing.
type merchandise struct {
	wishes    []wish
	counting  uint64 // a bit a wish that counts what is shown
	buries    uint64
	promotes  uint64
	local     bool       // a schedule takes the visitor's zone
	arranges  bool       // positions are filled one by one
	ranks     bool       // scores change, or what is shown depends on what is above
	diversity *Diversity // nil: none
	lambda    float32
	frequency int // the feature, -1 when there is no cap
	salt      uint64
	pool      int
}

// wish is a Rule compiled.
type wish struct {
	*Rule

	name, kind string
	when       condition
	during     *schedule
}

// merchandise compiles the wishes of p; nil when there are none.
func (e *Engine) merchandise(p *Placement) (*merchandise, []error) {
	if len(p.Rules) == 0 && len(p.Diversity.By) == 0 && p.Frequency.Max == 0 && p.Fresh.Boost == 0 &&
		p.Price == (Price{}) && p.Explore.Share == 0 {
		return nil, nil
	}
	m := &merchandise{frequency: -1, salt: attune.Hash(p.Name), pool: p.Explore.Pool}
	if m.pool == 0 {
		m.pool = defaultPool
	}
	var errs []error
	for i := range p.Rules {
		w, err := e.wish(&p.Rules[i], i)
		if err != nil {
			errs = append(errs, fmt.Errorf("rules[%d].when: %w", i, err))
		}
		m.wishes = append(m.wishes, w)
		bit := uint64(1) << i
		switch w.kind {
		case kindBury:
			m.buries |= bit
		case kindPromote:
			m.promotes |= bit
			m.counting |= bit
		case kindAtMost:
			m.counting |= bit
		}
		m.local = m.local || w.during != nil && w.during.local
	}
	if len(p.Diversity.By) > 0 {
		m.diversity, m.lambda = &p.Diversity, defaultLambda
		if l := p.Diversity.Lambda; l != nil {
			m.lambda = float32(*l)
		}
	}
	if p.Frequency.Max > 0 {
		m.frequency = e.world.Features.Index(p.Frequency.feature())
	}
	for i := range m.wishes {
		m.ranks = m.ranks || m.wishes[i].kind != kindPin
	}
	m.arranges = m.promotes != 0 || m.diversity != nil || p.Explore.Share > 0
	m.ranks = m.ranks || m.arranges || p.Fresh.Boost > 0
	return m, errs
}

func (e *Engine) wish(r *Rule, i int) (wish, error) {
	w := wish{Rule: r, name: r.Name, kind: r.kind()}
	if w.name == "" {
		w.name = "rules[" + strconv.Itoa(i) + "]"
	}
	w.during, _ = r.During.compile() // Validate has said its faults
	var err error
	if r.When != "" && w.kind == kindPin {
		w.when.person, err = e.world.Rules.PersonCondition(r.When)
	} else if r.When != "" {
		w.when, err = e.condition(r.When)
	}
	if len(r.Items) > 0 && w.kind != kindPin {
		w.when.among(r.Items, e.world.Catalog)
	}
	return w, err
}

func (r *Rule) kind() string {
	switch {
	case r.Pin > 0:
		return kindPin
	case r.Boost > 0:
		return kindBoost
	case r.Bury:
		return kindBury
	case r.Promote > 0:
		return kindPromote
	default:
		return kindAtMost
	}
}

// personal is a condition on the person and a schedule: of content, of an
// override.
type personal struct {
	when   *rule.Program
	during *schedule
}

func (e *Engine) personal(when string, during *Schedule) (personal, error) {
	var out personal
	out.during, _ = during.compile() // Validate has said its faults
	if when == "" {
		return out, nil
	}
	var err error
	out.when, err = e.world.Rules.PersonCondition(when)
	return out, err
}

func (p *personal) holds(s *scratch) bool {
	if p.during != nil {
		var zone *time.Location
		if p.during.local {
			zone = s.engine.zones.of(s.q.Context)
		}
		if !p.during.holds(s.q.Now.Time(), zone) {
			return false
		}
	}
	return p.when == nil || p.when.Match(s.bindPerson())
}

// wishes are the state of merchandising in one decision.
type wishes struct {
	on      []bool // by wish: it holds now, for this person
	shown   []int  // by wish: how many of its items are shown
	pinned  []pinned
	slots   []seat
	keys    []uint64 // of the slots: caps, then diversity
	key     []uint64 // of one item
	chances []float64
	woven   []candidate
	odds    []float64
	times   table // item → how often it was seen
	offset  int
	next    int // of the candidates, that has no slot yet
	low     float64
	high    float64
	extra   bool // barred has something to ask
	priced  bool
	filled  string // the step of the fallback that gave all candidates
	over    string // the override that answers
	fields  []attune.Filter
	dates   dates
}

// resetWishes forgets the decision before.
func (s *scratch) resetWishes() {
	s.on, s.shown, s.pinned, s.chances = s.on[:0], s.shown[:0], s.pinned[:0], s.chances[:0]
	s.slots, s.keys, s.next = s.slots[:0], s.keys[:0], 0
	s.extra, s.priced, s.filled = false, false, ""
	s.fields = s.fields[:0]
	s.dates = dates{}
}

// wish settles which rules hold, and what they take away or fix beforehand.
func (s *scratch) wish() {
	m := s.plan.merch
	if m == nil {
		return
	}
	now, zone := s.q.Now.Time(), (*time.Location)(nil)
	if m.local {
		zone = s.engine.zones.of(s.q.Context)
	}
	for i := range m.wishes {
		w := &m.wishes[i]
		s.shown = append(s.shown, 0)
		on := w.during.holds(now, zone)
		if !on {
			s.trace.ruleSkipped(i, "not at this time")
		} else if on = w.when.start(s); !on {
			s.trace.ruleSkipped(i, "not for this person")
		}
		s.on = append(s.on, on)
	}
	s.frequent()
	s.prices()
	s.pins()
}

// admit counts n against the caps and limits and returns kept, or why it is
// over one, uncounted.
func (s *scratch) admit(n int32) int32 {
	if len(s.plan.caps) == 0 && (s.plan.merch == nil || s.plan.merch.counting == 0) {
		return kept
	}
	s.key = s.capKeys(n, s.key[:0])
	mask := s.holding(n)
	r := s.full(s.key, mask)
	if r == kept {
		s.count(s.key, mask)
	}
	return r
}

// holding returns a bit for each wish that is on, needs to know it later, and
// holds for n.
func (s *scratch) holding(n int32) uint64 {
	m := s.plan.merch
	if m == nil {
		return 0
	}
	var mask uint64
	for i := range m.wishes {
		bit := uint64(1) << i
		if (m.counting|m.buries)&bit != 0 && s.on[i] && m.wishes[i].when.itemHolds(n) && m.wishes[i].when.bothHolds(s, n) {
			mask |= bit
		}
	}
	return mask
}

// full returns which bound an item with these keys and wishes would pass.
func (s *scratch) full(keys []uint64, mask uint64) int32 {
	for i, key := range keys {
		if key == 0 {
			continue // nothing to count by
		}
		at := slices.IndexFunc(s.caps, func(c capCount) bool { return c.key == key && c.cap == i })
		if at >= 0 && s.caps[at].n >= s.plan.caps[i].Max {
			return byCap
		}
	}
	if mask == 0 {
		return kept
	}
	for i := range s.plan.merch.wishes {
		if most := s.plan.merch.wishes[i].AtMost; mask>>i&1 == 1 && most > 0 && s.shown[i] >= most {
			return byLimit
		}
	}
	return kept
}

func (s *scratch) count(keys []uint64, mask uint64) {
	for i, key := range keys {
		if key == 0 {
			continue
		}
		at := slices.IndexFunc(s.caps, func(c capCount) bool { return c.key == key && c.cap == i })
		if at < 0 {
			s.caps = append(s.caps, capCount{cap: i, key: key})
			at = len(s.caps) - 1
		}
		s.caps[at].n++
	}
	for i := range s.shown {
		if mask>>i&1 == 1 {
			s.shown[i]++
		}
	}
}

// capCount is how many items are shown with one value of a cap's attribute.
type capCount struct {
	cap int
	key uint64
	n   int
}

// capKeys appends what n counts by: a key for each cap.
func (s *scratch) capKeys(n int32, dst []uint64) []uint64 {
	for i := range s.plan.caps {
		dst = append(dst, s.valueKey(n, s.plan.caps[i].Attribute))
	}
	return dst
}

// valueKey is a hash of an attribute's value (the first, of several), 0 when
// there is none.
func (s *scratch) valueKey(n int32, attribute string) uint64 {
	switch v := s.view.Attr(n, attribute).(type) {
	case string:
		if v != "" {
			return attune.Hash(v) | 1
		}
	case []string:
		if len(v) > 0 && v[0] != "" {
			return attune.Hash(v[0]) | 1
		}
	case bool:
		if v {
			return 3
		}
		return 5
	case float64:
		return attune.Hash(number(v)) | 1
	}
	return 0
}
