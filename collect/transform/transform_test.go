package transform_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/transform"
	"github.com/attune-io/attune/rule"
)

func compile(tb testing.TB, text string) (*transform.Program, error) {
	tb.Helper()
	env, err := rule.New(rule.Names{})
	if err != nil {
		tb.Fatal(err)
	}
	var steps []transform.Step
	if err := yaml.Unmarshal([]byte(text), &steps); err != nil {
		tb.Fatal(err)
	}
	return transform.Compile(steps, env)
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct{ text, field, want string }{
		{`[{drop: true}, {when: "event.properties.x >", drop: true}]`, "when", "ends too early"},
		{`[{set: {properties.x: "now"}}]`, "set.properties.x", `"now" is not known`},
		{`[{set: {properties.x: "item.price"}}]`, "set.properties.x", "item is not known here"},
		{`[{set: {propertis.x: "1"}}]`, "set.propertis.x", `did you mean "properties"?`},
		{`[{set: {messageId: "'x'"}}]`, "set.messageId", "an event has no"},
		{`[{rename: {properties..x: event}}]`, "rename.properties..x", "is no path"},
		{`[{rename: {event: userId.x}}]`, "rename.event", "is a single value"},
		{`[{remove: [properties.a.b.c.d.e.f.g.h]}]`, "remove[0]", "deeper than 8"},
		{`[{drop: true, remove: [event]}]`, "drop", "use two steps"},
		{`[{name: x}]`, "", "does nothing"},
		{`[{drop: true, on_error: retry}]`, "on_error", `unknown value "retry"`},
		{`[{set: {properties.x: "event.properties.s.matches(event.properties.p)"}}]`, "set.properties.x", "pattern"},
	} {
		_, err := compile(t, tc.text)
		var f *transform.Fault
		if !errors.As(err, &f) || !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s: got %v, want a fault", tc.text, err)
			continue
		}
		if f.Field != tc.field || !strings.Contains(f.Err.Error(), tc.want) {
			t.Errorf("%s: got %s: %v, want %s: …%s…", tc.text, f.Field, f.Err, tc.field, tc.want)
		}
	}
	if _, err := compile(t, "["+strings.Repeat("{drop: true},", transform.MaxSteps)+"{drop: true}]"); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("too many steps: got %v", err)
	}
}

// TestDeterministic: the same event gives the same bytes, and e stays as it was.
func TestDeterministic(t *testing.T) {
	p, err := compile(t, `[{rename: {properties.a: traits.a, properties.b: traits.b}, map: {properties.c: {x: y}}, set: {properties.d: "event.properties", context.e: "{'z': 1, 'a': [event.name]}"}, remove: [properties.f]}]`)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var members []string
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 0, 6, rapid.ID).Draw(t, "names") {
			members = append(members, `"`+name+`":`+rapid.SampledFrom([]string{"1", `"x"`, "null", "1.50", "{}", `[{"q":1}]`, `"<&>"`}).Draw(t, "value"))
		}
		properties := "{" + strings.Join(members, ",") + "}"
		raw := `{"event":"E","properties":` + properties + `}`
		e := &attune.Event{Type: attune.Track, Name: "E", Raw: []byte(raw), Properties: []byte(properties)}
		did, first, err := p.Run(0, e)
		if err != nil || did != transform.Changed {
			t.Fatalf("got %v, %v", did, err)
		}
		_, second, _ := p.Run(0, e)
		if string(first) != string(second) {
			t.Fatalf("got %s, then %s", first, second)
		}
		if string(e.Raw) != raw || string(e.Properties) != properties {
			t.Fatalf("the event was changed: %s", e.Raw)
		}
	})
}
