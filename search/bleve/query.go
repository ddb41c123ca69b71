package bleve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/search/query"
	index "github.com/blevesearch/bleve_index_api"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/terms"
)

// What a word may stand for is bounded: the most frequent terms that begin with
// it, the nearest that it may be a misspelling of.
const (
	maxPrefixed = 30
	maxMisspelt = 30
	maxLooked   = 5000 // terms of the dictionary looked at for one word
)

// What a term counts beside the word itself.
const (
	prefixBoost   = 0.6
	misspeltBoost = 0.4 // one error; two: its square
)

// Search looks q up.
func (x *Index) Search(ctx context.Context, q *search.Query, into *search.Result) (err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	*into = search.Result{Facets: map[string][]attune.FacetCount{}}
	if x.ix == nil {
		return fmt.Errorf("search index: %w", attune.ErrClosed)
	}
	defer x.guard(&err)
	built, err := x.query(q)
	if err != nil {
		return fmt.Errorf("search index: %w", err)
	}
	r := bleve.NewSearchRequestOptions(built, q.Limit, 0, false)
	if len(q.Words) == 0 {
		r.Score = "none"
	}
	for _, name := range q.Facets {
		r.AddFacet(name, bleve.NewFacetRequest(keywordPrefix+name, q.FacetSize))
	}
	found, err := x.ix.SearchInContext(ctx, r)
	if err != nil {
		return fmt.Errorf("search index: %w", err)
	}
	into.Total = int(found.Total) //nolint:gosec // documents of one machine
	into.Hits = make([]search.Hit, 0, len(found.Hits))
	for _, hit := range found.Hits {
		score := hit.Score
		if !(score > minScore) { // or no number
			score = minScore
		}
		into.Hits = append(into.Hits, search.Hit{ID: hit.ID, Score: score})
	}
	slices.SortStableFunc(into.Hits, func(a, b search.Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
	})
	for _, name := range q.Facets {
		counts := []attune.FacetCount{}
		if f := found.Facets[name]; f != nil && f.Terms != nil {
			for _, t := range f.Terms.Terms() {
				counts = append(counts, attune.FacetCount{Value: t.Term, Count: t.Count})
			}
		}
		into.Facets[name] = counts
	}
	return nil
}

// minScore is the score of a document that was not ranked by words.
const minScore = 1e-9

// query builds the conjunction of the words and the filters.
func (x *Index) query(q *search.Query) (query.Query, error) {
	var all []query.Query
	words := x.analyse.Weighty(q.Words)
	if len(words) > 0 {
		clauses, err := x.words(words, q)
		if err != nil {
			return nil, err
		}
		needed := q.Match.Needed(len(words))
		if len(clauses) < needed {
			return query.NewMatchNoneQuery(), nil
		}
		if needed == len(words) {
			all = append(all, clauses...)
		} else {
			some := query.NewDisjunctionQuery(clauses)
			some.SetMin(float64(needed))
			all = append(all, some)
		}
	}
	for i := range q.Filters {
		all = append(all, filter(&q.Filters[i]))
	}
	switch len(all) {
	case 0:
		return query.NewMatchAllQuery(), nil
	case 1:
		return all[0], nil
	default:
		return query.NewConjunctionQuery(all), nil
	}
}

// words returns a query for each word that is in the index in some form.
func (x *Index) words(words []string, q *search.Query) ([]query.Query, error) {
	adv, err := x.ix.Advanced()
	if err != nil {
		return nil, err
	}
	r, err := adv.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // it was only read
	var clauses []query.Query
	for i, word := range words {
		choices, err := x.expand(r, word, q)
		if err == nil && i == len(words)-1 {
			choices, err = x.unfinished(r, word, choices)
		}
		if err != nil {
			return nil, err
		}
		if len(choices) > 0 {
			clauses = append(clauses, anyOf(choices))
		}
	}
	return clauses, nil
}

// expansion is a term that a word may stand for.
type expansion struct {
	term  string
	short bool // a term of beginningsField
	boost float64
	count uint64
}

// expand returns the terms of the index that word may stand for.
func (x *Index) expand(r index.IndexReader, word string, q *search.Query) ([]expansion, error) {
	exact := x.analyse.Term(word)
	choices := []expansion{{term: exact, boost: 1}}
	if errs := q.Typos.Of(word); q.Match >= search.Typos && errs > 0 {
		meant, err := misspelt(r, exact, errs)
		if err != nil {
			return nil, err
		}
		choices = append(choices, meant...)
	}
	return distinct(choices), nil
}

