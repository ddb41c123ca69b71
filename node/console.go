package node

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/console"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/recommend"
)

// mountConsole adds the console to mux. Its streams end with ctx.
func (n *Node) mountConsole(ctx context.Context, mux *http.ServeMux) {
	h := console.New(console.Options{
		Secrets: func() []string { return n.browser.Load().Secrets },
		Dev:     n.cfg.Load().Dev, Clock: n.clock, Meter: n.meter,
		Status: &status{n: n}, Live: lookers{n}, People: finder{n}, Decider: trier{n},
		TrustProxy: n.cfg.Load().TrustProxy, Done: ctx.Done(), Log: n.log,
	})
	mux.Handle("/console", h)
	mux.Handle("/console/", h)
}

// counted tells the console's meter what the metrics are told.
type counted struct {
	*metrics

	meter *console.Meter
}

// Accepted counts events that are durable.
func (c counted) Accepted(source string, events int) {
	c.metrics.Accepted(source, events)
	c.meter.Accepted(events)
}

// Rejected counts events that were refused.
func (c counted) Rejected(source, code string, events int) {
	c.metrics.Rejected(source, code, events)
	noID := 0
	if code == collect.CodeNoID || code == collect.CodeJunkID {
		noID = events
	}
	c.meter.Rejected(events, noID)
}

// Refused counts requests that were turned away whole.
func (c counted) Refused(status int) {
	c.metrics.Refused(status)
	c.meter.Refused()
}

// Decided counts an answered placement.
func (c counted) Decided(placement, reason string, took time.Duration) {
	c.metrics.Decided(placement, reason, took)
	c.meter.Decided(placement, reason, took)
}

// Dropped counts a decision the log had no room for.
func (c counted) Dropped() {
	c.metrics.Dropped()
	c.meter.Dropped()
}

// Streams says how many streams are open.
func (c counted) Streams(open int64) {
	c.metrics.Streams(open)
	c.meter.Streams(open)
}

// lookers is the window on events as the console asks for it.
type lookers struct{ n *Node }

func (l lookers) Recent(limit int) []attune.Event { return l.n.live.recent(limit) }

func (l lookers) Watch() (events <-chan attune.Event, stop func()) { return l.n.live.watch() }

func (l lookers) DeadLetters(limit int) (letters []console.DeadLetter, total uint64) {
	for _, d := range l.n.collector.DeadLetters(limit) {
		letters = append(letters, console.DeadLetter{
			Time: d.Time, Source: d.Source, Reason: d.Reason, Code: d.Code, MessageID: d.MessageID, Raw: d.Raw,
		})
	}
	return letters, l.n.meter.Totals().Rejected
}

// finder finds and reads persons for the console.
type finder struct{ n *Node }

func (f finder) Recent(limit int) []console.Known { return f.n.live.lately(limit) }

// errEnough ends a scan.
var errEnough = errors.New("enough")

