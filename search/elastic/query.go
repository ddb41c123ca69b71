package elastic

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/terms"
)

// What a term counts beside the word itself, and how many terms a word may stand
// for.
const (
	prefixBoost   = 0.6
	misspeltBoost = 0.4
	maxPrefixed   = 30
	maxMisspelt   = 30
)

// answer is the part of a search's answer that is read.
type answer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total struct {
			Value int `json:"value"`
		} `json:"total"`
		Hits []hit `json:"hits"`
	} `json:"hits"`
	Aggregations map[string]struct {
		Buckets []struct {
			Key   json.RawMessage `json:"key"`
			Count int             `json:"doc_count"`
		} `json:"buckets"`
	} `json:"aggregations"`
}

type hit struct {
	Score  *float64            `json:"_score"`
	Fields map[string][]string `json:"fields"`
}

func (h *hit) id() string {
	if ids := h.Fields["id"]; len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// minScore is the score of a document that was not ranked by words.
const minScore = 1e-9

// Search looks q up.
func (x *Index) Search(ctx context.Context, q *search.Query, into *search.Result) error {
	*into = search.Result{Facets: map[string][]attune.FacetCount{}}
	if err := x.ensure(ctx); err != nil {
		return err
	}
	facets := object{}
	for i, name := range q.Facets {
		facets["f"+strconv.Itoa(i)] = object{"terms": object{
			"field": "k." + fieldName(name), "size": max(q.FacetSize, 1),
			"order": []object{{"_count": "desc"}, {"_key": "asc"}},
		}}
	}
	ask := object{
		"query": x.query(q), "size": q.Limit, "track_total_hits": true,
		"stored_fields": "_none_", "docvalue_fields": []string{"id"},
	}
	if len(facets) > 0 {
		ask["aggs"] = facets
	}
	var found answer
	if err := x.call(ctx, http.MethodPost, x.o.Index+"/_search", ask, &found); err != nil {
		return err
	}
	if found.TimedOut || found.Shards.Failed > 0 {
		return fmt.Errorf("the search server answered for a part of the index only: %d shards failed", found.Shards.Failed)
	}
	into.Total = found.Hits.Total.Value
	into.Hits = make([]search.Hit, 0, len(found.Hits.Hits))
	for i := range found.Hits.Hits {
		h := &found.Hits.Hits[i]
		one := search.Hit{ID: h.id(), Score: minScore}
		if h.Score != nil && *h.Score > minScore {
			one.Score = *h.Score
		}
		into.Hits = append(into.Hits, one)
	}
	slices.SortStableFunc(into.Hits, func(a, b search.Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
	})
	for i, name := range q.Facets {
		counts := []attune.FacetCount{}
		for _, b := range found.Aggregations["f"+strconv.Itoa(i)].Buckets {
			var value string
			if json.Unmarshal(b.Key, &value) == nil {
				counts = append(counts, attune.FacetCount{Value: value, Count: b.Count})
			}
		}
		into.Facets[name] = counts
	}
	return nil
}

// query builds the words, which score, and the filters, which do not.
func (x *Index) query(q *search.Query) object {
	all := object{}
	if words := x.analyse.Weighty(q.Words); len(words) > 0 {
		clauses := make([]object, len(words))
		for i, word := range words {
			choices := x.choices(word, q)
			if i == len(words)-1 {
				choices = append(choices, x.unfinished(word))
			}
			clauses[i] = best(choices)
		}
		all["should"], all["minimum_should_match"] = clauses, q.Match.Needed(len(words))
	}
	var filters []object
	for i := range q.Filters {
		filters = append(filters, filter(&q.Filters[i]))
	}
	if len(filters) > 0 {
		all["filter"] = filters
	}
	if len(all) == 0 {
		return object{"match_all": object{}}
	}
	return object{"bool": all}
}

// best matches what one of choices does, and counts the best of them.
func best(choices []object) object {
	if len(choices) == 1 {
		return choices[0]
	}
	return object{"dis_max": object{"queries": choices}}
}

// unfinished matches what the last word may be the beginning of.
func (x *Index) unfinished(word string) object {
	prefix := x.analyse.Folded(word)
	if utf8.RuneCountInString(prefix) <= terms.MaxBeginning {
		return object{"term": object{"p": object{"value": prefix, "boost": prefixBoost}}}
	}
	return object{"prefix": object{"w": object{"value": prefix, "boost": prefixBoost, "rewrite": "top_terms_" + strconv.Itoa(maxPrefixed)}}}
}

// choices match the word, and what it may be a misspelling of.
func (x *Index) choices(word string, q *search.Query) []object {
	exact := x.analyse.Term(word)
	choices := []object{{"term": object{"w": object{"value": exact}}}}
	if errs := q.Typos.Of(word); q.Match >= search.Typos && errs > 0 {
		choices = append(choices, object{"fuzzy": object{"w": object{
			"value": exact, "fuzziness": errs, "prefix_length": errs - 1, "max_expansions": maxMisspelt, "transpositions": true, "boost": misspeltBoost,
		}}})
	}
	return choices
}

func filter(f *attune.Filter) object {
	if f.Min != nil || f.Max != nil {
		limits := object{}
		if f.Min != nil {
			limits["gte"] = *f.Min
		}
		if f.Max != nil {
			limits["lte"] = *f.Max
		}
		return object{"range": object{"n." + fieldName(f.Attribute): limits}}
	}
	return object{"terms": object{"k." + fieldName(f.Attribute): f.Values}}
}
