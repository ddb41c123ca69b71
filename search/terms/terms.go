// Package terms turns the words of a language into the terms of an index, the
// same ones for every backend, so that what is found does not depend on which
// one looks. The rules of the languages are the bleve library's.
package terms

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

// Analyser turns words into terms: without accents, and in the form that the
// language's other forms share. Any number of goroutines may use it.
type Analyser struct {
	fold analysis.CharFilter
	stem analysis.TokenFilter // nil: words are taken as they are
	stop analysis.TokenMap    // words that say nothing by themselves
}

// New returns the analyser of a language of search.Languages.
func New(language string) (*Analyser, error) {
	a := &Analyser{fold: asciifolding.New()}
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

// Folded returns a word without accents.
func (a *Analyser) Folded(word string) string { return string(a.fold.Filter([]byte(word))) }

// Term returns the term of a word. The stemmer sees the accents, which its rules
// may ask for.
func (a *Analyser) Term(word string) string {
	if a.stem == nil {
		return a.Folded(word)
	}
	stream := a.stem.Filter(analysis.TokenStream{&analysis.Token{Term: []byte(word), Type: analysis.AlphaNumeric, Position: 1}})
	if len(stream) == 0 || len(stream[0].Term) == 0 {
		return a.Folded(word)
	}
	return string(a.fold.Filter(stream[0].Term))
}

// Weighty returns words without those that say nothing by themselves, unless no
// other is left. The last is kept: it may be the beginning of another.
func (a *Analyser) Weighty(words []string) []string {
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

// Append appends the terms of the texts of one document: each as often as its
// text weighs. That is BM25 over weighted fields in its simple form (Robertson,
// Zaragoza, Taylor: Simple BM25 extension to multiple weighted fields, CIKM
// 2004), and a word costs one list of documents, however many fields there are.
func (a *Analyser) Append(terms []string, texts []search.Text) []string {
	for _, text := range texts {
		for _, word := range search.Words(text.Value) {
			term := a.Term(word)
			for range text.Weight {
				terms = append(terms, term)
			}
		}
	}
	return terms
}

// MaxBeginning is the longest beginning of a word, in letters, that is a term of
// its own. So few letters begin too many words to look for each of them.
const MaxBeginning = 3

// minBeginning is the least weight of a text whose words' beginnings are terms:
// nobody begins to type what is somewhere in a description.
const minBeginning = 2

// AppendBeginnings appends the first letters of the words of one document: one,
// two and three of them.
func (a *Analyser) AppendBeginnings(terms []string, texts []search.Text) []string {
	for _, text := range texts {
		if text.Weight < minBeginning {
			continue
		}
		for _, word := range search.Words(text.Value) {
			word = a.Folded(word)
			letters := 0
			for at := range word {
				if letters > 0 {
					terms = append(terms, word[:at])
				}
				if letters++; letters > MaxBeginning {
					break
				}
			}
			if letters <= MaxBeginning {
				terms = append(terms, word)
			}
		}
	}
	return terms
}
