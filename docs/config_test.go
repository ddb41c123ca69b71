package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/recommend"
)

// schema is as much of JSON Schema as config/schema.json uses.
type schema struct {
	Type        any                `json:"type"`
	Description string             `json:"description"`
	Default     any                `json:"default"`
	Enum        []string           `json:"enum"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	Ref         string             `json:"$ref"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
	Defs        map[string]*schema `json:"$defs"`
	Additional  json.RawMessage    `json:"additionalProperties"`

	order []string // of Properties, as in the file
}

// UnmarshalJSON keeps the order of properties: it is the order of the page.
func (s *schema) UnmarshalJSON(b []byte) error {
	type plain schema
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	var raw struct {
		Properties json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(b, &raw); err != nil || raw.Properties == nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(raw.Properties)))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return err
		}
		s.order = append(s.order, fmt.Sprint(name))
	}
	return nil
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	s := new(schema)
	if err := json.Unmarshal([]byte(read(t, filepath.Join("..", "config", "schema.json"))), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestConfigPage: the generated parts of CONFIG.md are what config/schema.json,
// config.Default and the built-in definitions say. Write them with -update.
func TestConfigPage(t *testing.T) {
	s := readSchema(t)
	page := read(t, "CONFIG.md")
	got := page
	for name, table := range map[string]string{
		"keys":        keysTable(t, s),
		"feature":     defTable(s.Defs["feature"]),
		"segment":     defTable(s.Defs["segment"]),
		"entity":      defTable(s.Defs["entity"]),
		"placement":   defTable(s.Defs["placement"]),
		"generator":   defTable(s.Defs["generator"]),
		"schedule":    defTable(s.Defs["schedule"]),
		"destination": defTable(s.Defs["destination"]),

		"transformation": defTable(s.Defs["transformation"]),
		"plan":           defTable(s.Defs["plan"]),
		"features":       featuresTable(),
		"placements":     placementsTable(),
	} {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("CONFIG.md has no part %q", strings.TrimSpace(begin))
		}
		page = before + begin + table + end + after
	}
	if got == page {
		return
	}
	if !*update {
		t.Fatal("CONFIG.md is stale; run: go test ./docs -update")
	}
	if err := os.WriteFile("CONFIG.md", []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestKinds: the tables that are written by hand name every kind.
func TestKinds(t *testing.T) {
	s := readSchema(t)
	page := read(t, "CONFIG.md")
	for _, def := range []string{"feature", "generator"} {
		for _, kind := range s.Defs[def].Properties["kind"].Enum {
			if !strings.Contains(page, "\n| `"+kind+"` |") {
				t.Errorf("CONFIG.md has no row for the %s kind %s", def, kind)
			}
		}
	}
}

func keysTable(t *testing.T, s *schema) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| key | type | default | meaning | a change applies |\n|---|---|---|---|---|\n")
	keyRows(t, &b, s, "", defaults(t))
	return b.String()
}

func keyRows(t *testing.T, b *strings.Builder, s *schema, path string, def any) {
	t.Helper()
	for _, name := range s.order {
		p := s.Properties[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		under, _ := def.(map[string]any)
		if len(p.Properties) > 0 {
			keyRows(t, b, p, at, under[name])
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", at, typeOf(p), defaultOf(p, under[name]), cell(p.Description), effect(t, at, p))
		if p.Items != nil && len(p.Items.Properties) > 0 {
			itemRows(b, p.Items, at+"[]", effect(t, at, p))
		}
	}
}

// itemRows lists what the entries of a list hold.
func itemRows(b *strings.Builder, s *schema, path, applies string) {
	for _, name := range s.order {
		p := s.Properties[name]
		fmt.Fprintf(b, "| `%s.%s` | %s | %s | %s | %s |\n", path, name, typeOf(p), required(s, name), cell(p.Description), applies)
	}
}

func defTable(s *schema) string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	var rows func(s *schema, path string)
	rows = func(s *schema, path string) {
		for _, name := range s.order {
			p := s.Properties[name]
			fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", path, name, typeOf(p), required(s, name), cell(p.Description))
			if p.Properties != nil {
				rows(p, path+name+".")
			}
			if p.Items != nil && p.Items.Properties != nil {
				rows(p.Items, path+name+"[].")
			}
		}
	}
	rows(s, "")
	return b.String()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func required(s *schema, name string) string {
	if slices.Contains(s.Required, name) {
		return "required"
	}
	if d := s.Properties[name].Default; d != nil {
		return fmt.Sprintf("`%v`", d)
	}
	return "–"
}

func typeOf(p *schema) string {
	switch {
	case len(p.Enum) > 0:
		return "one of `" + strings.Join(p.Enum, "`, `") + "`"
	case p.Ref != "":
		return strings.TrimPrefix(p.Ref, "#/$defs/")
	case p.Type == "array" && p.Items != nil:
		return "list of " + typeOf(p.Items)
	case strings.Contains(p.Description, "As 30d"):
		return "duration"
	case strings.Contains(p.Description, "In bytes"):
		return "size"
	}
	if list, ok := p.Type.([]any); ok {
		var names []string
		for _, n := range list {
			names = append(names, fmt.Sprint(n))
		}
		return strings.Join(names, " or ")
	}
	return fmt.Sprint(p.Type) + bounds(p)
}

func bounds(p *schema) string {
	switch {
	case p.Minimum != nil && p.Maximum != nil:
		return fmt.Sprintf(", %v to %v", *p.Minimum, *p.Maximum)
	case p.Minimum != nil:
		return fmt.Sprintf(", at least %v", *p.Minimum)
	default:
		return ""
	}
}

// defaults returns config.Default as JSON values.
func defaults(t *testing.T) map[string]any {
	t.Helper()
	b, err := json.Marshal(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// defaultOf writes what config.Default holds, sizes with their unit.
func defaultOf(p *schema, v any) string {
	n, number := v.(float64)
	switch {
	case number && typeOf(p) == "size":
		return "`" + config.Size(n).String() + "`"
	case number:
		return fmt.Sprintf("`%d`", int64(n))
	case v == nil || v == "":
		return "–"
	default:
		return fmt.Sprintf("`%v`", v)
	}
}

// effect asks config.Diff what a change of the key at path takes.
func effect(t *testing.T, path string, p *schema) string {
	t.Helper()
	next := defaults(t)
	at := next
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		under, ok := at[name].(map[string]any)
		if !ok {
			under = map[string]any{}
			at[name] = under
		}
		at = under
	}
	last := names[len(names)-1]
	at[last] = other(p, at[last])
	b, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	var changed config.Config
	if err := json.Unmarshal(b, &changed); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	old := config.Default()
	changes := config.Diff(&old, &changed)
	if len(changes) == 0 {
		t.Fatalf("config.Diff sees no change of %s", path)
	}
	switch changes[0].Effect {
	case config.Live:
		return "at once"
	case config.Migrate:
		return "refused: needs an empty data directory"
	default:
		return "with the next start"
	}
}

// other returns a value of p's type that is not v.
func other(p *schema, v any) any {
	switch typeOf(p) {
	case "duration":
		return "7d"
	case "size":
		return 12345
	}
	switch p.Type {
	case "boolean":
		return v != true
	case "integer", "number":
		return 7
	case "array":
		if p.Items.Type == "string" {
			return []any{"x"}
		}
		return []any{map[string]any{"id": "x", "name": "x"}}
	case "object":
		if strings.Contains(string(p.Additional), `"integer"`) {
			return map[string]any{"x": 7}
		}
		return map[string]any{"x": map[string]any{}}
	default:
		return "x"
	}
}

func featuresTable() string {
	var b strings.Builder
	b.WriteString("| feature | kind | on | of | window or half-life |\n|---|---|---|---|---|\n")
	for _, d := range feature.Defaults() {
		of := d.Value
		if d.By != "" {
			of = d.By
		}
		if of != "" {
			of = "`" + cell(of) + "`"
		}
		if d.N > 0 {
			of += fmt.Sprintf(", %d", d.N)
		}
		if d.Distinct {
			of += " distinct"
		}
		if len(d.Off) > 0 {
			of += ", removed by " + strings.Join(d.Off, ", ")
		}
		span := ""
		switch {
		case d.Window != 0:
			span = d.Window.String()
		case d.HalfLife != 0:
			span = d.HalfLife.String()
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.On, ", "), of, span)
	}
	return b.String()
}

func placementsTable() string {
	var b strings.Builder
	b.WriteString("| placement | generators (weight) | leaves out | limit | fallback |\n|---|---|---|---|---|\n")
	for _, p := range recommend.Defaults() {
		var gens, out, steps []string
		for _, g := range p.Generators {
			text := fmt.Sprintf("%s (%v)", g.Kind, g.Weight)
			if g.From != "" {
				text = fmt.Sprintf("%s of `%s` (%v)", g.Kind, g.From, g.Weight)
			}
			gens = append(gens, text)
		}
		for _, x := range []struct {
			on   bool
			name string
		}{{p.Exclude.Viewed, "viewed"}, {p.Exclude.Purchased, "purchased"}, {p.Exclude.InCart, "in the cart"}, {p.Exclude.Current, "the page's item"}} {
			if x.on {
				out = append(out, x.name)
			}
		}
		for _, s := range p.Fallback {
			steps = append(steps, s.Kind)
		}
		fallback := strings.Join(steps, ", ")
		if p.Exact {
			fallback += "; only when empty"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d | %s |\n", p.Name, strings.Join(gens, ", "), strings.Join(out, ", "), p.Limit, fallback)
	}
	return b.String()
}

// TestExamples: the YAML of CONFIG.md and GUIDE.md is a valid configuration.
func TestExamples(t *testing.T) {
	for _, page := range []string{"CONFIG.md", "GUIDE.md"} {
		var text strings.Builder
		for rest := read(t, page); ; {
			_, after, found := strings.Cut(rest, "```yaml\n")
			if !found {
				break
			}
			block, next, _ := strings.Cut(after, "```")
			text.WriteString(block)
			rest = next
		}
		if text.Len() == 0 {
			t.Errorf("%s has no example", page)
		}
		none := func(string) (string, bool) { return "", false }
		if _, err := config.Load([]byte(text.String()), none, func(c *config.Config) { c.Dev = true }); err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
}
