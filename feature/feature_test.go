package feature_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is 2026-03-01 12:00 UTC, the middle of the tests' time.
const noon = attune.Millis(1772366400000)

const (
	minute = attune.Millis(60_000)
	hour   = 60 * minute
	day    = 24 * hour
)

func dur(tb testing.TB, s string) feature.Duration {
	tb.Helper()
	d, err := feature.ParseDuration(s)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// event makes a track event from JSON properties.
func event(id, name string, at attune.Millis, properties string) *attune.Event {
	return &attune.Event{
		Type: attune.Track, Name: name, MessageID: id, Time: at, ReceivedAt: at,
		Properties: []byte(properties), AnonymousID: "a1",
	}
}

// onlyBig is a condition that a test can see through.
type onlyBig struct{}

func (onlyBig) Match(e *attune.Event, _ *attune.Product) bool {
	var p struct{ Total float64 }
	_ = json.Unmarshal(e.Properties, &p)
	return p.Total >= 20
}

func condition(where string) (feature.Condition, error) {
	if where != "event.properties.total >= 20" {
		return nil, errors.New("unknown condition")
	}
	return onlyBig{}, nil
}

func compile(tb testing.TB, defs []feature.Definition) *feature.Set {
	tb.Helper()
	s, err := feature.Compile(defs, condition)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// everyKind has each kind, with and without what it may take, and small caps.
func everyKind(tb testing.TB) []feature.Definition {
	tb.Helper()
	all := []string{"*"}
	product := []string{"Product Viewed", "Product Added", "Order Completed"}
	paid := []string{"Order Completed"}
	return []feature.Definition{
		{Name: "latest", Kind: "latest", On: all, Value: "properties.total"},
		{Name: "latest_item", Kind: "latest", On: product, Value: "item.id"},
		{Name: "first", Kind: "first", On: product, Value: "item.category"},
		{Name: "first_time", Kind: "first", On: all, Value: "time"},
		{Name: "count", Kind: "count", On: all},
		{Name: "count_items", Kind: "count", On: product, Value: "item.category"},
		{Name: "count_where", Kind: "count", On: all, Where: "event.properties.total >= 20"},
		{Name: "count_1h", Kind: "count", On: all, Window: dur(tb, "1h")},
		{Name: "count_24h", Kind: "count", On: all, Window: dur(tb, "24h")},
		{Name: "sum", Kind: "sum", On: all, Value: "properties.total"},
		{Name: "sum_30d", Kind: "sum", On: all, Value: "properties.total", Window: dur(tb, "30d")},
		{Name: "mean", Kind: "mean", On: all, Value: "properties.total"},
		{Name: "mean_1h30m", Kind: "mean", On: all, Value: "properties.total", Window: dur(tb, "1h30m")},
		{Name: "min", Kind: "min", On: all, Value: "properties.total"},
		{Name: "min_24h", Kind: "min", On: all, Value: "properties.total", Window: dur(tb, "24h")},
		{Name: "max", Kind: "max", On: all, Value: "item.price"},
		{Name: "max_7d", Kind: "max", On: all, Value: "properties.total", Window: dur(tb, "7d")},
		{Name: "distinct", Kind: "distinct", On: product, Value: "item.id"},
		{Name: "last", Kind: "last", On: all, Value: "properties.query", N: 3},
		{Name: "last_items", Kind: "last", On: product, By: "item.id", N: 4},
		{Name: "last_distinct", Kind: "last", On: product, Value: "item.id", N: 3, Distinct: true},
		{Name: "decayed", Kind: "decayed", On: all, HalfLife: dur(tb, "1h"), Value: "properties.total"},
		{Name: "decayed_count", Kind: "decayed", On: all},
		{Name: "affinity", Kind: "affinity", On: product, By: "item.category", HalfLife: dur(tb, "7d")},
		{Name: "affinity_tags", Kind: "affinity", On: all, By: "properties.tags", Value: "properties.total"},
		{Name: "since", Kind: "since", On: product},
		{Name: "since_ttl", Kind: "since", On: product, TTL: dur(tb, "2d")},
		{Name: "sessions", Kind: "sessions", On: all, Window: dur(tb, "24h")},
		{Name: "sessions_long", Kind: "sessions", On: all},
		{Name: "session_length", Kind: "session_length", On: all, Gap: dur(tb, "10m"), Window: dur(tb, "1h")},
		{Name: "set", Kind: "set", On: []string{"Product Added"}, Off: []string{"Product Removed", "Order Completed"}, Value: "item.id", N: 3},
		{Name: "owned", Kind: "set", On: paid, Off: []string{"Product Removed"}, Value: "item.id"},
		{Name: "sequence", Kind: "sequence", Steps: []feature.Step{{On: product}, {On: all, Within: dur(tb, "1h"), Without: paid}}, Off: []string{"Product Removed"}, Window: dur(tb, "24h")},
		{Name: "paid", Kind: "sum", On: paid, Value: "properties.revenue|properties.total", Window: dur(tb, "30d")},
		{Name: "distinct_24h", Kind: "distinct", On: product, Value: "item.id", Window: dur(tb, "24h")},
		{Name: "stddev", Kind: "stddev", On: all, Value: "properties.total"},
		{Name: "stddev_24h", Kind: "stddev", On: paid, Value: "item.price", Window: dur(tb, "24h")},
		{Name: "median", Kind: "quantile", On: all, Value: "properties.total", Quantile: 0.5},
		{Name: "p90_7d", Kind: "quantile", On: all, Value: "item.price", Quantile: 0.9, Window: dur(tb, "7d")},
		{Name: "histogram", Kind: "histogram", On: all, Value: "properties.total", Buckets: []float64{-1, 0, 20.5}},
		{Name: "histogram_1h", Kind: "histogram", On: paid, Value: "properties.total", Buckets: []float64{10}, Window: dur(tb, "1h")},
		{Name: "ratio", Kind: "ratio", On: []string{"Product Added"}, Of: []string{"Product Viewed"}},
		{Name: "ratio_where", Kind: "ratio", On: paid, Where: "event.properties.total >= 20", Of: paid, Window: dur(tb, "30d")},
		{Name: "top", Kind: "top", On: all, By: "properties.tags", N: 2},
		{Name: "top_24h", Kind: "top", On: product, By: "item.id", Value: "item.price", N: 3, Window: dur(tb, "24h")},
		{Name: "latest_by", Kind: "latest_by", On: all, Value: "properties.total", By: "item.id", N: 3},
		{Name: "embedding", Kind: "embedding_mean", On: all, Value: "properties.vector", N: 3},
		{Name: "embedding_24h", Kind: "embedding_mean", On: all, Value: "properties.vector", N: 3, Window: dur(tb, "24h")},
		{Name: "first_touch", Kind: "attribution", On: paid, Of: all, By: "properties.query", Value: "properties.total", Model: "first"},
		{Name: "linear", Kind: "attribution", On: paid, Of: []string{"Product Viewed"}, By: "item.category", Model: "linear", Window: dur(tb, "7d")},
		{Name: "spent", Kind: "time_spent", On: all, Window: dur(tb, "7d")},
		{Name: "spent_on", Kind: "time_spent", On: all, By: "item.category"},
		{Name: "spent_24h", Kind: "time_spent", On: all, By: "properties.query", Window: dur(tb, "24h"), Gap: dur(tb, "2h")},
	}
}

// anEvent draws an event. Few ids and close times make them meet.
func anEvent(r *rapid.T, i int) *attune.Event {
	name := rapid.SampledFrom([]string{
		"Product Viewed", "Product Viewed", "Viewed Product", "Product Added", "Product Removed", "Products Searched",
		"Order Completed", "Order Updated", "Order Refunded", "Order Cancelled", "Something Else",
	}).Draw(r, "name")
	at := noon
	for _, unit := range []attune.Millis{day, hour, minute, 1} {
		at += unit * attune.Millis(rapid.IntRange(-30, 30).Draw(r, "at"))
	}
	if rapid.Bool().Draw(r, "near") {
		at = noon + attune.Millis(rapid.IntRange(-3, 3).Draw(r, "at"))*20*minute
	}
	product := func() string {
		n := rapid.IntRange(1, 5).Draw(r, "product")
		return fmt.Sprintf(`"product_id":"p%d","category":"c%d","price":%d.25`, n, n%3, n)
	}
	var lines []string
	for range rapid.IntRange(0, 3).Draw(r, "lines") {
		lines = append(lines, "{"+product()+"}")
	}
	props := fmt.Sprintf(`{%s,"total":%d.1,"query":"q%d","tags":["t%d","x"]`, product(),
		rapid.IntRange(-5, 40).Draw(r, "total"), rapid.IntRange(0, 4).Draw(r, "query"), rapid.IntRange(0, 2).Draw(r, "tag"))
	if rapid.Bool().Draw(r, "vector") {
		props += fmt.Sprintf(`,"vector":[%d,0.5,%d.25]`, rapid.IntRange(-2, 2).Draw(r, "x"), rapid.IntRange(0, 3).Draw(r, "y"))
	}
	if strings.HasPrefix(name, "Order") && rapid.IntRange(0, 4).Draw(r, "id") > 0 {
		props += fmt.Sprintf(`,"order_id":"o%d","products":[%s]`, rapid.IntRange(0, 3).Draw(r, "order"), strings.Join(lines, ","))
	}
	e := event("m"+strconv.Itoa(i), name, at, props+"}")
	e.Rank = attune.Rank(rapid.IntRange(0, 1).Draw(r, "rank"))
	return e
}

func events(r *rapid.T, most int) []*attune.Event {
	es := make([]*attune.Event, rapid.IntRange(0, most).Draw(r, "events"))
	for i := range es {
		es[i] = anEvent(r, i)
	}
	return es
}

func fold(s *feature.Set, es []*attune.Event) *feature.State {
	var st feature.State
	for _, e := range es {
		s.Fold(&st, e)
	}
	return &st
}

// readable is everything a State can say at now, as JSON.
func readable(tb testing.TB, s *feature.Set, st *feature.State, now attune.Millis) string {
	tb.Helper()
	all := map[string]any{}
	s.Each(st, now, func(name string, v any) { all[name] = v })
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestFoldOfUnionIsMergeOfFolds(t *testing.T) {
	sets := map[string]*feature.Set{"defaults": compile(t, feature.Defaults()), "all": compile(t, everyKind(t))}
	for _, d := range everyKind(t) {
		sets[d.Name] = compile(t, []feature.Definition{d})
	}
	for name, s := range sets {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				es := events(r, 25)
				want := fold(s, es)
				groups := make([]feature.State, rapid.IntRange(1, 5).Draw(r, "groups"))
				for _, i := range rapid.Permutation(indices(len(es))).Draw(r, "order") {
					g := &groups[rapid.IntRange(0, len(groups)-1).Draw(r, "group")]
					if rapid.IntRange(0, 9).Draw(r, "read") == 0 {
						s.Each(g, noon, func(string, any) {}) // must leave no trace
					}
					s.Fold(g, es[i])
				}
				for len(groups) > 1 {
					i := rapid.IntRange(1, len(groups)-1).Draw(r, "merge")
					before := s.AppendBinary(&groups[i], nil)
					s.Merge(&groups[i-1], &groups[i])
					if after := s.AppendBinary(&groups[i], nil); !bytes.Equal(before, after) {
						r.Fatal("Merge changed its source")
					}
					groups = slices.Delete(groups, i, i+1)
				}
				got := &groups[0]
				wantBytes := s.AppendBinary(want, nil)
				if b := s.AppendBinary(got, nil); !bytes.Equal(b, wantBytes) {
					r.Fatalf("state:\n got %x\nwant %x", b, wantBytes)
				}
				now := noon + attune.Millis(rapid.IntRange(-60, 60).Draw(r, "now"))*day
				if g, w := readable(t, s, got, now), readable(t, s, want, now); g != w {
					r.Fatalf("read:\n got %s\nwant %s", g, w)
				}
				back, err := s.Decode(wantBytes)
				if err != nil {
					r.Fatal(err)
				}
				if b := s.AppendBinary(&back, nil); !bytes.Equal(b, wantBytes) {
					r.Fatalf("decoded:\n got %x\nwant %x", b, wantBytes)
				}
				if g, w := readable(t, s, &back, now), readable(t, s, want, now); g != w {
					r.Fatalf("read after decoding:\n got %s\nwant %s", g, w)
				}
				var empty feature.State
				s.Merge(&back, &empty)
				s.Merge(&empty, &back)
				for _, st := range []*feature.State{&back, &empty} {
					if b := s.AppendBinary(st, nil); !bytes.Equal(b, wantBytes) {
						r.Fatalf("merged with empty:\n got %x\nwant %x", b, wantBytes)
					}
				}
			})
		})
	}
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Merging into a State that shares another's memory comes to the same, and
// leaves the other as it was.
func TestShare(t *testing.T) {
	s := compile(t, everyKind(t))
	rapid.Check(t, func(r *rapid.T) {
		es := events(r, 30)
		a := rapid.IntRange(0, len(es)).Draw(r, "first")
		b := rapid.IntRange(a, len(es)).Draw(r, "second")
		base := fold(s, es[:a])
		before := s.AppendBinary(base, nil)
		for range 2 {
			c := base.Share()
			s.Merge(&c, fold(s, es[a:b]))
			s.Merge(&c, fold(s, es[b:]))
			if got, want := s.AppendBinary(&c, nil), s.AppendBinary(fold(s, es), nil); !bytes.Equal(got, want) {
				r.Fatalf("state:\n got %x\nwant %x", got, want)
			}
			if got, want := readable(t, s, &c, noon), readable(t, s, fold(s, es), noon); got != want {
				r.Fatalf("read:\n got %s\nwant %s", got, want)
			}
			if after := s.AppendBinary(base, nil); !bytes.Equal(before, after) {
				r.Fatalf("merging into what shares it changed the original:\n was %x\n now %x", before, after)
			}
		}
	})
}

