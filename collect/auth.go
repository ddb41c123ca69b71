package collect

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// caller is who sent a request.
type caller struct {
	source Source
	server bool // showed the server secret
}

// The refusals of authentication, in the words that SDK users search for.
const (
	errNoKey    = "failed to read writekey from header"
	errBadKey   = "invalid write key"
	errDisabled = "source is disabled"
)

// authenticate reads who the caller is from everything but the body: Basic (the
// write key or a server secret as username), Bearer (a server secret),
// X-Write-Key, ?writeKey=. known is false, without an error, when none of them
// is there: the body may still say.
func (c *Collector) authenticate(r *http.Request) (who caller, known bool, err error) {
	key := r.Header.Get("X-Write-Key")
	if key == "" {
		key = queryKey(r)
	}
	auth := r.Header.Get("Authorization")
	scheme, given, _ := strings.Cut(auth, " ")
	switch {
	case auth == "":
		if key == "" {
			return caller{}, false, nil
		}
	case strings.EqualFold(scheme, "Bearer"):
		if !c.o.Keys.isSecret(strings.TrimSpace(given)) {
			return caller{}, false, &refusal{status: http.StatusUnauthorized, text: "invalid server secret"}
		}
		return c.server(r, key)
	default:
		user := basicUser(scheme, given)
		if user == "" {
			return caller{}, false, &refusal{status: http.StatusUnauthorized, text: errNoKey}
		}
		if c.o.Keys.source(user) == nil && c.o.Keys.isSecret(user) {
			return c.server(r, key)
		}
		key = user
	}
	who, err = c.byKey(r, key)
	return who, err == nil, err
}

// server is a caller with the server secret; key, when there is one, says for
// which source it speaks.
func (c *Collector) server(r *http.Request, key string) (caller, bool, error) {
	who := caller{source: Source{ID: ServerSource, Name: ServerSource, Enabled: true}, server: true}
	if key != "" {
		var err error
		if who, err = c.byKey(r, key); err != nil {
			return caller{}, false, err
		}
		who.server = true
	}
	return who, true, nil
}

// authenticateBody settles who the caller is with the body's write key, when
// the rest did not say (known is false) or said only that it is a server.
func (c *Collector) authenticateBody(r *http.Request, who caller, known bool, key string) (caller, error) {
	switch {
	case known && (key == "" || who.source.ID != ServerSource):
		return who, nil
	case who.server && c.o.Keys.isSecret(key):
		return who, nil // Segment's SDK says its key twice: in the header and here
	case key == "":
		return caller{}, &refusal{status: http.StatusUnauthorized, text: errNoKey}
	}
	next, err := c.byKey(r, key)
	if err != nil {
		return caller{}, err
	}
	next.server = who.server
	return next, nil
}

// byKey returns the caller with this write key.
func (c *Collector) byKey(r *http.Request, key string) (caller, error) {
	s := c.o.Keys.source(key)
	switch {
	case s == nil:
		return caller{}, &refusal{status: http.StatusUnauthorized, text: errBadKey}
	case !s.Enabled:
		return caller{}, &refusal{status: http.StatusNotFound, text: errDisabled}
	}
	if origin := r.Header.Get("Origin"); origin != "" && !s.allows(origin) {
		return caller{}, &refusal{
			status: http.StatusForbidden,
			text:   fmt.Sprintf("origin %q may not send to source %s; add it to the source's origins", cut(origin, 256), s.ID),
		}
	}
	return caller{source: *s}, nil
}

// basicUser returns the username of Basic credentials, "" when they do not
// read. The password does not matter; SDKs leave it empty.
func basicUser(scheme, given string) string {
	if !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(given))
	if err != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(plain), ":")
	return user
}

// queryKey returns ?writeKey=, "" when there is none.
func queryKey(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "writeKey=") {
		return ""
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ""
	}
	return q.Get("writeKey")
}

// host returns scheme and host under which the caller reached this server.
func (c *Collector) host(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if c.o.TrustProxy {
		// The first of several is what the client asked for.
		first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
		if p := strings.ToLower(strings.TrimSpace(first)); p == "http" || p == "https" {
			scheme = p
		}
		first, _, _ = strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
		if h := strings.TrimSpace(first); h != "" {
			host = h
		}
	}
	return scheme, host
}

// sameSite reports whether origin is this server itself as the caller knows
// it.
func (c *Collector) sameSite(r *http.Request, origin string) bool {
	_, host := c.host(r)
	_, site, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(site, host)
}
