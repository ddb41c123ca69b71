package rule

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

func TestFaults(t *testing.T) {
	e := env(t, Names{
		Features:   []string{"views_1h", "last_viewed", "category_affinity"},
		Segments:   []string{"vip", "new"},
		Attributes: []string{"color", "price", "category"},
	})
	for _, c := range []struct {
		place Place
		expr  string
		want  string
	}{
		{OfCandidate, `item.colour == "red"`, `1:5: unknown item attribute "colour"; did you mean "color"?`},
		{OfCandidate, `item["colour"] == "red"`, `1:5: unknown item attribute "colour"; did you mean "color"?`},
		{OfCandidate, `features.view_1h > 3`, `1:9: unknown feature "view_1h"; did you mean "views_1h"?`},
		{OfCandidate, `"vpi" in segments`, `1:1: unknown segment "vpi"; did you mean "vip"?`},
		{OfCandidate, `"zzzzzz" in segments`, `1:1: unknown segment "zzzzzz"`},
		{OfCandidate, `itm.price > 3`, `1:1: unknown name "itm"; did you mean "item"?`},
		{OfCandidate, `lowr(traits.x) == "a"`, `1:5: unknown name "lowr"; did you mean "lower"?`},
		{OfCandidate, `quux > 3`, `1:1: unknown name "quux"; there are item, traits, features, global, segments, context, now`},
		{OfCandidate, "item.price > 3 &&\n  featurs.x > 2", `2:3: unknown name "featurs"; did you mean "features"?`},
		{OfCandidate, `item.colour == 1 || features.vews_1h > itm.x`, `1:40: unknown name "itm"; did you mean "item"?`},
		{OfCandidate, `item.colour == 1 || features.vews_1h > 1`, "1:5: unknown item attribute \"colour\"; did you mean \"color\"?\n1:29: unknown feature \"vews_1h\"; did you mean \"views_1h\"?"},
		{OfItem, `"vip" in segments`, `1:10: "segments" is not known in a condition on items; there are item, global, now`},
		{OfEvent, `event.time < now`, `1:14: "now" is not known in a condition on events; there are event, item`},
		{OfEvent, `daysSince(event.time) > 3.0`, `1:10: "now" is not known in a condition on events; there are event, item`},
		{OfEvent, `event.nam == "x"`, `1:6: unknown event field "nam"; did you mean "name"?`},
		{OfPerson, `item.price > 1`, `1:1: "item" is not known in a condition on people; there are traits, features, global, segments, context, now`},
		{OfPerson, `traits.x.matches("(")`, "1:18: the pattern of matches(): error parsing regexp: missing closing ): `(`"},
		{OfPerson, `  `, `1:1: the expression is empty`},
		{OfPerson, `1 + 1`, `1:1: the value is a int, want a bool`},
		{OfPerson, `traits.x == 1 and traits.y == 2`, `1:15: unexpected "and"; did you mean "&&"?`},
		{OfPerson, `traits.x >`, `1:11: the expression ends too early`},
		{OfPerson, `traits.x > > 3`, `1:12: unexpected ">"`},
		{OfPerson, "traits.x\n >> 3", `2:3: unexpected ">"`},
		{OfPerson, `traits.x == 'a`, `1:13: the text that begins here is not closed, or has an unknown escape`},
		{OfPerson, `(traits.x`, `1:10: the expression ends too early: ")" is missing`},
		{OfPerson, `traits.x ? true`, `1:16: the expression ends too early: ":" is missing`},
		{OfPerson, `[1,2`, `1:5: the expression ends too early`},
		{OfPerson, `traits.x)`, `1:9: unexpected ")"`},
		{OfPerson, `traits.x = 3`, `1:10: unexpected "="; did you mean "=="?`},
		{OfPerson, `traits.x == #`, `1:13: unexpected "#"`},
		{OfPerson, `traits..x`, `1:8: unexpected ".."`},
		{OfPerson, `if == 1`, `1:1: "if" is a reserved word`},
		{OfPerson, `traits.x.matches(traits.pattern)`, `1:17: the pattern of matches() has to be written out: one that is read from data has no bounded cost`},
	} {
		_, err := e.Condition(c.place, c.expr)
		if err == nil {
			t.Errorf("%s: compiles", c.expr)
			continue
		}
		if got := err.Error(); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.expr, got, c.want)
		}
		if !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s: %v is no attune.ErrInvalid", c.expr, err)
		}
		if len(Faults(err)) == 0 {
			t.Errorf("%s: no faults in %v", c.expr, err)
		}
	}
	if _, err := e.CompileNumber(OfCandidate, `"x"`); err == nil || !strings.Contains(err.Error(), "want a number") {
		t.Errorf("a text as a number: got %v", err)
	}
}

