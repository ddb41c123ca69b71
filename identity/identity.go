// Package identity says who is who: which part of the state an event belongs
// to, which ids are no ids at all, whose a stretch of a device's history is,
// and which tokens prove a device or a user.
//
// It is pure: it keeps nothing, reads no clock and does no I/O. It does not
// say which devices a user has; those are links, kept in package profile.
package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/attune-io/attune"
)

// MaxID is the longest id, in bytes.
const MaxID = 512

// The prefixes of routing ids.
const (
	devicePrefix = "a:"
	userPrefix   = "u:"
	orderPrefix  = "o:"
	itemPrefix   = "i:"
)

// DeviceKey returns the routing id of the device with this anonymousId.
func DeviceKey(anonymousID string) string { return devicePrefix + anonymousID }

// UserKey returns the routing id of a user.
func UserKey(userID string) string { return userPrefix + userID }

// OrderKey returns the routing id of an order.
func OrderKey(orderID string) string { return orderPrefix + orderID }

// ItemKey returns the routing id of a catalog item.
func ItemKey(itemID string) string { return itemPrefix + itemID }

// Device returns the anonymousId of a device's key, and whether key is one.
func Device(key string) (anonymousID string, ok bool) { return strings.CutPrefix(key, devicePrefix) }

// User returns the userId of a user's key, and whether key is one.
func User(key string) (userID string, ok bool) { return strings.CutPrefix(key, userPrefix) }

// Route returns the routing id of e: the key of the one part that e is folded
// into. An event that shows a device goes to the device; any other goes to its
// user, and without a user to its anonymousId. (Some server SDKs invent an
// anonymousId for every event: with a userId those never make a device.) An
// event without either id is an error that wraps attune.ErrInvalid. Route does
// not check the ids; see CheckID.
func Route(e *attune.Event) (key string, err error) {
	switch {
	case e.Has(attune.Device) && e.AnonymousID != "":
		return DeviceKey(e.AnonymousID), nil
	case e.UserID != "":
		return UserKey(e.UserID), nil
	case e.AnonymousID != "":
		return DeviceKey(e.AnonymousID), nil
	default:
		return "", fmt.Errorf("event %q has neither anonymousId nor userId, give it one: %w", e.MessageID, attune.ErrInvalid)
	}
}

// CheckID returns nil when id can be a userId, an anonymousId or an item's id.
// Otherwise it says why not: empty, longer than MaxID, not UTF-8, with control
// characters, or one of the words that programs write where an id is missing
// ("null", "undefined", "0", "guest", …). Such a word would make one person of
// everybody. The error wraps attune.ErrInvalid.
func CheckID(id string) error {
	switch {
	case strings.TrimSpace(id) == "":
		return fmt.Errorf("id is empty: %w", attune.ErrInvalid)
	case len(id) > MaxID:
		return fmt.Errorf("id of %d bytes is longer than %d: %w", len(id), MaxID, attune.ErrInvalid)
	case !utf8.ValidString(id):
		return fmt.Errorf("id %q is not UTF-8: %w", id, attune.ErrInvalid)
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("id %q has control characters: %w", id, attune.ErrInvalid)
	case isJunk(id):
		return fmt.Errorf("id %q stands for a missing id; send the real one or leave it out: %w", id, attune.ErrInvalid)
	default:
		return nil
	}
}

// longestJunk is the length of the longest word of isJunk; longer ids are not
// looked at.
const longestJunk = len("00000000-0000-0000-0000-000000000000")

// isJunk reports whether id is a word that is written for a missing id. The
// list is PostHog's list of illegal distinct ids and what languages print for
// nothing.
func isJunk(id string) bool {
	id = strings.TrimSpace(id)
	if len(id) > longestJunk {
		return false
	}
	switch strings.ToLower(id) {
	case "null", "(null)", "<null>", "nil", "<nil>", "none", "undefined", "nan",
		"0", "-1", "true", "false", "[object object]", "{}", "[]", `""`, "''",
		"anonymous", "anon", "guest", "unknown", "n/a", "not_authenticated",
		"distinctid", "distinct_id", "anonymousid", "anonymous_id", "userid", "user_id", "id", "email",
		nilUUID:
		return true
	default:
		return false
	}
}

const nilUUID = "00000000-0000-0000-0000-000000000000"

// IsUUID reports whether id is a UUID in its usual form of 36 characters, in
// either case. The nil UUID is not one here: an anonymousId that is a UUID
// counts as known to its browser alone, and everybody knows that one.
func IsUUID(id string) bool {
	if len(id) != len(nilUUID) || id == nilUUID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}
