package recommend

import (
	"strings"

	"github.com/attune-io/attune"
)

// finish fills what is missing and says why everything is there.
func (s *scratch) finish() *attune.Answer {
	if s.late {
		// Part of the generators answered: their items would look like a
		// choice. The chain answers instead, and says so.
		s.taken, s.chances = s.taken[:0], s.chances[:0]
	}
	fallback := ""
	if len(s.taken) < s.limit {
		fallback = s.fill()
	}
	if fallback == "" {
		fallback = s.filled
	}
	a := s.answer()
	a.Fallback = fallback
	if s.trace != nil {
		a.Explain = s.trace.explanation(s)
	}
	return a
}

// answer makes the answer of what was taken.
func (s *scratch) answer() *attune.Answer {
	if len(s.pinned) > 0 || s.offset > 0 {
		s.weave()
	}
	a := &attune.Answer{
		Model: s.plan.model, Items: make([]attune.Ranked, len(s.taken)),
		Reads: s.plan.reads, Config: s.engine.world.Version, Catalog: s.engine.world.Catalog.Version(),
	}
	if s.answered && len(s.q.Items) == 0 {
		total := s.found.Total
		a.Total, a.Facets = &total, s.found.Facets
	}
	// Items are all over the memory: reading them in a loop of its own lets the
	// misses overlap.
	for i := range s.taken {
		c, out := &s.taken[i], &a.Items[i]
		out.ID, out.Attributes = s.view.ID(c.item), s.view.JSON(c.item)
		out.Score, out.Propensity = float64(c.score), 1
	}
	for i, chance := range s.chances[:min(len(s.chances), len(s.taken))] {
		a.Items[i].Propensity = chance
	}
	if len(s.plan.content) > 0 {
		a.Content = s.content()
	}
	for i := range s.taken {
		a.Items[i].Reason = s.reason(&s.taken[i])
	}
	return a
}

// reason says in plain words why c is shown.
func (s *scratch) reason(c *candidate) string {
	g := s.generatorOf(c)
	switch {
	case c.gen == pinGen:
		return "picked by the shop"
	case c.gen == promoGen:
		return "promoted"
	case g == nil && s.restricted:
		return "among the items asked for"
	case g == nil:
		return "popular now"
	}
	if c.word == 0 && g.kind == PopularBy {
		return s.tell(g, c) // each item has a word of its own
	}
	for i := range s.told {
		if t := &s.told[i]; t.gen == c.gen && t.seed == c.seed && t.word == c.word {
			return t.text
		}
	}
	text := s.tell(g, c)
	if len(s.told) < maxTold {
		s.told = append(s.told, told{seed: c.seed, word: c.word, gen: c.gen, text: text})
	}
	return text
}

// maxTold bounds the reasons that are remembered for one answer.
const maxTold = 16

// tell puts the reason of c, which g gave, into words.
func (s *scratch) tell(g *generator, c *candidate) string {
	text := s.because(g, c)
	if t := s.plan.Explain; t != "" && c.gen >= 0 {
		item := ""
		if s.current >= 0 {
			item = s.name(s.current)
		}
		return strings.NewReplacer("{reason}", text, "{item}", item, "{query}", s.q.Text).Replace(t)
	}
	return text
}

func (s *scratch) generatorOf(c *candidate) *generator {
	switch {
	case c.gen >= 0:
		return &s.plan.gens[c.gen]
	case c.gen <= quickGen:
		return nil
	default:
		return &s.plan.fallback[-1-c.gen]
	}
}

func (s *scratch) because(g *generator, c *candidate) string {
	switch g.kind {
	case SessionKNN, ViewedTogether:
		if c.seed == s.current {
			return "often viewed with " + s.name(c.seed)
		}
		return "because you viewed " + s.name(c.seed)
	case BoughtTogether:
		return "often bought with " + s.name(c.seed)
	case CartComplement:
		return "goes with " + s.name(c.seed) + " in your cart"
	case RecentlyViewed:
		return "you viewed this recently"
	case List:
		return "picked for you"
	case PopularBy:
		if where := s.place(c, g); where != "" {
			return "popular in " + where
		}
		return "popular now"
	case Trending:
		return "trending now"
	case Items:
		return "among the items asked for"
	case Match:
		return "matches " + s.q.Text
	case Newest:
		return "new here"
	case CompleteLook:
		return "goes with " + s.name(c.seed)
	case Static:
		return "picked by the shop"
	default:
		return "popular now"
	}
}

func (s *scratch) place(c *candidate, g *generator) string {
	if c.word != 0 {
		return s.engine.world.Catalog.WordOf(c.word)
	}
	v, _ := s.view.Attr(c.item, g.attribute).(string)
	return v
}

// name is what people call an item.
func (s *scratch) name(n int32) string {
	if n < 0 {
		return "this"
	}
	if name, ok := s.view.Attr(n, "name").(string); ok && name != "" {
		return name
	}
	return s.view.ID(n)
}
