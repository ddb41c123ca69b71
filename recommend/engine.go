package recommend

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/rule"
)

// World is what decisions are made from. It is live: others write while an
// Engine reads. Every field is required.
type World struct {
	Catalog  *catalog.Catalog
	Items    *model.Items
	Viewed   *model.Pairs    // items seen in one session
	Bought   *model.Pairs    // items of one order
	Sessions *model.Sessions // clicks
	Features *feature.Set
	Rules    *rule.Env
	// Search retrieves by words; nil looks through names. It is the one field
	// that may be left out.
	Search Searcher
	// Version of the configuration: it is part of Answer.Model.
	Version uint64
}

// Query asks for one placement.
type Query struct {
	Placement string
	Person    *profile.Person // never nil
	Segments  []string        // that the person is in, sorted
	Now       attune.Millis
	Seed      uint64
	Limit     int      // 0: the placement's
	Item      string   // the item the page is about
	Items     []string // items to re-rank, or a cart
	Text      string   // what was searched for
	Filters   attune.Filters
	Facets    []string // attributes to count over what matches
	Context   json.RawMessage
	Explain   bool
	// Expired reports whether the answer is late; nil is never.
	Expired func() bool
	// Micros is a monotonic clock for traces; nil is no times.
	Micros func() int64
	// Until is when, by Micros, the answer is late; 0 is never.
	Until int64
	// Narrow are the request's own options; nil is none.
	Narrow *attune.Narrow
	// Above are the answers of the placements before this one on the page, for
	// Exclude.OnPage; with Dedup every placement leaves out what they show.
	Above []*attune.Answer
	Dedup bool
}

// Engine decides. It does not change; any number of goroutines may use it.
type Engine struct {
	world   World
	plans   map[string]*plan
	names   []string
	inputs  inputs
	lasting []bool     // by feature: its list does not depend on time
	scratch *sync.Pool // of *scratch
	quick   atomic.Pointer[[]int32]
	zones   *zones
	sets    map[string]*itemSet // by condition on the item alone
	old     map[string]*itemSet // of the engine before, while this one is compiled
}

// inputs are the places of the features every engine reads; -1 when a
// configuration left one out.
type inputs struct {
	viewed, cart, added, purchased, five, category, brand int
}

// New compiles placements over w. The error joins every fault there is, each
// with its path, as "placements.home.filter: unknown attribute …".
func New(w World, placements []Placement) (*Engine, error) {
	return compile(w, placements, map[string]*itemSet{})
}

// compile is New with the item sets there are already, which follow the catalog
// of w.
func compile(w World, placements []Placement, sets map[string]*itemSet) (*Engine, error) {
	e := &Engine{
		world:   w,
		plans:   make(map[string]*plan, len(placements)),
		scratch: &sync.Pool{New: func() any { return new(scratch) }},
		zones:   &zones{},
		sets:    make(map[string]*itemSet, len(sets)),
		inputs: inputs{
			viewed: w.Features.Index("last_viewed"), cart: w.Features.Index("cart"),
			added: w.Features.Index("last_added"), purchased: w.Features.Index("purchased"),
			five:     w.Features.Index("recent_five_purchases"),
			category: w.Features.Index("category_affinity"), brand: w.Features.Index("brand_affinity"),
		},
	}
	for _, d := range w.Features.Definitions() {
		e.lasting = append(e.lasting, (d.Kind == feature.KindLast || d.Kind == feature.KindSet) && d.TTL == 0)
	}
	e.old = sets
	defer func() { e.old = nil }()
	var errs []error
	for i := range placements {
		p := &placements[i]
		if slices.ContainsFunc(placements[:i], func(o Placement) bool { return o.Name == p.Name }) {
			errs = append(errs, fmt.Errorf("placements.%s: there are two of that name: %w", p.Name, attune.ErrInvalid))
			continue
		}
		built, err := e.plan(p)
		if err != nil {
			errs = append(errs, prefix("placements."+p.Name+".", err)...)
			continue
		}
		e.plans[p.Name] = built
		e.names = append(e.names, p.Name)
	}
	slices.Sort(e.names)
	errs = append(errs, e.overrides()...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

// prefix puts path before every error joined in err.
func prefix(path string, err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{fmt.Errorf("%s%w", path, err)}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, fmt.Errorf("%s%w", path, one))
	}
	return all
}

