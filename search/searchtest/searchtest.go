// Package searchtest is what any search.Index must pass, whatever keeps it.
package searchtest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
)

// Open returns an index that is empty, or again the one of the same name that
// was closed. The test closes it.
type Open func(t *testing.T, name string) search.Index

// Run runs the kit.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, one := range []struct {
		name string
		test func(*testing.T, search.Index)
	}{
		{"words", words},
		{"ladder", ladder},
		{"oddities", oddities},
		{"weights", weights},
		{"filters", filters},
		{"facets", facets},
		{"changes", changes},
		{"long ids", ids},
		{"an ended context", ended},
	} {
		t.Run(one.name, func(t *testing.T) {
			ix := open(t, strings.ReplaceAll(one.name, " ", "-"))
			defer closes(t, ix)
			one.test(t, ix)
		})
	}
	t.Run("reopened", func(t *testing.T) { reopened(t, open) })
}

func closes(t *testing.T, ix search.Index) {
	t.Helper()
	if err := ix.Close(); err != nil {
		t.Error(err)
	}
}

// Shop returns a small catalog with known answers.
func Shop() []search.Document {
	item := func(id, name, category string, price float64, colours ...string) search.Document {
		d := search.Document{
			ID: id, Text: []search.Text{{Value: id, Weight: 5}, {Value: name, Weight: 5}, {Value: category, Weight: 2}},
			Keywords: []search.Keyword{{Attribute: "category", Value: category}},
			Numbers:  []search.Number{{Attribute: "price", Value: price}},
		}
		for _, c := range colours {
			d.Keywords = append(d.Keywords, search.Keyword{Attribute: "colour", Value: c})
		}
		return d
	}
	return []search.Document{
		item("85123A", "White hanging heart candle holder", "Candles", 2.55, "white"),
		item("84406B", "Cream cupid hearts coat hanger", "Home", 2.75, "cream"),
		item("22086", "Paper chain kit 50's Christmas", "Paper", 2.95),
		item("20712", "Jumbo bag red retrospot", "Bags", 1.95, "red", "white"),
		item("20725", "Lunch bag red retrospot", "Bags", 1.65, "red"),
		item("22384", "Lunch bag pink polkadot", "Bags", 1.65, "pink"),
		item("47566", "Party bunting", "Party", 4.95),
		item("21212", "Pack of 72 retrospot cake cases", "Kitchen", 0.55),
		item("23298", "Spotty bunting", "Party", 4.95, "red", "blue"),
		item("café-1", "Café crème bowl", "Kitchen", 3.5),
		item("22720", "Set of 3 cake tins pantry design", "Kitchen", 4.95),
		item("31", "Children's scissors", "Paper", 1.25),
		item("32", "Two knives and a box of matches", "Kitchen", 12),
		item("33", "Boxes for glasses", "Home", 8),
	}
}

func fill(t *testing.T, ix search.Index, docs []search.Document) {
	t.Helper()
	if err := ix.Apply(t.Context(), &search.Batch{Put: docs}); err != nil {
		t.Fatal(err)
	}
	await(t, ix, search.Query{}, len(docs))
}

// await waits until q finds as many documents, as an index may take a second.
func await(t *testing.T, ix search.Index, q search.Query, want int) {
	t.Helper()
	const patience = 500 // looks, of 20 ms each
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	var r search.Result
	for range patience {
		if err := ix.Search(t.Context(), &q, &r); err != nil {
			t.Fatal(err)
		}
		if r.Total == want {
			return
		}
		select {
		case <-pause.C:
		case <-t.Context().Done():
			return
		}
	}
	t.Fatalf("%d documents can be found, want %d", r.Total, want)
}

func find(t *testing.T, ix search.Index, text string, q search.Query) search.Result {
	t.Helper()
	var r search.Result
	if q.Limit == 0 {
		q.Limit = 50
	}
	if q.FacetSize == 0 {
		q.FacetSize = 10
	}
	if err := search.Find(t.Context(), ix, text, &q, &r); err != nil {
		t.Fatalf("find %q: %v", text, err)
	}
	for i, h := range r.Hits {
		if !(h.Score > 0) || i > 0 && h.Score > r.Hits[i-1].Score {
			t.Errorf("find %q: hit %d has the score %v", text, i, h.Score)
		}
	}
	return r
}

