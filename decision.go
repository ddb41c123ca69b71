package attune

import "encoding/json"

// DecideRequest is the body of POST /v1/decide.
type DecideRequest struct {
	UserID      string `json:"user_id,omitempty"`
	AnonymousID string `json:"anonymous_id,omitempty"`
	// Events are Segment events that count before the decision is made.
	Events []json.RawMessage `json:"events,omitempty"`
	// After is a consistency token: the decision reflects what it names.
	After      string          `json:"after,omitempty"`
	DeadlineMS int             `json:"deadline_ms,omitempty"`
	Explain    bool            `json:"explain,omitempty"`
	Context    json.RawMessage `json:"context,omitempty"`
	// Dedup shows no item twice: each placement leaves out what those before it
	// in Placements show.
	Dedup      bool  `json:"dedup,omitempty"`
	Placements []Ask `json:"placements"`
}

// Ask is one placement of a DecideRequest.
type Ask struct {
	ID    string   `json:"id"`
	Limit int      `json:"limit,omitempty"`
	Item  string   `json:"item,omitempty"`  // the item the page is about
	Items []string `json:"items,omitempty"` // items to re-rank, or a cart
	Query string   `json:"query,omitempty"` // what was searched for

	// Filters are conditions on attributes that every item meets.
	Filters Filters `json:"filters,omitempty"`
	// Facets are attributes whose values are counted over all items that match
	// Query and Filters.
	Facets []string `json:"facets,omitempty"`

	*Narrow // nil: nothing of it is said
}

// Decision is the answer to a DecideRequest.
type Decision struct {
	ID             string             `json:"decision_id"`
	ProfileVersion uint64             `json:"profile_version"`
	Stale          bool               `json:"stale"`
	Placements     map[string]*Answer `json:"placements"`
}

// Answer is what one placement shows.
type Answer struct {
	Items      []Ranked `json:"items"`
	Model      string   `json:"model"`
	Experiment string   `json:"experiment,omitempty"`
	Variant    string   `json:"variant,omitempty"`
	// Fallback names the step of the fallback chain that answered; "" when
	// the placement's own generators did.
	Fallback string `json:"fallback"`
	// Total is how many items match the query and the filters of the request,
	// whoever asks; nil when no index was asked. Facets count their values.
	Total  *int                    `json:"total,omitempty"`
	Facets map[string][]FacetCount `json:"facets,omitempty"`
	// Content is what a rule of the placement chose; nil when none did.
	Content *Content `json:"content,omitempty"`
	// Explain is filled when it was asked for.
	Explain *Explanation `json:"explain,omitempty"`
	// Reads names what the placement reads of a person ("features.cart",
	// "traits.size"), sorted; Config and Catalog are the versions it was made
	// with. They are for the log of decisions, and not to be changed.
	Reads   []string `json:"-"`
	Config  uint64   `json:"-"`
	Catalog uint64   `json:"-"`
}

// Ranked is one item of an Answer, best first.
type Ranked struct {
	ID         string          `json:"id"`
	Score      float64         `json:"score"`
	Reason     string          `json:"reason,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"` // the item's, as a JSON object
	// Propensity is the probability of this item at this position given those
	// above it, and what is pinned; 1 without exploration.
	Propensity float64 `json:"propensity"`
}

// Explanation says how an Answer came about.
type Explanation struct {
	Generators []GeneratorTrace  `json:"generators"`
	Search     *SearchTrace      `json:"search,omitempty"`   // nil when no index was asked
	Filtered   map[string]int    `json:"filtered,omitempty"` // reason → candidates dropped
	Candidates []CandidateTrace  `json:"candidates,omitempty"`
	Rules      []RuleTrace       `json:"rules,omitempty"`    // of merchandising, in order
	Versions   map[string]uint64 `json:"versions,omitempty"` // config, catalog
	Inputs     map[string]any    `json:"inputs,omitempty"`   // the profile's lists that were read
	Micros     int64             `json:"micros"`
}

// GeneratorTrace says what one candidate generator gave.
type GeneratorTrace struct {
	Name       string  `json:"name"`
	Weight     float64 `json:"weight"`
	Candidates int     `json:"candidates"`
	Micros     int64   `json:"micros"`
	Skipped    string  `json:"skipped,omitempty"` // why it was not asked
}

// SearchTrace says what the search index gave.
type SearchTrace struct {
	// Match is how the words were taken: exact, typos, most.
	Match      string `json:"match,omitempty"`
	Total      int    `json:"total"`
	Candidates int    `json:"candidates"`
	Micros     int64  `json:"micros"`
	Skipped    string `json:"skipped,omitempty"` // why names were looked through instead
}

// CandidateTrace is one candidate with what each generator said of it.
type CandidateTrace struct {
	ID     string             `json:"id"`
	Score  float64            `json:"score"`
	From   map[string]float64 `json:"from"` // generator → weighted score
	Boost  float64            `json:"boost,omitempty"`
	Reason string             `json:"reason,omitempty"`
	Rules  []string           `json:"rules,omitempty"` // that moved it
}

// MaxLogged is how many ids of one list the log of a decision keeps.
const MaxLogged = 20

// DecisionLog is the payload of KindDecision: the decision, who it was for,
// and what it was made of. Lists of ids are cut to MaxLogged.
type DecisionLog struct {
	Decision
	// Asked is what the request said of its placements beside their names.
	Asked   []Ask           `json:"asked,omitempty"`
	Dedup   bool            `json:"dedup,omitempty"`
	Context json.RawMessage `json:"context,omitempty"`
	// Inputs are what the placements read of the person: lists of ids, numbers,
	// words, by name ("features.last_viewed", "traits.size").
	Inputs      map[string]any    `json:"inputs,omitempty"`
	Segments    []string          `json:"segments,omitempty"`
	Versions    map[string]uint64 `json:"versions,omitempty"` // config, catalog
	UserID      string            `json:"user_id,omitempty"`
	AnonymousID string            `json:"anonymous_id,omitempty"`
	At          Millis            `json:"at"`
	Micros      int64             `json:"micros"`
}
