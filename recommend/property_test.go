package recommend_test

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/recommend"
)

// TestEveryAnswer holds for any query whatever: no item twice, none that is
// gone, at most as many as asked for, best first, only given ones when given,
// and an empty list is named none.
func TestEveryAnswer(t *testing.T) {
	w := shop(t)
	e := w.engine(t, recommend.Placement{
		Name:       "odd",
		Generators: []recommend.Generator{{Kind: "session_knn"}, {Kind: "list", From: "traits.picks"}, {Kind: "popular_by", Attribute: "brand"}, {Kind: "viewed_together", Measure: "lift"}},
		Filter:     `item.price < 30.0 || features.views_30d > 2`,
		Boosts:     []recommend.Boost{{When: `item.price > 10.0 && now > timestamp("2020-01-01T00:00:00Z")`, Factor: 0.5}},
		Cap:        recommend.Cap{Attribute: "category", Max: 2},
		Exclude:    recommend.Exclude{Viewed: true, InCart: true, Current: true},
		Fallback:   []recommend.Step{{Kind: "static", Items: []string{"lamp", "spade", "nothing"}}, {Kind: "bought_together"}},
	})
	e.Refresh(w.now)
	w.put(t, attune.Item{ID: "rake", Deleted: true})
	anyItem := rapid.SampledFrom([]string{"", "spade", "rake", "seeds", "gloves", "pan", "pot", "knife", "lamp", "unknown"})
	rapid.Check(t, func(rt *rapid.T) {
		asked := 0
		late := rapid.IntRange(0, 20).Draw(rt, "late")
		q := recommend.Query{
			Placement: rapid.SampledFrom(e.Placements()).Draw(rt, "placement"),
			Person:    w.person(t, rapid.SampledFrom([]string{"", "g0", "g1", "k0", "k1"}).Draw(rt, "user")),
			Now:       w.now, Item: anyItem.Draw(rt, "item"),
			Items: rapid.SliceOfN(anyItem, 0, 6).Draw(rt, "items"),
			Text:  rapid.SampledFrom([]string{"", "p", "spade", "zzz"}).Draw(rt, "text"),
			Limit: rapid.IntRange(0, 12).Draw(rt, "limit"), Explain: rapid.Bool().Draw(rt, "explain"),
			Context: []byte(rapid.SampledFrom([]string{"", "{}", `{"category":"Garden"}`, `{"page":`}).Draw(rt, "context")),
			Expired: func() bool { asked++; return asked > late },
		}
		for _, a := range []*attune.Answer{e.Decide(&q), e.Quick(&q)} {
			holds(rt, &q, a)
		}
	})
}

func holds(t *rapid.T, q *recommend.Query, a *attune.Answer) {
	t.Helper()
	limit := q.Limit
	if limit == 0 {
		limit = 20
	}
	if len(a.Items) > limit || a.Items == nil || len(a.Items) == 0 && a.Fallback != recommend.None {
		t.Fatalf("%d items by %q, limit %d", len(a.Items), a.Fallback, limit)
	}
	seen := map[string]bool{}
	given := map[string]bool{}
	for _, id := range q.Items {
		given[id] = true
	}
	for i, r := range a.Items {
		if seen[r.ID] || r.ID == "rake" || r.ID == "" || r.Reason == "" {
			t.Fatalf("item %d is %+v: twice, gone or without a reason", i, r)
		}
		if i > 0 && r.Score > a.Items[i-1].Score {
			t.Fatalf("item %d scores %v, the one before %v", i, r.Score, a.Items[i-1].Score)
		}
		if q.Placement == "search" && len(q.Items) > 0 && !given[r.ID] {
			t.Fatalf("%s was not given", r.ID)
		}
		seen[r.ID] = true
	}
}

// TestDecideWhileTheWorldChanges is for the race detector.
func TestDecideWhileTheWorldChanges(t *testing.T) {
	w := shop(t)
	e := w.engine(t, recommend.Placement{
		Name: "kitchen", Generators: recommend.Defaults()[0].Generators, Filter: `item.category == "Kitchen"`,
	})
	people := []string{"g0", "k0", "new"}
	now := w.now
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				p, err := w.people.User(t.Context(), people[n%len(people)])
				if err != nil {
					t.Error(err)
					return
				}
				names := e.Placements()
				e.Decide(&recommend.Query{Placement: names[(n+i)%len(names)], Person: p, Now: now, Item: "pan", Explain: n%7 == 0})
				e.Refresh(now)
			}
		})
	}
	for i := range 30 {
		w.send(t, viewed("new", "pan", "spade")...)
		w.put(t, item(fmt.Sprintf("x%d", i), "X", "Kitchen"), attune.Item{ID: fmt.Sprintf("x%d", i/2), Deleted: true})
	}
	close(stop)
	wg.Wait()
}
