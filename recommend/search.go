package recommend

import (
	"time"

	"github.com/attune-io/attune"
)

// Searcher retrieves items by words that somebody typed.
type Searcher interface {
	// Search fills into, best first. On an error, which an index that is not
	// ready or not in time gives, into means nothing, and names are looked
	// through instead. It may be called at once by many.
	Search(q *SearchQuery, into *SearchResult) error
}

// SearchQuery is what a decision asks a Searcher.
type SearchQuery struct {
	Text    string // "" matches everything
	Filters attune.Filters
	Facets  []string // attributes to count
	Limit   int      // of hits; 0 only counts
	// Left is how long it may take; 0 is as long as it likes.
	Left time.Duration
}

// SearchResult is what a Searcher found.
type SearchResult struct {
	Hits   []SearchHit
	Total  int
	Facets map[string][]attune.FacetCount
	// How says in a word how strictly the words were taken.
	How string
}

// SearchHit is an item and the score of its text, above 0, of no meaning beyond
// its result.
type SearchHit struct {
	ID    string
	Score float32
}

// searchShare is the part of a decision's time that retrieval may take.
const searchShare = 0.6

// texts holds what was retrieved for one decision.
type texts struct {
	found    SearchResult
	answered bool // by the Searcher: found counts
	scores   []float32
	textual  []int32 // the items that scores are of
}

// retrieve asks the Searcher, if there is one and the query has anything for it,
// and fills s.textual with what it found, best first. limit bounds that.
func (s *scratch) retrieve(limit int) {
	s.answered, s.scores, s.textual = false, s.scores[:0], s.textual[:0]
	searcher := s.engine.world.Search
	if searcher == nil {
		return
	}
	q := SearchQuery{Text: s.q.Text, Filters: s.q.Filters, Facets: s.q.Facets, Limit: limit}
	if s.q.Until > 0 {
		left := s.q.Until - s.micros()
		if left <= 0 {
			s.late = true
			return
		}
		q.Left = time.Duration(float64(left)*searchShare) * time.Microsecond
	}
	start := s.micros()
	err := searcher.Search(&q, &s.found)
	s.trace.search(s, err, s.micros()-start)
	if err != nil {
		s.found = SearchResult{}
		return
	}
	s.answered = true
	for i := range s.found.Hits {
		h := &s.found.Hits[i]
		if n, ok := s.engine.world.Catalog.Number(h.ID); ok {
			s.textual, s.scores = append(s.textual, n), append(s.scores, h.Score)
		}
	}
}

// look fills s.given with the items that match the text: those that the index
// has, else those whose id or name holds it.
func (s *scratch) look() {
	s.given = s.given[:0]
	s.retrieve(DefaultCandidates)
	switch {
	case s.answered:
		s.given = append(s.given, s.textual...)
	case s.late || s.expired():
		s.late = true // a fallback answers
	default:
		for _, it := range s.engine.world.Catalog.Search(s.q.Text, DefaultCandidates) {
			if n, ok := s.engine.world.Catalog.Number(it.ID); ok {
				s.given = append(s.given, n)
			}
		}
	}
}

// browsed is how many items without a text are retrieved: those that meet
// filters are candidates; without filters all of them do, and are counted only.
func (s *scratch) browsed() int {
	if len(s.q.Filters) == 0 {
		return 0
	}
	return DefaultCandidates
}

// matching gives the items that match the text, by the score of their text. Of
// items that were given, only those.
func (s *scratch) matching() string {
	switch {
	case len(s.textual) > 0:
		for i, n := range s.textual {
			if !s.restricted || s.allowed.get(n) >= 0 {
				s.give(n, s.scores[i], -1)
			}
		}
		return ""
	case !s.restricted || len(s.q.Items) > 0:
		return "the request has no words"
	default:
		for i, n := range s.given {
			s.give(n, 1-float32(i)/float32(len(s.given)), -1)
		}
		return ""
	}
}

// asked reports whether item n meets the filters of the request, as it is now.
func (s *scratch) asked(n int32) bool {
	for i := range s.q.Filters {
		f := &s.q.Filters[i]
		if !f.Holds(s.view.Attr(n, f.Attribute)) {
			return false
		}
	}
	return true
}
