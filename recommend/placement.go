package recommend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Placement is one place on a page that shows items, as the configuration
// file writes it. The zero value of every field but Generators is useful.
type Placement struct {
	// Name is the id requests ask for; a configuration that keeps placements
	// by name sets it from the key.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Generators are blended: each one's scores are normalised to (0, 1] and
	// multiplied by its weight; an item's score is the sum.
	Generators []Generator `json:"generators" yaml:"generators"`
	// Filter is a CEL condition over item, traits, features, segments, context
	// and now. Only items for which it is true are shown.
	Filter string  `json:"filter,omitempty" yaml:"filter,omitempty"`
	Boosts []Boost `json:"boosts,omitempty" yaml:"boosts,omitempty"`
	// Exclude takes away what the person knows already.
	Exclude Exclude `json:"exclude,omitzero" yaml:"exclude,omitempty"`
	Cap     Cap     `json:"cap,omitzero"     yaml:"cap,omitempty"`
	// Limit is how many items are answered when the request does not say; 0 is
	// DefaultLimit. A request may ask for up to MaxLimit.
	Limit int `json:"limit,omitempty" yaml:"limit,omitempty"`
	// DeadlineMS is how long a decision may take; 0 is the server's default.
	DeadlineMS int `json:"deadline_ms,omitempty" yaml:"deadline_ms,omitempty"`
	// Fallback fills what the generators leave empty, step by step. Nil is
	// trending, popular, newest; empty fills nothing.
	Fallback []Step `json:"fallback,omitempty" yaml:"fallback,omitempty"`
	// Exact leaves the list short, rather than filling it, when the generators
	// gave something.
	Exact bool `json:"exact,omitempty" yaml:"exact,omitempty"`
	// Explain replaces the reason of the generators' items. {reason}, {item}
	// (the name of the item the page is about) and {query} are filled in.
	Explain string `json:"explain,omitempty" yaml:"explain,omitempty"`

	// Rules are pins, boosts, burials, promotions and limits.
	Rules     []Rule    `json:"rules,omitempty"     yaml:"rules,omitempty"`
	Caps      []Cap     `json:"caps,omitempty"      yaml:"caps,omitempty"` // beside Cap
	Diversity Diversity `json:"diversity,omitzero"  yaml:"diversity,omitempty"`
	Frequency Frequency `json:"frequency,omitzero"  yaml:"frequency,omitempty"`
	Fresh     Fresh     `json:"fresh,omitzero"      yaml:"fresh,omitempty"`
	Price     Price     `json:"price,omitzero"      yaml:"price,omitempty"`
	Explore   Explore   `json:"explore,omitzero"    yaml:"explore,omitempty"`
	Content   []Content `json:"content,omitempty"   yaml:"content,omitempty"`
	// Overrides answer as another placement does.
	Overrides []Override `json:"overrides,omitempty" yaml:"overrides,omitempty"`
}

// Generator is one source of candidates of a Placement.
type Generator struct {
	Kind string `json:"kind" yaml:"kind"`
	// Weight multiplies the generator's normalised scores; 0 is 1.
	Weight float64 `json:"weight,omitempty" yaml:"weight,omitempty"`
	// From names what the generator reads: "traits.x" or "features.x" (a plain
	// name is a feature, else a trait) for list; the affinity feature or a list
	// for the others. "item" makes a pair generator start at the page's item.
	From string `json:"from,omitempty" yaml:"from,omitempty"`
	// Attribute is popular_by's item attribute; "" is category.
	Attribute string `json:"attribute,omitempty" yaml:"attribute,omitempty"`
	// Measure is the pair generators' similarity: jaccard (the default), lift.
	Measure string `json:"measure,omitempty" yaml:"measure,omitempty"`
	// Limit is how many candidates it gives at most; 0 is five times what is
	// shown, at least 50, and DefaultCandidates where a filter or a cap drops
	// some.
	Limit int `json:"limit,omitempty" yaml:"limit,omitempty"`
}

// Boost multiplies the score of the items for which When holds.
type Boost struct {
	When   string  `json:"when"   yaml:"when"`
	Factor float64 `json:"factor" yaml:"factor"`
}

// Exclude says which items a placement does not show.
type Exclude struct {
	Viewed    bool `json:"viewed,omitempty"    yaml:"viewed,omitempty"`
	Purchased bool `json:"purchased,omitempty" yaml:"purchased,omitempty"`
	InCart    bool `json:"in_cart,omitempty"   yaml:"in_cart,omitempty"`
	// Current is the item the page is about.
	Current bool `json:"current,omitempty" yaml:"current,omitempty"`
	// OnPage is what placements before this one in the request show.
	OnPage bool `json:"on_page,omitempty" yaml:"on_page,omitempty"`
}