// unfinished adds to choices what the last word may be the beginning of.
func (x *Index) unfinished(r index.IndexReader, word string, choices []expansion) ([]expansion, error) {
	prefix := x.analyse.Folded(word)
	if utf8.RuneCountInString(prefix) <= terms.MaxBeginning {
		return append(choices, expansion{term: prefix, boost: prefixBoost, short: true}), nil
	}
	begun, err := prefixed(r, prefix)
	if err != nil {
		return nil, err
	}
	return distinct(append(choices, begun...)), nil
}

// distinct keeps the best reason for each term.
func distinct(choices []expansion) []expansion {
	slices.SortStableFunc(choices, func(a, b expansion) int {
		return cmp.Or(strings.Compare(a.term, b.term), cmp.Compare(b.boost, a.boost))
	})
	return slices.CompactFunc(choices, func(a, b expansion) bool { return a.term == b.term })
}

// prefixed returns the most frequent terms that begin with prefix.
func prefixed(r index.IndexReader, prefix string) ([]expansion, error) {
	d, err := r.FieldDictPrefix(wordsField, []byte(prefix))
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // it was only read
	var choices []expansion
	for range maxLooked {
		e, err := d.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			break
		}
		choices = append(choices, expansion{term: e.Term, boost: prefixBoost, count: e.Count})
	}
	return most(choices, maxPrefixed), nil
}

// misspelt returns the terms that are at most errs errors from term, the nearest
// first. In most misspelt words the first letter is right, so that two errors
// are looked for behind it.
func misspelt(r index.IndexReader, term string, errs int) ([]expansion, error) {
	fuzzy, ok := r.(index.IndexReaderFuzzy)
	if !ok {
		return nil, nil
	}
	prefix := ""
	if errs > 1 {
		_, size := utf8.DecodeRuneInString(term)
		prefix = term[:size]
	}
	d, automaton, err := fuzzy.FieldDictFuzzyAutomaton(wordsField, term, errs, prefix)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // it was only read
	var choices []expansion
	for range maxLooked {
		e, err := d.Next()
		if err != nil {
			return nil, err
		}
		if e == nil {
			break
		}
		boost := misspeltBoost
		if _, distance := automaton.MatchAndDistance(e.Term); distance > 1 {
			boost *= misspeltBoost
		}
		choices = append(choices, expansion{term: e.Term, boost: boost})
	}
	return most(choices, maxMisspelt), nil
}

// most returns the n best of choices, by boost, then frequency.
func most(choices []expansion, n int) []expansion {
	slices.SortFunc(choices, func(a, b expansion) int {
		return cmp.Or(cmp.Compare(b.boost, a.boost), cmp.Compare(b.count, a.count), strings.Compare(a.term, b.term))
	})
	return choices[:min(len(choices), n)]
}

// anyOf matches a document that has one of the terms. The library multiplies such a
// score by the share of terms that a document has, which would make a word count
// the less the more it may stand for: the boosts take that back.
func anyOf(choices []expansion) query.Query {
	list := make([]query.Query, len(choices))
	for i, t := range choices {
		one := query.NewTermQuery(t.term)
		one.SetField(wordsField)
		if t.short {
			one.SetField(beginningsField)
		}
		one.SetBoost(t.boost * float64(len(choices)))
		list[i] = one
	}
	if len(list) == 1 {
		return list[0]
	}
	return query.NewDisjunctionQuery(list)
}

// filter matches what f does, without a part in the score.
func filter(f *attune.Filter) query.Query {
	if f.Min != nil || f.Max != nil {
		yes := true
		q := query.NewNumericRangeInclusiveQuery(f.Min, f.Max, &yes, &yes)
		q.SetField(numberPrefix + f.Attribute)
		q.SetBoost(0)
		return q
	}
	list := make([]query.Query, len(f.Values))
	for i, v := range f.Values {
		one := query.NewTermQuery(v)
		one.SetField(keywordPrefix + f.Attribute)
		one.SetBoost(0)
		list[i] = one
	}
	if len(list) == 1 {
		return list[0]
	}
	return query.NewDisjunctionQuery(list)
}
