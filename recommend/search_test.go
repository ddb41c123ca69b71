package recommend_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/recommend"
)

// index is a Searcher whose answer is given.
type index struct {
	found recommend.SearchResult
	err   error
	asked []recommend.SearchQuery
}

// Search answers what was given.
func (x *index) Search(q *recommend.SearchQuery, into *recommend.SearchResult) error {
	x.asked = append(x.asked, *q)
	*into = x.found
	return x.err
}

func hits(list ...any) []recommend.SearchHit {
	var out []recommend.SearchHit
	for i := 0; i+1 < len(list); i += 2 {
		id, _ := list[i].(string)
		score, _ := list[i+1].(float64)
		out = append(out, recommend.SearchHit{ID: id, Score: float32(score)})
	}
	return out
}

// TestSearchBlends: the score of the text is one signal, what the person viewed
// another, and the explanation has both.
func TestSearchBlends(t *testing.T) {
	w := shop(t)
	x := &index{found: recommend.SearchResult{Hits: hits("pan", 10.0, "spade", 9.0, "gone", 9.5, "rake", 5.0), Total: 3, How: "exact"}}
	w.Search = x
	e := w.engine(t)
	w.send(t, viewed("gardener", "rake", "gloves")...)
	cold := e.Decide(&recommend.Query{Placement: "search", Text: "tool", Person: w.person(t, ""), Now: w.now})
	if got, want := ids(cold), []string{"pan", "spade", "rake"}; !slices.Equal(got, want) || *cold.Total != 3 {
		t.Errorf("for nobody: got %v of %v, want %v of 3", got, cold.Total, want)
	}
	warm := e.Decide(&recommend.Query{Placement: "search", Text: "tool", Person: w.person(t, "gardener"), Now: w.now, Explain: true})
	if got, want := ids(warm), []string{"spade", "rake", "pan"}; !slices.Equal(got, want) {
		t.Errorf("for a gardener: got %v, want %v", got, want)
	}
	from := warm.Explain.Candidates[0].From
	if from["match"] != 0.9 || from["session_knn"] <= 0 {
		t.Errorf("the spade is there by %v, want 0.9 of match and something of session_knn", from)
	}
	if s := warm.Explain.Search; s == nil || s.Match != "exact" || s.Total != 3 || s.Candidates != 4 {
		t.Errorf("explained as %+v", s)
	}
}

// TestSearchWithGivenItems: words count for items that were given, and no other
// item comes in.
func TestSearchWithGivenItems(t *testing.T) {
	w := shop(t)
	w.Search = &index{found: recommend.SearchResult{Hits: hits("pan", 10.0, "knife", 2.0), Total: 2}}
	a := w.engine(t).Decide(&recommend.Query{Placement: "search", Text: "pan", Items: []string{"knife", "lamp", "pan"}, Person: w.person(t, ""), Now: w.now})
	if got := ids(a); got[0] != "pan" || len(got) != 3 || a.Total != nil {
		t.Errorf("got %v of %v, want the pan first of three, and no total", got, a.Total)
	}
	w.Search = &index{found: recommend.SearchResult{Hits: hits("spade", 10.0), Total: 1}}
	a = w.engine(t).Decide(&recommend.Query{Placement: "search", Text: "spade", Items: []string{"knife", "lamp"}, Person: w.person(t, ""), Now: w.now})
	if got := ids(a); slices.Contains(got, "spade") || len(got) != 2 {
		t.Errorf("got %v, want the two that were given", got)
	}
}