// Reload returns an engine with other placements over the same world, its
// version set to version. The old one stays good for who still uses it.
func (e *Engine) Reload(placements []Placement, version uint64) (*Engine, error) {
	w := e.world
	w.Version = version
	next, err := compile(w, placements, e.sets)
	if err != nil {
		return nil, err
	}
	next.scratch = e.scratch
	next.quick.Store(e.quick.Load())
	return next, nil
}

// Placements returns the names, sorted. The caller does not change them.
func (e *Engine) Placements() []string { return e.names }

// Deadline returns a placement's own deadline in milliseconds, 0 when it has
// none, and false when there is no such placement.
func (e *Engine) Deadline(placement string) (ms int, ok bool) {
	p, ok := e.plans[placement]
	if !ok {
		return 0, false
	}
	return p.DeadlineMS, true
}

// Placement returns what a placement was made from.
func (e *Engine) Placement(name string) (Placement, bool) {
	p, ok := e.plans[name]
	if !ok {
		return Placement{}, false
	}
	return p.Placement, true
}

// plan is a Placement compiled.
type plan struct {
	Placement
	model    string
	gens     []generator
	fallback []generator
	filter   condition
	boosts   []boost
	narrows  bool // a filter, a cap or a rule drops candidates
	reads    []string

	caps      []Cap
	merch     *merchandise // nil: nothing of it is wished
	content   []content
	overrides []override // of the engine, once all placements are there
}

// generator is a Generator, or a step of a fallback chain, resolved.
type generator struct {
	kind, name string
	weight     float32
	limit      int // 0: see scratch.enough
	from       source
	measure    model.Measure
	attribute  string
	static     []string
	look       *lookIndex // of complete_look
}

// source says where a generator's seeds come from.
type source struct {
	given bool   // "from" was written
	item  bool   // the page's item
	index int    // a feature, -1 when none
	trait string // a trait, "" when none
}

func (e *Engine) plan(p *Placement) (*plan, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	out := &plan{Placement: *p, model: p.Name + "@" + strconv.FormatUint(e.world.Version, 10)}
	var errs []error
	for i := range p.Generators {
		g, err := e.generator(&p.Generators[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("generators[%d].from: %w", i, err))
		}
		out.gens = append(out.gens, g)
	}
	chain := p.Fallback
	if chain == nil && len(p.Generators) > 0 { // content alone is filled up with nothing
		chain = []Step{{Kind: Trending}, {Kind: Popular}, {Kind: Newest}}
	}
	for _, step := range chain {
		g, _ := e.generator(&Generator{Kind: step.Kind, Limit: MaxCandidates / 2})
		g.static = step.Items
		out.fallback = append(out.fallback, g)
	}
	if p.Filter != "" {
		var err error
		if out.filter, err = e.condition(p.Filter); err != nil {
			errs = append(errs, fmt.Errorf("filter: %w", err))
		}
	}
	for i, b := range p.Boosts {
		when, err := e.condition(b.When)
		if err != nil {
			errs = append(errs, fmt.Errorf("boosts[%d].when: %w", i, err))
		}
		out.boosts = append(out.boosts, boost{when: when, factor: float32(b.Factor)})
	}
	if out.Limit == 0 {
		out.Limit = DefaultLimit
	}
	out.caps = p.Caps
	if p.Cap.Max > 0 {
		out.caps = append([]Cap{p.Cap}, p.Caps...)
	}
	var faults []error
	out.merch, faults = e.merchandise(p)
	errs = append(errs, faults...)
	out.content, faults = e.contents(p)
	errs = append(errs, faults...)
	errs = append(errs, p.Check(e.world.Rules, e.world.Features.Definitions()))
	out.narrows = p.Filter != "" || len(out.caps) > 0 || p.Price != (Price{}) || out.merch != nil && (out.merch.counting != 0 || out.merch.arranges)
	out.reads = e.reads(out)
	return out, errors.Join(errs...)
}

