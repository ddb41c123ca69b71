// Package webhook sends messages as HTTP requests that are signed as the
// Standard Webhooks specification 1.0 says (https://www.standardwebhooks.com):
// HMAC-SHA256 over id, time and body.
//
// It follows no redirects, speaks through no proxy, and reaches addresses of
// this machine or of private networks only when it is allowed to: what counts
// is the address that a name resolves to when the connection is made. It does
// not retry; the Runner of package destination does.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/destination"
)

// Sender sends to one address. Close it when nothing is sent any more.
type Sender struct {
	def    destination.Definition
	keys   [][]byte // the newest first
	client *http.Client
	now    func() time.Time
}

// New returns a sender to def's address; def is valid. now is the real clock:
// receivers refuse what was signed long ago.
func New(def destination.Definition, now func() time.Time) (*Sender, error) {
	def = def.Filled()
	s := &Sender{def: def, now: now}
	for _, secret := range []string{def.Secret, def.PreviousSecret} {
		if secret == "" {
			continue
		}
		key, err := destination.Key(secret)
		if err != nil {
			return nil, fmt.Errorf("destination %s: secret: %w", def.Name, err)
		}
		s.keys = append(s.keys, key)
	}
	timeout := time.Duration(def.Timeout)
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	if !def.AllowPrivate {
		dialer.Control = publicOnly
	}
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, IdleConnTimeout: 90 * time.Second,
			MaxIdleConnsPerHost: def.Concurrency, MaxConnsPerHost: def.Concurrency, MaxResponseHeaderBytes: 64 << 10,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// errPrivate is why a connection was not made.
const errPrivate = attune.Sentinel("the address is one of this machine or of a private network; set allow_private: true if that is meant")

// publicOnly refuses connections to what is not the open Internet. It sees the
// address after the name was resolved, so a name that changes its mind between
// a check and a connection gains nothing.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !destination.Public(at.Addr()) {
		return errPrivate
	}
	return nil
}

// Close lets go of idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send posts m once.
func (s *Sender) Send(ctx context.Context, m *destination.Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.def.URL, bytes.NewReader(m.Body))
	if err != nil {
		return &destination.Failure{Reason: "the address is no URL", Final: true}
	}
	at := strconv.FormatInt(s.now().Unix(), 10)
	for name, value := range s.def.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Attune")
	req.Header.Set("Attune-Delivery", m.ID)
	// In the lower case of the specification; HTTP does not care.
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", s.signatures(m, at))
	res, err := s.client.Do(req)
	if err != nil {
		return refused(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read as far as it is of interest
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxSaid))
	return s.verdict(res, said)
}

// maxSaid bounds what is read of an answer, in bytes.
const maxSaid = 512

// signatures returns one signature a key, the newest key's first.
func (s *Sender) signatures(m *destination.Message, at string) string {
	out := make([]string, len(s.keys))
	for i, key := range s.keys {
		out[i] = Sign(key, m.ID, at, m.Body)
	}
	return strings.Join(out, " ")
}

// Sign returns the signature of a message as Standard Webhooks has it. at is
// in seconds since the Unix epoch.
func Sign(key []byte, id, at string, body []byte) string {
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(id), []byte("."), []byte(at), []byte("."), body} {
		_, _ = h.Write(part) // a hash takes everything
	}
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// refused says why there was no answer. The address is left out: it may hold a
// secret.
func refused(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	f := &destination.Failure{Reason: err.Error()}
	switch {
	case errors.Is(err, errPrivate):
		f.Reason = errPrivate.Error()
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = "no answer in time"
	}
	return f
}

// verdict says what an answer means: 2xx is taken; 4xx says that this message
// never will be, but for 408, 425 and 429. The rest says something of the
// receiver, not of the message, so it is worth another attempt: a redirect too,
// since whoever runs Attune can mend the address.
func (s *Sender) verdict(res *http.Response, said []byte) error {
	code := res.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	f := &destination.Failure{Status: code, Reason: "answered " + strconv.Itoa(code)}
	switch {
	case code >= 300 && code < 400:
		f.Reason += ": redirects are not followed; set url to where it leads"
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests:
		f.Final = true
	default:
		f.After = after(res.Header.Get("Retry-After"), s.now())
		f.Everyone = code == http.StatusTooManyRequests
	}
	if text := strings.ToValidUTF8(strings.TrimSpace(string(said)), ""); text != "" && code >= 400 {
		f.Reason += ": " + text
	}
	return f
}

// maxAfter bounds how long a receiver may ask to wait.
const maxAfter = 24 * time.Hour

// after reads Retry-After: seconds, or a date. What does not read is nothing.
func after(text string, now time.Time) time.Duration {
	var wait time.Duration
	if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxAfter)
}
