package recommend

import (
	"slices"
	"strconv"

	"github.com/attune-io/attune"
)

// maxTraced bounds the candidates an explanation lists.
const maxTraced = 1000

// trace notes how a decision came about. A nil trace notes nothing.
type trace struct {
	generators []attune.GeneratorTrace
	dropped    [reasons]int
	inputs     map[string]any
	parts      [][]genPart // by place in the list of candidates
	boosts     []float32
	candidates []attune.CandidateTrace
	retrieved  *attune.SearchTrace
	start      int64
	rules      []attune.RuleTrace // by wish, then by kind
	touched    map[int32][]string // item → the rules that moved it
}

type genPart struct {
	gen  int16
	part float32
}

func newTrace(now int64) *trace { return &trace{inputs: map[string]any{}, start: now} }

func (t *trace) input(name string, values []string) {
	if t != nil {
		t.inputs[name] = slices.Clone(values)
	}
}

func (t *trace) tastes(s *scratch, index int) {
	if t == nil {
		return
	}
	read := map[string]float64{}
	for _, w := range s.weights[:min(len(s.weights), maxTastes)] {
		read[w.Key] = plain(float32(w.Weight))
	}
	t.inputs["features."+s.engine.world.Features.Definitions()[index].Name] = read
}

// now is the time of a step's start, 0 when nobody asks: a clock costs more
// than most of what a step does.
func (t *trace) now(s *scratch) int64 {
	if t == nil {
		return 0
	}
	return s.micros()
}

func (t *trace) skipped(g *generator, why string) {
	if t != nil {
		t.generators = append(t.generators, attune.GeneratorTrace{Name: g.name, Weight: plain(g.weight), Skipped: why})
	}
}

func (t *trace) generator(s *scratch, g *generator, skipped string, start int64) {
	if t != nil {
		t.generators = append(t.generators, attune.GeneratorTrace{
			Name: g.name, Weight: plain(g.weight), Candidates: len(s.one), Micros: s.micros() - start, Skipped: skipped,
		})
	}
}

func (t *trace) fallback(s *scratch, g *generator, skipped string, start int64) {
	if t != nil {
		t.generators = append(t.generators, attune.GeneratorTrace{
			Name: "fallback " + g.name, Candidates: len(s.one), Micros: s.micros() - start, Skipped: skipped,
		})
	}
}

// search notes what the Searcher answered.
func (t *trace) search(s *scratch, err error, micros int64) {
	if t == nil {
		return
	}
	t.retrieved = &attune.SearchTrace{Match: s.found.How, Total: s.found.Total, Candidates: len(s.found.Hits), Micros: micros}
	if err != nil {
		t.retrieved = &attune.SearchTrace{Micros: micros, Skipped: err.Error()}
	}
}

func (t *trace) drop(reason int32) {
	if t != nil {
		t.dropped[reason]++
	}
}

// part notes that generator gen gave part to the candidate at place at. t is
// not nil.
func (t *trace) part(s *scratch, at int32, gen int16, part float32) {
	for len(t.parts) < len(s.list) {
		t.parts = append(t.parts, nil)
		t.boosts = append(t.boosts, 1)
	}
	t.parts[at] = append(t.parts[at], genPart{gen, part})
}

// keep notes that the candidate at place from is now at place to.
func (t *trace) keep(from, to int) {
	if t != nil {
		t.parts[to], t.boosts[to] = t.parts[from], t.boosts[from]
	}
}

func (t *trace) boosted(at int, factor float32) {
	if t != nil {
		t.boosts[at] *= factor
	}
}

// plain is f with six significant digits: the rest is the noise of 32 bits.
func plain(f float32) float64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', 6, 64), 64)
	return v
}

// snapshot lists the scored candidates, before the best are taken.
func (t *trace) snapshot(s *scratch) {
	if t == nil {
		return
	}
	places := make([]int, len(s.list))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(i, j int) int {
		if before(&s.list[i], &s.list[j]) {
			return -1
		}
		return 1
	})
	for _, i := range places[:min(len(places), maxTraced)] {
		c := &s.list[i]
		from := make(map[string]float64, len(t.parts[i]))
		for _, p := range t.parts[i] {
			from[s.plan.gens[p.gen].name] += float64(p.part)
		}
		for name, sum := range from {
			from[name] = plain(float32(sum))
		}
		one := attune.CandidateTrace{ID: s.view.ID(c.item), Score: plain(c.score), From: from, Reason: s.reason(c)}
		if b := t.boosts[i]; b != 1 {
			one.Boost = plain(b)
		}
		t.candidates = append(t.candidates, one)
	}
}

// explanation is what was noted.
func (t *trace) explanation(s *scratch) *attune.Explanation {
	e := &attune.Explanation{
		Generators: t.generators,
		Search:     t.retrieved,
		Filtered:   map[string]int{},
		Candidates: t.candidates,
		Versions:   map[string]uint64{"config": s.engine.world.Version, "catalog": s.engine.world.Catalog.Version()},
		Inputs:     t.inputs,
		Micros:     s.micros() - t.start,
	}
	t.ruled(s, e)
	for r, n := range t.dropped {
		if n > 0 {
			e.Filtered[reasonName(int32(r))] = n
		}
	}
	return e
}

// ruleSkipped notes why the wish at i did nothing; the first reason counts.
func (t *trace) ruleSkipped(i int, why string) {
	if t != nil && t.rules[i].Skipped == "" {
		t.rules[i].Skipped = why
	}
}

// moved notes that the wish at i moved an item.
func (t *trace) moved(i int, item int32) {
	if t != nil {
		t.touch(item, t.rules[i].Name)
	}
}

// noted notes that something other than a wish moved an item.
func (t *trace) noted(kind string, item int32) {
	if t == nil {
		return
	}
	if !slices.ContainsFunc(t.rules, func(r attune.RuleTrace) bool { return r.Name == kind }) {
		t.rules = append(t.rules, attune.RuleTrace{Name: kind, Kind: kind})
	}
	t.touch(item, kind)
}

func (t *trace) touch(item int32, name string) {
	if !slices.Contains(t.touched[item], name) {
		t.touched[item] = append(t.touched[item], name)
	}
}

// wishing makes room for the rules of p.
func (t *trace) wishing(p *plan) {
	if t == nil {
		return
	}
	t.touched = map[int32][]string{}
	if p.merch == nil {
		return
	}
	for i := range p.merch.wishes {
		t.rules = append(t.rules, attune.RuleTrace{Name: p.merch.wishes[i].name, Kind: p.merch.wishes[i].kind})
	}
}

// ruled says which rules moved which of the items that are shown.
func (t *trace) ruled(s *scratch, e *attune.Explanation) {
	if s.over != "" {
		e.Rules = append(e.Rules, attune.RuleTrace{Name: s.over, Kind: kindOverride})
	}
	for _, r := range t.rules {
		for i := range s.taken {
			if n := s.taken[i].item; slices.Contains(t.touched[n], r.Name) {
				r.Items = append(r.Items, s.view.ID(n))
			}
		}
		e.Rules = append(e.Rules, r)
	}
	for i := range e.Candidates {
		if n, ok := s.engine.world.Catalog.Number(e.Candidates[i].ID); ok {
			e.Candidates[i].Rules = t.touched[n]
		}
	}
}
