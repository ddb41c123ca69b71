package serve

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"

	"github.com/attune-io/attune"
)

// NewID returns the id of a decision that is made outside of a request.
func NewID(now attune.Millis) string { return newID(now) }

// newID returns a decision id: 6 bytes of time, 10 random ones, in URL-safe
// base64. Ids sort by their millisecond bytewise before they are encoded, and
// need no lock: the runtime's generator is per thread. It does not ask the
// kernel each time, as crypto/rand does: an id has to be one of a kind, and
// keeps no secret, since only the server's secret reads what it names.
func newID(now attune.Millis) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())                             //nolint:gosec // see above
	binary.BigEndian.PutUint64(raw[:8], uint64(now)<<16|uint64(rand.Uint32()>>16)) //nolint:gosec // see above; an instant is not negative
	var text [22]byte
	base64.RawURLEncoding.Encode(text[:], raw[:])
	return string(text[:])
}

// validID reports whether s has the shape of a decision id.
func validID(s string) bool {
	if len(s) != 22 {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil
}
