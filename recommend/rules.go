package recommend

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/rule"
)

// Rule is one wish of a merchandiser. Exactly one of Pin, Boost, Bury, Promote
// and AtMost is set. It is about the items of Items for which When holds; a pin
// is about Items, in order, for the people for whom When holds.
//
// Rules apply in their order: of two pins that want one position, or one item,
// the earlier has it.
type Rule struct {
	// Name is how explanations call the rule; "" is its place, as rules[0].
	Name  string   `json:"name,omitempty"  yaml:"name,omitempty"`
	Items []string `json:"items,omitempty" yaml:"items,omitempty"`
	// When is a condition in CEL: over item, traits, features, segments, context
	// and now; for a pin without item.
	When   string   `json:"when,omitempty"  yaml:"when,omitempty"`
	During Schedule `json:"during,omitzero" yaml:"during,omitempty"`
	// Pin puts the items at this position, from 1, and the ones after it.
	Pin int `json:"pin,omitempty" yaml:"pin,omitempty"`
	// Boost multiplies scores.
	Boost float64 `json:"boost,omitempty" yaml:"boost,omitempty"`
	// Bury puts the items behind all others.
	Bury bool `json:"bury,omitempty" yaml:"bury,omitempty"`
	// Promote is the share of the positions that the items get, spread evenly:
	// of the first n at least Promote·n, rounded down, as long as there are such.
	Promote float64 `json:"promote,omitempty" yaml:"promote,omitempty"`
	// AtMost is how many of the items are shown.
	AtMost int `json:"at_most,omitempty" yaml:"at_most,omitempty"`
}

// Diversity makes lists less alike. By maximal marginal relevance (Carbonell and
// Goldstein, SIGIR 1998) each position takes the item with the highest
//
//	Lambda · score − (1 − Lambda) · similarity
//
// where score is relative to the best, and similarity is the largest share of
// the attributes of By that the item has in common with one above it.
type Diversity struct {
	By []string `json:"by,omitempty" yaml:"by,omitempty"`
	// Lambda from 0, all different, to 1, all by score; nil is 0.7.
	Lambda *float64 `json:"lambda,omitempty" yaml:"lambda,omitempty"`
}

// Frequency leaves out what was seen Max times Within a span.
type Frequency struct {
	Max    int              `json:"max,omitempty"    yaml:"max,omitempty"`
	Within feature.Duration `json:"within,omitempty" yaml:"within,omitempty"`
	// Feature is a list of items seen with repeats, of kind last; "" is
	// impressions.
	Feature string `json:"feature,omitempty" yaml:"feature,omitempty"`
}

// Fresh multiplies scores by 1 + (Boost − 1)·2^(−age/HalfLife): by Boost for
// what is new, by half as much more after HalfLife.
type Fresh struct {
	// Attribute holds the day or instant as text; "" is published_at. What has
	// none, or one in the future, stays as it is.
	Attribute string           `json:"attribute,omitempty" yaml:"attribute,omitempty"`
	HalfLife  feature.Duration `json:"half_life,omitempty" yaml:"half_life,omitempty"`
	Boost     float64          `json:"boost,omitempty"     yaml:"boost,omitempty"`
}

// Price shows only items with a price from Min to Max, both included.
type Price struct {
	Min float64 `json:"min,omitempty" yaml:"min,omitempty"`
	Max float64 `json:"max,omitempty" yaml:"max,omitempty"` // 0 is open
	// Relative makes Min and Max factors on the price of the page's item; where
	// that is not known, any price will do.
	Relative bool `json:"relative,omitempty" yaml:"relative,omitempty"`
}

// Explore gives a share of the positions to chance, so that what is shown can
// be learnt from: see the package's comment.
type Explore struct {
	Share float64 `json:"share,omitempty" yaml:"share,omitempty"` // 0 to 1
	// Pool is how many of the best candidates chance draws from; 0 is 50.
	Pool int `json:"pool,omitempty" yaml:"pool,omitempty"`
}

// Content is a payload that a placement answers with beside its items: the
// first whose condition and schedule hold.
type Content struct {
	Name   string   `json:"name"            yaml:"name"`
	When   string   `json:"when,omitempty"  yaml:"when,omitempty"` // over traits, features, segments, context and now
	During Schedule `json:"during,omitzero" yaml:"during,omitempty"`
	// Payload is any JSON.
	Payload Payload `json:"payload" yaml:"payload"`
}

// Payload is a JSON value; in YAML it is written as YAML.
type Payload json.RawMessage

// UnmarshalYAML reads any value.
func (p *Payload) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("payload: no JSON can say it: %w", attune.ErrInvalid)
	}
	*p = raw
	return nil
}

