package attune

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Type is the kind of call an event came from, as in the Segment and
// RudderStack specifications.
type Type uint8

// The event types. Unknown is never journaled.
const (
	Unknown Type = iota
	Track
	Identify
	Page
	Screen
	Group
	Alias
)

// String returns the wire name: "track", "identify" and so on.
func (t Type) String() string {
	switch t {
	case Track:
		return "track"
	case Identify:
		return "identify"
	case Page:
		return "page"
	case Screen:
		return "screen"
	case Group:
		return "group"
	case Alias:
		return "alias"
	default:
		return "unknown"
	}
}

// ParseType returns the type with the wire name s, or Unknown. "merge" is
// RudderStack's alias.
func ParseType(s string) Type {
	switch s {
	case "track":
		return Track
	case "identify":
		return Identify
	case "page":
		return Page
	case "screen":
		return Screen
	case "group":
		return Group
	case "alias", "merge":
		return Alias
	default:
		return Unknown
	}
}

// Rank says how much a claim is to be believed. A higher rank wins over a
// lower one whatever their times; equal ranks are settled by time.
type Rank uint8

// The ranks, lowest first.
const (
	// Public came with a key that is readable in a page.
	Public Rank = iota
	// Server came with the server secret.
	Server
	// Given was put by hand or by a feed: the catalog's PUT.
	Given
)

// Flag is a set of facts the edge settled about an event.
type Flag uint16

// The flags.
const (
	// Device: the payload shows a browser or a phone, so its anonymousId
	// names a device and routes the event.
	Device Flag = 1 << iota
	// Bot: journaled, but kept out of profiles and statistics.
	Bot
	// Denied: consent for personalization is denied; only consent is folded.
	Denied
	// Verified: the sender proved the ids it names (server secret, visitor
	// token or user token).
	Verified
	// Granted: the event carries consent, and it allows personalization.
	Granted
)

// MaxTraits is how many traits are kept of a person, nested ones flattened. An
// identify with more is refused, so that none is lost without a word.
const MaxTraits = 1000

// Event is one thing somebody did, after the edge has settled its ids, time
// and rank. Raw is the JSON as it was sent (with what the batch said for all
// its items merged in); Properties, Traits and Context are parts of Raw, nil
// when absent. An Event decoded from a record shares the record's memory: copy
// what outlives it.
type Event struct {
	Type        Type
	Rank        Rank
	Flags       Flag
	Name        string // track: the event; page and screen: the name
	MessageID   string
	UserID      string
	AnonymousID string
	PreviousID  string // alias: the id that is left behind
	GroupID     string
	Source      string // id of the source it came from
	Time        Millis // when it happened, settled by the edge
	ReceivedAt  Millis // when the edge had it
	SentAt      Millis // the client's clock when it sent; 0 if unknown
	Original    Millis // the client's clock when it happened; 0 if unknown

	Raw        []byte
	Properties []byte
	Traits     []byte
	Context    []byte
	// Enriched is a JSON object of what the edge added: "device", "page",
	// "campaign". Nil when it added nothing.
	Enriched []byte
}

// Has reports whether every flag of f is set.
func (e *Event) Has(f Flag) bool { return e.Flags&f == f }

// Tie settles the order of two events of the same Time: the smaller is first.
func (e *Event) Tie() uint64 { return Hash(e.MessageID) }

// On is the name rules and features know the event by: the track name with
// e-commerce v1 names mapped to v2, else the type ("page", "identify").
func (e *Event) On() string {
	if e.Type != Track {
		return e.Type.String()
	}
	return CanonicalName(e.Name)
}

// CanonicalName maps the e-commerce v1 event names to their v2 form and
// returns every other name as it is.
// Segment, "Ecommerce events spec v2", table of v1 equivalents.
func CanonicalName(name string) string {
	switch name {
	case "Viewed Product":
		return "Product Viewed"
	case "Viewed Product Category":
		return "Product List Viewed"
	case "Clicked Product":
		return "Product Clicked"
	case "Added Product":
		return "Product Added"
	case "Removed Product":
		return "Product Removed"
	case "Completed Order":
		return "Order Completed"
	case "Updated Order":
		return "Order Updated"
	case "Refunded Order":
		return "Order Refunded"
	case "Cancelled Order":
		return "Order Cancelled"
	case "Viewed Cart":
		return "Cart Viewed"
	case "Started Checkout":
		return "Checkout Started"
	case "Searched Products":
		return "Products Searched"
	default:
		return name
	}
}

// AppendBinary appends e in event format 1: varint-framed fields, Raw once,
// and its parts as spans of Raw. It never fails; the error is for
// encoding.BinaryAppender.
func (e *Event) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, 1, byte(e.Type), byte(e.Rank))
	b = binary.AppendUvarint(b, uint64(e.Flags))
	for _, s := range [...]string{e.Name, e.MessageID, e.UserID, e.AnonymousID, e.PreviousID, e.GroupID, e.Source} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, m := range [...]Millis{e.Time, e.ReceivedAt, e.SentAt, e.Original} {
		b = binary.AppendVarint(b, int64(m))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Raw)))
	b = append(b, e.Raw...)
	for _, part := range [...][]byte{e.Properties, e.Traits, e.Context} {
		b = appendSpan(b, e.Raw, part)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Enriched)))
	return append(b, e.Enriched...), nil
}

// appendSpan writes part as (1, offset, length) when it is a slice of raw, as
// (2, length, bytes) when it is not, and as 0 when it is nil.
func appendSpan(b, raw, part []byte) []byte {
	if part == nil {
		return append(b, 0)
	}
	// A slice of raw ends inside raw's capacity, at a distance that cap tells.
	if off := cap(raw) - cap(part); off >= 0 && off+len(part) <= len(raw) && len(part) > 0 && &raw[off] == &part[0] {
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(off))
		return binary.AppendUvarint(b, uint64(len(part)))
	}
	b = append(b, 2)
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// UnmarshalBinary decodes what AppendBinary wrote. The strings are copied; the
// byte slices share b. It returns an error that wraps ErrCorrupt on anything
// else, and never panics.
func (e *Event) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); v != 1 && !d.bad {
		return fmt.Errorf("event format %d, this build reads 1: %w", v, ErrCorrupt)
	}
	*e = Event{Type: Type(d.byte()), Rank: Rank(d.byte()), Flags: Flag(d.uvarint())} //nolint:gosec // 16 bits were written
	for _, s := range [...]*string{&e.Name, &e.MessageID, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID, &e.Source} {
		*s = string(d.bytes())
	}
	for _, m := range [...]*Millis{&e.Time, &e.ReceivedAt, &e.SentAt, &e.Original} {
		*m = Millis(d.varint())
	}
	e.Raw = d.bytes()
	for _, p := range [...]*[]byte{&e.Properties, &e.Traits, &e.Context} {
		*p = d.span(e.Raw)
	}
	if en := d.bytes(); len(en) > 0 {
		e.Enriched = en
	}
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("event of %d bytes: %w", len(b), ErrCorrupt)
	}
	return nil
}

// decoder reads varint-framed fields; after a fault bad is set and every read
// returns zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) span(raw []byte) []byte {
	switch d.byte() {
	case 0:
		return nil
	case 1:
		off, n := d.uvarint(), d.uvarint()
		if d.bad || off > uint64(len(raw)) || n > uint64(len(raw))-off {
			d.fail()
			return nil
		}
		return raw[off : off+n]
	case 2:
		return d.bytes()
	default:
		d.fail()
		return nil
	}
}

// IsOrder reports whether name is one of the events that act on an order_id.
func IsOrder(name string) bool { return strings.HasPrefix(name, "Order ") }
