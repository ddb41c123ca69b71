package collect

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// Source is one place events come from: a site, an app, a server.
type Source struct {
	ID       string
	Name     string
	WriteKey string // public: readable in a page
	Enabled  bool
	// Origins are the sites that may send from a browser, as an Origin header
	// writes them: "https://shop.example", "https://*.shop.example", "*". None
	// is all.
	Origins []string
	// Rate is how many events a second it may send; 0 is Limits.Rate.
	Rate float64
	// Gate is what its events pass; nil lets everything through.
	Gate *Gate
}

// ServerSource is the source of events that come under the server secret
// without a write key beside it.
const ServerSource = "server"

// Keys are the write keys and server secrets that are known. They can be
// exchanged while requests are served.
type Keys struct{ now atomic.Pointer[keyring] }

type keyring struct {
	sources []Source
	byKey   map[string]*Source
	secrets [][sha256.Size]byte
	gates   map[string]*Gate // by source id; nil when no source has one
}

// NewKeys returns keys with these sources and server secrets; see Set.
func NewKeys(sources []Source, secrets []string) (*Keys, error) {
	k := &Keys{}
	if err := k.Set(sources, secrets); err != nil {
		return nil, err
	}
	return k, nil
}

// Set exchanges all keys at once. On an error, which names every fault, the old
// ones stay. It keeps neither slice.
func (k *Keys) Set(sources []Source, secrets []string) error {
	next := &keyring{
		sources: append([]Source(nil), sources...),
		byKey:   make(map[string]*Source, len(sources)),
	}
	var errs []error
	for i := range next.sources {
		s := &next.sources[i]
		switch {
		case s.ID == "":
			errs = append(errs, fmt.Errorf("sources[%d]: no id, give it one: %w", i, attune.ErrInvalid))
		case s.WriteKey == "":
			errs = append(errs, fmt.Errorf("source %s: no write key, give it one: %w", s.ID, attune.ErrInvalid))
		case next.byKey[s.WriteKey] != nil:
			errs = append(errs, fmt.Errorf("source %s: has the write key of source %s, give it its own: %w",
				s.ID, next.byKey[s.WriteKey].ID, attune.ErrInvalid))
		}
		next.byKey[s.WriteKey] = s
		if s.Gate != nil {
			if next.gates == nil {
				next.gates = map[string]*Gate{}
			}
			next.gates[s.ID] = s.Gate
		}
	}
	for i, s := range secrets {
		if s == "" {
			errs = append(errs, fmt.Errorf("server secret %d: is empty, remove it: %w", i, attune.ErrInvalid))
		}
		if next.byKey[s] != nil {
			errs = append(errs, fmt.Errorf("server secret %d: is also a write key, which anybody can read: %w", i, attune.ErrInvalid))
		}
		next.secrets = append(next.secrets, sha256.Sum256([]byte(s)))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	k.now.Store(next)
	return nil
}

// source returns the source of a write key, or nil. What it points to must not
// be changed.
func (k *Keys) source(writeKey string) *Source { return k.now.Load().byKey[writeKey] }

// gate returns the gate of a source, nil when it has none.
func (k *Keys) gate(source string) *Gate {
	gates := k.now.Load().gates
	if gates == nil {
		return nil
	}
	return gates[source]
}

// isSecret reports whether s is a server secret. Digests are compared, all of
// them and each in constant time, so that the time taken tells neither length
// nor content.
func (k *Keys) isSecret(s string) bool {
	secrets := k.now.Load().secrets
	if s == "" || len(secrets) == 0 {
		return false
	}
	sum := sha256.Sum256([]byte(s))
	found := 0
	for i := range secrets {
		found |= subtle.ConstantTimeCompare(sum[:], secrets[i][:])
	}
	return found == 1
}

// allowed reports whether some source may be sent to from origin. A preflight
// carries no key, so it is answered for all of them.
func (k *Keys) allowed(origin string) bool {
	sources := k.now.Load().sources
	for i := range sources {
		if sources[i].allows(origin) {
			return true
		}
	}
	return false
}

// allows reports whether pages of origin may send to s.
func (s *Source) allows(origin string) bool {
	if len(s.Origins) == 0 {
		return true
	}
	for _, o := range s.Origins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
		// "https://*.shop.example" is every site below, not the site itself.
		scheme, site, ok := strings.Cut(o, "*.")
		if ok && len(origin) > len(scheme)+len(site)+1 &&
			strings.EqualFold(origin[:len(scheme)], scheme) &&
			strings.EqualFold(origin[len(origin)-len(site)-1:], "."+site) {
			return true
		}
	}
	return false
}