// UnmarshalJSON keeps a copy of b.
func (p *Payload) UnmarshalJSON(b []byte) error {
	*p = slices.Clone(b)
	return nil
}

// MarshalJSON returns p, null when it is empty.
func (p Payload) MarshalJSON() ([]byte, error) {
	if len(p) == 0 {
		return []byte("null"), nil
	}
	return p, nil
}

// MarshalYAML returns the value of p.
func (p Payload) MarshalYAML() (any, error) {
	var v any
	err := json.Unmarshal(p, &v)
	return v, err
}

// Override answers as another placement does, where its condition and schedule
// hold: the first of a placement that does.
type Override struct {
	Name   string   `json:"name,omitempty"  yaml:"name,omitempty"`
	When   string   `json:"when,omitempty"  yaml:"when,omitempty"` // over traits, features, segments, context and now
	During Schedule `json:"during,omitzero" yaml:"during,omitempty"`
	// As is the other placement, whose own overrides do not count.
	As string `json:"as" yaml:"as"`
}

// Bounds of merchandising.
const (
	maxRules      = 64
	maxRuleItems  = 1000
	maxCaps       = 8
	maxDiversity  = 4
	maxPromotes   = 8
	maxContent    = 64
	maxPayload    = 16 << 10 // bytes
	maxOverrides  = 32
	maxPool       = 500
	defaultPool   = 50
	defaultLambda = 0.7
	maxLoops      = 4 // conditions with a loop that run for each candidate
)

// fault notes that something at a path inside a placement is wrong.
type fault func(path, format string, args ...any)

// merchandising checks what needs no rule environment.
func (p *Placement) merchandising(bad fault) {
	p.validateRules(bad)
	for i, c := range p.Caps {
		if c.Max <= 0 || c.Attribute == "" {
			bad(fmt.Sprintf("caps[%d]", i), "wants both attribute and max, max above 0")
		}
	}
	most(bad, "caps", len(p.Caps), maxCaps)
	d := &p.Diversity
	most(bad, "diversity.by", len(d.By), maxDiversity)
	if d.Lambda != nil && !(*d.Lambda >= 0 && *d.Lambda <= 1) {
		bad("diversity.lambda", "want 0 to 1, got %v", *d.Lambda)
	}
	if len(d.By) == 0 && d.Lambda != nil {
		bad("diversity.by", "is empty; name the attributes that make items alike, as category")
	}
	if f := &p.Frequency; *f != (Frequency{}) && (f.Max <= 0 || f.Max > maxRuleItems || f.Within <= 0) {
		bad("frequency", "wants max, 1 to %d, and within, as 7d", maxRuleItems)
	}
	if f := &p.Fresh; *f != (Fresh{}) && (f.HalfLife <= 0 || !(f.Boost > 1 && f.Boost <= 1000)) {
		bad("fresh", "wants half_life, as 14d, and boost above 1 and up to 1000")
	}
	switch r := &p.Price; {
	case !(r.Min >= 0) || !(r.Max >= 0) || math.IsInf(r.Min, 0) || math.IsInf(r.Max, 0):
		bad("price", "want numbers from 0 on, got %v and %v", r.Min, r.Max)
	case r.Max > 0 && r.Min > r.Max:
		bad("price", "is upside down: min %v is above max %v", r.Min, r.Max)
	case r.Relative && r.Min == 0 && r.Max == 0:
		bad("price", "is relative, but has neither min nor max")
	}
	if x := &p.Explore; !(x.Share >= 0 && x.Share <= 1) || x.Pool < 0 || x.Pool > maxPool {
		bad("explore", "want a share of 0 to 1 and a pool of up to %d, got %v and %d", maxPool, x.Share, x.Pool)
	}
	p.validateContent(bad)
	p.validateOverrides(bad)
}

func most(bad fault, path string, n, limit int) {
	if n > limit {
		bad(path, "want at most %d, got %d", limit, n)
	}
}

func (p *Placement) validateRules(bad fault) {
	most(bad, "rules", len(p.Rules), maxRules)
	promotes, share := 0, 0.0
	names := map[string]int{}
	for i := range p.Rules {
		r := &p.Rules[i]
		path := fmt.Sprintf("rules[%d]", i)
		r.validate(path, bad)
		scheduled(path, &r.During, bad)
		if j, twice := names[r.Name]; twice && r.Name != "" {
			bad(path+".name", "rule %q is there twice, also as rules[%d]", r.Name, j)
		}
		names[r.Name] = i
		if r.Promote > 0 {
			promotes++
			share += r.Promote
		}
	}
	most(bad, "rules", promotes, maxPromotes)
	if share > 1 {
		bad("rules", "the promotions want %.3g of the positions together; there is 1", share)
	}
	p.contradictions(bad)
}

