// Package docs_test holds the pages to the code: what a page says of routes,
// keys and modules is what there is, and its snippets run.
package docs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune/serve"
)

var update = flag.Bool("update", false, "write the generated parts of CONFIG.md")

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// document is as much of openapi.json as the pages repeat.
type document struct {
	Paths map[string]map[string]struct {
		Access string `json:"x-access"`
	} `json:"paths"`
}

// TestRoutes: API.md names every route of openapi.json, and no other, each in a
// row of a table whose second cell says who may call it. A route is named as
// `GET /v1/items`.
func TestRoutes(t *testing.T) {
	var doc document
	if err := json.Unmarshal(serve.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // route → access
	for path, methods := range doc.Paths {
		for method, route := range methods {
			want[strings.ToUpper(method)+" "+path] = route.Access
		}
	}
	route := regexp.MustCompile("`((?:GET|POST|PUT|DELETE) /[^` ?]*)`")
	got := map[string]string{}
	for line := range strings.Lines(read(t, "API.md")) {
		cells := strings.Split(line, "|")
		for _, m := range route.FindAllStringSubmatch(line, -1) {
			if _, ok := want[m[1]]; !ok {
				t.Errorf("API.md names `%s`, which openapi.json does not have", m[1])
			}
			if len(cells) > 3 {
				got[m[1]] = strings.TrimSpace(cells[2])
			}
		}
	}
	for name, access := range want {
		if got[name] != access {
			t.Errorf("API.md has `%s` with access %q, openapi.json with %q", name, got[name], access)
		}
	}
}

// TestModules: DEPENDENCIES.md lists every direct module of go.mod and of the
// end-to-end tests, and no module that is gone.
func TestModules(t *testing.T) {
	page := read(t, "DEPENDENCIES.md")
	var want []string
	for line := range strings.Lines(read(t, filepath.Join("..", "go.mod"))) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[1], "v") && strings.Contains(f[0], ".") {
			want = append(want, f[0])
		}
	}
	var npm struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join("..", "e2e", "package.json"))), &npm); err != nil {
		t.Fatal(err)
	}
	for name := range npm.Dependencies {
		want = append(want, name)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(page, -1) {
		listed[m[1]] = true
	}
	for _, name := range want {
		if !listed[name] {
			t.Errorf("DEPENDENCIES.md does not list %s", name)
		}
	}
	for name := range listed {
		if strings.Contains(name, "/") && !slices.Contains(want, name) {
			t.Errorf("DEPENDENCIES.md lists %s, which is no direct dependency", name)
		}
	}
}

// TestLinks: a link from one page to a file of the repository leads somewhere.
// Pictures and the benchmark's results are made by make, so they may be absent.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		pages = append(pages, filepath.Join("..", name))
	}
	link := regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// TestTests: a test that README.md or ARCHITECTURE.md names is there.
func TestTests(t *testing.T) {
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
	for _, page := range []string{"ARCHITECTURE.md", filepath.Join("..", "README.md")} {
		found := named.FindAllStringSubmatch(read(t, page), -1)
		if len(found) == 0 {
			t.Errorf("%s names no test", page)
		}
		for _, m := range found {
			files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(m[1]), "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			there := slices.ContainsFunc(files, func(f string) bool {
				b, err := os.ReadFile(f)
				return err == nil && bytes.Contains(b, []byte("func "+m[2]+"("))
			})
			if !there {
				t.Errorf("%s names %s.%s, which is not there", page, m[1], m[2])
			}
		}
	}
}
