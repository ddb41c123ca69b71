package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// profileView is the answer of GET /v1/profiles/{key}.
type profileView struct {
	Key        string         `json:"key"`
	Version    uint64         `json:"version"`
	Canonical  string         `json:"canonical,omitempty"`
	Identities []identityView `json:"identities"`
	Traits     map[string]any `json:"traits"`
	Features   map[string]any `json:"features"`
	Segments   []string       `json:"segments"`
	Consent    *consentView   `json:"consent,omitempty"`
	FirstSeen  string         `json:"first_seen,omitempty"`
	LastSeen   string         `json:"last_seen,omitempty"`
}

// identityView is an id of a person's. LastSeen is the day, of a device.
type identityView struct {
	Type     string `json:"type"`
	ID       string `json:"id"`
	Verified bool   `json:"verified"`
	LastSeen string `json:"last_seen,omitempty"`
}

type consentView struct {
	Personalization bool            `json:"personalization"`
	Categories      json.RawMessage `json:"categories,omitempty"`
	At              string          `json:"at"`
}

// whose reads the person a profile route names: u:<userId>, a:<anonymousId> or
// x:<type>:<value>, an external id of hers.
func (s *Server) whose(r *http.Request) (*profile.Person, error) {
	key := r.PathValue("key")
	var who subject
	if user, ok := identity.User(key); ok {
		who.user = user
	} else if device, ok := identity.Device(key); ok {
		who.device = device
	} else {
		user, err := s.holder(r, key)
		if err != nil {
			return nil, err
		}
		who.user = user
	}
	if err := identity.CheckID(who.user + who.device); err != nil {
		return nil, invalid("key", attune.Message(err))
	}
	p, err := s.read(r.Context(), who)
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", key, err)
	}
	if p.Empty() {
		return nil, deny(attune.ErrNotFound, "nothing was ever heard of "+strconv.Quote(clip(key)))
	}
	return p, nil
}

func (s *Server) serveProfile(w http.ResponseWriter, r *http.Request, _ *caller) error {
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	now := s.o.Clock()
	v := profileView{
		Key: p.Key, Version: p.Version, Canonical: p.Canonical, Identities: make([]identityView, 0, len(p.Identities)),
		Traits: traitsOf(p), Features: featuresOf(p, now), Segments: s.segmentsOf(p, now),
		FirstSeen: instant(p.First()), LastSeen: instant(p.Last()),
	}
	for _, id := range p.Identities {
		v.Identities = append(v.Identities, identityView{Type: id.Type, ID: id.ID, Verified: id.Verified, LastSeen: instant(id.LastSeen)})
	}
	if c := p.Consent(); c.Time != 0 {
		v.Consent = &consentView{Personalization: c.Granted, At: c.Time.String()}
		if json.Valid([]byte(c.Categories)) {
			v.Consent.Categories = json.RawMessage(c.Categories)
		}
	}
	return s.writeJSON(w, v)
}

func instant(m attune.Millis) string {
	if m == 0 {
		return ""
	}
	return m.String()
}

func traitsOf(p *profile.Person) map[string]any {
	if t := p.Traits(); t != nil {
		return t
	}
	return map[string]any{}
}

func featuresOf(p *profile.Person, now attune.Millis) map[string]any {
	features := map[string]any{}
	p.Each(now, func(name string, v any) { features[name] = v })
	return features
}

func (s *Server) segmentsOf(p *profile.Person, now attune.Millis) []string {
	if names := s.segments(p, now); names != nil {
		return names
	}
	return []string{}
}

func (s *Server) serveTraits(w http.ResponseWriter, r *http.Request, _ *caller) error {
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	return s.writeJSON(w, map[string]any{"traits": traitsOf(p)})
}

func (s *Server) serveFeatures(w http.ResponseWriter, r *http.Request, _ *caller) error {
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	return s.writeJSON(w, map[string]any{"features": featuresOf(p, s.o.Clock())})
}

// Bounds of a list's page.
const (
	defaultPage = 50
	maxPage     = 1000
)

func page(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, invalid("limit", fmt.Sprintf("want 1 to %d, got %q", maxPage, clip(text)))
	}
	return n, nil
}

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, _ *caller) error {
	limit, err := page(r)
	if err != nil {
		return err
	}
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	if s.o.Histories == nil {
		return deny(attune.ErrNotFound, "this server keeps no events to read")
	}
	events, err := s.o.Histories.Events(r.Context(), p, limit)
	if err != nil {
		return fmt.Errorf("events of %q: %w", p.Key, err)
	}
	if events == nil {
		events = []json.RawMessage{}
	}
	return s.writeJSON(w, map[string]any{"events": events})
}

// serveDecision answers GET /v1/decisions/{id}: what was answered, to whom and
// what it was made of.
func (s *Server) serveDecision(w http.ResponseWriter, r *http.Request, _ *caller) error {
	id := r.PathValue("id")
	if !validID(id) {
		return invalid("id", "is not a decision id: it is the decision_id of an answer")
	}
	if s.o.Decisions == nil {
		return deny(attune.ErrNotFound, "this server keeps no decisions")
	}
	d, err := s.o.Decisions.Decision(r.Context(), id)
	if errors.Is(err, attune.ErrNotFound) {
		return deny(attune.ErrNotFound, "there is no decision "+id+"; it may be older than what is kept, or not written yet")
	}
	if err != nil {
		return fmt.Errorf("decision %s: %w", id, err)
	}
	return s.writeJSON(w, decisionView{DecisionLog: d, At: d.At.String()})
}

// decisionView is a logged decision as the API says it.
type decisionView struct {
	*attune.DecisionLog

	At string `json:"at"`
}

func (s *Server) writeJSON(w http.ResponseWriter, v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	s.write(w, http.StatusOK, append(b, '\n'))
	return nil
}