func (r *Rule) validate(path string, bad fault) {
	actions := 0
	for _, set := range [...]bool{r.Pin != 0, r.Boost != 0, r.Bury, r.Promote != 0, r.AtMost != 0} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		bad(path, "want exactly one of pin, boost, bury, promote and at_most, got %d", actions)
	}
	switch {
	case r.Pin < 0 || r.Pin > MaxLimit || r.Pin+len(r.Items)-1 > MaxLimit:
		bad(path+".pin", "want positions 1 to %d, got %d and %d items", MaxLimit, r.Pin, len(r.Items))
	case r.Pin > 0 && len(r.Items) == 0:
		bad(path+".items", "is empty; name the items to pin")
	case !(r.Boost >= 0 && r.Boost <= 1000):
		bad(path+".boost", "want a factor above 0 and up to 1000, got %v", r.Boost)
	case !(r.Promote >= 0 && r.Promote <= 1):
		bad(path+".promote", "want a share above 0 and up to 1, got %v", r.Promote)
	case r.AtMost < 0:
		bad(path+".at_most", "want 1 or more, got %d; a filter leaves items out", r.AtMost)
	case r.Pin == 0 && len(r.Items) == 0 && r.When == "":
		bad(path+".when", "is empty; write a condition, as item.brand == \"Acme\", or name items")
	}
	most(bad, path+".items", len(r.Items), maxRuleItems)
	for i, id := range r.Items {
		if id == "" || slices.Contains(r.Items[:i], id) && r.Pin > 0 {
			bad(fmt.Sprintf("%s.items[%d]", path, i), "%q is empty, or there twice", id)
		}
	}
}

func scheduled(path string, s *Schedule, bad fault) {
	_, err := s.compile()
	if err == nil {
		return
	}
	for _, one := range prefix(path+".during.", err) {
		at, what, _ := strings.Cut(attune.Message(one), ": ")
		bad(at, "%s", what)
	}
}

// contradictions refuses rules of which one could never be seen: two items at
// one position at the same time, an item that is pinned and buried.
func (p *Placement) contradictions(bad fault) {
	if len(p.Rules) > maxRules {
		return
	}
	compiled := make([]*schedule, len(p.Rules))
	for i := range p.Rules {
		compiled[i], _ = p.Rules[i].During.compile() // faults are said elsewhere
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		for j := range i {
			o := &p.Rules[j]
			pins := r.Pin > 0 && o.Pin > 0
			if apart := r.Pin > 0 && o.Bury || r.Bury && o.Pin > 0; !pins && !apart {
				continue
			}
			// With another condition the earlier pin may leave room for the later.
			certain := o.When == "" || o.When == r.When || !pins && r.When == ""
			if !certain || !compiled[i].meets(compiled[j]) {
				continue
			}
			switch {
			case pins:
				clash(r, o, i, j, bad)
			case r.Pin > 0:
				buried(r, o, i, j, bad)
			default:
				buried(o, r, i, j, bad)
			}
		}
	}
}

// clash says that pins r, at i, and o, at j, want one position.
func clash(r, o *Rule, i, j int, bad fault) {
	first, last := max(r.Pin, o.Pin), min(r.Pin+len(r.Items), o.Pin+len(o.Items))
	if first < last && r.Items[first-r.Pin] != o.Items[first-o.Pin] {
		bad(fmt.Sprintf("rules[%d].pin", i), "position %d is pinned to %q by rules[%d] at the same time", first, o.Items[first-o.Pin], j)
	}
}

// buried says that pin names an item that bury, whatever its condition, names
// too.
func buried(pin, bury *Rule, i, j int, bad fault) {
	for _, id := range pin.Items {
		if slices.Contains(bury.Items, id) {
			bad(fmt.Sprintf("rules[%d]", i), "%q is pinned and buried at the same time, also by rules[%d]", id, j)
			return
		}
	}
}

func (p *Placement) validateContent(bad fault) {
	most(bad, "content", len(p.Content), maxContent)
	for i := range p.Content {
		c := &p.Content[i]
		path := "content[" + strconv.Itoa(i) + "]"
		if c.Name == "" {
			bad(path+".name", "is empty")
		}
		for j := range i {
			if p.Content[j].Name == c.Name && c.Name != "" {
				bad(path+".name", "content %q is there twice, also as content[%d]", c.Name, j)
			}
		}
		if len(c.Payload) > maxPayload {
			bad(path+".payload", "want at most %d bytes, got %d", maxPayload, len(c.Payload))
		}
		if len(c.Payload) == 0 || !json.Valid(c.Payload) {
			bad(path+".payload", "is empty; write any value, as {code: WINTER}")
		}
		scheduled(path, &c.During, bad)
	}
}

