package destination

import (
	"encoding/base64"
	"net/netip"
	"strings"

	"github.com/attune-io/attune"
)

// secretPrefix marks a secret in the form of Standard Webhooks.
const secretPrefix = "whsec_"

// Key returns the bytes that a secret stands for: what is behind whsec_ is
// base64, as Standard Webhooks has it, and any other text is itself.
func Key(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		key, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, attune.ErrInvalid // the text is secret: it is in no error
	}
	return key, nil
}

// Public reports whether ip is an address of the open Internet: neither this
// machine, nor a private or shared network, nor one that stands for such (IANA
// special-purpose address registries).
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, special := range [...]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		// NAT64, Teredo and 6to4 carry an IPv4 address that may be any; the
		// rest is for documentation, or goes nowhere.
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10", "::/96",
	} {
		if netip.MustParsePrefix(special).Contains(ip) {
			return false
		}
	}
	return true
}
