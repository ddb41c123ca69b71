package search

import (
	"context"
	"slices"

	"github.com/attune-io/attune"
)

// Find searches for text as a person means it: as it is typed; when nothing is
// found, with typing errors; then for most of the words. q says the
// rest; its Words and Match are set by Find. A facet
// whose attribute is filtered is counted without that filter, so that the other
// choices keep their counts.
func Find(ctx context.Context, ix Index, text string, q *Query, into *Result) error {
	q.Words, q.Match = SplitWords(text), Exact
	if err := ix.Search(ctx, q, into); err != nil {
		return err
	}
	into.Match = Exact
	if len(q.Words) > 0 && into.Total == 0 && q.Typos != None {
		if err := q.again(ctx, ix, Typos, into); err != nil {
			return err
		}
	}
	if len(q.Words) > 1 && into.Total == 0 {
		if err := q.again(ctx, ix, Most, into); err != nil {
			return err
		}
	}
	return q.others(ctx, ix, into)
}

// again searches more generously.
func (q *Query) again(ctx context.Context, ix Index, m Match, into *Result) error {
	q.Match = m
	err := ix.Search(ctx, q, into)
	into.Match = m
	return err
}

// others counts the facets that are filtered once more, each without its own
// filter.
func (q *Query) others(ctx context.Context, ix Index, into *Result) error {
	for _, facet := range q.Facets {
		own := func(f attune.Filter) bool { return f.Attribute == facet }
		if !slices.ContainsFunc(q.Filters, own) {
			continue
		}
		one := Query{
			Words: q.Words, Match: into.Match, Typos: q.Typos, FacetSize: q.FacetSize, Facets: []string{facet},
			Filters: slices.DeleteFunc(slices.Clone(q.Filters), own),
		}
		var found Result
		if err := ix.Search(ctx, &one, &found); err != nil {
			return err
		}
		into.Facets[facet] = found.Facets[facet]
	}
	return nil
}
