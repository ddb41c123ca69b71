package attune

import "encoding/json"

// Narrow are the options of one question that few ask, in the words of the
// Universal Recommender's query language (https://actionml.com/docs/ur_queries).
type Narrow struct {
	// Fields favour, ask for or leave out items by what they are.
	Fields []Field `json:"fields,omitempty"`
	// DateRange keeps items whose date lies in it.
	DateRange *DateRange `json:"date_range,omitempty"`
	// Blacklist are items not to show.
	Blacklist []string `json:"blacklist,omitempty"`
	// Offset is how many of the best items to leave out: those of the pages
	// before.
	Offset int `json:"offset,omitempty"`
}

// Field is about the items that have one of Values in the attribute Name. With
// a Bias above 0 their scores are multiplied by it; below 0 only they are shown;
// with 0 they are not.
type Field struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Bias   float64  `json:"bias"`
}

// DateRange asks for items whose attribute Name, a day or an instant in RFC 3339,
// lies after After and before Before; an empty bound is open.
type DateRange struct {
	Name   string `json:"name"`
	After  string `json:"after,omitempty"`
	Before string `json:"before,omitempty"`
}

// Content is a payload that a placement shows beside its items, or instead of
// some: a discount, a banner, a text.
type Content struct {
	Name    string          `json:"name"`              // of the rule that chose it
	Payload json.RawMessage `json:"payload,omitempty"` // left out of the log of decisions
}

// RuleTrace says what became of a rule of the placement.
type RuleTrace struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`            // pin, boost, bury, promote, at_most, override, content…
	Items []string `json:"items,omitempty"` // of the answer, that it put where they are or whose score it changed
	// Skipped says why the rule did nothing.
	Skipped string `json:"skipped,omitempty"`
}
