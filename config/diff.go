package config

import (
	"encoding/json"
	"slices"
)

// Effect says what it takes to apply a change.
type Effect string

// The effects, from the lightest to the heaviest.
const (
	// Live: from the next request on.
	Live Effect = "live"
	// Rebuild: what is computed of people changes, which takes a replay to fill.
	Rebuild Effect = "rebuild"
	// Restart: when the process starts next.
	Restart Effect = "restart"
	// Migrate: not on this data directory; it takes a replay into a new one.
	Migrate Effect = "migrate"
)

// Change is one part of the configuration that differs.
type Change struct {
	Path   string `json:"path"`
	Effect Effect `json:"effect"`
}

// Diff returns what differs from old to next, in the order of the file, without
// the values: some are secret.
func Diff(old, next *Config) []Change {
	var changes []Change
	for _, part := range []struct {
		path   string
		effect Effect
		of     func(*Config) any
	}{
		{"listen", Restart, func(c *Config) any { return c.Listen }},
		{"admin_listen", Restart, func(c *Config) any { return c.AdminListen }},
		{"data_dir", Restart, func(c *Config) any { return c.DataDir }},
		{"dev", Restart, func(c *Config) any { return c.Dev }},
		{"workspace", Restart, func(c *Config) any { return c.Workspace }},
		{"partitions", Migrate, func(c *Config) any { return c.Partitions }},
		{"trust_proxy", Restart, func(c *Config) any { return c.TrustProxy }},
		{"keys", Live, func(c *Config) any { return []any{c.Keys.Sources, c.Keys.ServerSecrets} }},
		{"keys.user_token_secrets", Restart, func(c *Config) any { return c.Keys.UserTokenSecrets }},
		{"keys.visitor_secret", Restart, func(c *Config) any { return c.Keys.VisitorSecret }},
		{"identity", Restart, func(c *Config) any { return c.Identity }},
		{"limits", Restart, func(c *Config) any { return c.Limits }},
		{"journal", Restart, func(c *Config) any { return c.Journal }},
		{"profiles", Restart, func(c *Config) any {
			p := c.Profiles
			p.UnclaimedTTL = 0
			return p
		}},
		{"profiles.unclaimed_ttl", Live, func(c *Config) any { return c.Profiles.UnclaimedTTL }},
		{"search", Restart, func(c *Config) any { return c.Search }},
		{"entities", Rebuild, func(c *Config) any { return c.Entities }},
		{"features", Rebuild, func(c *Config) any { return c.AllFeatures() }},
		{"segments", Live, func(c *Config) any { return c.Segments }},
		{"placements", Live, func(c *Config) any { return []any{c.Defaults.Placements, c.Placements} }},
		{"collect.plans", Live, func(c *Config) any { return c.Collect.Plans }},
		{"collect.geo", Restart, func(c *Config) any { return c.Collect.Geo }},
		{"collect.bots", Restart, func(c *Config) any { return c.Collect.Bots }},
		{"feeds", Restart, func(c *Config) any { return c.Feeds }},
		{"destinations", Live, func(c *Config) any { return c.Destinations }},
		{"clock", Restart, func(c *Config) any { return c.Clock }},
		{"log.level", Live, func(c *Config) any { return c.Log.Level }},
		{"log.format", Restart, func(c *Config) any { return c.Log.Format }},
	} {
		if !same(part.of(old), part.of(next)) {
			changes = append(changes, Change{Path: part.path, Effect: part.effect})
		}
	}
	return changes
}

// Reloadable reports whether every change of list applies without a restart.
func Reloadable(list []Change) bool {
	return !slices.ContainsFunc(list, func(c Change) bool { return c.Effect == Restart || c.Effect == Migrate })
}

// same compares by JSON, in which maps are sorted. What has no JSON (a number
// that is not finite) differs from everything.
func same(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}
