package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
)

// Tokens have four fields with dots between: version, id (base64url without
// padding), a time in decimal, and the HMAC-SHA256 of everything before the
// last dot (base64url without padding). The version differs between the two
// kinds, so that one never passes for the other, even under one secret.
const (
	visitorVersion = "a1"
	userVersion    = "v1"
	// maxToken bounds what is looked at: the longest id, encoded, and the rest.
	maxToken = MaxID*4/3 + 100
)

// Signer makes and reads visitor tokens. A visitor token is ours, and proves
// that its bearer is the device it names. It has no expiry; the time it was
// issued is in it. A Signer without a secret accepts nothing.
type Signer struct{ Secret []byte }

// Visitor returns the token of a device: a1.<id>.<issued, ms>.<mac>.
func (s Signer) Visitor(anonymousID string, issued attune.Millis) string {
	return sign(s.Secret, visitorVersion, anonymousID, int64(issued))
}

// ParseVisitor returns what a visitor token says when the signer made it.
// Otherwise the error wraps attune.ErrUnauthorized.
func (s Signer) ParseVisitor(token string) (anonymousID string, issued attune.Millis, err error) {
	id, at, err := verify([][]byte{s.Secret}, visitorVersion, token)
	if err != nil {
		return "", 0, fmt.Errorf("visitor token: %w", err)
	}
	return id, attune.Millis(at), nil
}

// UserToken returns the token with which the customer's server lets a browser
// read what belongs to userID until expires: v1.<userId>.<expiry, s>.<mac>.
// The expiry is cut to whole seconds.
func UserToken(secret []byte, userID string, expires attune.Millis) string {
	return sign(secret, userVersion, userID, int64(expires)/1000)
}

// ParseUserToken returns the user that token proves when one of secrets signed
// it and now is before its expiry. Several secrets let one be replaced while
// tokens of the old one are still about. Otherwise the error wraps
// attune.ErrUnauthorized.
func ParseUserToken(secrets [][]byte, token string, now attune.Millis) (userID string, err error) {
	id, seconds, err := verify(secrets, userVersion, token)
	if err != nil {
		return "", fmt.Errorf("user token: %w", err)
	}
	if int64(now) >= seconds*1000 {
		return "", fmt.Errorf("user token: expired at %s, have your server sign a new one: %w",
			attune.Millis(seconds*1000), attune.ErrUnauthorized)
	}
	return id, nil
}

func sign(secret []byte, version, id string, n int64) string {
	body := version + "." + base64.RawURLEncoding.EncodeToString([]byte(id)) + "." + strconv.FormatInt(n, 10)
	return body + "." + base64.RawURLEncoding.EncodeToString(mac(secret, body))
}

func mac(secret []byte, body string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(body))
	return h.Sum(nil)
}

// verify checks the signature before it looks at anything else, in constant
// time, and reads only tokens in the one form that sign writes.
func verify(secrets [][]byte, version, token string) (id string, n int64, err error) {
	fields := strings.Split(token[:min(len(token), maxToken+1)], ".")
	if len(token) > maxToken || len(fields) != 4 || fields[0] != version {
		return "", 0, fmt.Errorf("want %s.<id>.<number>.<signature>: %w", version, attune.ErrUnauthorized)
	}
	body := token[:len(token)-len(fields[3])-1]
	sig, err := base64.RawURLEncoding.Strict().DecodeString(fields[3])
	if err != nil {
		return "", 0, fmt.Errorf("the signature is not base64url without padding: %w", attune.ErrUnauthorized)
	}
	good := false
	for _, secret := range secrets {
		// An unset secret must not turn into one that everybody knows.
		if len(secret) > 0 && hmac.Equal(sig, mac(secret, body)) {
			good = true
		}
	}
	if !good {
		return "", 0, fmt.Errorf("the signature does not match any configured secret: %w", attune.ErrUnauthorized)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return "", 0, fmt.Errorf("the id is not base64url without padding: %w", attune.ErrUnauthorized)
	}
	// Far enough for every date, and near enough that seconds * 1000 fits.
	n, err = strconv.ParseInt(fields[2], 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return "", 0, fmt.Errorf("the time %q is not a number of seconds or milliseconds: %w", fields[2], attune.ErrUnauthorized)
	}
	if len(raw) == 0 || len(raw) > MaxID {
		return "", 0, fmt.Errorf("an id of %d bytes: %w", len(raw), attune.ErrUnauthorized)
	}
	return string(raw), n, nil
}
