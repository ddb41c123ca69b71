package serve

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// Need is what a route asks of its caller.
type Need uint8

// The needs, from the least to the most.
const (
	// Open asks for nothing.
	Open Need = iota
	// AnyKey asks for a write key or a server secret. How much of a person is
	// read is settled by what the caller proves (see subject).
	AnyKey
	// Own asks for a server secret, or a write key with the user token of the
	// very user the route names.
	Own
	// Secret asks for a server secret.
	Secret
)

// String returns the name that openapi.json's x-access says.
func (n Need) String() string {
	switch n {
	case Open:
		return "open"
	case AnyKey:
		return "key"
	case Own:
		return "own"
	default:
		return "secret"
	}
}

// Keys are the credentials of a workspace. They are replaced whole when the
// configuration is reloaded, never changed.
type Keys struct {
	// Browser holds the write keys of enabled sources: key → source id.
	Browser map[string]string
	Secrets []string
	// UserSecrets verify the user tokens that the customer's server signs.
	UserSecrets [][]byte
	// VisitorSecret verifies the visitor tokens that collect issues.
	VisitorSecret []byte
	// Origins are the sites whose pages may read, as an Origin header writes
	// them: "https://shop.example", "https://*.shop.example", "*". None is all.
	Origins []string
}

// caller is who sent a request, as far as she proved it.
type caller struct {
	known   bool   // a valid key was given
	server  bool   // the key is a server secret
	key     string // the write key, for inline events
	source  string
	visitor string // the anonymousId of a valid visitor token
	user    string // the userId of a valid user token
	notices []string
}

func (c *caller) notice(text string) { c.notices = append(c.notices, text) }

const (
	visitorHeader = "X-Attune-Visitor"
	visitorCookie = "attune_visitor"
	userHeader    = "X-Attune-User"
	noticeHeader  = "X-Attune-Notice"
	tokenHeader   = "X-Attune-Token" //nolint:gosec // a header's name
	streamPath    = "/v1/stream"
)

// identify reads the credentials of r. userToken is the one of the body, ""
// when it has none; the header wins.
func (s *Server) identify(r *http.Request, userToken string) caller {
	keys := s.keys.Load()
	var c caller
	key, maySecret := presented(r)
	switch {
	case key == "":
	case maySecret && isSecret(keys.Secrets, key):
		c.known, c.server, c.key = true, true, key
	default:
		c.source, c.known = keys.Browser[key]
		c.key = key
	}
	if !c.known {
		return c
	}
	s.prove(r, userToken, keys, &c)
	return c
}

// prove reads the visitor and user tokens of a caller with a valid key.
func (s *Server) prove(r *http.Request, userToken string, keys *Keys, c *caller) {
	if h := r.Header.Get(userHeader); h != "" {
		userToken = h
	} else if userToken == "" && strings.Contains(r.URL.RawQuery, "user_token") {
		userToken = r.URL.Query().Get("user_token")
	}
	if userToken != "" {
		user, err := identity.ParseUserToken(keys.UserSecrets, userToken, s.o.Clock())
		if err != nil {
			c.notice("user_token ignored: it is wrong or expired")
		}
		c.user = user
	}
	visitor := r.Header.Get(visitorHeader)
	if visitor == "" {
		if cookie, err := r.Cookie(visitorCookie); err == nil {
			visitor = cookie.Value
		}
	}
	if visitor == "" && r.URL.Path == streamPath {
		// A browser's EventSource sends no headers.
		visitor = r.URL.Query().Get("visitor")
	}
	if visitor != "" {
		id, _, err := identity.Signer{Secret: keys.VisitorSecret}.ParseVisitor(visitor)
		if err != nil {
			c.notice("visitor token ignored: it is not one of ours")
		}
		c.visitor = id
	}
}

// presented returns the key of r and whether it came the way a secret may:
// a secret in an address ends up in logs, so there it counts for nothing.
func presented(r *http.Request) (key string, maySecret bool) {
	if user, _, ok := r.BasicAuth(); ok {
		return user, true
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(token), true
	}
	if key = r.Header.Get("X-Write-Key"); key != "" {
		return key, false
	}
	if r.URL.RawQuery == "" {
		return "", false
	}
	q := r.URL.Query()
	if key = q.Get("writeKey"); key == "" {
		key = q.Get("write_key")
	}
	return key, false
}

// isSecret compares in constant time with every secret.
func isSecret(secrets []string, key string) bool {
	found := 0
	for _, secret := range secrets {
		found |= subtle.ConstantTimeCompare([]byte(secret), []byte(key))
	}
	return found == 1
}

// admit returns nil when c may use a route with need. own is the profile key
// the route names, "" when it names none.
func (c *caller) admit(need Need, own string) error {
	switch {
	case need == Open:
		return nil
	case !c.known && c.key == "":
		return deny(attune.ErrUnauthorized, "no key: send the write key or the server secret as Basic username")
	case !c.known:
		return deny(attune.ErrUnauthorized, "the key is unknown: check it against the configuration")
	case need == AnyKey, c.server:
		return nil
	case need == Own && c.user != "" && own == "u:"+c.user:
		return nil
	case need == Own:
		return deny(attune.ErrForbidden, "a profile is read with the server secret, or with its own user's user_token in "+userHeader)
	default:
		return deny(attune.ErrForbidden, "this needs the server secret")
	}
}

// subject says whose state a decision reads. At most one id is set; neither
// means nobody's: a cold answer.
type subject struct {
	user   string
	device string
}

// subject settles whose state c may read when she asks for userID and
// anonymousID:
//
//	server secret            the user asked for, else the device asked for
//	user token of that user  that user
//	visitor token            that device's last stretch
//	write key alone          nobody
//
// What she may not read is left out with a notice, never an error: the page
// still gets an answer.
func (c *caller) subject(userID, anonymousID string) subject {
	if c.server {
		if userID != "" {
			return subject{user: userID}
		}
		return subject{device: anonymousID}
	}
	switch {
	case userID == "" && c.user != "", userID != "" && userID == c.user:
		return subject{user: c.user}
	case userID != "":
		c.notice("user_id ignored: a write key does not prove a user; send " + userHeader + " or use the server secret")
	}
	switch {
	case c.visitor == "":
		if anonymousID != "" {
			c.notice("anonymous_id not read: send its visitor token in " + visitorHeader + " or the cookie " + visitorCookie)
		}
		return subject{}
	case anonymousID != "" && anonymousID != c.visitor:
		c.notice("anonymous_id not read: the visitor token is another device's")
		return subject{}
	default:
		return subject{device: c.visitor}
	}
}

// cors answers what a browser asks before and after a cross-site request.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !allows(s.keys.Load().Origins, origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Attune-Token, X-Attune-Visitor, X-Attune-Notice")
}

// allows reports whether a page of origin may read.
func allows(patterns []string, origin string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		before, after, wild := strings.Cut(p, "*")
		return p == "*" || p == origin ||
			wild && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after) && len(origin) > len(p)-1
	})
}

// preflight answers OPTIONS: the asked headers are reflected, since a list
// without the retry headers of an SDK blocks its retries and nothing else.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		asked := r.Header.Get("Access-Control-Request-Headers")
		if asked == "" {
			asked = "authorization, content-type, x-write-key, x-attune-visitor, x-attune-user, last-event-id"
		}
		h.Set("Access-Control-Allow-Headers", asked)
		h.Set("Access-Control-Max-Age", "900")
	}
	w.WriteHeader(http.StatusNoContent)
}