// A copy made by Merge goes its own way: inline events are folded over one.
func TestMergeCopies(t *testing.T) {
	s := compile(t, everyKind(t))
	rapid.Check(t, func(r *rapid.T) {
		es := events(r, 25)
		n := rapid.IntRange(0, len(es)).Draw(r, "split")
		base := fold(s, es[:n])
		before := s.AppendBinary(base, nil)
		var c feature.State
		s.Merge(&c, base)
		for _, e := range es[n:] {
			s.Fold(&c, e)
		}
		if after := s.AppendBinary(base, nil); !bytes.Equal(before, after) {
			r.Fatal("folding on a copy changed the original")
		}
		if got, want := s.AppendBinary(&c, nil), s.AppendBinary(fold(s, es), nil); !bytes.Equal(got, want) {
			r.Fatalf("copy:\n got %x\nwant %x", got, want)
		}
	})
}

// story is a person's month, told with the events of a shop.
func story() []*attune.Event {
	shoe := `{"product_id":"shoe","name":"Trail Shoe","category":"shoes","brand":"Fell","price":80}`
	sock := `{"product_id":"sock","name":"Wool Sock","category":"clothes","brand":"Fell","price":9.5}`
	order := `{"order_id":"o1","total":89.50,"currency":"EUR","products":[` + shoe + `,` + sock + `]}`
	server := event("e7", "Order Completed", noon-2*day+200, order)
	server.Rank = attune.Server
	return []*attune.Event{
		{Type: attune.Page, MessageID: "e1", Time: noon - 20*day},
		event("e2", "Product Viewed", noon-20*day+minute, sock),
		event("e3", "Product Viewed", noon-2*day-10*minute, shoe),
		event("e4", "Product Added", noon-2*day-9*minute, shoe),
		event("e5", "Product Added", noon-2*day-8*minute, sock),
		event("e6", "Order Completed", noon-2*day, order),
		server,
		event("e8", "Order Refunded", noon-day, `{"order_id":"o1","total":9.50}`),
		event("e9", "Products Searched", noon-3*hour, `{"query":"rain jacket"}`),
		event("e10", "Product Viewed", noon-3*hour+minute, `{"product_id":"coat","category":"clothes"}`),
		event("e11", "Product Added", noon-30*minute, `{"product_id":"coat","category":"clothes"}`),
		event("e12", "Product Viewed", noon-20*minute, `{"product_id":"sock","category":"clothes"}`),
	}
}