func (p *Placement) validateOverrides(bad fault) {
	most(bad, "overrides", len(p.Overrides), maxOverrides)
	for i := range p.Overrides {
		o := &p.Overrides[i]
		path := "overrides[" + strconv.Itoa(i) + "]"
		switch {
		case o.As == "":
			bad(path+".as", "is empty; name the placement that answers instead")
		case o.As == p.Name:
			bad(path+".as", "is the placement itself")
		case o.When == "" && o.During.Always():
			bad(path+".when", "is empty, and so is during: it would always answer instead")
		}
		scheduled(path, &o.During, bad)
	}
}

// Expression is a condition of a placement and where it stands.
type Expression struct {
	Path, Text string
	Place      rule.Place
}

// Expressions returns every condition of p, in the order of the fields.
func (p *Placement) Expressions() []Expression {
	var all []Expression
	add := func(path, text string, place rule.Place) {
		if text != "" {
			all = append(all, Expression{Path: path, Text: text, Place: place})
		}
	}
	add("filter", p.Filter, rule.OfCandidate)
	for i := range p.Boosts {
		add(fmt.Sprintf("boosts[%d].when", i), p.Boosts[i].When, rule.OfCandidate)
	}
	for i := range p.Rules {
		place := rule.OfCandidate
		if p.Rules[i].Pin > 0 {
			place = rule.OfPerson
		}
		add(fmt.Sprintf("rules[%d].when", i), p.Rules[i].When, place)
	}
	for i := range p.Content {
		add(fmt.Sprintf("content[%d].when", i), p.Content[i].When, rule.OfPerson)
	}
	for i := range p.Overrides {
		add(fmt.Sprintf("overrides[%d].when", i), p.Overrides[i].When, rule.OfPerson)
	}
	return all
}

// Check returns what is wrong with p once the conditions can be compiled and
// the features are known, joined, each with its path. Conditions that do not
// compile are left to their compiler.
func (p *Placement) Check(env *rule.Env, features []feature.Definition) error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), attune.ErrInvalid))
	}
	loops := 0
	for _, x := range p.Expressions() {
		if x.Place != rule.OfCandidate {
			continue
		}
		parts, err := env.Split(x.Text)
		if err == nil && parts.Both != nil && parts.Both.Uses().Loops {
			if loops++; loops == maxLoops+1 {
				bad(x.Path, "is too costly: it is the %d. with a loop that runs for each candidate; want at most %d (a feature can hold what the loop finds)", loops, maxLoops)
			}
		}
	}
	p.pinnedAndBuried(env, bad)
	p.frequencyFeature(features, bad)
	return errors.Join(errs...)
}

// onlyID is an item of which nothing but the id is known.
type onlyID string

// ItemID implements rule.Item.
func (i onlyID) ItemID() string { return string(i) }

// Attribute implements rule.Item.
func (onlyID) Attribute(string) (any, bool) { return nil, false }

// pinnedAndBuried refuses a burial whose condition names a pinned item by id.
func (p *Placement) pinnedAndBuried(env *rule.Env, bad fault) {
	for i := range p.Rules {
		bury := &p.Rules[i]
		if !bury.Bury || bury.When == "" || len(bury.Items) > 0 {
			continue
		}
		parts, err := env.Split(bury.When)
		if err != nil || parts.Item == nil || parts.Both != nil || len(parts.Item.Uses().Attributes) > 0 || parts.Item.Uses().Open {
			continue
		}
		own, _ := bury.During.compile()
		for j := range p.Rules {
			pin := &p.Rules[j]
			other, _ := pin.During.compile()
			if pin.Pin == 0 || !own.meets(other) {
				continue
			}
			for _, id := range pin.Items {
				if parts.Item.Match(&rule.Input{Item: onlyID(id)}) {
					bad(fmt.Sprintf("rules[%d].when", i), "%q is pinned and buried at the same time, also by rules[%d]", id, j)
				}
			}
		}
	}
}

func (p *Placement) frequencyFeature(features []feature.Definition, bad fault) {
	f := &p.Frequency
	if f.Max == 0 {
		return
	}
	name := f.feature()
	for i := range features {
		if d := &features[i]; d.Name == name {
			if d.Kind != feature.KindLast || d.Distinct && f.Max > 1 {
				bad("frequency.feature", "feature %q cannot count impressions; want kind last without distinct", name)
			}
			return
		}
	}
	bad("frequency.feature", "there is no feature %q; add {name: %s, kind: last, on: [Recommendation Viewed], value: item.id, n: 500} to features", name, name)
}

func (f *Frequency) feature() string {
	if f.Feature == "" {
		return "impressions"
	}
	return f.Feature
}