func found(r *search.Result) []string {
	ids := make([]string, len(r.Hits))
	for i := range r.Hits {
		ids[i] = r.Hits[i].ID
	}
	slices.Sort(ids)
	return ids
}

// expect compares what text finds, in any order.
func expect(t *testing.T, ix search.Index, text string, want ...string) search.Result {
	t.Helper()
	r := find(t, ix, text, search.Query{})
	slices.Sort(want)
	if got := found(&r); !slices.Equal(got, want) || r.Total != len(want) {
		t.Errorf("find %q: got %v, %d in all, by %v; want %v", text, got, r.Total, r.Match, want)
	}
	return r
}

func words(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	expect(t, ix, "red retrospot", "20712", "20725")
	expect(t, ix, "Retrospot RED", "20712", "20725")
	expect(t, ix, "retrospot", "20712", "20725", "21212")
	// Forms of a word.
	expect(t, ix, "heart", "85123A", "84406B")
	expect(t, ix, "hearts", "85123A", "84406B")
	expect(t, ix, "candles", "85123A")
	expect(t, ix, "bags", "20712", "20725", "22384")
	expect(t, ix, "children scissors", "31")
	expect(t, ix, "childrens scissors", "31")
	// While it is typed.
	expect(t, ix, "re", "20712", "20725", "21212")
	expect(t, ix, "lunch b", "20725", "22384")
	expect(t, ix, "red retros", "20712", "20725")
	// Its id.
	expect(t, ix, "85123a", "85123A")
	expect(t, ix, "85123A", "85123A")
	// Without accents, and with them.
	expect(t, ix, "cafe creme", "café-1")
	expect(t, ix, "CAFÉ CRÈME", "café-1")
	expect(t, ix, "cafe\u0301", "café-1") // decomposed
	// Words that say nothing do not have to be there.
	expect(t, ix, "a box for the matches", "32")
}

func ladder(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	for text, want := range map[string][]string{
		"retrospit":         {"20712", "20725", "21212"}, // one letter
		"retrosopt":         {"20712", "20725", "21212"}, // two swapped
		"rettrospott":       {"20712", "20725", "21212"}, // two too much
		"buntin":            {"47566", "23298"},
		"buntign":           {"47566", "23298"},
		"red retrospit bag": {"20712", "20725"},
		"chrismas paper":    {"22086"},
	} {
		if r := expect(t, ix, text, want...); r.Match != search.Typos && text != "buntin" {
			t.Errorf("find %q: by %v", text, r.Match)
		}
	}
	if r := expect(t, ix, "red retrospot lamp", "20712", "20725"); r.Match != search.Most {
		t.Errorf("three words of which two are there: by %v", r.Match)
	}
	expect(t, ix, "helicopter")
	expect(t, ix, "99999")  // numbers have no typing errors
	expect(t, ix, "85123B") // nor have codes
	if r := find(t, ix, "retrospit", search.Query{Typos: search.None}); r.Total != 0 {
		t.Errorf("without tolerance: got %v", found(&r))
	}
	// What is right comes before what is nearly.
	if r := find(t, ix, "party", search.Query{}); len(r.Hits) == 0 || r.Hits[0].ID != "47566" {
		t.Errorf("party: got %v", r.Hits)
	}
}

func oddities(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	all := len(Shop())
	for _, text := range []string{"", " ", "\t\n", "!!", "***", "-", "\x00", "\xff\xfe", "🎈", "—", "\"", "'", "()", "*:*", "/.*/"} {
		if r := find(t, ix, text, search.Query{}); r.Total != all {
			t.Errorf("%q has no word, so everything matches: got %d of %d", text, r.Total, all)
		}
	}
	// What other systems take for a language is words and signs here.
	for _, text := range []string{
		`red AND retrospot`, `+red +retrospot`, `"red retrospot"`, `red* retrospot*`, `(red) [retrospot]`, `red^9 retrospot~`,
		"red\u00a0retrospot", "red/retrospot", "<red> retrospot", `red\retrospot`, "red, retrospot!", "ｒｅｄ retrospot", // wide letters
	} {
		r := find(t, ix, text, search.Query{})
		if got := found(&r); !slices.Contains(got, "20712") || slices.Contains(got, "22384") {
			t.Errorf("%q: got %v", text, got)
		}
	}
	for _, text := range []string{
		`category:Bags`, `_id:20712`, `w:red`, `{"match_all":{}}`, `id:[* TO *]`, `' OR 1=1 --`, `NOT red`,
	} {
		if r := find(t, ix, text, search.Query{}); r.Total == all {
			t.Errorf("%q found everything", text)
		}
	}
	long := strings.Repeat("red retrospot ", 5000)
	expect(t, ix, long, "20712", "20725")
	find(t, ix, strings.Repeat("x", 1<<20), search.Query{})
	find(t, ix, strings.Repeat("лампа ", 300), search.Query{})
}

