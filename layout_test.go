package attune_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/attune-io/attune"

// layout is the architecture: every package, and the only packages of ours it
// may import. A new arrow is a one-line diff here, and so a review question.
// Backends are named by node alone; test kits by tests alone.
var layout = map[string]string{
	// Vocabulary and pure rooms: no I/O, no clock, no goroutines.
	".":         "",
	"identity":  ".",
	"feature":   ".",
	"rule":      ". feature",
	"segment":   ". rule",
	"model":     ".",
	"catalog":   ".",
	"recommend": ". catalog feature model profile rule",
	"config":    ". collect/plan collect/transform destination feature recommend rule search segment",

	// Seams, their test kits, their backends.
	"journal":             ".",
	"journal/disk":        ". journal",
	"journal/journaltest": ". journal",
	"profile":             ". feature identity",
	"profile/disk":        ". profile",
	"profile/profiletest": ". profile",
	"search":              ". catalog",
	"search/terms":        ". search",
	"search/bleve":        ". search search/terms",
	"search/elastic":      ". search search/terms",
	"search/searchtest":   ". search",

	// The road, in the order an event walks it.
	"collect":           ". collect/plan collect/transform identity journal",
	"collect/plan":      ".",
	"collect/transform": ". rule",
	"collect/geo":       ".",
	"collect/file":      ". collect identity",
	"pipeline":          ". catalog feature identity journal model profile segment",
	"serve":             ". catalog identity journal profile",

	// Beside the road.
	"destination":         ". feature journal",
	"destination/webhook": ". destination",
	"console":             ".",
	"sdk/js":              "",
	"e2e":                 "",

	// Assembly.
	"node":       "*",
	"cmd/attune": "*",
}

// TestLayout reads the files itself rather than running go list, so that the
// test cache sees every file it depends on.
func TestLayout(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && skipped(d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(file))
		allowed, ok := layout[pkg]
		if !ok {
			t.Errorf("%s: not in the layout; use a package that exists, or argue for a new one", pkg)
			return nil
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			dep, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if !ours {
				continue
			}
			dep = path.Clean("." + dep) // "" => ".", "/journal" => "journal"
			if allowed != "*" && !slices.Contains(strings.Fields(allowed), dep) {
				t.Errorf("%s imports %s; it may import only: %s", file, dep, allowed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range layout {
		if !seen[pkg] {
			t.Errorf("%s: in the layout but not in the tree", pkg)
		}
	}
}

// skipped reports whether a folder holds no part of the engine: test data,
// examples, other modules, and what the build leaves behind.
func skipped(name string) bool {
	switch name {
	case "testdata", "examples", "bench", "node_modules", "bin", "dist":
		return true
	default:
		return len(name) > 1 && name[0] == '.'
	}
}