// Search looks through the checkpointed parts, which are a second behind, and
// before them at the exact id.
func (f finder) Search(ctx context.Context, prefix string, limit int) ([]console.Known, error) {
	var found []console.Known
	add := func(key string) error {
		if !slices.ContainsFunc(found, func(k console.Known) bool { return k.Key == key }) {
			found = append(found, console.Known{Key: key})
		}
		if len(found) >= limit {
			return errEnough
		}
		return nil
	}
	kinds := []string{identity.UserKey(""), identity.DeviceKey("")}
	for _, kind := range kinds {
		if rest, ok := strings.CutPrefix(prefix, kind); ok {
			kinds, prefix = []string{kind}, rest
			break
		}
	}
	for _, kind := range kinds {
		known := false
		err := f.n.parts.View(ctx, kind+prefix, func(p *profile.Part) { known = p.Known() })
		if err != nil {
			return nil, err
		}
		if known {
			found = append(found, console.Known{Key: kind + prefix})
		}
	}
	if len(found) >= limit {
		return f.dated(found[:limit]), nil
	}
	for _, kind := range kinds {
		err := f.n.parts.Keys(ctx, kind+prefix, add)
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return f.dated(found), nil
}

// dated fills in when those who were here lately were here.
func (f finder) dated(found []console.Known) []console.Known {
	for _, k := range f.n.live.lately(maxRecent) {
		for i := range found {
			if found[i].Key == k.Key {
				found[i] = k
			}
		}
	}
	return found
}

func (f finder) read(ctx context.Context, key string) (*profile.Person, error) {
	_, user := identity.User(key)
	_, device := identity.Device(key)
	if !user && !device {
		return nil, attune.ErrInvalid
	}
	return f.n.people.Read(ctx, key)
}

func (f finder) Person(ctx context.Context, key string) (*console.Person, error) {
	p, err := f.read(ctx, key)
	if err != nil {
		return nil, err
	}
	if !p.Known() {
		return nil, attune.ErrNotFound
	}
	now := f.n.clock()
	v := &console.Person{
		Key: p.Key, Canonical: p.Canonical, Version: p.Version, FirstSeen: p.First(), LastSeen: p.Last(),
		Traits: p.Traits(), Segments: segments(f).Segments(p, now), Identities: []console.Identity{}, Features: []console.Feature{},
	}
	for _, id := range p.Identities {
		v.Identities = append(v.Identities, console.Identity(id))
	}
	for _, d := range p.Features().Definitions() {
		v.Features = append(v.Features, console.Feature{Name: d.Name, Kind: d.Kind, Value: p.Feature(d.Name, now)})
	}
	if v.Segments == nil {
		v.Segments = []string{}
	}
	if c := p.Consent(); c.Time != 0 {
		shown := map[string]any{"personalization": c.Granted, "at": c.Time.String()}
		if json.Valid([]byte(c.Categories)) {
			shown["categories"] = json.RawMessage(c.Categories)
		}
		v.Consent, err = json.Marshal(shown)
	}
	return v, err
}

func (f finder) Events(ctx context.Context, key string, limit int) ([]json.RawMessage, error) {
	p, err := f.read(ctx, key)
	if err != nil {
		return nil, err
	}
	if !p.Known() {
		return nil, attune.ErrNotFound
	}
	return histories(f).Events(ctx, p, limit)
}

// trier decides for the console's eyes alone.
type trier struct{ n *Node }

func (t trier) Try(ctx context.Context, key string, ask attune.Ask) (answer *attune.Answer, micros int64, err error) {
	p, err := finder(t).read(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	now, start := t.n.clock(), time.Now()
	q := &recommend.Query{
		Placement: ask.ID, Person: p, Segments: segments(t).Segments(p, now), Now: now, Seed: attune.Hash(key),
		Limit: ask.Limit, Item: ask.Item, Items: ask.Items, Text: ask.Query, Explain: true,
		Micros: func() int64 { return time.Since(start).Microseconds() },
	}
	if answer = t.n.engine.Load().Decide(q); answer == nil {
		return nil, 0, attune.ErrNotFound
	}
	return answer, time.Since(start).Microseconds(), nil
}

// status says how the node is. What costs is looked at seldom, and only while
// somebody asks.
type status struct {
	n *Node

	mu      sync.Mutex
	gauges  console.Gauges
	disks   time.Time     // when disks were looked at
	people  time.Time     // when people were counted
	counted time.Duration // how long that took
	catalog console.CatalogHealth
	items   time.Time
}

const (
	diskPause  = 5 * time.Second
	countShare = 200 // of this many parts of time, counting people takes one
	countLimit = 5_000_000
)

func (s *status) Gauges(ctx context.Context) console.Gauges {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.disks) > diskPause {
		dir := s.n.cfg.Load().DataDir
		s.gauges.JournalBytes, s.gauges.ProfileBytes = diskUse(filepath.Join(dir, "journal")), diskUse(filepath.Join(dir, "profiles"))
		s.disks = time.Now()
	}
	if time.Since(s.people) > max(2*time.Second, countShare*s.counted) {
		start := time.Now()
		s.gauges.Users = s.count(ctx, identity.UserKey(""))
		s.gauges.Devices = s.count(ctx, identity.DeviceKey(""))
		s.people, s.counted = time.Now(), time.Since(start)
	}
	g := s.gauges
	parts := s.n.parts.Stats()
	g.PartsMemory, g.PartsBytes = int64(parts.Parts), parts.Bytes
	g.Items, g.Corrupt = int64(s.n.catalog.Len()), int64(s.n.pipeline.Corrupt()) //nolint:gosec // small
	g.UptimeMS = time.Since(s.n.start).Milliseconds()
	return g
}

// count returns how many parts on disk have a key that begins with kind, -1
// when that cannot be known. s.mu is held.
func (s *status) count(ctx context.Context, kind string) int64 {
	var c int64
	err := s.n.parts.Keys(ctx, kind, func(string) error {
		if c++; c >= countLimit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		s.n.log.Warn("count people for the console", slog.Any("error", err))
		return -1
	}
	return c
}

// diskUse returns what the files under dir take, -1 when that cannot be known.
func diskUse(dir string) int64 {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a file that was there a moment ago
			}
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	if err != nil {
		return -1
	}
	return total
}

func (s *status) Setup() console.Setup {
	cfg := s.n.cfg.Load()
	v := console.Setup{Dev: cfg.Dev, Version: version(), Sources: []console.Source{}, Placements: s.n.engine.Load().Placements()}
	keys := cfg.EffectiveKeys()
	for i := range keys.Sources {
		if k := &keys.Sources[i]; k.On() {
			v.Sources = append(v.Sources, console.Source{ID: k.ID, Name: k.Name, WriteKey: k.WriteKey})
		}
	}
	return v
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// Placements returns the totals of every placement that is configured, and of
// those that events named.
func (s *status) Placements() []console.PlacementTotals {
	by := map[string]console.PlacementTotals{}
	for _, name := range s.n.engine.Load().Placements() {
		by[name] = console.PlacementTotals{Placement: name}
	}
	for _, c := range s.n.models.Items.Placements() {
		by[c.Placement] = console.PlacementTotals{
			Placement: c.Placement, Impressions: c.Impressions, Clicks: c.Clicks, Conversions: c.Conversions,
		}
	}
	out := make([]console.PlacementTotals, 0, len(by))
	for _, p := range by {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b console.PlacementTotals) int { return strings.Compare(a.Placement, b.Placement) })
	return out
}

// Segments returns the audiences with their sizes.
func (s *status) Segments() []console.Segment {
	cfg, sizes := s.n.cfg.Load(), s.n.Members()
	out := make([]console.Segment, 0, len(cfg.Segments))
	for _, d := range cfg.Segments {
		out = append(out, console.Segment{Name: d.Name, Description: d.Description, When: d.When, Members: sizes[d.Name]})
	}
	return out
}
