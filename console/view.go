package console

import (
	"encoding/json"

	"github.com/attune-io/attune"
)

// Gauges are figures of one moment; -1 is not known.
type Gauges struct {
	Users        int64 `json:"users"`
	Devices      int64 `json:"devices"`
	PartsMemory  int64 `json:"parts_memory"`
	PartsBytes   int64 `json:"parts_bytes"`
	Items        int64 `json:"items"`
	JournalBytes int64 `json:"journal_bytes"`
	ProfileBytes int64 `json:"profile_bytes"`
	Corrupt      int64 `json:"corrupt"`
	UptimeMS     int64 `json:"uptime_ms"`
}

// Setup is what the pages know of the configuration.
type Setup struct {
	Dev        bool     `json:"dev"`
	Version    string   `json:"version"`
	Sources    []Source `json:"sources"`
	Placements []string `json:"placements"`
}

// Source is a source that can send, with its write key: that one is readable
// in every page anyway.
type Source struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	WriteKey string `json:"write_key"`
}

// PlacementTotals are what became of one placement's answers, ever since the
// data directory was made.
type PlacementTotals struct {
	Placement   string `json:"placement"`
	Impressions int64  `json:"impressions"`
	Clicks      int64  `json:"clicks"`
	Conversions int64  `json:"conversions"`
}

// DeadLetter is an event, or a whole request, that was refused for good.
type DeadLetter struct {
	Time      attune.Millis `json:"time"`
	Source    string        `json:"source"`
	Reason    string        `json:"reason"`
	Code      string        `json:"code"`
	MessageID string        `json:"message_id"`
	Raw       string        `json:"raw"`
}

// Known is somebody in a list.
type Known struct {
	Key      string        `json:"key"` // u:<userId> or a:<anonymousId>
	LastSeen attune.Millis `json:"last_seen,omitempty"`
	Last     string        `json:"last,omitempty"` // name of the last event
}

// Person is what is known of one human.
type Person struct {
	Key        string          `json:"key"`
	Canonical  string          `json:"canonical,omitempty"`
	Version    uint64          `json:"version"`
	FirstSeen  attune.Millis   `json:"first_seen"`
	LastSeen   attune.Millis   `json:"last_seen"`
	Identities []Identity      `json:"identities"`
	Traits     map[string]any  `json:"traits"`
	Features   []Feature       `json:"features"` // in order of their definitions
	Segments   []string        `json:"segments"`
	Consent    json.RawMessage `json:"consent,omitempty"`
}

// Identity is one id of a person.
type Identity struct {
	Type     string        `json:"type"` // user_id or anonymous_id
	ID       string        `json:"id"`
	Verified bool          `json:"verified"`
	LastSeen attune.Millis `json:"last_seen,omitempty"`
}

// Feature is a feature with its value of this moment, nil when there is none.
type Feature struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Value any    `json:"value"`
}

// Segment is an audience.
type Segment struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	When        string `json:"when"`
	Members     int    `json:"members"`
}
