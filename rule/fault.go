package rule

import (
	"fmt"
	"strings"

	"github.com/attune-io/attune"
)

// Fault is one thing that is wrong with an expression, and where.
type Fault struct {
	Line, Column int // in the expression, from 1
	What         string
	Suggestion   string // what was probably meant; "" when there is no guess
}

// Error returns the fault with its place.
func (f *Fault) Error() string {
	s := fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.What)
	if f.Suggestion != "" {
		s += fmt.Sprintf("; did you mean %q?", f.Suggestion)
	}
	return s
}

// Unwrap makes a Fault an attune.ErrInvalid.
func (*Fault) Unwrap() error { return attune.ErrInvalid }

// faults are all faults of an expression, in its order. It is never empty where
// it is an error.
type faults []*Fault

// Error returns one fault a line.
func (fs faults) Error() string {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
	}
	return b.String()
}

// Unwrap returns the faults.
func (fs faults) Unwrap() []error {
	list := make([]error, len(fs))
	for i := range fs {
		list[i] = fs[i]
	}
	return list
}

// Faults returns every Fault in err, in order; nil when there is none.
func Faults(err error) []*Fault {
	switch x := err.(type) { //nolint:errorlint // walks the tree itself
	case nil:
		return nil
	case *Fault:
		return []*Fault{x}
	case interface{ Unwrap() []error }:
		var list []*Fault
		for _, e := range x.Unwrap() {
			list = append(list, Faults(e)...)
		}
		return list
	case interface{ Unwrap() error }:
		return Faults(x.Unwrap())
	default:
		return nil
	}
}

// Suggest returns the name of known that word was probably meant to be: the
// nearest by edit distance, when it is near for its length; the first of equals.
// "" when there is none. Levenshtein, 1966; an exchange of neighbours counts one.
func Suggest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, near := "", len(word)/3+1
	if len(word) < 3 {
		near = 1
	}
	for _, k := range known {
		if len(k) > 64 || k == word {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < near || (d == near && best == "") {
			best, near = k, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of a and b, in bytes.
func distance(a, b string) int {
	older, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], older[j-2]+1)
			}
		}
		older, prev, cur = prev, cur, older
	}
	return prev[len(b)]
}
