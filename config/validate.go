package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune/feature"
)

// Validate returns every fault of c that Parse cannot see: what values mean,
// and whether features, segments and placements compile. The error is Faults.
func (c *Config) Validate() error {
	v := validation{c: c}
	v.addresses()
	v.keys()
	v.bounds()
	v.bots()
	v.destinations()
	v.feeds()
	v.search()
	v.entities()
	for _, n := range []struct {
		path string
		n    int
	}{{"features", len(c.Features)}, {"segments", len(c.Segments)}, {"placements", len(c.Placements)}} {
		if n.n > maxDefinitions {
			v.fault(n.path, "there are %d; want at most %d", n.n, maxDefinitions)
			return v.faults.err() // compiling them all would take long
		}
	}
	_, err := c.Compile()
	return Join(v.c.fresh(v.faults).err(), err)
}

// validation gathers faults.
type validation struct {
	c      *Config
	faults Faults
}

func (v *validation) fault(path, format string, args ...any) {
	v.faults = append(v.faults, v.c.fault(path, format, args...))
}

func (v *validation) addresses() {
	for _, a := range []struct {
		path, address string
		optional      bool
	}{{"listen", v.c.Listen, false}, {"admin_listen", v.c.AdminListen, true}} {
		if a.address == "" && a.optional {
			continue
		}
		host, port, err := net.SplitHostPort(a.address)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n > 65535 {
			v.fault(a.path, "%q: want an address like 127.0.0.1:8080 or :8080", a.address)
			continue
		}
		if v.c.Dev && !loopback(host) {
			v.fault(a.path, "%q: with dev everybody knows the keys, so it listens on loopback only; want 127.0.0.1:%s", a.address, port)
		}
	}
	if v.c.Listen == v.c.AdminListen && !strings.HasSuffix(v.c.Listen, ":0") {
		v.fault("admin_listen", "%q is the address of the public API too; want another port", v.c.AdminListen)
	}
	if v.c.DataDir == "" {
		v.fault("data_dir", "is empty; name the folder of all state")
	}
}

// loopback reports whether host is this machine alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// minSecret is the shortest secret that is accepted, in bytes.
const minSecret = 16

func (v *validation) keys() {
	k := &v.c.Keys
	if !v.c.Dev && len(k.Sources) == 0 && len(k.ServerSecrets) == 0 && v.c.whole("keys") {
		v.fault("keys", "there are none, so nobody could write or read; run `attune init` for a file with fresh ones, or try it out with --dev")
		return
	}
	if !v.c.Dev && len(k.ServerSecrets) == 0 && v.c.whole("keys.server_secrets") {
		v.fault("keys.server_secrets", "there is none; `attune init` writes a file with a fresh one")
	}
	if !v.c.Dev && k.VisitorSecret == "" {
		v.fault("keys.visitor_secret", "there is none, so no device could be recognized; `attune init` writes a file with a fresh one")
	}
	seen := map[string]string{}
	for i := range k.Sources {
		v.source(i, seen)
	}
	for i, s := range k.ServerSecrets {
		v.secret(fmt.Sprintf("keys.server_secrets[%d]", i), s, seen)
	}
	for i, s := range k.UserTokenSecrets {
		v.secret(fmt.Sprintf("keys.user_token_secrets[%d]", i), s, seen)
	}
	if k.VisitorSecret != "" {
		v.secret("keys.visitor_secret", k.VisitorSecret, seen)
	}
}

// whole reports whether Parse refused nothing at path, above it or below.
func (c *Config) whole(path string) bool {
	if c.file == nil {
		return true
	}
	for p := range c.file.faulty {
		if within(p, path) || within(path, p) {
			return false
		}
	}
	return true
}

// within reports whether path is parent or something below it.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// source checks keys.sources[i]; seen holds the keys and ids so far.
func (v *validation) source(i int, seen map[string]string) {
	s := &v.c.Keys.Sources[i]
	path := fmt.Sprintf("keys.sources[%d]", i)
	switch other, twice := seen["id "+s.ID]; {
	case s.ID == "":
		v.fault(path+".id", "is empty")
	case twice:
		v.fault(path+".id", "%q is the id of %s too", s.ID, other)
	default:
		seen["id "+s.ID] = path
	}
	if s.WriteKey == "" {
		v.fault(path+".write_key", "is empty; `attune init` writes a file with a fresh one")
	} else {
		v.unique(path+".write_key", s.WriteKey, seen)
	}
	for j, origin := range s.Origins {
		u, err := url.Parse(strings.Replace(origin, "*.", "", 1))
		if origin != "*" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			v.fault(fmt.Sprintf("%s.origins[%d]", path, j), "%q: want an origin like https://shop.example, https://*.shop.example or *", origin)
		}
	}
}

func (v *validation) secret(path, s string, seen map[string]string) {
	if !reference(s) && len(s) < minSecret {
		v.fault(path, "has %d bytes, which can be guessed; want at least %d", len(s), minSecret)
	}
	v.unique(path, s, seen)
}

// unique refuses a value that is at another path too: a secret that is a write
// key as well is no secret. The value itself is never part of a fault.
func (v *validation) unique(path, s string, seen map[string]string) {
	if other, twice := seen["key "+s]; twice {
		v.fault(path, "is the same as %s; every key has to be different", other)
		return
	}
	seen["key "+s] = path
}

func (v *validation) bounds() {
	c := v.c
	if c.Limits.EventBytes > c.Limits.RequestBytes {
		v.fault("limits.event_bytes", "%s is more than request_bytes, %s", c.Limits.EventBytes, c.Limits.RequestBytes)
	}
	if c.Limits.PendingBytes < c.Limits.RequestBytes {
		v.fault("limits.pending_bytes", "%s is less than request_bytes, %s: no such request could be read", c.Limits.PendingBytes, c.Limits.RequestBytes)
	}
	if c.Limits.EventBytes < 1<<10 {
		v.fault("limits.event_bytes", "%s is less than any real event; want at least 1KB", c.Limits.EventBytes)
	}
	if p := time.Duration(c.Profiles.Checkpoint); p < 10*time.Millisecond || p > time.Hour {
		v.fault("profiles.checkpoint", "%s: want 10ms to 1h", c.Profiles.Checkpoint)
	}
	if k := c.Profiles.UnclaimedTTL; k != 0 && k < feature.Duration(time.Hour) {
		v.fault("profiles.unclaimed_ttl", "%s: want at least 1h, or 0 for ever", k)
	}
	if r := c.Journal.Retention; r != 0 && r < feature.Duration(24*time.Hour) {
		v.fault("journal.retention", "%s: want at least 1d (repeats are recognized for a day), or 0 for ever", r)
	}
	if c.Partitions < 1 || c.Partitions > 256 {
		v.fault("partitions", "%d: want 1 to 256", c.Partitions)
	}
	if c.Clock.AsOf != "" {
		if _, err := time.Parse(time.RFC3339, c.Clock.AsOf); err != nil {
			v.fault("clock.as_of", "%q: want an instant like 2026-03-01T12:00:00Z", c.Clock.AsOf)
		}
	}
	v.oneOf("journal.kind", c.Journal.Kind, KindDisk)
	v.oneOf("profiles.kind", c.Profiles.Kind, KindDisk)
	v.oneOf("identity.links", c.Identity.Links, LinksClaimed, LinksVerified)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "json", "text")
}

func (v *validation) oneOf(path, got string, want ...string) {
	if !slices.Contains(want, got) {
		v.fault(path, "unknown value %q; want %s", got, choice(want))
	}
}