func weights(t *testing.T, ix search.Index) {
	t.Helper()
	one := func(id, name, description string) search.Document {
		return search.Document{ID: id, Text: []search.Text{{Value: name, Weight: 5}, {Value: description, Weight: 1}}}
	}
	fill(t, ix, []search.Document{
		one("b", "tea towel", "matches the mug of this series"),
		one("a", "mug", "for tea, coffee, anything"),
		one("c", "plate", "for cake"),
	})
	for text, want := range map[string]string{"mug": "a", "tea": "b"} {
		if r := find(t, ix, text, search.Query{}); len(r.Hits) != 2 || r.Hits[0].ID != want {
			t.Errorf("%q: got %v, want %s first", text, r.Hits, want)
		}
	}
}

func filters(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	for _, tc := range []struct {
		text    string
		filters attune.Filters
		want    []string
	}{
		{"bag", attune.Filters{{Attribute: "colour", Values: []string{"red"}}}, []string{"20712", "20725"}},
		{"bag", attune.Filters{{Attribute: "colour", Values: []string{"pink", "white"}}}, []string{"20712", "22384"}},
		{"bag", attune.Filters{{Attribute: "colour", Values: []string{"RED"}}}, nil}, // a value is met as it is
		{"bag", attune.Filters{{Attribute: "price", Max: new(1.65)}}, []string{"20725", "22384"}},
		{"bag", attune.Filters{{Attribute: "price", Min: new(1.66), Max: new(1.95)}}, []string{"20712"}},
		{"", attune.Filters{{Attribute: "price", Min: new(8.0)}}, []string{"32", "33"}},
		{"", attune.Filters{{Attribute: "category", Values: []string{"Party"}}, {Attribute: "colour", Values: []string{"blue"}}}, []string{"23298"}},
		{"bag", attune.Filters{{Attribute: "no such", Values: []string{"x"}}}, nil},
		{"bag", attune.Filters{{Attribute: "category", Values: []string{`*`, `Bags" OR "x`}}}, nil},
	} {
		r := find(t, ix, tc.text, search.Query{Filters: tc.filters})
		if got := found(&r); !slices.Equal(got, tc.want) || r.Total != len(tc.want) {
			t.Errorf("%q with %+v: got %v, want %v", tc.text, tc.filters, got, tc.want)
		}
	}
}

func facets(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	check := func(text string, q search.Query, facet string, want ...attune.FacetCount) {
		t.Helper()
		q.Facets = []string{facet}
		r := find(t, ix, text, q)
		if !slices.Equal(r.Facets[facet], want) {
			t.Errorf("%q, facet %s: got %v, want %v", text, facet, r.Facets[facet], want)
		}
	}
	check("bag", search.Query{}, "colour", attune.FacetCount{Value: "red", Count: 2}, attune.FacetCount{Value: "pink", Count: 1}, attune.FacetCount{Value: "white", Count: 1})
	check("retrospot", search.Query{}, "category", attune.FacetCount{Value: "Bags", Count: 2}, attune.FacetCount{Value: "Kitchen", Count: 1})
	check("", search.Query{FacetSize: 2}, "category", attune.FacetCount{Value: "Kitchen", Count: 4}, attune.FacetCount{Value: "Bags", Count: 3})
	check("bag", search.Query{}, "nothing")
	// The facet that is filtered keeps the counts of its other values.
	red := attune.Filters{{Attribute: "colour", Values: []string{"red"}}}
	check("bag", search.Query{Filters: red}, "colour", attune.FacetCount{Value: "red", Count: 2}, attune.FacetCount{Value: "pink", Count: 1}, attune.FacetCount{Value: "white", Count: 1})
	check("", search.Query{Filters: red}, "category", attune.FacetCount{Value: "Bags", Count: 2}, attune.FacetCount{Value: "Party", Count: 1})
	// A limit bounds hits, not counts.
	r := find(t, ix, "bag", search.Query{Limit: 1, Facets: []string{"colour"}})
	if len(r.Hits) != 1 || r.Total != 3 || len(r.Facets["colour"]) != 3 {
		t.Errorf("got %+v", r)
	}
}

