package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// Identities knows the ids of people. Any number of goroutines may ask at once.
type Identities interface {
	// Identities returns every id of p: users, devices, devices that made room
	// for others, external ids. And every edge of hers, also those that were
	// taken back.
	Identities(ctx context.Context, p *profile.Person) ([]Identity, []Alias, error)
	// Holder returns the user that has the external id, in its normal form;
	// "" when nobody has it, or too many say so.
	Holder(ctx context.Context, kind, value string) (userID string, err error)
}

// Identity is an id of a person's.
type Identity struct {
	// Type is "user_id", "anonymous_id" or the type of an external id.
	Type     string
	ID       string
	Verified bool
	Evicted  bool // a device that made room for another, and is no part of her
	// FirstSeen and LastSeen are of the events under the id, of an external id
	// of its records; 0 when there are none.
	FirstSeen, LastSeen attune.Millis
}

// Alias is what is known of a pair of users: From is left behind for To.
type Alias struct {
	From, To string
	At       attune.Millis
	By       string // type of the external id that joined them; "" is a call
	Removed  bool   // they were taken apart since
}

// SetIdentities says who knows the ids of people; nil is nobody. Call it before
// requests are served.
func (s *Server) SetIdentities(ids Identities) { s.identities = ids }

// identitiesView is the answer of GET /v1/profiles/{key}/identities.
type identitiesView struct {
	Key        string      `json:"key"`
	Canonical  string      `json:"canonical,omitempty"`
	Identities []idView    `json:"identities"`
	Aliases    []aliasView `json:"aliases"`
}

type idView struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Verified  bool   `json:"verified"`
	Evicted   bool   `json:"evicted,omitempty"`
	FirstSeen string `json:"first_seen,omitempty"`
	LastSeen  string `json:"last_seen,omitempty"`
}

type aliasView struct {
	From    string `json:"previous_id"`
	To      string `json:"user_id"`
	At      string `json:"at"`
	By      string `json:"by,omitempty"`
	Removed bool   `json:"removed,omitempty"`
}

func (s *Server) serveIdentities(w http.ResponseWriter, r *http.Request, _ *caller) error {
	p, err := s.whose(r)
	if err != nil {
		return err
	}
	if s.identities == nil {
		return deny(attune.ErrNotFound, "this server keeps no identities to read")
	}
	ids, aliases, err := s.identities.Identities(r.Context(), p)
	if err != nil {
		return fmt.Errorf("identities of %q: %w", p.Key, err)
	}
	v := identitiesView{Key: p.Key, Canonical: p.Canonical, Identities: make([]idView, 0, len(ids)), Aliases: make([]aliasView, 0, len(aliases))}
	for i := range ids {
		id := &ids[i]
		v.Identities = append(v.Identities, idView{id.Type, id.ID, id.Verified, id.Evicted, instant(id.FirstSeen), instant(id.LastSeen)})
	}
	for _, a := range aliases {
		v.Aliases = append(v.Aliases, aliasView{a.From, a.To, instant(a.At), a.By, a.Removed})
	}
	return s.writeJSON(w, v)
}

// holder returns the user that an external id's key stands for.
func (s *Server) holder(r *http.Request, key string) (userID string, err error) {
	kind, value, ok := identity.External(key)
	if !ok || identity.CheckType(kind) != nil {
		return "", invalid("key", "want u:<userId>, a:<anonymousId> or x:<type>:<value>")
	}
	if value, err = identity.NormalizeExternal(kind, value); err != nil {
		return "", invalid("key", attune.Message(err))
	}
	if s.identities == nil {
		return "", deny(attune.ErrNotFound, "this server keeps no external ids")
	}
	if userID, err = s.identities.Holder(r.Context(), kind, value); err != nil {
		return "", fmt.Errorf("holder of %q: %w", key, err)
	}
	if userID == "" {
		return "", deny(attune.ErrNotFound, "nobody has "+strconv.Quote(clip(key)))
	}
	return userID, nil
}

// unmergeCall is what POST /v1/unmerge takes: the ids of the alias it undoes, in
// either order.
type unmergeCall struct {
	PreviousID string `json:"previous_id"`
	UserID     string `json:"user_id"`
}

// unmergeView is its answer. Unmerged says whether the two were joined to each
// other; Joined, whether they are still one person, by others.
type unmergeView struct {
	Unmerged bool `json:"unmerged"`
	Joined   bool `json:"joined"`
}

// serveUnmerge answers POST /v1/unmerge: it takes two users apart that were
// joined to each other.
func (s *Server) serveUnmerge(w http.ResponseWriter, r *http.Request, _ *caller) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	call, err := decodeUnmerge(body)
	if err != nil {
		return err
	}
	if s.identities == nil {
		return deny(attune.ErrNotFound, "this server keeps no identities to part")
	}
	ctx := r.Context()
	p, err := s.o.People.User(ctx, call.UserID)
	if err != nil {
		return fmt.Errorf("profile %q: %w", call.UserID, err)
	}
	_, aliases, err := s.identities.Identities(ctx, p)
	if err != nil {
		return fmt.Errorf("identities of %q: %w", p.Key, err)
	}
	at, joined := s.o.Clock(), false
	for _, a := range aliases {
		if a.From == call.PreviousID && a.To == call.UserID || a.From == call.UserID && a.To == call.PreviousID {
			// What is taken back has to be older than what takes it back.
			at, joined = max(at, a.At+1), joined || !a.Removed
		}
	}
	if !joined {
		return s.writeJSON(w, unmergeView{Joined: together(p, call.PreviousID)})
	}
	_, token, err := s.append(ctx, call.records(at, newID(at), s.o.Clock()))
	if err != nil {
		return err
	}
	w.Header()[tokenHeader] = []string{token.String()}
	if p, err = s.o.People.User(ctx, call.UserID); err != nil {
		return fmt.Errorf("profile %q: %w", call.UserID, err)
	}
	return s.writeJSON(w, unmergeView{Unmerged: true, Joined: together(p, call.PreviousID)})
}

func decodeUnmerge(body []byte) (call unmergeCall, err error) {
	if err := json.Unmarshal(body, &call); err != nil {
		return call, invalid("body", `want {"previous_id":…,"user_id":…}`)
	}
	if err := identity.CheckID(call.PreviousID); err != nil {
		return call, invalid("previous_id", attune.Message(err))
	}
	if err := identity.CheckID(call.UserID); err != nil {
		return call, invalid("user_id", attune.Message(err))
	}
	if call.PreviousID == call.UserID {
		return call, invalid("previous_id", "is user_id: nobody is taken apart from herself")
	}
	return call, nil
}

// records are what takes the two apart: both directions, for both of them.
func (c *unmergeCall) records(at attune.Millis, id string, now attune.Millis) []attune.Record {
	recs := make([]attune.Record, 0, 4)
	for _, e := range [...]attune.Edge{
		{From: c.PreviousID, To: c.UserID, MessageID: id, Removed: true},
		{From: c.UserID, To: c.PreviousID, MessageID: id, Removed: true},
	} {
		payload, err := json.Marshal(e)
		if err != nil {
			continue // plain strings: there is no such case
		}
		for _, user := range [...]string{c.PreviousID, c.UserID} {
			recs = append(recs, attune.Record{Kind: attune.KindEdge, Key: identity.UserKey(user), Time: at, ReceivedAt: now, Payload: payload})
		}
	}
	return recs
}

// together reports whether userID is one of p's.
func together(p *profile.Person, userID string) bool {
	_, there := p.Offset(identity.UserKey(userID))
	return there
}
