package recommend_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/recommend"
)

var update = flag.Bool("update", false, "write the golden rankings anew")

// golden is the file world.yaml of a testdata archive: what is in the shop,
// what people did, and what is asked.
type golden struct {
	Items []struct {
		ID         string         `yaml:"id"`
		Attributes map[string]any `yaml:"attributes"`
	} `yaml:"items"`
	Events     []event                        `yaml:"events"`
	Placements map[string]recommend.Placement `yaml:"placements"`
	Ask        []struct {
		Placement string   `yaml:"placement"`
		User      string   `yaml:"user"`
		Item      string   `yaml:"item"`
		Items     []string `yaml:"items"`
		Query     string   `yaml:"query"`
		Context   string   `yaml:"context"`
		Limit     int      `yaml:"limit"`
	} `yaml:"ask"`
}

// TestGolden runs the archives of testdata: world.yaml in, ranking.txt out. A
// change of quality is a diff of the rankings.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no archives in testdata")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			check(t, err)
			var g golden
			check(t, yaml.UnmarshalWithOptions(archive.Files[0].Data, &g, yaml.Strict()))
			got := g.run(t)
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "ranking.txt", Data: []byte(got)})
				check(t, os.WriteFile(file, txtar.Format(archive), 0o600))
				return
			}
			want := ""
			if len(archive.Files) > 1 {
				want = string(archive.Files[1].Data)
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func (g *golden) run(t *testing.T) string {
	t.Helper()
	w := newWorld(t)
	for _, it := range g.Items {
		w.put(t, attune.Item{ID: it.ID, Attributes: it.Attributes})
	}
	w.send(t, g.Events...)
	var placements []recommend.Placement
	for name, p := range g.Placements {
		p.Name = name
		placements = append(placements, p)
	}
	e := w.engine(t, placements...)
	var out strings.Builder
	for _, q := range g.Ask {
		a := e.Decide(&recommend.Query{
			Placement: q.Placement, Person: w.person(t, q.User), Now: w.now, Limit: q.Limit,
			Item: q.Item, Items: q.Items, Text: q.Query, Context: []byte(q.Context),
		})
		if a == nil {
			t.Fatalf("unknown placement %q", q.Placement)
		}
		fmt.Fprintf(&out, "%s user=%s item=%s", q.Placement, q.User, q.Item)
		if a.Fallback != "" {
			fmt.Fprintf(&out, " fallback=%s", a.Fallback)
		}
		out.WriteByte('\n')
		for i, r := range a.Items {
			fmt.Fprintf(&out, "  %2d %-8s %.4f %s\n", i+1, r.ID, r.Score, r.Reason)
		}
	}
	return out.String()
}