func changes(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	var sums search.Sums
	sums[7], sums[search.Buckets-1] = 1<<63+5, 9
	moved := Shop()[3]
	moved.Text = []search.Text{{Value: "Blue dinosaur", Weight: 5}}
	b := search.Batch{Put: []search.Document{moved, {ID: "new", Text: []search.Text{{Value: "Green dinosaur", Weight: 5}}}}, Delete: []string{"47566", "never there"}, Sums: &sums}
	for range 2 { // the second time changes nothing
		if err := ix.Apply(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	await(t, ix, search.Query{Words: []string{"dinosaur"}}, 2)
	expect(t, ix, "dinosaur", "20712", "new")
	expect(t, ix, "red retrospot", "20725")
	expect(t, ix, "party", "23298")
	s, err := ix.State(t.Context())
	if err != nil || s.Documents != len(Shop()) || s.Sums != sums {
		t.Errorf("state: %d documents, %v", s.Documents, err)
	}
	for _, id := range []string{"new", "20712", "47566"} {
		ids, err := ix.IDs(t.Context(), search.BucketOf(id))
		if got, want := slices.Contains(ids, id), id != "47566"; got != want || err != nil {
			t.Errorf("bucket of %s: got %v, %v", id, ids, err)
		}
		for _, other := range ids {
			if search.BucketOf(other) != search.BucketOf(id) {
				t.Errorf("%s is not of the bucket of %s", other, id)
			}
		}
	}
}

// ids are of any letters, and up to 512 bytes.
func ids(t *testing.T, ix search.Index) {
	t.Helper()
	want := []string{strings.Repeat("x", 512), "a/b?c=d&e", "snow ☃", `"quoted" \ {}`, " ", "..", "a\nb"}
	var docs []search.Document
	for _, id := range want {
		docs = append(docs, search.Document{ID: id, Text: []search.Text{{Value: "thing", Weight: 1}}})
	}
	fill(t, ix, docs)
	expect(t, ix, "thing", want...)
	if err := ix.Apply(t.Context(), &search.Batch{Delete: want[1:]}); err != nil {
		t.Fatal(err)
	}
	await(t, ix, search.Query{}, 1)
	expect(t, ix, "thing", want[0])
}

func ended(t *testing.T, ix search.Index) {
	t.Helper()
	fill(t, ix, Shop())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var r search.Result
	if err := search.Find(ctx, ix, "red", &search.Query{Limit: 5}, &r); err == nil {
		t.Error("a search went on after its time")
	}
	if err := ix.Apply(ctx, &search.Batch{Delete: []string{"20712"}}); err == nil {
		t.Error("a change was made after its time")
	}
}

func reopened(t *testing.T, open Open) {
	t.Helper()
	ix := open(t, "reopened")
	fill(t, ix, Shop())
	var sums search.Sums
	sums[0] = 42
	if err := ix.Apply(t.Context(), &search.Batch{Sums: &sums}); err != nil {
		t.Fatal(err)
	}
	closes(t, ix)
	ix = open(t, "reopened")
	defer closes(t, ix)
	s, err := ix.State(t.Context())
	if err != nil || s.Documents != len(Shop()) || s.Sums != sums {
		t.Fatalf("after it was closed: %d documents, %v", s.Documents, err)
	}
	expect(t, ix, "red retrospot", "20712", "20725")
	ids, err := ix.IDs(t.Context(), search.BucketOf("20712"))
	if err != nil || !slices.Contains(ids, "20712") {
		t.Errorf("got %v, %v", ids, err)
	}
}
