// Package config is everything that can be set, in one struct: Default says
// what holds without a file, Parse reads one, Validate finds what is wrong.
//
// A file is YAML, and its shape is config/schema.json, which editors read too.
// Every fault is found at once, each with its line, its path, and the name that
// was probably meant; what is well-formed of a faulty file is still read, so
// that one typing error does not hide the next. A configuration with a fault is
// never to be used: the caller keeps the one it has.
//
// The package does no I/O: bytes, environment and randomness are handed to it.
package config

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/transform"
	"github.com/attune-io/attune/destination"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/segment"
)

// Config is everything that can be set. The comments of the fields say what
// zero means where it is not the default.
type Config struct {
	// Listen is the address of the public API.
	Listen string `yaml:"listen" json:"listen"`
	// AdminListen is the address of metrics and pprof; "" is none.
	AdminListen string `yaml:"admin_listen" json:"admin_listen"`
	// DataDir holds all state.
	DataDir string `yaml:"data_dir" json:"data_dir"`
	// Dev adds well-known keys and refuses to listen beyond loopback.
	Dev bool `yaml:"dev" json:"dev"`
	// Workspace is written into every record; "" is the default one.
	Workspace string `yaml:"workspace" json:"workspace"`
	// Partitions of the journal. To change it is a migration.
	Partitions int `yaml:"partitions" json:"partitions"`
	// TrustProxy believes X-Forwarded-For and its kin.
	TrustProxy bool `yaml:"trust_proxy" json:"trust_proxy"`

	Keys     Keys     `yaml:"keys"     json:"keys"`
	Identity Identity `yaml:"identity" json:"identity"`
	Limits   Limits   `yaml:"limits"   json:"limits"`
	Journal  Journal  `yaml:"journal"  json:"journal"`
	Profiles Profiles `yaml:"profiles" json:"profiles"`

	Search Search `yaml:"search" json:"search"`

	// Defaults switch the built-in features and placements.
	Defaults Defaults `yaml:"defaults" json:"defaults"`
	// Entities are what features can be kept of, beside the built-in scopes.
	Entities []Entity `yaml:"entities" json:"entities"`
	// Features are the own ones; one named as a built-in replaces it.
	Features []feature.Definition `yaml:"features" json:"features"`
	Segments []segment.Definition `yaml:"segments" json:"segments"`
	// Placements by name; one named as a built-in replaces it.
	Placements map[string]recommend.Placement `yaml:"placements" json:"placements"`

	// Collect says what is made of events as they come in.
	Collect Collect `yaml:"collect" json:"collect"`

	// Feeds are read on a schedule, and their items kept as they say.
	Feeds []Feed `yaml:"feeds" json:"feeds,omitempty"`

	// Destinations are told what people enter and leave.
	Destinations []destination.Definition `yaml:"destinations" json:"destinations"`

	Clock Clock `yaml:"clock" json:"clock"`
	Log   Log   `yaml:"log"   json:"log"`

	// file says where in the file each path is; nil without a file.
	file *file
}

// Keys say who may write and who may read.
type Keys struct {
	Sources []Source `yaml:"sources" json:"sources"`
	// ServerSecrets read and write everything. Several are valid at once, so
	// that one can be replaced without a pause.
	ServerSecrets []string `yaml:"server_secrets" json:"server_secrets"`
	// UserTokenSecrets are those with which the customer's own server signs
	// user tokens.
	UserTokenSecrets []string `yaml:"user_token_secrets" json:"user_token_secrets"`
	// VisitorSecret signs visitor tokens. To change it makes every visitor new.
	VisitorSecret string `yaml:"visitor_secret" json:"visitor_secret"`
}

// Source is where events come from: a site, an app, a server.
type Source struct {
	ID   string `yaml:"id"   json:"id"`
	Name string `yaml:"name" json:"name"`
	// WriteKey may be read by everyone who opens the page.
	WriteKey string `yaml:"write_key" json:"write_key"`
	// Enabled is nil for true.
	Enabled *bool `yaml:"enabled" json:"enabled,omitempty"`
	// Origins that may send from a page, as "https://shop.example"; none is all.
	Origins []string `yaml:"origins" json:"origins"`
	// RateLimit is in events a second; 0 is none.
	RateLimit float64 `yaml:"rate_limit" json:"rate_limit"`
	// Transform changes its events as they come in.
	Transform []transform.Step `yaml:"transform" json:"transform,omitempty"`
	// Plan names one of Collect.Plans; "" is none.
	Plan string `yaml:"plan" json:"plan,omitempty"`
	// Violations of the plan are allowed ("" too) or dropped.
	Violations string `yaml:"violations" json:"violations,omitempty"`
}

