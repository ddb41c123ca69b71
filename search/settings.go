package search

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// Bounds of Settings.
const (
	MaxWeight     = 10
	maxFields     = 50
	maxAttributes = 200
)

// Settings say what of an item is searched. Use Defaults for what is useful
// without any.
type Settings struct {
	// Fields are the attributes whose words are looked for, with their weights,
	// 1 to MaxWeight. "id" is the item's id.
	Fields map[string]int
	// Attributes can be filtered and counted. Nil is every one that is no text
	// to read and no address.
	Attributes []string
	// Language says which forms of a word are the same one; see Languages.
	Language string
}

// Defaults returns the settings for a shop in English.
func Defaults() Settings {
	return Settings{
		Fields: map[string]int{
			"name": 5, "title": 5, "id": 5, "brand": 3, "category": 2, "tags": 2, "keywords": 2,
			"color": 2, "colour": 2, "description": 1,
		},
		Language: "en",
	}
}

// Languages returns the languages there are, sorted. "none" takes words as they
// are, which is right for scripts without spaces and for mixed shops.
func Languages() []string {
	return []string{"da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "none", "pt", "ro", "ru", "sv", "tr"}
}

// Validate returns every fault of s, joined, each with its path inside s.
func (s *Settings) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), attune.ErrInvalid))
	}
	if n := len(s.Fields); n == 0 || n > maxFields {
		bad("fields", "want 1 to %d, got %d", maxFields, n)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		if w := s.Fields[name]; w < 1 || w > MaxWeight {
			bad("fields."+name, "want a weight of 1 to %d, got %d", MaxWeight, w)
		}
	}
	if n := len(s.Attributes); n > maxAttributes {
		bad("attributes", "want at most %d, got %d", maxAttributes, n)
	}
	if !slices.Contains(Languages(), s.Language) {
		bad("language", "unknown language %q; want one of %s", s.Language, strings.Join(Languages(), ", "))
	}
	return errors.Join(errs...)
}

// Version is a hash of s: documents that were made under another one are
// others.
func (s *Settings) Version() uint64 {
	var b strings.Builder
	b.WriteString("1|" + s.Language)
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		fmt.Fprintf(&b, "|%q=%d", name, s.Fields[name])
	}
	if s.Attributes != nil {
		fmt.Fprintf(&b, "|%q", slices.Sorted(slices.Values(s.Attributes)))
	}
	return attune.Hash(b.String())
}
