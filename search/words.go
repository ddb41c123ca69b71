package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of what is typed.
const (
	MaxWords    = 12
	maxWord     = 64   // bytes; what is longer is cut
	maxAnalysed = 4096 // bytes of one text
)

// SplitWords returns the words of what somebody typed, small letters, at most
// MaxWords: the rest of a very long text says little.
func SplitWords(text string) []string {
	words := Words(text)
	return words[:min(len(words), MaxWords)]
}

// Words cuts text into words, in its compatible composed form (NFKC) and small
// letters. A word is a run of letters, digits and marks; everything else
// separates, but for the "'s" of a possessive, which is dropped. Scripts that
// are written without spaces give pairs of neighbours. It reads the first 4 KiB.
func Words(text string) []string {
	if len(text) > maxAnalysed {
		text = text[:maxAnalysed]
	}
	text = strings.ToLower(norm.NFKC.String(text))
	var words []string
	start := -1
	var run []rune // of a script without spaces
	end := func(at int) {
		if start >= 0 {
			words = append(words, clip(text[start:at]))
		}
		start = -1
		words = appendPairs(words, run)
		run = run[:0]
	}
	for at, r := range text {
		switch {
		case isDense(r):
			if start >= 0 {
				end(at)
			}
			run = append(run, r)
		case isWord(r):
			if len(run) > 0 {
				end(at)
			}
			// The s of "mother's".
			if start < 0 && (r != 's' || !possessive(text, at)) {
				start = at
			}
		default:
			end(at)
		}
	}
	end(len(text))
	return words
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// isDense reports whether r is of a script that is written without spaces.
func isDense(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}

// appendPairs appends the overlapping pairs of run.
func appendPairs(words []string, run []rune) []string {
	if len(run) == 1 {
		return append(words, string(run))
	}
	for i := 1; i < len(run); i++ {
		words = append(words, string(run[i-1:i+1]))
	}
	return words
}

// possessive reports whether the s at text[at:] ends a word and stands behind an
// apostrophe that stands behind a letter.
func possessive(text string, at int) bool {
	if next, _ := utf8.DecodeRuneInString(text[at+1:]); isWord(next) {
		return false
	}
	mark, size := utf8.DecodeLastRuneInString(text[:at])
	if mark != '\'' && mark != '’' {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:at-size])
	return isWord(before)
}

// clip cuts a word to its bound, between two letters.
func clip(word string) string {
	if len(word) <= maxWord {
		return word
	}
	cut := maxWord
	for !utf8.RuneStart(word[cut]) {
		cut--
	}
	return word[:cut]
}
