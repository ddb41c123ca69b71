package bleve_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
)

// names returns the different names of items in the slice of Online Retail.
func names(tb testing.TB) []string {
	tb.Helper()
	f, err := os.Open("../../examples/shop/data/online-retail-slice.csv.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	lines, err := csv.NewReader(z).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	seen := map[string]bool{}
	var out []string
	for _, line := range lines[1:] {
		if name := strings.TrimSpace(line[2]); name != "" && !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// crowd returns n items whose names are made of the halves of two real ones, so
// that words are as frequent, and stand beside each other, as in a shop.
func crowd(names []string, n int) []search.Document {
	state := uint64(1)
	pick := func(n int) int {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return int(state % uint64(n))
	}
	docs := make([]search.Document, n)
	for i := range docs {
		a, b := strings.Fields(names[pick(len(names))]), strings.Fields(names[pick(len(names))])
		name := strings.Join(append(slices.Clone(a[:(len(a)+1)/2]), b[len(b)/2:]...), " ")
		id, category, brand := fmt.Sprintf("sku-%06d", i), fmt.Sprintf("Category %d", pick(60)), fmt.Sprintf("Brand %d", pick(200))
		docs[i] = search.Document{
			ID: id,
			Text: []search.Text{
				{Value: id, Weight: 5},
				{Value: name, Weight: 5},
				{Value: category, Weight: 2},
				{Value: brand, Weight: 3},
				{Value: names[pick(len(names))] + " " + names[pick(len(names))], Weight: 1},
			},
			Keywords: []search.Keyword{{Attribute: "category", Value: category}, {Attribute: "brand", Value: brand}},
			Numbers:  []search.Number{{Attribute: "price", Value: float64(pick(10_000)) / 100}},
		}
	}
	return docs
}

// typed are ways to look for an item, by the words of its name.
func typed() []struct {
	name string
	text func(w []string) string
} {
	return []struct {
		name string
		text func(w []string) string
	}{
		{"one word", func(w []string) string { return w[0] }},
		{"two words", func(w []string) string { return w[0] + " " + w[1] }},
		{"three words", func(w []string) string { return w[2] + " " + w[0] + " " + w[1] }},
		{"typing", func(w []string) string { return w[0] + " " + w[1][:min(3, len(w[1]))] }},
		{"first letters", func(w []string) string { return w[0][:min(2, len(w[0]))] }},
		{"misspelt", func(w []string) string { return w[0] + " " + w[1][:len(w[1])-1] + "x" + w[1][len(w[1])-1:] }},
		{"no such word", func(w []string) string { return "zyxwvuts" + w[1][:1] + " " + w[0] }},
	}
}

// BenchmarkSearch looks things up among 100,000 items in every way that people
// do, and in all of them by turns ("mix"), with filters and with facets, and for
// the most frequent word there is. Each look asks for 500 hits, as a decision
// does. It reports the 50th and 99th hundredth of the times.
func BenchmarkSearch(b *testing.B) {
	const items, step = 100_000, 1000
	dir := filepath.Join(b.TempDir(), "search")
	ix := open(b, dir)
	defer ix.Close() //nolint:errcheck // it is thrown away
	docs := crowd(names(b), items)
	began := time.Now()
	for i := 0; i < items; i += step {
		if err := ix.Apply(b.Context(), &search.Batch{Put: docs[i : i+step]}); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d items in %v", items, time.Since(began))
	time.Sleep(3 * time.Second) // its segments are merged
	words := func(i int) []string {
		for ; ; i++ {
			if w := search.Words(docs[i*7919%items].Text[1].Value); len(w) >= 3 {
				return w
			}
		}
	}
	run := func(name string, q search.Query, text func(i int) string) {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			total, i := 0, 0
			for b.Loop() {
				q, r, asked := q, search.Result{}, text(i)
				q.Limit, q.FacetSize = 500, 10
				start := time.Now()
				if err := search.Find(b.Context(), ix, asked, &q, &r); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
				total += r.Total
				i++
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms-p99")
			b.ReportMetric(float64(total)/float64(i), "found")
		})
	}
	ways := typed()
	mix := func(i int) string { return ways[i%len(ways)].text(words(i)) }
	run("mix", search.Query{}, mix)
	few := attune.Filters{{Attribute: "category", Values: []string{"Category 7"}}}
	limit := 20.0
	run("mix, filter", search.Query{Filters: few}, mix)
	run("mix, range", search.Query{Filters: attune.Filters{{Attribute: "price", Max: &limit}}}, mix)
	run("mix, facets", search.Query{Facets: []string{"category", "brand"}}, mix)
	run("mix, filter and facets", search.Query{Filters: few, Facets: []string{"category", "brand"}}, mix)
	for _, way := range ways {
		run(way.name, search.Query{}, func(i int) string { return way.text(words(i)) })
	}
	run("the most frequent word", search.Query{}, func(int) string { return "set" })
}
