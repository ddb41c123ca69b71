package search_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/attune-io/attune/search"
)

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              nil,
		"Red RETROSPOT":                 {"red", "retrospot"},
		"t-shirt, size: 42":             {"t", "shirt", "size", "42"},
		"mother's day":                  {"mother", "day"},
		"mother’s":                      {"mother"},
		"'s":                            {"s"},
		"kids' it's s":                  {"kids", "it", "s"},
		"85123A":                        {"85123a"},
		"ｗｉｄｅ ﬁne":                      {"wide", "fine"},
		"cafe\u0301":                    {"café"},
		"Straße":                        {"straße"},
		"赤い鞄":                           {"赤い", "い鞄"},
		"red鞄bag":                       {"red", "鞄", "bag"},
		"a\x00b\xffc":                   {"a", "b", "c"},
		strings.Repeat("x", 100):        {strings.Repeat("x", 64)},
		strings.Repeat("é", 50):         {strings.Repeat("é", 32)},
		"лампа Настольная":              {"лампа", "настольная"},
		"*:* (red) ^2 ~ \"x\" && || !y": {"red", "2", "x", "y"},
	} {
		if got := search.Words(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := search.SplitWords(strings.Repeat("a b c ", 100)); len(got) != search.MaxWords {
		t.Errorf("a long text has %d words, want %d", len(got), search.MaxWords)
	}
}

// FuzzWords: whatever is typed is words, bounded and valid, and their words are
// themselves.
func FuzzWords(f *testing.F) {
	for _, text := range []string{"red retrospot", "mother's", "赤い鞄", "\xff'\xe9s", "İstanbul", "ǅ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range search.Words(text) {
			if w == "" || len(w) > 64 || !utf8.ValidString(w) {
				t.Fatalf("%q: got %q", text, w)
			}
		}
	})
}

func TestTolerance(t *testing.T) {
	for _, tc := range []struct {
		word           string
		auto, one, off int
	}{{"red", 0, 0, 0}, {"lamp", 1, 1, 0}, {"candles", 1, 1, 0}, {"retrospot", 2, 1, 0}, {"85123a", 0, 0, 0}, {"лампа", 1, 1, 0}} {
		if a, o, n := search.Auto.Of(tc.word), search.One.Of(tc.word), search.None.Of(tc.word); a != tc.auto || o != tc.one || n != tc.off {
			t.Errorf("%s: got %d, %d, %d", tc.word, a, o, n)
		}
	}
}