// TestSearchFails: an index that does not answer is done without; one that is
// late leaves it to the fallback.
func TestSearchFails(t *testing.T) {
	w := shop(t)
	x := &index{err: errors.New("being built")}
	w.Search = x
	e := w.engine(t)
	q := recommend.Query{Placement: "search", Text: "lam", Person: w.person(t, ""), Now: w.now, Explain: true}
	if a := e.Decide(&q); !slices.Equal(ids(a), []string{"lamp"}) || a.Total != nil || a.Explain.Search.Skipped != "being built" {
		t.Errorf("got %v, explained as %+v", ids(a), a.Explain.Search)
	}
	x.asked = nil
	q.Until, q.Micros = 100, func() int64 { return 60 }
	e.Decide(&q)
	if got := x.asked[0].Left.Microseconds(); got != 24 {
		t.Errorf("with 40 µs left the index gets %d, want 24", got)
	}
	x.asked = nil
	q.Micros = func() int64 { return 100 }
	if a := e.Decide(&q); len(x.asked) > 0 || a.Fallback != "trending" {
		t.Errorf("with no time left the index was asked %d times, fallback %q", len(x.asked), a.Fallback)
	}
	q.Text, q.Until = "lam", 0
	e.Refresh(w.now)
	if a := e.Quick(&q); len(x.asked) > 0 || len(a.Items) == 0 {
		t.Errorf("the quick answer asked the index, or is empty: %v", ids(a))
	}
}

// TestFiltersOfTheRequest hold in every placement, for what the generators give
// and for what the fallback fills in, by what the catalog says now.
func TestFiltersOfTheRequest(t *testing.T) {
	w := shop(t)
	x := &index{found: recommend.SearchResult{
		Hits: hits("pan", 1e-9, "pot", 1e-9, "spade", 1e-9), Total: 3, Facets: map[string][]attune.FacetCount{"category": {{Value: "Kitchen", Count: 3}}},
	}}
	w.Search = x
	e := w.engine(t)
	limit := 29.0
	kitchen := attune.Filters{{Attribute: "category", Values: []string{"Kitchen"}}, {Attribute: "price", Max: &limit}}
	for _, q := range []recommend.Query{
		{Placement: "popular"},
		{Placement: "for-you"},
		{Placement: "similar", Item: "spade"},
		{Placement: "search"},
		{Placement: "search", Text: "p"},
		{Placement: "search", Items: []string{"spade", "pot", "pan"}},
		{Placement: "cart", Expired: func() bool { return true }},
	} {
		q.Person, q.Now, q.Filters, q.Explain = w.person(t, ""), w.now, kitchen, true
		if a := e.Decide(&q); !slices.Equal(ids(a), []string{"pot"}) {
			t.Errorf("%s %q: got %v, want the pot alone; filtered %v", q.Placement, q.Text, ids(a), a.Explain.Filtered)
		}
		if a := e.Quick(&q); slices.ContainsFunc(ids(a), func(id string) bool { return id != "pot" }) {
			t.Errorf("%s, quick: got %v", q.Placement, ids(a))
		}
	}
	x.asked = nil
	a := e.Decide(&recommend.Query{Placement: "search", Person: w.person(t, ""), Now: w.now, Facets: []string{"category"}})
	if len(x.asked) != 1 || x.asked[0].Limit != 0 || a.Facets["category"][0].Count != 3 || *a.Total != 3 || len(a.Items) == 0 {
		t.Errorf("facets alone: asked %+v, got %v of %v, %v", x.asked, ids(a), a.Total, a.Facets)
	}
}

// TestSearchIsNotAsked: who does not search pays for no index.
func TestSearchIsNotAsked(t *testing.T) {
	w := shop(t)
	x := &index{}
	w.Search = x
	e := w.engine(t)
	for _, name := range e.Placements() {
		e.Decide(&recommend.Query{Placement: name, Item: "pan", Person: w.person(t, ""), Now: w.now})
		e.Decide(&recommend.Query{Placement: name, Items: []string{"pan"}, Person: w.person(t, ""), Now: w.now})
		if name != "search" {
			e.Decide(&recommend.Query{Placement: name, Text: "pan", Person: w.person(t, ""), Now: w.now})
		}
	}
	if len(x.asked) > 0 {
		t.Errorf("the index was asked %+v", x.asked)
	}
}
