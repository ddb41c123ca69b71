package console

import "github.com/attune-io/attune"

// Readiness says what is there to work with.
type Readiness struct {
	Placements []PlacementNeeds `json:"placements"`
	Features   []FeatureNeeds   `json:"features"`
	Events     []EventCount     `json:"events"` // that were seen, most first
	Catalog    CatalogHealth    `json:"catalog"`
	Identity   IdentityHealth   `json:"identity"`
	// Since is the oldest event that was counted; 0 when there was none.
	Since attune.Millis `json:"since"`
}

// PlacementNeeds are the generators of a placement and what they live on.
type PlacementNeeds struct {
	Name       string           `json:"name"`
	Generators []GeneratorNeeds `json:"generators"`
	Fallback   []string         `json:"fallback"`
}

// GeneratorNeeds is one generator: it gives candidates once one of Events was
// seen (each of them, when All). No events: it needs none.
type GeneratorNeeds struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Weight float64  `json:"weight"`
	Events []string `json:"events"`
	All    bool     `json:"all"`
	// Note says what else it needs, such as a search text in the request.
	Note string `json:"note,omitempty"`
}

// FeatureNeeds is a feature and the events it is computed from; "*" is any.
type FeatureNeeds struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Events []string `json:"events"`
	Where  string   `json:"where,omitempty"`
}

// EventCount is how often an event was seen, by the name rules know it by.
type EventCount struct {
	Name string        `json:"name"`
	Seen uint64        `json:"seen"`
	Last attune.Millis `json:"last"`
}

// CatalogHealth counts the items that lack what pages show.
type CatalogHealth struct {
	Items      int `json:"items"`
	Available  int `json:"available"`
	NoName     int `json:"no_name"`
	NoPrice    int `json:"no_price"`
	NoCategory int `json:"no_category"`
	NoImage    int `json:"no_image"`
	// Looked is how many were looked at.
	Looked int `json:"looked"`
}

// IdentityHealth counts events by the ids they carry.
type IdentityHealth struct {
	Anonymous uint64 `json:"anonymous"` // an anonymousId alone
	Known     uint64 `json:"known"`     // a userId alone
	Both      uint64 `json:"both"`      // both: these link devices to users
	Bots      uint64 `json:"bots"`
	Denied    uint64 `json:"denied"`
	NoID      uint64 `json:"no_id"` // refused: no id, or one that stands for none
}