func TestDefaults(t *testing.T) {
	s := compile(t, feature.Defaults())
	st := fold(s, story())
	// Nine places: the last digits of a decay may differ between machines.
	got := regexp.MustCompile(`(\.\d{9})\d+`).ReplaceAllString(readable(t, s, st, noon), "$1") + "\n"
	const file = "testdata/defaults.json"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("defaults:\n got %s\nwant %s", got, want)
	}
}

func TestDefinitionsTravel(t *testing.T) {
	want := feature.Defaults()
	y, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got []feature.Definition
	if err := yaml.UnmarshalWithOptions(y, &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var fromJSON []feature.Definition
	if err := json.Unmarshal(j, &fromJSON); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		for _, d := range []feature.Definition{got[i], fromJSON[i]} {
			if g, w := fmt.Sprint(d), fmt.Sprint(want[i]); g != w {
				t.Errorf("definition: got %s, want %s", g, w)
			}
		}
	}
	if !strings.Contains(string(y), "window: 30d") {
		t.Errorf("YAML has no window of 30d:\n%s", y)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{
		"30d": "30d", "24h": "1d", "5m": "5m", "1h30m": "1h30m", "90m": "1h30m", "1d12h": "36h",
		"0": "0", "10s": "10s", "1h0m5s": "1h0m5s", " 2d ": "2d", "250ms": "250ms",
	} {
		d, err := feature.ParseDuration(text)
		if err != nil || d.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, d, err, want)
		}
		if again, err := feature.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q: %s reads as %d, %v", text, d, again, err)
		}
	}
	for _, text := range []string{"", "d", "30", "-5m", "1x", "1.5d", "99999999d", "5m3d", "100000d2000000h"} {
		if d, err := feature.ParseDuration(text); err == nil || !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%q: got %s, %v, want an error", text, d, err)
		}
	}
}

