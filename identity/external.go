package identity

import (
	"fmt"
	"net/mail"
	"strings"

	"github.com/attune-io/attune"
)

const externalPrefix = "x:"

// The types of external ids whose values have a form of their own. Any other
// type is the customer's, and its values are taken as they are.
const (
	Email = "email"
	Phone = "phone"
)

// maxType is the longest name of a type of external ids, in bytes.
const maxType = 64

// ExternalKey returns the routing id of an external id. The type has no colon.
func ExternalKey(kind, value string) string { return externalPrefix + kind + ":" + value }

// External returns the type and value of an external id's key, and whether key
// is one.
func External(key string) (kind, value string, ok bool) {
	rest, ok := strings.CutPrefix(key, externalPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// CheckType returns nil when kind can be a type of external ids: lower-case
// letters, digits, "_", "-" and ".", as in "android.idfa". The error wraps
// attune.ErrInvalid.
func CheckType(kind string) error {
	bad := strings.ContainsFunc(kind, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
	if kind == "" || len(kind) > maxType || bad {
		return fmt.Errorf("type %q of external ids: want 1 to %d lower-case letters, digits, _, - or .: %w", kind, maxType, attune.ErrInvalid)
	}
	return nil
}

// NormalizeExternal returns value in the one form in which it is compared:
// spaces around it cut, an e-mail address in lower case, a phone's number as
// its digits with a + before them when it had one. A value that stands for a
// missing one (see CheckID), an address without an @ and a number of fewer than
// six digits are refused; the error wraps attune.ErrInvalid.
func NormalizeExternal(kind, value string) (string, error) {
	value = strings.TrimSpace(value)
	if err := CheckID(value); err != nil {
		return "", fmt.Errorf("%s: %w", kind, err)
	}
	switch kind {
	case Email:
		return normalizeEmail(value)
	case Phone:
		return normalizePhone(value)
	default:
		return value, nil
	}
}

func normalizeEmail(value string) (string, error) {
	value = strings.ToLower(value)
	address, err := mail.ParseAddress(value)
	if err != nil || address.Address != value {
		return "", fmt.Errorf("email %q is no address: %w", value, attune.ErrInvalid)
	}
	if local, _, _ := strings.Cut(value, "@"); isJunk(local) {
		return "", fmt.Errorf("email %q stands for a missing one: %w", value, attune.ErrInvalid)
	}
	return value, nil
}

// minDigits and maxDigits bound a phone's number; E.164 has at most 15 digits.
const (
	minDigits = 6
	maxDigits = 15
)

func normalizePhone(value string) (string, error) {
	var b strings.Builder
	digits, zeros := 0, 0
	for i, r := range value {
		switch {
		case r >= '0' && r <= '9':
			digits++
			if r == '0' {
				zeros++
			}
			b.WriteRune(r)
		case r == '+' && i == 0:
			b.WriteRune(r)
		case strings.ContainsRune(" -./()", r):
		default:
			return "", fmt.Errorf("phone %q has a character that no number has: %w", value, attune.ErrInvalid)
		}
	}
	if digits < minDigits || digits > maxDigits || digits == zeros {
		return "", fmt.Errorf("phone %q is no number: want %d to %d digits: %w", value, minDigits, maxDigits, attune.ErrInvalid)
	}
	return b.String(), nil
}