func (e *Engine) generator(g *Generator) (generator, error) {
	out := generator{
		kind: g.Kind, name: g.Kind, weight: float32(g.Weight), limit: g.Limit,
		attribute: g.Attribute, from: source{index: -1},
	}
	if g.Weight == 0 {
		out.weight = 1
	}
	if g.Measure == "lift" {
		out.measure = model.Lift
	}
	switch {
	case out.attribute == "" && g.Kind == CompleteLook:
		out.attribute = "look"
	case out.attribute == "":
		out.attribute = "category"
	}
	if g.Kind == CompleteLook {
		out.look = &lookIndex{attribute: out.attribute, catalog: e.world.Catalog}
	}
	if g.From == "" {
		return out, nil
	}
	out.name += " of " + g.From
	var err error
	out.from, err = e.source(g.From)
	return out, err
}

// source resolves "item", "features.x", "traits.x" or a plain name.
func (e *Engine) source(from string) (source, error) {
	s := source{given: true, index: -1}
	if from == "item" {
		s.item = true
		return s, nil
	}
	if trait, ok := cut(from, "traits."); ok {
		s.trait = trait
		return s, nil
	}
	name, isFeature := cut(from, "features.")
	s.index = e.world.Features.Index(name)
	if s.index >= 0 {
		return s, nil
	}
	if !isFeature {
		s.trait = name
		return s, nil
	}
	var names []string
	for _, d := range e.world.Features.Definitions() {
		names = append(names, d.Name)
	}
	message := "unknown feature " + strconv.Quote(name)
	if near := rule.Suggest(name, names); near != "" {
		message += "; did you mean " + strconv.Quote(near) + "?"
	}
	return s, fmt.Errorf("%s: %w", message, attune.ErrInvalid)
}

func cut(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

// Decide answers q, or returns nil when its placement is unknown. The answer
// is the caller's; the attributes in it are the catalog's and not to be
// changed.
func (e *Engine) Decide(q *Query) *attune.Answer {
	p, ok := e.plans[q.Placement]
	if !ok {
		return nil
	}
	s := e.begin(p, q)
	defer e.end(s)
	s.generate()
	switch {
	case s.late:
	case s.simple():
		s.best()
	case s.plan.merch != nil && s.plan.merch.arranges:
		s.score()
		s.trace.snapshot(s)
		s.arrange()
	default:
		s.score()
		s.trace.snapshot(s)
		s.take()
	}
	return s.finish()
}

func (e *Engine) begin(p *plan, q *Query) *scratch {
	s, _ := e.scratch.Get().(*scratch)
	s.engine, s.plan, s.q = e, p, q
	s.view = e.world.Catalog.View()
	s.bound, s.over = false, ""
	if len(p.overrides) > 0 {
		p = s.override(p)
		s.plan = p
	}
	s.limit = q.Limit
	if s.limit <= 0 {
		s.limit = p.Limit
	}
	s.limit, s.offset = min(s.limit, MaxLimit), 0
	if q.Narrow != nil && q.Narrow.Offset > 0 {
		s.offset = min(q.Narrow.Offset, MaxOffset)
		s.limit += s.offset
	}
	s.prepare()
	return s
}

// end gives the scratch back without what it must not keep alive.
func (e *Engine) end(s *scratch) {
	s.engine, s.plan, s.q, s.trace = nil, nil, nil, nil
	s.view = catalog.View{}
	s.item = itemRef{}
	s.found = SearchResult{}
	clear(s.told)
	clear(s.fields)
	s.dates = dates{}
	s.told = s.told[:0]
	s.input.Person, s.input.Item, s.input.Context, s.input.Segments = nil, nil, nil, nil
	e.scratch.Put(s)
}
