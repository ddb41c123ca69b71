package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Line       int    `json:"line,omitempty"`   // in the file, from 1; 0 when it is not in the file
	Column     int    `json:"column,omitempty"` // from 1; 0 when not known
	Path       string `json:"path,omitempty"`   // as placements.home.boosts[0].when
	What       string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"` // what was probably meant

	inside bool // Column is a place inside of the value, so it is said
}

// String returns the fault as one line.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.Line > 0 && f.Column > 0 && f.inside:
		fmt.Fprintf(&b, "line %d:%d: ", f.Line, f.Column)
	case f.Line > 0:
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		b.WriteString(f.Path)
		b.WriteString(": ")
	}
	b.WriteString(f.What)
	if f.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", f.Suggestion)
	}
	return b.String()
}

// Faults is every fault that was found, in the order of the file. As an error
// it wraps attune.ErrInvalid, and is never empty.
type Faults []Fault

// Error returns one line a fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes Faults an attune.ErrInvalid.
func (Faults) Unwrap() error { return attune.ErrInvalid }

// err returns fs in order and without repeats as an error, nil when it is empty.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return slices.Compact(fs)
}

// Join returns the faults of errs in one list, in order; nil when every err is.
// An error of another kind becomes a fault without a place.
func Join(errs ...error) error {
	var all Faults
	for _, err := range errs {
		switch err := err.(type) { //nolint:errorlint // made here, never wrapped
		case nil:
		case Faults:
			all = append(all, err...)
		default:
			all = append(all, Fault{What: attune.Message(err)})
		}
	}
	return all.err()
}