// On reports whether the source is enabled.
func (s *Source) On() bool { return s.Enabled == nil || *s.Enabled }

// The ways a device's link to a user is accepted.
const (
	LinksClaimed  = "claimed"
	LinksVerified = "verified"
)

// Identity says who is believed to be who, and what counts as consent.
type Identity struct {
	// Links: claimed accepts a link when the anonymousId is a UUID, which only
	// that browser knows; verified asks for a proof.
	Links string `yaml:"links" json:"links"`
	// SecGPC takes the header Sec-GPC: 1 for a denial of personalization.
	SecGPC bool `yaml:"sec_gpc" json:"sec_gpc"`
	// ConsentCategories allow personalization; none is the well-known names.
	ConsentCategories []string `yaml:"consent_categories" json:"consent_categories"`
	// ExternalIDs are the kinds of external ids that are taken from events.
	ExternalIDs []ExternalID `yaml:"external_ids" json:"external_ids,omitempty"`
}

// ExternalID is a kind of external ids.
type ExternalID struct {
	Type   string   `yaml:"type"   json:"type"`
	Traits []string `yaml:"traits" json:"traits,omitempty"`
}

// Limits bound what requests may cost.
type Limits struct {
	RequestBytes Size `yaml:"request_bytes" json:"request_bytes"` // of a body, inflated
	EventBytes   Size `yaml:"event_bytes"   json:"event_bytes"`
	BatchEvents  int  `yaml:"batch_events"  json:"batch_events"`
	// PendingBytes are those that are read but not yet durable.
	PendingBytes Size `yaml:"pending_bytes" json:"pending_bytes"`
	// LagEvents are those that are durable but not yet folded; beyond, new
	// ones are asked to come later.
	LagEvents   int64 `yaml:"lag_events"   json:"lag_events"`
	DeadLetters int   `yaml:"dead_letters" json:"dead_letters"`
}

// KindDisk is the embedded backend.
const KindDisk = "disk"

// Journal says how records are kept.
type Journal struct {
	Kind string `yaml:"kind" json:"kind"`
	// Retention by the time of appending; 0 keeps everything.
	Retention feature.Duration `yaml:"retention" json:"retention"`
	// TailBytes of the newest records stay in memory for readers.
	TailBytes Size `yaml:"tail_bytes" json:"tail_bytes"`
}

// Profiles says how parts and people are kept.
type Profiles struct {
	Kind       string `yaml:"kind"        json:"kind"`
	CacheBytes Size   `yaml:"cache_bytes" json:"cache_bytes"`
	// Checkpoint is the pause between two writes of what changed.
	Checkpoint feature.Duration `yaml:"checkpoint" json:"checkpoint"`
	// UnclaimedTTL is how long history that is nobody's is kept after the last
	// event of its device; 0 keeps it for ever.
	UnclaimedTTL feature.Duration `yaml:"unclaimed_ttl" json:"unclaimed_ttl"`
}

// Defaults switch what is built in.
type Defaults struct {
	Features   bool `yaml:"features"   json:"features"`
	Placements bool `yaml:"placements" json:"placements"`
}

// Clock can hold time still, for tests and demos.
type Clock struct {
	// AsOf is an instant in RFC 3339; "" is the real clock.
	AsOf string `yaml:"as_of" json:"as_of"`
}

// Now returns the instant of AsOf, 0 for the real clock or an AsOf that
// Validate refuses.
func (c Clock) Now() attune.Millis {
	t, err := time.Parse(time.RFC3339, c.AsOf)
	if err != nil {
		return 0
	}
	return attune.MillisOf(t)
}

// Log says what is logged, and how.
type Log struct {
	Level  string `yaml:"level"  json:"level"`
	Format string `yaml:"format" json:"format"`
}

