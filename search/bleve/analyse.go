package bleve

import (
	"fmt"

	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/char/asciifolding"
	"github.com/blevesearch/bleve/v2/analysis/lang/da"
	"github.com/blevesearch/bleve/v2/analysis/lang/de"
	"github.com/blevesearch/bleve/v2/analysis/lang/en"
	"github.com/blevesearch/bleve/v2/analysis/lang/es"
	"github.com/blevesearch/bleve/v2/analysis/lang/fi"
	"github.com/blevesearch/bleve/v2/analysis/lang/fr"
	"github.com/blevesearch/bleve/v2/analysis/lang/hu"
	"github.com/blevesearch/bleve/v2/analysis/lang/it"
	"github.com/blevesearch/bleve/v2/analysis/lang/nl"
	"github.com/blevesearch/bleve/v2/analysis/lang/no"
	"github.com/blevesearch/bleve/v2/analysis/lang/pt"
	"github.com/blevesearch/bleve/v2/analysis/lang/ro"
	"github.com/blevesearch/bleve/v2/analysis/lang/ru"
	"github.com/blevesearch/bleve/v2/analysis/lang/sv"
	"github.com/blevesearch/bleve/v2/analysis/lang/tr"
	"github.com/blevesearch/bleve/v2/registry"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
)

// analyser turns words into the terms of the index: without accents, and in the
// form that the language's other forms share. It is safe for concurrent use.
type analyser struct {
	fold analysis.CharFilter
	stem analysis.TokenFilter // nil: words are taken as they are
	stop analysis.TokenMap    // words that say nothing by themselves
}

// newAnalyser returns the analyser of a language of search.Languages.
func newAnalyser(language string) (*analyser, error) {
	a := &analyser{fold: asciifolding.New()}
	stem, stop := filters(language)
	if stem == "" {
		if language != "none" {
			return nil, fmt.Errorf("search.language %q: there is no such language: %w", language, attune.ErrInvalid)
		}
		return a, nil
	}
	cache := registry.NewCache()
	var err error
	if a.stem, err = cache.TokenFilterNamed(stem); err != nil {
		return nil, fmt.Errorf("search.language %q: %w", language, err)
	}
	if a.stop, err = cache.TokenMapNamed(stop); err != nil {
		return nil, fmt.Errorf("search.language %q: %w", language, err)
	}
	return a, nil
}

// filters names the filters of a language. Where there is a light stemmer it is
// taken: shops have names, and few forms of them are meant to be the same.
func filters(language string) (stem, stop string) {
	switch language {
	case "da":
		return da.SnowballStemmerName, da.StopName
	case "de":
		return de.LightStemmerName, de.StopName
	case "en":
		return en.PluralStemmerName, en.StopName
	case "es":
		return es.LightStemmerName, es.StopName
	case "fi":
		return fi.SnowballStemmerName, fi.StopName
	case "fr":
		return fr.LightStemmerName, fr.StopName
	case "hu":
		return hu.SnowballStemmerName, hu.StopName
	case "it":
		return it.LightStemmerName, it.StopName
	case "nl":
		return nl.SnowballStemmerName, nl.StopName
	case "no":
		return no.SnowballStemmerName, no.StopName
	case "pt":
		return pt.LightStemmerName, pt.StopName
	case "ro":
		return ro.SnowballStemmerName, ro.StopName
	case "ru":
		return ru.SnowballStemmerName, ru.StopName
	case "sv":
		return sv.SnowballStemmerName, sv.StopName
	case "tr":
		return tr.SnowballStemmerName, tr.StopName
	default:
		return "", ""
	}
}

// folded returns a word without accents.
func (a *analyser) folded(word string) string { return string(a.fold.Filter([]byte(word))) }

// term returns the term of a word. The stemmer sees the accents, which its rules
// may ask for.
func (a *analyser) term(word string) string {
	if a.stem == nil {
		return a.folded(word)
	}
	stream := a.stem.Filter(analysis.TokenStream{&analysis.Token{Term: []byte(word), Type: analysis.AlphaNumeric, Position: 1}})
	if len(stream) == 0 || len(stream[0].Term) == 0 {
		return a.folded(word)
	}
	return string(a.fold.Filter(stream[0].Term))
}

// weighty returns words without those that say nothing by themselves, unless no
// other is left. The last is kept: it may be the beginning of another.
func (a *analyser) weighty(words []string) []string {
	var kept []string
	for i, w := range words {
		if i == len(words)-1 || !a.stop[w] {
			kept = append(kept, w)
		}
	}
	if len(kept) == 1 && a.stop[kept[0]] {
		return words
	}
	return kept
}

// text analyses the texts of one document as one: a word counts as often as its
// text weighs. That is BM25 over weighted fields in its simple form (Robertson,
// Zaragoza, Taylor: Simple BM25 extension to multiple weighted fields, CIKM
// 2004), and a word costs one list of documents, however many fields there are.
type text struct {
	*analyser

	parts []search.Text
}

// Analyze returns the terms of all parts. Its argument is not looked at.
func (t text) Analyze([]byte) analysis.TokenStream {
	var stream analysis.TokenStream
	for _, part := range t.parts {
		for _, word := range search.Words(part.Value) {
			term := []byte(t.term(word))
			for range part.Weight {
				stream = append(stream, &analysis.Token{Term: term, Type: analysis.AlphaNumeric, Position: len(stream) + 1})
			}
		}
	}
	return stream
}

// maxBeginning is the longest beginning of a word, in letters, that is a term.
// So few letters begin too many words to look for each of them.
const maxBeginning = 3

// beginnings analyses the texts of one document as the first letters of their
// words, but for texts of little weight: nobody begins to type what is somewhere
// in a description.
type beginnings struct {
	*analyser

	parts []search.Text
}

// Analyze returns the beginnings. Its argument is not looked at.
func (t beginnings) Analyze([]byte) analysis.TokenStream {
	var stream analysis.TokenStream
	for _, part := range t.parts {
		if part.Weight < minBeginning {
			continue
		}
		for _, word := range search.Words(part.Value) {
			word = t.folded(word)
			n := 0
			for at := range word {
				if n > 0 {
					stream = append(stream, &analysis.Token{Term: []byte(word[:at]), Type: analysis.AlphaNumeric, Position: len(stream) + 1})
				}
				if n++; n > maxBeginning {
					break
				}
			}
			if n <= maxBeginning {
				stream = append(stream, &analysis.Token{Term: []byte(word), Type: analysis.AlphaNumeric, Position: len(stream) + 1})
			}
		}
	}
	return stream
}

// minBeginning is the least weight of a text whose words' beginnings are terms.
const minBeginning = 2