func TestBounds(t *testing.T) {
	e := env(t, Names{})
	for name, expr := range map[string]string{
		"length":  `traits.x == "` + strings.Repeat("a", MaxLength) + `"`,
		"nodes":   strings.Repeat("true||", 600) + "true",
		"depth":   strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200),
		"pattern": `traits.x.matches("` + strings.Repeat("(a{50}){19}", 20) + `")`,
	} {
		if _, err := e.PersonCondition(expr); err == nil {
			t.Errorf("%s: compiles", name)
		}
	}
	// A loop in a loop in a loop over a list of 300: 27 million steps.
	list := make([]string, 300)
	p, err := e.PersonCondition(`traits.l.all(a, traits.l.all(b, traits.l.all(c, a == b || b == c || a != c)))`)
	if err != nil {
		t.Fatal(err)
	}
	in := &Input{Person: person{traits: map[string]any{"l": list}}}
	if ok, err := p.Eval(in); ok || err == nil {
		t.Errorf("got %v, %v, want the cost limit", ok, err)
	}
}

func TestUses(t *testing.T) {
	e := env(t, Names{})
	p, err := e.CandidateCondition(`item.price < 50 && item["brand"] in traits.brands && features.b + features.a > 1 && "vip" in segments && has(context.page) && daysSince(traits.since) > 1.0`)
	if err != nil {
		t.Fatal(err)
	}
	u := p.Uses()
	for _, c := range []struct {
		name      string
		got, want []string
	}{
		{"attributes", u.Attributes, []string{"brand", "price"}},
		{"traits", u.Traits, []string{"brands", "since"}},
		{"features", u.Features, []string{"a", "b"}},
		{"segments", u.Segments, []string{"vip"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if !u.Item || !u.Person || !u.Context || !u.Now || u.Event || u.Open || u.Loops {
		t.Errorf("got %+v", u)
	}
	for expr, want := range map[string]Uses{
		`item.price < 3`:                          {Item: true, Attributes: []string{"price"}},
		`item.id == "a"`:                          {Item: true},
		`item[traits.x] == 1`:                     {Item: true, Person: true, Open: true, Traits: []string{"x"}},
		`size(segments) > 1`:                      {Person: true, Open: true, AllSegments: true},
		`item.tags.exists(item, item.x == "a")`:   {Item: true, Loops: true, Attributes: []string{"tags"}},
		`["a"].exists(traits, traits == "a")`:     {Loops: true},
		`now > timestamp("2026-01-01T00:00:00Z")`: {Now: true},
		`true`: {},
	} {
		p, err := e.CandidateCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		got := *p.Uses()
		same := got.Event == want.Event && got.Item == want.Item && got.Person == want.Person && got.Context == want.Context &&
			got.Now == want.Now && got.Open == want.Open && got.Loops == want.Loops && got.AllSegments == want.AllSegments
		if !same || !slices.Equal(got.Attributes, want.Attributes) || !slices.Equal(got.Traits, want.Traits) {
			t.Errorf("%s: got %+v, want %+v", expr, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	e := env(t, Names{})
	parts, err := e.Split(`item.price < 50.0 && ("vip" in segments && item.in_stock) && (item.category == traits.x || traits.newsletter) && features.views_1h / 2 > 1 && item.tags.exists(t, t == "red") && daysSince(traits.signup) < 30.0`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  *Program
		want string
	}{
		{"item", parts.Item, `(item.price < 50.0) && (item.in_stock) && (item.tags.exists(t, t == "red"))`},
		{"person", parts.Person, `("vip" in segments) && (features.views_1h / 2 > 1) && (daysSince(traits.signup) < 30.0)`},
		{"both", parts.Both, `(item.category == traits.x || traits.newsletter)`},
	} {
		if c.got == nil || c.got.String() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, c.got, c.want)
		}
	}
	if !parts.Item.Match(world()) || !parts.Person.Match(world()) || !parts.Both.Match(world()) {
		t.Error("a part is false")
	}
	if parts, err = e.Split(`item.until > string(now)`); err != nil || parts.Item != nil || parts.Both == nil {
		t.Errorf("an item's condition on the time: got %+v, %v, want it among both", parts, err)
	}
	if _, err := e.Split(`1 + 1`); err == nil {
		t.Error("a number is split as a condition")
	}
}

// terms are conjuncts and disjuncts with every kind of outcome: true, false,
// absent, of the wrong type.
func terms() []string {
	return []string{
		`item.price < 50.0`, `item.colour == "red"`, `item.size > 3`, `item.category != "hats"`, `item.in_stock`,
		`"vip" in segments`, `"old" in segments`, `features.views_1h > 2`, `features.nothing > 2`, `traits.plan`,
		`item.category == traits.plan`, `item.price > features.views_1h`, `features.category_affinity[item.category] > 0.5`,
		`context.locale == "en-GB"`, `has(item.nothing)`, `true`, `false`, `traits.missing`,
	}
}

// expression draws a tree of && || ! ?: over terms.
func expression(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
			return rapid.SampledFrom(terms()).Draw(t, "term")
		}
		sub := expression(depth - 1)
		switch rapid.IntRange(0, 5).Draw(t, "operator") {
		case 0:
			return "(" + sub.Draw(t, "l") + " || " + sub.Draw(t, "r") + ")"
		case 1:
			return "!(" + sub.Draw(t, "x") + ")"
		default:
			return "(" + sub.Draw(t, "l") + " && " + sub.Draw(t, "r") + ")"
		}
	})
}

// TestSplitIsTheWhole: the parts are all true exactly when the condition is.
func TestSplitIsTheWhole(t *testing.T) {
	e := env(t, Names{})
	rapid.Check(t, func(t *rapid.T) {
		expr := expression(4).Draw(t, "expression")
		whole, err := e.CandidateCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := e.Split(expr)
		if err != nil {
			t.Fatal(err)
		}
		in := world()
		got := true
		for _, p := range []*Program{parts.Item, parts.Person, parts.Both} {
			got = got && (p == nil || p.Match(in))
		}
		if want := whole.Match(in); got != want {
			t.Fatalf("%s: the parts give %v, the whole %v", expr, got, want)
		}
		if p := parts.Item; p != nil && (!p.Uses().ItemOnly() || p.Match(in) != p.Match(&Input{Item: in.Item})) {
			t.Fatalf("%s: the item's part %s depends on more", expr, p)
		}
		if p := parts.Person; p != nil && p.Match(in) != p.Match(&Input{Person: in.Person, Segments: in.Segments, Context: in.Context, Now: in.Now}) {
			t.Fatalf("%s: the person's part %s depends on the item", expr, p)
		}
	})
}

func TestNumber(t *testing.T) {
	e := env(t, Names{})
	for _, c := range []struct {
		expr string
		want float64
		ok   bool
	}{
		{`2`, 2, true},
		{`item.price * 2`, 99, true},
		{`1 + features.category_affinity[item.category] * 10`, 9, true},
		{`default(features.nothing, 1) * 1.5`, 1.5, true},
		{`features.nothing * 1.5`, 0, false},
		{`traits.plan`, 0, false},
		{`1.0 / 0.0`, 0, false},
		{`item.in_stock ? 2 : 1`, 2, true},
		{`item.in_stock ? features.views_1h : 1`, 3, true},
		{`math.least(features.views_1h, 2)`, 2, true},
		{`daysSince(traits.signup)`, 9.5, true},
		{`size(item.tags) * 1.5`, 3, true},
	} {
		n, err := e.CompileNumber(OfCandidate, c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if got, ok := n.Value(world()); got != c.want || ok != c.ok {
			t.Errorf("%s: got %v, %v, want %v, %v", c.expr, got, ok, c.want, c.ok)
		}
	}
}

func TestEventCondition(t *testing.T) {
	e := env(t, Names{})
	event := &attune.Event{
		Type: attune.Track, Name: "Viewed Product", UserID: "u1", Time: now, ReceivedAt: now + 5,
		Properties: []byte(`{"product_id":"sku-1","category":"shoes","price":"12.5","total":30,"quantity":2,"nested":{"a":[1,{"b":2}]}}`),
		Context:    []byte(`{"page":{"path":"/p"}}`),
	}
	products := attune.AppendProducts(nil, event)
	for expr, want := range map[string]bool{
		`event.name == "Product Viewed" && event.type == "track"`: true,
		`event.user_id == "u1" && event.anonymous_id == null`:     true,
		`has(event.user_id) && !has(event.anonymous_id)`:          true,
		`event.time < event.received_at`:                          true,
		`event.time.getFullYear() == 2026`:                        true,
		`event.properties.total > 20`:                             true,
		`event.properties.nested.a[1].b == 2`:                     true,
		`double(event.properties.price) == 12.5`:                  true,
		`event.properties.price > 12`:                             false,
		`event.traits.x == null`:                                  true,
		`event.context.page.path == "/p"`:                         true,
		`event.enriched.device.os == "x"`:                         false,
		`item.id == "sku-1" && item.category == "shoes"`:          true,
		`item.quantity == 2`:                                      true,
		`item.position == null`:                                   true,
		`daysBetween(event.time, event.received_at) < 1.0`:        true,
	} {
		c, err := e.EventCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := c.Match(event, &products[0]); got != want {
			t.Errorf("%s: got %v, want %v", expr, got, want)
		}
		c.Match(event, nil)
		c.Match(&attune.Event{}, nil)
	}
}

// TestAtOnce is for the race detector: one program, many goroutines, and the
// errors that cel-go shares.
func TestAtOnce(t *testing.T) {
	e := env(t, Names{})
	var programs []*Program
	for _, expr := range terms() {
		p, err := e.CandidateCondition(expr)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	c, err := e.EventCondition(`event.properties.x > 3 && item.y < 2`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			in := world()
			for range 50 {
				for _, p := range programs {
					p.Match(in)
				}
				c.Match(&attune.Event{Properties: []byte(`{"x":4}`)}, nil)
			}
		})
	}
	wg.Wait()
}

func TestSuggest(t *testing.T) {
	known := []string{"color", "price", "category", "in_stock", "id"}
	for word, want := range map[string]string{
		"colour": "color", "pirce": "price", "Category": "category", "instock": "in_stock", "ib": "id",
		"zebra": "", "x": "", "": "", "color": "", strings.Repeat("c", 100): "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// FuzzCompile asks that nothing that is written makes the compiler or what it
// compiles panic, and that what compiles whole compiles in parts.
func FuzzCompile(f *testing.F) {
	for _, s := range terms() {
		f.Add(s)
	}
	for _, s := range []string{
		`item.tags.map(x, x + 1).filter(y, y > features.views_1h)[0] == 2`, `{"a": item}.a.b.c`, `[1, 2.0, "x"] + item.tags`,
		`type(item) == map`, `item in [item]`, `segments + ["a"]`, `string(item)`, `dyn(traits) == dyn(features)`, `-item`, `item[0]`,
		`"\xff" + 'a'`, `b"a" == bytes(traits.plan)`, `now + duration("1h") > now`, `timestamp(1)`, `segments[0] == segments[-1]`,
		`context.tags.exists_one(t, t == 2)`, `traits.all(k, v, v != null)`, `math.greatest([item.price, 3])`, `item.size()`, `1 % item.price`,
	} {
		f.Add(s)
	}
	e := env(f, Names{})
	f.Fuzz(func(t *testing.T, expr string) {
		for p := range places {
			if n, err := e.CompileNumber(p, expr); err == nil {
				n.Value(world())
				n.Value(&Input{})
			}
			c, err := e.Condition(p, expr)
			if err != nil {
				if !errors.Is(err, attune.ErrInvalid) {
					t.Errorf("%q: %v is no attune.ErrInvalid", expr, err)
				}
				continue
			}
			c.Match(&Input{})
			if _, err := c.Eval(world()); err != nil && strings.Contains(err.Error(), "internal error") {
				t.Errorf("%q: %v", expr, err)
			}
		}
		whole, err := e.CandidateCondition(expr)
		if err != nil {
			return
		}
		parts, err := e.Split(expr)
		if err != nil {
			t.Errorf("%q compiles, but not in parts: %v", expr, err)
			return
		}
		got := true
		for _, p := range []*Program{parts.Item, parts.Person, parts.Both} {
			got = got && (p == nil || p.Match(world()))
		}
		if want := whole.Match(world()); got != want {
			t.Errorf("%q: the parts give %v, the whole %v", expr, got, want)
		}
	})
}