// Cap allows at most Max items with the same value of Attribute. The zero
// value caps nothing.
type Cap struct {
	Attribute string `json:"attribute,omitempty" yaml:"attribute,omitempty"`
	Max       int    `json:"max,omitempty"       yaml:"max,omitempty"`
}

// Step is one step of a fallback chain: a generator kind, or a static list of
// item ids. In YAML a step is a string or a list of strings.
type Step struct {
	Kind  string   `json:"kind,omitempty"`
	Items []string `json:"items,omitempty"`
}

// UnmarshalYAML reads "trending" or ["sku-1", "sku-2"].
func (s *Step) UnmarshalYAML(unmarshal func(any) error) error {
	var kind string
	if err := unmarshal(&kind); err == nil {
		*s = Step{Kind: kind}
		return nil
	}
	var items []string
	if err := unmarshal(&items); err != nil {
		return fmt.Errorf("a fallback step is a generator kind or a list of item ids: %w", attune.ErrInvalid)
	}
	*s = Step{Kind: Static, Items: items}
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads. The error is always nil.
func (s Step) MarshalYAML() (any, error) {
	if s.Kind == Static {
		return s.Items, nil
	}
	return s.Kind, nil
}

// Bounds of a placement.
const (
	DefaultLimit      = 10
	MaxLimit          = 200
	DefaultCandidates = 200
	fewCandidates     = 50
	MaxCandidates     = 2000
	MaxDeadlineMS     = 1000
	maxGenerators     = 16
	maxBoosts         = 32
	maxStatic         = 1000
)

// The generator kinds.
const (
	Popular        = "popular"
	Trending       = "trending"
	ViewedTogether = "viewed_together"
	BoughtTogether = "bought_together"
	SessionKNN     = "session_knn"
	RecentlyViewed = "recently_viewed"
	CartComplement = "cart_complement"
	List           = "list"
	PopularBy      = "popular_by"
	Items          = "items"
	Match          = "match"
	Newest         = "newest"
	CompleteLook   = "complete_look"
	// Static is a fallback step with item ids, not a generator.
	Static = "static"
	// None is what Answer.Fallback says when there was nothing to show.
	None = "none"
)

// Kinds returns the names of the generator kinds, in the order of the guide.
func Kinds() []string {
	return []string{
		Popular, Trending, ViewedTogether, BoughtTogether, SessionKNN, RecentlyViewed,
		CartComplement, List, PopularBy, Items, Match, Newest, CompleteLook,
	}
}

// Defaults returns the placements of an engine without a configuration. The
// caller owns them.
func Defaults() []Placement {
	trending := []Step{{Kind: Trending}, {Kind: Popular}, {Kind: Newest}}
	return []Placement{
		{
			Name: "for-you",
			Generators: []Generator{
				{Kind: SessionKNN, Weight: 1},
				{Kind: ViewedTogether, Weight: 0.6},
				{Kind: BoughtTogether, Weight: 0.4, From: "features.recent_five_purchases"},
				{Kind: PopularBy, Weight: 0.3},
				{Kind: Trending, Weight: 0.1},
			},
			Exclude: Exclude{Purchased: true, InCart: true, Current: true},
			Limit:   DefaultLimit, Fallback: trending,
		},
		{
			Name: "similar",
			Generators: []Generator{
				{Kind: ViewedTogether, Weight: 1, From: "item"},
				{Kind: SessionKNN, Weight: 0.5, From: "item"},
				{Kind: PopularBy, Weight: 0.1, From: "item"},
			},
			Exclude: Exclude{Current: true},
			Limit:   DefaultLimit, Fallback: trending,
		},
		{
			Name:       "also-bought",
			Generators: []Generator{{Kind: BoughtTogether, Weight: 1, From: "item"}},
			Exclude:    Exclude{Current: true, InCart: true},
			Limit:      DefaultLimit,
			Fallback:   append([]Step{{Kind: ViewedTogether}}, trending...),
		},
		{
			Name:       "recently-viewed",
			Generators: []Generator{{Kind: RecentlyViewed, Weight: 1}},
			Exclude:    Exclude{Current: true},
			Limit:      DefaultLimit, Fallback: trending, Exact: true,
		},
		{
			Name:       Trending,
			Generators: []Generator{{Kind: Trending, Weight: 1}},
			Limit:      DefaultLimit, Fallback: []Step{{Kind: Popular}, {Kind: Newest}},
		},
		{
			Name:       Popular,
			Generators: []Generator{{Kind: Popular, Weight: 1}},
			Limit:      DefaultLimit, Fallback: []Step{{Kind: Trending}, {Kind: Newest}},
		},
		{
			Name:       "cart",
			Generators: []Generator{{Kind: CartComplement, Weight: 1}},
			Exclude:    Exclude{InCart: true, Current: true},
			Limit:      DefaultLimit, Fallback: trending,
		},
		{
			Name: "search",
			Generators: []Generator{
				{Kind: Items, Weight: 0.5},
				{Kind: Match, Weight: 1},
				{Kind: SessionKNN, Weight: 0.4},
				{Kind: BoughtTogether, Weight: 0.4, From: "recent_five_purchases"},
				{Kind: PopularBy, Weight: 0.3},
				{Kind: Popular, Weight: 0.1},
			},
			Limit: 20, Fallback: trending,
		},
	}
}

// Validate returns every fault of p that needs no rule environment, joined,
// each with its path inside the placement.
func (p *Placement) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), attune.ErrInvalid))
	}
	if p.Name == "" || len(p.Name) > 100 {
		bad("name", "want 1 to 100 bytes, got %d", len(p.Name))
	}
	if n := len(p.Generators); n > maxGenerators {
		bad("generators", "want at most %d, got %d", maxGenerators, n)
	} else if n == 0 && len(p.Content) == 0 {
		bad("generators", "is missing; name where candidates come from, or give content")
	}
	for i := range p.Generators {
		p.Generators[i].validate(fmt.Sprintf("generators[%d]", i), bad)
	}
	if len(p.Boosts) > maxBoosts {
		bad("boosts", "want at most %d, got %d", maxBoosts, len(p.Boosts))
	}
	for i, b := range p.Boosts {
		if !(b.Factor >= 0 && b.Factor <= 1000) {
			bad(fmt.Sprintf("boosts[%d].factor", i), "want 0 to 1000, got %v", b.Factor)
		}
		if b.When == "" {
			bad(fmt.Sprintf("boosts[%d].when", i), "is empty; write a condition, or true")
		}
	}
	if p.Limit < 0 || p.Limit > MaxLimit {
		bad("limit", "want 0 to %d, got %d", MaxLimit, p.Limit)
	}
	if p.DeadlineMS < 0 || p.DeadlineMS > MaxDeadlineMS {
		bad("deadline_ms", "want 0 to %d, got %d", MaxDeadlineMS, p.DeadlineMS)
	}
	if p.Cap.Max < 0 || (p.Cap.Max > 0) != (p.Cap.Attribute != "") {
		bad("cap", "wants both attribute and max, max above 0")
	}
	for i, s := range p.Fallback {
		s.validate(fmt.Sprintf("fallback[%d]", i), bad)
	}
	p.merchandising(bad)
	return errors.Join(errs...)
}

