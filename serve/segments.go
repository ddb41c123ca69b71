package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// Audiences are the segments as those who watch them see them: by what the
// pipeline last saw of each person.
type Audiences interface {
	// Audiences returns the configured segments, in their order.
	Audiences() []Audience
	// Audience returns one with at most sample of its people; false when it is
	// not configured.
	Audience(name string, sample int) (AudienceDetail, bool)
	// Passages returns since when a user is in her segments, by name, and what
	// she entered and left, newest first.
	Passages(ctx context.Context, userID string) ([]Membership, []Passage, error)
}

// Audience is a segment and how many are in it.
type Audience struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	When        string `json:"when"`
	Size        int    `json:"size"`
}

// AudienceDetail is a segment with some of its people, and its sizes.
type AudienceDetail struct {
	Audience

	Sample []string       `json:"sample"` // user ids
	Hours  []AudienceHour `json:"hours"`  // in which it changed, oldest first
}

// AudienceHour is what became of a segment in an hour.
type AudienceHour struct {
	At      string `json:"at"`   // its beginning
	Size    int    `json:"size"` // at its end
	Entered int    `json:"entered"`
	Exited  int    `json:"exited"`
}

// Membership is a segment that a person is in.
type Membership struct {
	Segment string `json:"segment"`
	Since   string `json:"entered_at"`
}

// Passage is a segment that a person entered or left.
type Passage struct {
	Segment string `json:"segment"`
	Event   string `json:"event"` // entered, exited
	At      string `json:"at"`
}

// SetAudiences says whose state the routes of segments show; nil is nobody's.
// Call it before requests are served.
func (s *Server) SetAudiences(a Audiences) { s.audiences = a }

func (s *Server) serveAudiences(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	list := []Audience{}
	if s.audiences != nil {
		list = append(list, s.audiences.Audiences()...)
	}
	return s.writeJSON(w, map[string]any{"segments": list})
}

func (s *Server) serveAudience(w http.ResponseWriter, r *http.Request, _ *caller) error {
	limit, err := page(r)
	if err != nil {
		return err
	}
	name := r.PathValue("segment")
	if s.audiences != nil {
		if a, ok := s.audiences.Audience(name, limit); ok {
			a.Sample, a.Hours = notNil(a.Sample), notNil(a.Hours)
			return s.writeJSON(w, a)
		}
	}
	return deny(attune.ErrNotFound, "there is no segment of this name; GET /v1/segments lists them")
}

// notNil returns list, which is never null in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) serveSegments(w http.ResponseWriter, r *http.Request, _ *caller) error {
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	out := struct {
		Segments []string     `json:"segments"`
		Members  []Membership `json:"memberships"`
		History  []Passage    `json:"history"`
	}{Segments: s.segmentsOf(p, s.o.Clock()), Members: []Membership{}, History: []Passage{}}
	if user, ok := identity.User(p.Key); ok && s.audiences != nil {
		since, past, err := s.audiences.Passages(r.Context(), user)
		if err != nil {
			return fmt.Errorf("segments of %q: %w", p.Key, err)
		}
		// What the rules say at this instant is what holds: one that was left
		// since is no membership any more.
		out.Members = slices.DeleteFunc(notNil(since), func(m Membership) bool { return !slices.Contains(out.Segments, m.Segment) })
		out.History = notNil(past)
	}
	return s.writeJSON(w, out)
}
