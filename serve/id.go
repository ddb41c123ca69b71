package serve

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"

	"github.com/attune-io/attune"
)

// newID returns a decision id: 6 bytes of time, 10 random ones, in URL-safe
// base64. Ids sort by their millisecond bytewise before they are encoded, and
// need no lock: the runtime's generator is per thread.
func newID(now attune.Millis) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now)<<16) //nolint:gosec // an instant is not negative
	// crypto/rand.Read never fails since Go 1.24.
	_, _ = rand.Read(raw[6:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// validID reports whether s has the shape of a decision id.
func validID(s string) bool {
	if len(s) != 22 {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil
}