func TestCompileNamesEveryFault(t *testing.T) {
	_, err := feature.Compile([]feature.Definition{
		{Name: "a", Kind: "cuont", On: []string{"*"}},
		{Name: "b", Kind: "sum", On: []string{"*"}},
		{Name: "c", Kind: "affinity", On: []string{"*"}},
		{Name: "d", Kind: "count"},
		{Name: "e", Kind: "count", On: []string{"*"}, Window: feature.Duration(1)},
		{Name: "f", Kind: "latest", On: []string{"*"}, Value: "time", Window: feature.Duration(3600e9), By: "name"},
		{Name: "a", Kind: "last", On: []string{"*"}},
		{Name: "no-dash", Kind: "last", On: []string{"*"}, Value: "name", N: 1001},
		{Name: "s", Kind: "set", On: []string{"x"}, Off: []string{"x"}, Value: "name"},
		{Name: "p", Kind: "latest", On: []string{"x"}, Value: "trait.plan", TTL: feature.Duration(1)},
	}, condition)
	if !errors.Is(err, attune.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, want := range []string{
		`feature "a": kind: unknown kind "cuont"; did you mean "count"?`,
		`feature "b": value: missing`,
		`feature "c": by: missing`,
		`feature "d": on: missing`,
		`feature "e": window: 1ns is out of bounds; want 5m to 731d`,
		`feature "f": window: a feature of kind latest takes none`,
		`feature "f": by: a feature of kind latest takes none`,
		`feature "a": name: features 1 and 7 of the list share it`,
		`feature "a": value: missing`,
		`feature "no-dash": name: want letters`,
		`feature "no-dash": n: 1001 is out of bounds`,
		`feature "s": off: "x" would both add and remove`,
		`feature "p": ttl: 1ns is out of bounds`,
		`feature "p": value: unknown start of path "trait.plan"; did you mean "traits"?`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	_, err = feature.Compile([]feature.Definition{
		{Name: "a", Kind: "latest", On: []string{"*"}, Value: "propertis.x"},
		{Name: "b", Kind: "latest", On: []string{"*"}, Value: "item"},
		{Name: "c", Kind: "count", On: []string{"*"}, Where: "nonsense"},
	}, condition)
	for _, want := range []string{
		`feature "a": value: unknown start of path "propertis.x"; did you mean "properties"?`,
		`feature "b": value: "item" is not a path`,
		`feature "c": where: unknown condition`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func TestPaths(t *testing.T) {
	e := event("m", "Product Viewed", noon, `{"a":{"b.c":1,"d":"deep"},"n":12.50,"flag":true,"list":["x",2],"product_id":7,"url":null}`)
	e.Traits = []byte(`{"plan":"gold"}`)
	e.Context = []byte(`{"page":{"path":"/x","url":"https://shop/x"},"traits":{"age":30}}`)
	e.Enriched = []byte(`{"items":{"7":{"category":"learnt","brand":"B"}}}`)
	for path, want := range map[string]any{
		"properties.a.d": "deep", "properties.n": 12.5, "properties.flag": true, "properties.missing": nil,
		"properties.missing|properties.n": 12.5, "traits.plan": "gold", "traits.age": 30.0,
		"context.page.path": "/x", "item.id": "7", "item.category": "learnt", "item.n": 12.5, "item.quantity": 1.0,
		"time": "2026-03-01T12:00:00.000Z", "name": "Product Viewed", "url": "https://shop/x", "properties.list.#": nil,
	} {
		s := compile(t, []feature.Definition{{Name: "x", Kind: "latest", On: []string{"Product Viewed"}, Value: path}})
		if got := s.Read(fold(s, []*attune.Event{e}), "x", noon); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	s := compile(t, []feature.Definition{{Name: "x", Kind: "last", On: []string{"*"}, Value: "properties.list"}})
	if got, want := fmt.Sprint(s.Read(fold(s, []*attune.Event{e}), "x", noon)), "[x 2]"; got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
}

func TestDecodeKeepsWhatIsStillDefined(t *testing.T) {
	old := compile(t, feature.Defaults())
	b := old.AppendBinary(fold(old, story()), nil)
	defs := slices.DeleteFunc(feature.Defaults(), func(d feature.Definition) bool { return d.Name == "views_1h" || d.Name == "purchased" })
	slices.Reverse(defs)
	defs = append(defs, feature.Definition{Name: "orders", Kind: "count", On: []string{"Order Completed"}})
	now := compile(t, defs)
	st, err := now.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defs {
		want := fmt.Sprint(old.Read(fold(old, story()), d.Name, noon))
		if d.Name == "orders" {
			want = "0"
		}
		if got := fmt.Sprint(now.Read(&st, d.Name, noon)); got != want {
			t.Errorf("%s: got %s, want %s", d.Name, got, want)
		}
	}
}

func TestNothingReadsAsNothing(t *testing.T) {
	s := compile(t, everyKind(t))
	var st feature.State
	for _, d := range s.Definitions() {
		want := any(nil)
		switch {
		case d.Shape() == feature.Integer:
			want = int64(0)
		case d.Kind == "sum", d.Name == "spent":
			want = 0.0
		}
		if got := s.Read(&st, d.Name, noon); got != want {
			t.Errorf("%s: got %v, want %v", d.Name, got, want)
		}
	}
	if got := s.Read(&st, "unknown", noon); got != nil {
		t.Errorf("unknown: got %v, want nil", got)
	}
	if got := s.NextChange(&st, noon); got != 0 {
		t.Errorf("NextChange: got %v, want never", got)
	}
}
