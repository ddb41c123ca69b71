package config

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-io/attune/recommend"
)

func readSchema(t *testing.T) *schema {
	t.Helper()
	root := &schema{}
	if err := json.Unmarshal(Schema(), root); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSchemaIsTheStruct compares the properties of the schema with the yaml
// tags of the structs, both ways.
func TestSchemaIsTheStruct(t *testing.T) {
	root := readSchema(t)
	p := root.Properties
	placement := root.Defs["placement"].Properties
	for _, c := range []struct {
		file, name string
		want       *schema
	}{
		{"config.go", "Config", root},
		{"config.go", "Keys", p["keys"]},
		{"config.go", "Source", p["keys"].Properties["sources"].Items},
		{"collect.go", "Collect", p["collect"]},
		{"collect.go", "Geo", p["collect"].Properties["geo"]},
		{"collect.go", "Bots", p["collect"].Properties["bots"]},
		{"../collect/plan/plan.go", "Definition", root.Defs["plan"]},
		{"../collect/transform/transform.go", "Step", root.Defs["transformation"]},
		{"config.go", "Identity", p["identity"]},
		{"config.go", "ExternalID", root.Defs["external_id"]},
		{"config.go", "Limits", p["limits"]},
		{"config.go", "Journal", p["journal"]},
		{"config.go", "Profiles", p["profiles"]},
		{"search.go", "Search", p["search"]},
		{"search.go", "Elastic", p["search"].Properties["elastic"]},
		{"config.go", "Defaults", p["defaults"]},
		{"config.go", "Clock", p["clock"]},
		{"config.go", "Log", p["log"]},
		{"../feature/definition.go", "Definition", root.Defs["feature"]},
		{"../feature/sequence.go", "Step", root.Defs["feature"].Properties["steps"].Items},
		{"../segment/segment.go", "Definition", root.Defs["segment"]},
		{"../destination/destination.go", "Definition", root.Defs["destination"]},
		{"../recommend/placement.go", "Placement", root.Defs["placement"]},
		{"../recommend/placement.go", "Generator", root.Defs["generator"]},
		{"../recommend/placement.go", "Boost", placement["boosts"].Items},
		{"../recommend/placement.go", "Exclude", placement["exclude"]},
		{"../recommend/placement.go", "Cap", placement["cap"]},
		{"../recommend/placement.go", "Cap", placement["caps"].Items},
		{"../recommend/rules.go", "Rule", placement["rules"].Items},
		{"../recommend/rules.go", "Diversity", placement["diversity"]},
		{"../recommend/rules.go", "Frequency", placement["frequency"]},
		{"../recommend/rules.go", "Fresh", placement["fresh"]},
		{"../recommend/rules.go", "Price", placement["price"]},
		{"../recommend/rules.go", "Explore", placement["explore"]},
		{"../recommend/rules.go", "Content", placement["content"].Items},
		{"../recommend/rules.go", "Override", placement["overrides"].Items},
		{"../recommend/schedule.go", "Schedule", root.Defs["schedule"]},
	} {
		got := tags(t, c.file, c.name)
		want := slices.Sorted(maps.Keys(c.want.Properties))
		if c.name == "Placement" {
			want = slices.Sorted(slices.Values(append(want, "name"))) // its key says it
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s in %s has %v, the schema %v", c.name, c.file, got, want)
		}
	}
}

// tags returns the names in the yaml tags of a struct, sorted.
func tags(t *testing.T, file, name string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if field.Tag == nil {
				continue
			}
			text, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(text, `yaml:"`)
			tag, _, _ := strings.Cut(rest, `"`)
			tag, _, _ = strings.Cut(tag, ",")
			list = append(list, tag)
		}
		return false
	})
	return slices.Sorted(slices.Values(list))
}

func TestSchemaKnowsTheGenerators(t *testing.T) {
	got := readSchema(t).Defs["generator"].Properties["kind"].Enum
	want := recommend.Kinds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSchemaDescribes asks for a description of everything an editor shows.
func TestSchemaDescribes(t *testing.T) {
	var walk func(path string, v map[string]any)
	walk = func(path string, v map[string]any) {
		if props, ok := v["properties"].(map[string]any); ok {
			for name, p := range props {
				sub, _ := p.(map[string]any)
				if sub["description"] == nil {
					t.Errorf("%s.%s has no description", path, name)
				}
				walk(path+"."+name, sub)
			}
		}
		if items, ok := v["items"].(map[string]any); ok {
			walk(path+"[]", items)
		}
	}
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	walk("", root)
	for name, d := range root["$defs"].(map[string]any) {
		walk(name, d.(map[string]any))
	}
}

// TestSchemaDefaults compares the defaults of the schema with Default: a file
// that sets every one of them changes nothing.
func TestSchemaDefaults(t *testing.T) {
	var b strings.Builder
	var walk func(indent string, v map[string]any)
	walk = func(indent string, v map[string]any) {
		props, _ := v["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(props)) {
			sub := props[name].(map[string]any)
			if d, ok := sub["default"]; ok {
				text, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				b.WriteString(indent + name + ": " + string(text) + "\n")
			}
			if sub["type"] == "object" && name != "keys" && sub["properties"] != nil {
				b.WriteString(indent + name + ":\n")
				walk(indent+"  ", sub)
			}
		}
	}
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	walk("", root)
	c, err := Parse([]byte(b.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	d := Default()
	if got := Diff(&d, &c); len(got) > 0 {
		t.Errorf("differs: %v with\n%s", got, b.String())
	}
}
