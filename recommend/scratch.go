package recommend

import (
	"slices"
	"strconv"

	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/rule"
)

// candidate is an item on its way through one decision.
type candidate struct {
	item  int32
	seed  int32 // the item its reason names; -1 is none
	word  int32 // the category its reason names; 0 is none
	gen   int16 // the generator that gave the most
	part  float32
	score float32
}

// scratch is the memory of one decision, pooled by its engine. One goroutine
// uses it at a time.
type scratch struct {
	engine *Engine
	plan   *plan
	q      *Query
	view   catalog.View
	limit  int

	request
	texts  // what matches the text
	pool   // the candidates of all generators
	wishes // what rules want of them
	single // the candidates of one generator
	buffers

	trace *trace
}

// request is what the query comes to.
type request struct {
	current    int32 // the page's item; -1 is none
	restricted bool  // only given items may be shown
	refused    bool  // the person's part of the filter does not hold
	bound      bool  // the rules' input has the person
	late       bool  // the deadline passed
	looked     bool  // viewed is filled
	viewed     []int32
	given      []int32
	allowed    table // given items → their place
	skip       table // excluded items → reason
}

// pool holds the blended candidates, and those that were taken.
type pool struct {
	list  []candidate
	index table // item → place in list
	taken []candidate
	caps  []capCount
}

// single holds what one generator gave, before it is normalised.
type single struct {
	one      []candidate
	oneIndex table // of those that give put there
	wanted   int   // how many candidates it gives
}

// buffers are lists that a step fills and reads at once.
type buffers struct {
	strings  []string
	seeds    []int32
	items    []int32
	scored   []model.Scored
	weights  []feature.Weighted
	tastes   []taste
	knn      model.Scratch
	knnQuery model.Query
	input    rule.Input
	item     itemRef
	told     []told
}

// told is a reason that was put into words: items of one seed share it.
type told struct {
	seed, word int32
	gen        int16
	text       string
}

// taste is a category (or the like) that the person or the page leans to.
type taste struct {
	value  string
	word   int32 // interned, for categories and brands; 0 for others
	weight float32
}

// prepare resolves the query's items.
func (s *scratch) prepare() {
	s.list, s.taken, s.caps, s.given = s.list[:0], s.taken[:0], s.caps[:0], s.given[:0]
	s.index.reset()
	s.restricted, s.refused, s.late = false, false, false
	s.looked = false
	s.answered, s.textual = false, s.textual[:0]
	s.current = -1
	if s.q.Item != "" {
		if n, ok := s.engine.world.Catalog.Number(s.q.Item); ok {
			s.current = n
		}
	}
	s.given = s.numbers(s.given, s.q.Items)
	if s.q.Explain {
		s.trace = newTrace(s.micros())
	}
	s.resetWishes()
	s.trace.wishing(s.plan)
	s.restrict()
	s.exclusions()
	if s.q.Narrow != nil || len(s.q.Above) > 0 {
		s.narrow()
	}
	s.refused = !s.plan.filter.start(s)
	s.wish()
}

// restrict settles whether only given (or matching) items may be shown: a
// placement with the generator items re-ranks what it is given; one with match
// ranks what matches the text.
func (s *scratch) restrict() {
	has := func(kind string) bool {
		return slices.ContainsFunc(s.plan.gens, func(g generator) bool { return g.kind == kind })
	}
	switch {
	case len(s.q.Items) > 0 && has(Items):
		s.restricted = true
		if s.q.Text != "" && has(Match) {
			s.retrieve(MaxCandidates) // for the scores of those that were given
		}
	case s.q.Text != "" && has(Match):
		s.look()
		s.restricted = true
	case len(s.q.Filters)+len(s.q.Facets) > 0 && has(Match):
		s.retrieve(s.browsed())
	}
	if !s.restricted {
		return
	}
	s.allowed.reset()
	w := 0
	for _, n := range s.given { // an item that is given twice is given once
		if _, added := s.allowed.add(n, int32(w)); added {
			s.given[w] = n
			w++
		}
	}
	s.given = s.given[:w]
}

// numbers appends the numbers of ids that the catalog knows.
func (s *scratch) numbers(dst []int32, ids []string) []int32 {
	for _, id := range ids {
		if n, ok := s.engine.world.Catalog.Number(id); ok {
			dst = append(dst, n)
		}
	}
	return dst
}

// denied reports whether the person denied personalization: nothing of her is
// read then.
func (s *scratch) denied() bool {
	st := s.q.Person.State
	return st == nil || st.Consent.Denied()
}

// feature returns the items of a list-valued feature, newest first, to be read
// before the next call.
func (s *scratch) feature(name string, index int) []int32 {
	s.items = s.items[:0]
	if index < 0 || s.denied() {
		return s.items
	}
	p := s.q.Person
	if s.trace == nil {
		if kept, ok := p.Numbers(index); ok {
			return kept
		}
	}
	s.strings = s.engine.world.Features.List(&p.State.Features, index, s.strings[:0], s.q.Now)
	s.trace.input("features."+name, s.strings)
	s.items = s.numbers(s.items, s.strings)
	if s.engine.lasting[index] && len(s.items) == len(s.strings) {
		p.KeepNumbers(index, slices.Clone(s.items))
	}
	return s.items
}

// lastViewed returns the items the person viewed, newest first. It is read
// once a decision, since several generators start from it.
func (s *scratch) lastViewed() []int32 {
	if !s.looked {
		s.looked = true
		s.viewed = append(s.viewed[:0], s.feature("last_viewed", s.engine.inputs.viewed)...)
	}
	return s.viewed
}

// trait returns the items of a list-valued trait: a list of strings, or one
// string, in the buffer of feature.
func (s *scratch) trait(name string) []int32 {
	s.items = s.items[:0]
	if s.denied() {
		return s.items
	}
	v, _ := s.q.Person.Trait(name)
	s.strings = s.strings[:0]
	switch v := v.(type) {
	case []string:
		s.strings = append(s.strings, v...)
	case []any:
		for _, x := range v {
			if id, ok := x.(string); ok {
				s.strings = append(s.strings, id)
			}
		}
	case string:
		s.strings = append(s.strings, v)
	}
	if len(s.strings) > MaxCandidates {
		s.strings = s.strings[:MaxCandidates]
	}
	s.trace.input("traits."+name, s.strings)
	s.items = s.numbers(s.items, s.strings)
	return s.items
}

// cart returns the items of the cart: those the page gave, else the feature.
func (s *scratch) cart() []int32 {
	if len(s.given) > 0 && !s.restricted {
		return s.given
	}
	in := &s.engine.inputs
	if in.cart >= 0 {
		return s.feature("cart", in.cart)
	}
	return s.feature("last_added", in.added)
}

// segments returns the names of the segments the person is in.
func (s *scratch) segments() []string {
	if s.denied() {
		return nil
	}
	return s.q.Segments
}

func (s *scratch) expired() bool { return s.q.Expired != nil && s.q.Expired() }

func (s *scratch) micros() int64 {
	if s.q.Micros == nil {
		return 0
	}
	return s.q.Micros()
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
