package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
)

// TestScopes: FEATURES.md has the table of kinds and scopes that feature.Legal
// allows. -update writes it.
func TestScopes(t *testing.T) {
	scopes := []string{"person", "device", "session", "item", "item.category", "group", "global", "store"}
	var b strings.Builder
	b.WriteString("| kind | person | device | session | item | item.ATTRIBUTE | group | global | an entity |\n|---|" + strings.Repeat("---|", len(scopes)) + "\n")
	for _, kind := range readSchema(t).Defs["feature"].Properties["kind"].Enum {
		b.WriteString("| `" + kind + "` |")
		for _, scope := range scopes {
			if feature.Legal(kind, scope) == nil {
				b.WriteString(" ✓ |")
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	const begin, end = "<!-- generated: scopes -->\n", "<!-- end -->"
	page := read(t, "FEATURES.md")
	before, rest, ok := strings.Cut(page, begin)
	got, after, closed := strings.Cut(rest, end)
	switch {
	case !ok || !closed:
		t.Fatal("FEATURES.md has no place for the table of scopes")
	case got == b.String():
	case *update:
		if err := os.WriteFile("FEATURES.md", []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the table of scopes in FEATURES.md is stale; run: go test ./docs -update")
	}
}

// TestFeatureExamples: every example of FEATURES.md is a configuration.
func TestFeatureExamples(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "FEATURES.md"), -1)
	if len(blocks) < 5 {
		t.Fatalf("found %d examples", len(blocks))
	}
	for _, m := range blocks {
		c, err := config.Parse([]byte("dev: true\n" + m[1]))
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s\n%v", m[1], err)
		}
	}
}

// TestFeatureKinds: FEATURES.md and CONFIG.md name every kind between them.
func TestFeatureKinds(t *testing.T) {
	pages := read(t, "FEATURES.md")
	for _, kind := range readSchema(t).Defs["feature"].Properties["kind"].Enum {
		if !strings.Contains(pages, "| `"+kind+"` |") {
			t.Errorf("FEATURES.md does not name %s", kind)
		}
	}
}
