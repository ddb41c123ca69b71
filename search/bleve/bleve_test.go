package bleve_test

import (
	"path/filepath"
	"testing"

	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/bleve"
	"github.com/attune-io/attune/search/searchtest"
)

func open(tb testing.TB, dir string) *bleve.Index {
	tb.Helper()
	ix, err := bleve.Open(bleve.Options{Dir: dir, Settings: search.Defaults()})
	if err != nil {
		tb.Fatal(err)
	}
	return ix
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	searchtest.Run(t, func(t *testing.T, name string) search.Index {
		t.Helper()
		return open(t, filepath.Join(dir, name))
	})
}
