package rule

import (
	"testing"

	"github.com/attune-io/attune"
)

type person struct {
	traits, features map[string]any
}

func (p person) Trait(name string) (any, bool) { v, ok := p.traits[name]; return v, ok }

func (p person) Feature(name string, _ attune.Millis) any { return p.features[name] }

type item map[string]any

func (item) ItemID() string { return "sku-1" }

func (i item) Attribute(name string) (any, bool) { v, ok := i[name]; return v, ok }

// now is 2026-03-10T12:00:00Z, a Tuesday.
const now = attune.Millis(1773144000000)

func world() *Input {
	return &Input{
		Item: item{
			"price": 49.5, "category": "shoes", "tags": []any{"trail", "red"}, "in_stock": true,
			"until": "2026-04-01T00:00:00Z", "spec": map[string]any{"weight": 250.0},
		},
		Person: person{
			traits: map[string]any{
				"plan": "gold", "age": 31.0, "newsletter": true, "signup": "2026-03-01T00:00:00Z",
				"address": map[string]any{"city": "Leeds"},
			},
			features: map[string]any{
				"views_1h": int64(3), "revenue_30d": 120.25, "last_viewed": []string{"sku-1", "sku-2"},
				"category_affinity": map[string]float64{"shoes": 0.8, "hats": 0.2},
			},
		},
		Segments: []string{"new", "vip"},
		Context:  []byte(`{"page":{"path":"/shoes","referrer":null},"locale":"en-GB","n":3,"a.b":1,"tags":["x",2,true,null,{"k":1}]}`),
		Now:      now,
	}
}

func env(tb testing.TB, names Names) *Env {
	tb.Helper()
	e, err := New(names)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestCandidateCondition(t *testing.T) {
	e := env(t, Names{})
	for expr, want := range map[string]bool{
		`item.price < 50.0 && "vip" in segments`:                        true,
		`item.price < 50`:                                               true,
		`item.price <= 49.5 && item.price >= 49.5`:                      true,
		`item.category == "shoes"`:                                      true,
		`item["category"] == "shoes"`:                                   true,
		`item.id == "sku-1"`:                                            true,
		`item.in_stock`:                                                 true,
		`!item.in_stock`:                                                false,
		`"red" in item.tags`:                                            true,
		`"blue" in item.tags`:                                           false,
		`item.tags.exists(t, t.startsWith("tr"))`:                       true,
		`item.tags.all(t, size(t) > 4)`:                                 false,
		`size(item.tags) == 2`:                                          true,
		`item.spec.weight > 200`:                                        true,
		`item.spec.size > 200`:                                          false,
		`item.id in features.last_viewed`:                               true,
		`features.views_1h == 3`:                                        true,
		`features.views_1h + 1 == 4`:                                    true,
		`features.views_1h / 2 > 1`:                                     true,
		`features.views_1h / 2 == 1.5`:                                  true,
		`features.views_1h % 2 == 1`:                                    true,
		`1 + features.views_1h * 2 == 7`:                                true,
		`features.views_1h * size(item.tags) == 6`:                      true,
		`features.revenue_30d > 100`:                                    true,
		`features.category_affinity["shoes"] > 0.5`:                     true,
		`features.category_affinity[item.category] > 0.5`:               true,
		`features.category_affinity["cars"] > 0.5`:                      false,
		`"cars" in features.category_affinity`:                          false,
		`"hats" in features.category_affinity`:                          true,
		`features.category_affinity.exists(c, c == item.category)`:      true,
		`traits.plan.matches("^g.*d$")`:                                 true,
		`upper(traits.plan) == "GOLD" && lower("ÄB") == "äb"`:           true,
		`traits.address.city == "Leeds"`:                                true,
		`traits.address.zip == null`:                                    true,
		`traits.missing == null`:                                        true,
		`traits.missing.deeper == null`:                                 false,
		`traits.missing != "x"`:                                         true,
		`traits.missing == "x"`:                                         false,
		`traits.missing < 3`:                                            false,
		`!(traits.missing < 3)`:                                         false,
		`traits.missing < 3 || traits.newsletter`:                       true,
		`traits.newsletter || traits.missing < 3`:                       true,
		`has(traits.missing)`:                                           false,
		`!has(traits.missing)`:                                          true,
		`has(traits.plan) && has(traits.address.city)`:                  true,
		`has(traits.missing.deeper)`:                                    false,
		`default(traits.missing, 7) == 7`:                               true,
		`default(traits.missing, 7) + 1 == 8`:                           true,
		`default(traits.missing.deeper, "x") == "x"`:                    true,
		`default(traits.age, 0) > 30`:                                   true,
		`traits.plan < 3`:                                               false,
		`traits.plan > "a"`:                                             true,
		`daysSince(traits.signup) > 9 && daysSince(traits.signup) < 10`: true,
		`daysSince(traits.missing) > 9`:                                 false,
		`daysSince("2026-03-10") == 0.5`:                                true,
		`now.getDayOfWeek() == 2`:                                       true,
		`now.getHours("Europe/Berlin") == 13`:                           true,
		`timestamp(item.until) - now > duration("24h")`:                 true,
		`now < timestamp("2026-01-01T00:00:00Z")`:                       false,
		`context.page.path == "/shoes"`:                                 true,
		`context.page.referrer == null`:                                 true,
		`has(context.page.referrer)`:                                    false,
		`context.locale.startsWith("en")`:                               true,
		`context["a.b"] == 1`:                                           true,
		`context.tags[1] == 2`:                                          true,
		`context.tags[9] == 2`:                                          false,
		`context.tags[4].k == 1`:                                        true,
		`true in context.tags && 2 in context.tags`:                     true,
		`segments.size() == 2`:                                          true,
		`segments == ["new", "vip"]`:                                    true,
		`segments.exists(s, s == "vip")`:                                true,
		`(traits.newsletter ? features.views_1h : 2) * 2 == 6`:          true,
		`(traits.missing == null ? 2 : features.views_1h) * 2 == 4`:     true,
		`math.least(item.price, 10) == 10`:                              true,
		`"a" + traits.plan == "agold"`:                                  true,
		`item == item`:                                                  true,
		`-features.views_1h == -3`:                                      true,
		`type(item.price) == double`:                                    true,
		`item.tags + ["x"] == ["trail", "red", "x"]`:                    true,
		`1.0 / 0.0 > 1`:                                                 true,
		`1 / 0 > 1`:                                                     false,
	} {
		p, err := e.CandidateCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := p.Match(world()); got != want {
			_, err := p.Eval(world())
			t.Errorf("%s: got %v, want %v (%v)", expr, got, want, err)
		}
		p.Match(&Input{}) // nobody and nothing: whatever it is, it is no panic
	}
}
