package search

import (
	"context"
	"math"

	"github.com/attune-io/attune"
)

// Index is a search engine. Everything but Close may be called at once.
type Index interface {
	// Apply puts and deletes documents and then takes b.Sums for what State
	// returns. On an error nothing is promised, but a later Apply of the same
	// batch makes it good. It does not keep b. What a successful Apply wrote is
	// findable within a second, and may be taken back by a crash together with
	// its Sums.
	Apply(ctx context.Context, b *Batch) error
	// Search fills into with the documents that match q, best first. It ends
	// early, with an error, when ctx does.
	Search(ctx context.Context, q *Query, into *Result) error
	// State returns what the index holds.
	State(ctx context.Context) (State, error)
	// IDs returns the ids of the documents whose Bucket it is, in any order.
	IDs(ctx context.Context, bucket int) ([]string, error)
	Close() error
}

// Document is one item as an index sees it. Its slices belong to who made it.
type Document struct {
	ID string
	// Text is what words are looked for in.
	Text []Text
	// Keywords are values to filter by and to count; one attribute may have
	// several.
	Keywords []Keyword
	Numbers  []Number
}

// Text is a searched text. Weight is how often its words count, from 1 to
// MaxWeight.
type Text struct {
	Value  string
	Weight int
}

// Keyword is a value of an attribute, met whole or not at all.
type Keyword struct{ Attribute, Value string }

// Number is a number of an attribute.
type Number struct {
	Attribute string
	Value     float64
}

// Batch is a change of an index. No id is in it twice.
type Batch struct {
	Put    []Document
	Delete []string
	// Sums is what State returns afterwards; nil leaves it.
	Sums *Sums
}

// Buckets is into how many parts documents are divided by their ids.
const Buckets = 1024

// Sums are the checksums of the documents, by bucket: the exclusive or of the
// Sum of each.
type Sums [Buckets]uint64

// BucketOf returns the bucket of a document.
func BucketOf(id string) int { return int(attune.Hash(id) % Buckets) }

// State is what an index says it holds.
type State struct {
	Documents int
	Sums      Sums // zero when nobody set them
}

// Match is how strictly words have to be met.
type Match uint8

// The ways to match, strictest first. Each finds what the one before does.
const (
	// Exact is all words, in any form of the language; of the last one the
	// beginning will do.
	Exact Match = iota
	// Typos is all words, with Query.Typos errors in each.
	Typos
	// Most is three words in five, with typing errors.
	Most
)

// String returns the name that explanations use.
func (m Match) String() string {
	switch m {
	case Typos:
		return "typos"
	case Most:
		return "most"
	default:
		return "exact"
	}
}

// Query is one look into an Index.
type Query struct {
	// Words are those of SplitWords. None matches every document, all with
	// the same score.
	Words   []string
	Match   Match
	Typos   Tolerance
	Filters attune.Filters
	// Facets are attributes of which up to FacetSize values are counted over
	// all that match, most first, then by value.
	Facets    []string
	FacetSize int
	Limit     int // of hits; 0 counts only
}

// Result is what a Search found.
type Result struct {
	Hits   []Hit
	Total  int // of documents that match
	Facets map[string][]attune.FacetCount
	// Match is how it was found, by Find.
	Match Match
}

// Hit is a document and the score of its text: above 0, higher is better, and
// of no meaning beyond its own result.
type Hit struct {
	ID    string
	Score float64
}

// Tolerance is how many typing errors a word may have: a letter missing, too
// much, wrong, or two swapped. A word with a digit in it may have none.
type Tolerance uint8

// The tolerances.
const (
	// Auto is none in a word of up to 3 letters, 1 up to 7, else 2.
	Auto Tolerance = iota
	// None is none.
	None
	// One is 1 in a word of 4 letters and more.
	One
)

// Of returns how many errors word may have.
func (t Tolerance) Of(word string) int {
	n := 0
	for _, r := range word {
		if r >= '0' && r <= '9' {
			return 0
		}
		n++
	}
	switch {
	case t == None || n <= 3:
		return 0
	case t == One || n <= 7:
		return 1
	default:
		return 2
	}
}

// Needed returns how many of n words have to be met.
func (m Match) Needed(n int) int {
	if m == Most {
		return int(math.Ceil(float64(n) * 0.6))
	}
	return n
}
