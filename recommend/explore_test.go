package recommend_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/recommend"
)

// exploring returns a shop of ten items in the order i0, i1, … and an engine
// with a placement that explores.
func exploring(t *testing.T, p *recommend.Placement) (*world, *recommend.Engine) {
	t.Helper()
	w := newWorld(t)
	for i := 9; i >= 0; i-- {
		w.put(t, item(fmt.Sprintf("i%d", i), "I", fmt.Sprintf("c%d", i%3)))
	}
	p.Name, p.Generators = "p", []recommend.Generator{{Kind: "newest"}}
	return w, w.engine(t, *p)
}

// TestPropensities draws 100,000 decisions of an exploring placement: what is
// shown at each position, given what is above it, is as frequent as its
// propensity says, by χ² at the level of 0.001.
func TestPropensities(t *testing.T) {
	if testing.Short() {
		t.Skip("draws 100,000 decisions")
	}
	for _, c := range []struct {
		name string
		p    recommend.Placement
	}{
		{"plain", recommend.Placement{Limit: 3, Explore: recommend.Explore{Share: 0.3}}},
		{"pool", recommend.Placement{Limit: 3, Explore: recommend.Explore{Share: 0.6, Pool: 4}}},
		{"rules", recommend.Placement{
			Limit: 3, Explore: recommend.Explore{Share: 0.5},
			Cap:       recommend.Cap{Attribute: "category", Max: 1},
			Diversity: recommend.Diversity{By: []string{"category"}},
			Rules: []recommend.Rule{
				{Pin: 2, Items: []string{"i9"}}, {AtMost: 1, When: `item.id in ["i1", "i2"]`}, {Promote: 0.4, Items: []string{"i7", "i8"}},
			},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, e := exploring(t, &c.p)
			const draws = 100_000
			seen, said := map[string]int{}, map[string]float64{}
			under := map[string]int{} // how often a context was drawn
			for seed := range uint64(draws) {
				a := e.Decide(&recommend.Query{Placement: "p", Person: w.person(t, ""), Now: w.now, Seed: attune.Hash(strconv.FormatUint(seed, 10))})
				above := ""
				for _, r := range a.Items {
					under[above]++
					key := above + ">" + r.ID
					if p, known := said[key]; known && math.Abs(p-r.Propensity) > 1e-12 {
						t.Fatalf("%s: propensity %v and %v", key, p, r.Propensity)
					}
					seen[key]++
					said[key] = r.Propensity
					above = key
				}
			}
			contexts := map[string][]string{}
			for key := range seen {
				for i := len(key) - 1; ; i-- {
					if key[i] == '>' {
						contexts[key[:i]] = append(contexts[key[:i]], key)
						break
					}
				}
			}
			tested := 0
			for above, keys := range contexts {
				n := float64(under[above])
				if n < 2000 || len(keys) < 2 {
					continue
				}
				sum, chi := 0.0, 0.0
				for _, key := range keys {
					expected := n * said[key]
					chi += (float64(seen[key]) - expected) * (float64(seen[key]) - expected) / expected
					sum += said[key]
				}
				if math.Abs(sum-1) > 1e-9 {
					t.Errorf("after %q: propensities add up to %v, want 1", above, sum)
				}
				if limit := critical(len(keys) - 1); chi > limit {
					t.Errorf("after %q: χ² %.1f with %d kinds, want at most %.1f", above, chi, len(keys), limit)
				}
				tested++
			}
			if tested < 3 {
				t.Errorf("%d contexts were tested, want more", tested)
			}
		})
	}
}

// critical is the value that χ² with df degrees of freedom exceeds once in
// 10,000 times (there are some dozens of tests): Wilson and Hilferty's
// approximation (1931).
func critical(df int) float64 {
	const z = 3.719
	d := 2.0 / (9 * float64(df))
	return float64(df) * math.Pow(1-d+z*math.Sqrt(d), 3)
}

// TestExplorationIsRepeated: the same seed gives the same answer, another seed
// another, and one without exploration has propensities of 1.
func TestExplorationIsRepeated(t *testing.T) {
	p := recommend.Placement{Limit: 5, Explore: recommend.Explore{Share: 1}}
	w, e := exploring(t, &p)
	ask := func(seed uint64) string {
		return fmt.Sprint(ids(e.Decide(&recommend.Query{Placement: "p", Person: w.person(t, ""), Now: w.now, Seed: seed})))
	}
	others := 0
	for seed := range uint64(20) {
		if again := ask(seed); again != ask(seed) {
			t.Fatalf("seed %d gave two answers", seed)
		}
		if ask(seed) != ask(seed+100) {
			others++
		}
	}
	if others < 15 {
		t.Errorf("%d of 20 seeds gave another answer", others)
	}
	for _, r := range e.Decide(&recommend.Query{Placement: "popular", Person: w.person(t, ""), Now: w.now}).Items {
		if r.Propensity != 1 {
			t.Errorf("%s has propensity %v without exploration", r.ID, r.Propensity)
		}
	}
}