// The keys of a server in dev.
const (
	DevWriteKey     = "dev"
	DevServerSecret = "dev-secret"
)

// Default returns the configuration without a file. It is valid but for its
// keys: it has none, so it starts only with Dev.
func Default() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		AdminListen: "127.0.0.1:8081",
		DataDir:     "attune-data",
		Partitions:  4,
		Identity:    Identity{Links: LinksClaimed},
		Limits: Limits{
			RequestBytes: 4 << 20, EventBytes: 64 << 10, BatchEvents: 20_000,
			PendingBytes: 256 << 20, LagEvents: 1_000_000, DeadLetters: 10_000,
		},
		Journal:  Journal{Kind: KindDisk, TailBytes: 64 << 20},
		Profiles: Profiles{Kind: KindDisk, CacheBytes: 256 << 20, Checkpoint: feature.Duration(time.Second), UnclaimedTTL: feature.Duration(90 * 24 * time.Hour)},
		Search:   defaultSearch(),
		Defaults: Defaults{Features: true, Placements: true},
		Log:      Log{Level: "info", Format: "json"},
	}
}

// EffectiveKeys returns the keys with those of dev added, when Dev is set.
func (c *Config) EffectiveKeys() Keys {
	k := c.Keys
	if !c.Dev {
		return k
	}
	k.Sources = append(slices.Clip(k.Sources),
		Source{ID: "dev", Name: "Development", WriteKey: DevWriteKey})
	k.ServerSecrets = append(slices.Clip(k.ServerSecrets), DevServerSecret)
	if len(k.UserTokenSecrets) == 0 {
		k.UserTokenSecrets = []string{DevServerSecret}
	}
	if k.VisitorSecret == "" {
		k.VisitorSecret = "dev-visitor-secret"
	}
	return k
}

// Size is a number of bytes. In YAML it is a whole number, or a text with a
// unit: 64KB, 4MB, 1GB (KiB, MiB and GiB mean the same: powers of 1,024).
type Size int64

// UnmarshalYAML reads a Size.
func (s *Size) UnmarshalYAML(unmarshal func(any) error) error {
	var n int64
	if err := unmarshal(&n); err == nil {
		*s = Size(n)
		return nil
	}
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	v, err := ParseSize(text)
	*s = v
	return err
}

// MarshalYAML writes what UnmarshalYAML reads. The error is always nil.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// String returns s with the largest unit that leaves it whole.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if n := Size(1) << u.shift; s >= n && s%n == 0 {
			return strconv.FormatInt(int64(s/n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

type sizeUnit struct {
	name  string
	shift uint
}

func sizeUnits() []sizeUnit { return []sizeUnit{{"TB", 40}, {"GB", 30}, {"MB", 20}, {"KB", 10}} }

// ParseSize reads a Size.
func ParseSize(text string) (Size, error) {
	upper := strings.ToUpper(strings.TrimSpace(text))
	number, shift := strings.TrimSuffix(upper, "B"), uint(0)
	for _, u := range sizeUnits() {
		for _, suffix := range []string{u.name, u.name[:1] + "IB", u.name[:1]} {
			if rest, ok := strings.CutSuffix(upper, suffix); ok && shift == 0 {
				number, shift = rest, u.shift
			}
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > int64(1)<<(62-shift) {
		return 0, fmt.Errorf("size %q: want a number of bytes, or one with KB, MB or GB: %w", text, attune.ErrInvalid)
	}
	return Size(n << shift), nil
}

// Starter returns the file that `attune init` writes: commented, with fresh
// keys. An error is that of random.
func Starter(random io.Reader) ([]byte, error) {
	s := starterText
	for _, key := range []struct{ mark, prefix string }{
		{"@WRITE_KEY@", "wk_"}, {"@SERVER_SECRET@", "sk_"}, {"@USER_SECRET@", "ut_"}, {"@VISITOR_SECRET@", "vs_"},
	} {
		fresh, err := NewKey(random, key.prefix)
		if err != nil {
			return nil, err
		}
		s = strings.ReplaceAll(s, key.mark, fresh)
	}
	return []byte(s), nil
}