func (g *Generator) validate(path string, bad func(path, format string, args ...any)) {
	if !slices.Contains(Kinds(), g.Kind) {
		bad(path+".kind", "unknown kind %q; want one of %s", g.Kind, strings.Join(Kinds(), ", "))
	}
	if !(g.Weight >= 0 && g.Weight <= 1000) {
		bad(path+".weight", "want 0 to 1000, got %v", g.Weight)
	}
	if g.Kind == List && g.From == "" {
		bad(path+".from", "is empty; name the list-valued trait or feature, as features.last_viewed")
	}
	if g.Measure != "" && g.Measure != "jaccard" && g.Measure != "lift" {
		bad(path+".measure", "want jaccard or lift, got %q", g.Measure)
	}
	if g.Limit < 0 || g.Limit > MaxCandidates {
		bad(path+".limit", "want 0 to %d, got %d", MaxCandidates, g.Limit)
	}
}

func (s Step) validate(path string, bad func(path, format string, args ...any)) {
	switch {
	case s.Kind == Static && len(s.Items) > maxStatic:
		bad(path, "want at most %d items, got %d", maxStatic, len(s.Items))
	case s.Kind == Static:
	case s.Kind == List || !slices.Contains(Kinds(), s.Kind):
		bad(path, "unknown step %q; want a list of item ids or one of %s", s.Kind, strings.Join(Kinds(), ", "))
	}
}

// Merge returns the default placements with own laid over them by name, sorted
// by name.
func Merge(own []Placement) []Placement {
	byName := map[string]Placement{}
	for _, p := range Defaults() {
		byName[p.Name] = p
	}
	for _, p := range own {
		byName[p.Name] = p
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b Placement) int { return strings.Compare(a.Name, b.Name) })
}
