package attune

import (
	"errors"
	"strings"
)

// Sentinel is an error that a package compares with and that is a constant, so
// that nobody can change it.
type Sentinel string

// Error returns the text.
func (s Sentinel) Error() string { return string(s) }

// Message is the text of err for whoever reads it: without the name of the
// sentinel above that its kind was marked with ("id is empty: invalid" is "id
// is empty"), which is for errors.Is. A sentinel by itself keeps its text; nil
// has none.
func Message(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, kind := range [...]error{ErrInvalid, ErrNotFound, ErrUnauthorized, ErrForbidden, ErrBusy, ErrClosed} {
		if errors.Is(err, kind) {
			text = without(text, ": "+kind.Error())
		}
	}
	return text
}

// without removes mark wherever a statement of text ends with it: at the end,
// at the end of a line, before "; ".
func without(text, mark string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, mark)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if after != "" && after[0] != '\n' && !strings.HasPrefix(after, "; ") {
			b.WriteString(mark)
		}
		text = after
	}
}
