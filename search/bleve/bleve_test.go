package bleve_test

import (
	"io/fs"
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

// TestDisk: what is put again and again does not fill the disk.
func TestDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "search")
	ix := open(t, dir)
	docs := crowd(names(t), 200)
	for range 60 {
		if err := ix.Apply(t.Context(), &search.Batch{Put: docs}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	var size int64
	if err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if size > 8<<20 {
		t.Errorf("200 documents that were put 60 times take %d bytes", size)
	} else {
		t.Logf("%d bytes", size)
	}
}

// TestLanguages: each has its forms, and "none" takes words as they are.
func TestLanguages(t *testing.T) {
	for language, forms := range map[string][2]string{
		"da": {"lamperne", "lampe"}, "de": {"lampen", "lampe"}, "en": {"boxes", "box"}, "es": {"lámparas", "lampara"}, "fi": {"lamppujen", "lamppuja"},
		"fr": {"lampes", "lampe"}, "hu": {"asztalok", "asztal"}, "it": {"lampade", "lampada"}, "nl": {"lampen", "lamp"}, "no": {"lampene", "lampe"},
		"pt": {"lâmpadas", "lâmpada"}, "ro": {"lămpilor", "lămpile"}, "ru": {"лампы", "лампа"}, "sv": {"lamporna", "lampor"}, "tr": {"lambalar", "lamba"},
		"none": {"lampe", "LAMPE"},
	} {
		s := search.Defaults()
		s.Language = language
		ix, err := bleve.Open(bleve.Options{Settings: s})
		if err != nil {
			t.Fatal(err)
		}
		if err := ix.Apply(t.Context(), &search.Batch{Put: []search.Document{{ID: "x", Text: []search.Text{{Value: forms[0], Weight: 1}}}}}); err != nil {
			t.Fatal(err)
		}
		var r search.Result
		if err := search.Find(t.Context(), ix, forms[1]+" "+forms[1], &search.Query{Typos: search.None, Limit: 1}, &r); err != nil || r.Total != 1 {
			t.Errorf("%s: %q does not find %q, %v", language, forms[1], forms[0], err)
		}
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
	}
}
