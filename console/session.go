package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/attune-io/attune"
)

// A session is a cookie that only a holder of the server secret could have
// made: <expiry s>.<nonce>.<HMAC-SHA256 of both under the secret>. The server
// keeps nothing of it but the nonces of those that were ended, so sessions
// live on over a restart, and end when their secret is taken away.
const (
	cookieName = "attune_console"
	lifetime   = 12 * time.Hour
	nonceBytes = 12
	maxSecret  = 1024 // bytes of a secret that is tried
)

// seal returns the cookie's value for a session under secret.
func seal(secret string, expires time.Time, nonce string) string {
	body := strconv.FormatInt(expires.Unix(), 10) + "." + nonce
	return body + "." + sum(secret, body)
}

func sum(secret, body string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("attune console session 1\n" + body))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// open returns the expiry and nonce of a value that was sealed under one of
// secrets and has not expired.
func open(secrets []string, value string, now time.Time) (expires time.Time, nonce string, ok bool) {
	cut := strings.LastIndexByte(value, '.')
	if cut < 0 || len(value) > 256 {
		return expires, "", false
	}
	body, mac := value[:cut], value[cut+1:]
	good := 0
	for _, s := range secrets {
		good |= subtle.ConstantTimeCompare([]byte(sum(s, body)), []byte(mac))
	}
	at, nonce, found := strings.Cut(body, ".")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if good != 1 || !found || err != nil {
		return expires, "", false
	}
	expires = time.Unix(seconds, 0)
	return expires, nonce, now.Before(expires)
}

// session reports whether r carries a session that stands.
func (c *Console) session(r *http.Request) bool {
	k, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	_, nonce, ok := open(c.o.Secrets(), k.Value, c.now())
	return ok && !c.ended.has(nonce)
}

// admit returns nil for a session, or for the secret as Basic user or Bearer
// token. Wrong secrets are counted against their sender.
func (c *Console) admit(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Authorization") == "" {
		if c.session(r) {
			return nil
		}
		return fault(attune.ErrUnauthorized, "log in at /console/, or send the server secret as Basic username or Bearer token")
	}
	key, _, ok := r.BasicAuth()
	if !ok {
		key, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	return c.prove(w, r, key)
}

// prove checks a secret, slowly for who guesses.
func (c *Console) prove(w http.ResponseWriter, r *http.Request, key string) error {
	who, now := c.sender(r), c.now()
	if wait := c.guesses.wait(who, now); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return fault(attune.ErrBusy, "too many wrong secrets from this address: wait a minute")
	}
	if !c.secret(key) {
		c.guesses.wrong(who, now)
		return fault(attune.ErrUnauthorized, "that is not the server secret")
	}
	return nil
}

// secret compares in constant time with every secret.
func (c *Console) secret(key string) bool {
	found := 0
	for _, s := range c.o.Secrets() {
		found |= subtle.ConstantTimeCompare([]byte(s), []byte(key))
	}
	return found == 1 && key != ""
}

// signIn makes a session of a secret.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	if err := r.ParseForm(); err != nil || foreign(r) {
		c.showLogin(w, http.StatusBadRequest, "That did not arrive as a login. Try again.")
		return
	}
	key := strings.TrimSpace(r.PostFormValue("secret"))
	if len(key) > maxSecret {
		key = ""
	}
	if err := c.prove(w, r, key); err != nil {
		if w.Header().Get("Retry-After") != "" {
			c.showLogin(w, http.StatusTooManyRequests, "Too many wrong secrets from this address. Wait a minute.")
			return
		}
		c.showLogin(w, http.StatusUnauthorized, "That is not the server secret. It is in keys.server_secrets of the configuration.")
		return
	}
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails
	expires := c.now().Add(lifetime)
	k := c.cookie(r) //nolint:gosec // it says there when it is Secure
	k.Value = seal(key, expires, base64.RawURLEncoding.EncodeToString(nonce))
	k.MaxAge = int(lifetime / time.Second)
	http.SetCookie(w, k)
	http.Redirect(w, r, "/console/", http.StatusSeeOther)
}

// signOut ends the session everywhere, not in this browser alone.
func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(cookieName); err == nil && !foreign(r) {
		if expires, nonce, ok := open(c.o.Secrets(), k.Value, c.now()); ok {
			c.ended.add(nonce, expires, c.now())
		}
	}
	k := c.cookie(r) //nolint:gosec // it says there when it is Secure
	k.MaxAge = -1
	http.SetCookie(w, k)
	http.Redirect(w, r, "/console/", http.StatusSeeOther)
}

func (c *Console) cookie(r *http.Request) *http.Cookie {
	secure := r.TLS != nil || c.o.TrustProxy && r.Header.Get("X-Forwarded-Proto") == "https"
	return &http.Cookie{ //nolint:gosec // Secure where the request was: a node on loopback has no TLS
		Name: cookieName, Path: "/console", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure,
	}
}

// foreign reports whether a browser sent r from another site's page.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

// sender is the address that guesses are counted for: an IPv6 one by its /64,
// of which a sender has all.
func (c *Console) sender(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if c.o.TrustProxy {
		// The last one was written by the proxy; those before it by anybody.
		if list := r.Header.Values("X-Forwarded-For"); len(list) > 0 {
			last := list[len(list)-1]
			host = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// guesses slow down whoever tries secrets: maxGuesses wrong ones at once, then
// one every guessPause.
type guesses struct {
	mu sync.Mutex
	by map[string]guesser
}

// guesser is a bucket that leaks: full when it holds maxGuesses.
type guesser struct {
	level float64
	at    time.Time
}

const (
	maxGuesses  = 10
	guessPause  = 6 * time.Second
	maxGuessers = 4096
)

func newGuesses() *guesses { return &guesses{by: map[string]guesser{}} }

func (g guesser) now(t time.Time) float64 {
	return max(0, g.level-float64(max(0, t.Sub(g.at)))/float64(guessPause))
}

// wait returns how long who has to wait before the next try, 0 when not.
func (g *guesses) wait(who string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	level := g.by[who].now(now)
	if level <= maxGuesses-1 {
		return 0
	}
	return time.Duration((level - maxGuesses + 1) * float64(guessPause))
}

// wrong notes a wrong secret of who.
func (g *guesses) wrong(who string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.by[who]; !known && len(g.by) >= maxGuessers {
		g.forget(now)
	}
	g.by[who] = guesser{level: g.by[who].now(now) + 1, at: now}
}

// forget makes room: those who have waited long enough go, and when there are
// none, anybody.
func (g *guesses) forget(now time.Time) {
	for who, x := range g.by {
		if x.now(now) == 0 {
			delete(g.by, who)
		}
	}
	for who := range g.by {
		if len(g.by) < maxGuessers {
			return
		}
		delete(g.by, who)
	}
}

// revoked are the nonces of sessions that were ended before their time.
type revoked struct {
	mu sync.Mutex
	by map[string]time.Time // nonce → expiry
}

const maxRevoked = 10_000

func newRevoked() *revoked { return &revoked{by: map[string]time.Time{}} }

func (v *revoked) has(nonce string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.by[nonce]
	return ok
}

// add ends a session. Only holders of the secret have one to end, so a full
// list is no stranger's doing; it drops what expired.
func (v *revoked) add(nonce string, expires, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.by) >= maxRevoked {
		for n, at := range v.by {
			if !now.Before(at) {
				delete(v.by, n)
			}
		}
	}
	if len(v.by) < maxRevoked {
		v.by[nonce] = expires
	}
}
