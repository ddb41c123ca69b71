package rule_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/rule"
)

// derive compiles two counts and the expressions of e0, e1, … over them.
func derive(tb testing.TB, exprs ...string) (*feature.Set, error) {
	tb.Helper()
	defs := []feature.Definition{
		{Name: "orders", Kind: "count", On: []string{"Order Completed"}},
		{Name: "views", Kind: "count", On: []string{"Product Viewed"}},
		{Name: "last", Kind: "last", On: []string{"Product Viewed"}, Value: "item.id"},
	}
	names := rule.Names{Shapes: map[string]feature.Shape{"orders": feature.Integer, "views": feature.Integer, "last": feature.List}}
	for i, x := range exprs {
		defs = append(defs, feature.Definition{Name: fmt.Sprint("e", i), Kind: "derived", Expr: x})
	}
	for i := range defs {
		names.Features = append(names.Features, defs[i].Name)
	}
	env, err := rule.New(names)
	if err != nil {
		tb.Fatal(err)
	}
	return feature.CompileWith(defs, feature.Language{Derive: func(x string) (feature.Expression, error) {
		d, err := env.FeatureExpression(x)
		if err != nil {
			return nil, err
		}
		return d, nil
	}})
}

func TestDerived(t *testing.T) {
	s, err := derive(t, "features.orders / features.views", "features.e0 * 100", `features.e1 > 30.0 ? "keen" : "cool"`, `"a" in features.last`)
	if err != nil {
		t.Fatal(err)
	}
	var st feature.State
	if got := s.Read(&st, "e0", 0); got != nil {
		t.Errorf("nothing by nothing: got %v, want nil", got)
	}
	for i, name := range []string{"Product Viewed", "Product Viewed", "Order Completed"} {
		s.Fold(&st, &attune.Event{Type: attune.Track, Name: name, MessageID: strconv.Itoa(i), Time: 1000, Properties: []byte(`{"product_id":"a"}`)})
	}
	for name, want := range map[string]any{"e0": 0.5, "e1": 50.0, "e2": "keen", "e3": true} {
		if got := s.Read(&st, name, 1000); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := fmt.Sprint(s.Reads(s.Index("e1")), s.Touched("Order Completed")); got != "[0 1] [0 3 4 5]" {
		t.Errorf("reads and touched: got %s", got)
	}
	b := s.AppendBinary(&st, nil)
	back, err := s.Decode(b)
	if err != nil || s.Read(&back, "e1", 1000) != 50.0 {
		t.Errorf("after decoding: %v, %v", s.Read(&back, "e1", 1000), err)
	}
}

func TestDerivedFaults(t *testing.T) {
	wide := []string{"features.views + features.views"}
	for i := range 12 {
		wide = append(wide, fmt.Sprintf("features.e%d + features.e%d + features.orders", i, max(i-1, 0)))
	}
	var chain []string
	for i := range 20 {
		chain = append(chain, fmt.Sprintf("features.e%d + 1", i+1))
	}
	for want, exprs := range map[string][]string{
		"in a circle: e0 → e1 → e2 → e0":            {"features.e1 + 1", "features.e2 + 1", "features.e0 + 1"},
		"in a circle: e0 → e0":                      {"features.e0"},
		"want at most 1000":                         append(wide, "features.e12 + features.e11", "features.e13 + features.e12", "features.e14 + features.e13"),
		`unknown feature "vews"`:                    {"features.vews + 1"},
		"want at most 16":                           append(slices.Clone(chain), "features.views"),
		"this is a list; want a number":             {"features.last - 1"},
		"names what it reads":                       {`features[features.e1]`, `"x"`},
		`"traits" is not known in a condition on f`: {"traits.plan"},
		"the value is a list":                       {"features.last"},
	} {
		_, err := derive(t, exprs...)
		if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: got %v, want %q", exprs, err, want)
		}
	}
	if _, err := derive(t, wide[:5]...); err != nil {
		t.Errorf("a few reads of each other: %v", err)
	}
}

// common is what is known of items and of everybody.
type common struct{}

func (common) ItemFeature(item, name string, _ attune.Millis) any {
	return map[string]any{"a.views": int64(7), "b.views": int64(2)}[item+"."+name]
}

func (common) GlobalFeature(name string, _ attune.Millis) any {
	return map[string]any{"views": int64(4)}[name]
}

type named string

func (n named) ItemID() string             { return string(n) }
func (named) Attribute(string) (any, bool) { return nil, false }

func TestItemAndGlobalFeatures(t *testing.T) {
	env, err := rule.New(rule.Names{ItemFeatures: []string{"views"}, GlobalFeatures: []string{"views"}})
	if err != nil {
		t.Fatal(err)
	}
	env = env.With(common{})
	parts, err := env.Split("item.features.views > global.views")
	if err != nil {
		t.Fatal(err)
	}
	if parts.Item != nil || parts.Both == nil {
		t.Errorf("got %+v, want a condition that is evaluated for each candidate", parts)
	}
	for item, want := range map[named]bool{"a": true, "b": false, "c": false} {
		if got := parts.Both.Match(&rule.Input{Item: item}); got != want {
			t.Errorf("%s: got %v, want %v", item, got, want)
		}
	}
	for expr, want := range map[string]string{
		"item.features.vews > 1.0": `unknown feature of items "vews"`, "global.viewz > 1.0": `unknown global feature "viewz"`,
	} {
		if _, err := env.CandidateCondition(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", expr, err, want)
		}
	}
	if _, err := env.SegmentCondition("global.views > 1.0"); err == nil {
		t.Error("a segment reads global features")
	}
}

// TestDerivedMoves: a derived feature changes with time as what it reads does.
func TestDerivedMoves(t *testing.T) {
	s, err := derive(t, "features.orders + 1", "features.e0 + features.views")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"e0", "e1"} {
		if i := s.Index(name); s.Moves(i) || s.Steps(i) {
			t.Errorf("%s: moves %v, steps %v, want neither", name, s.Moves(i), s.Steps(i))
		}
	}
}
