package attune

import (
	"encoding/binary"
	"fmt"
)

// Kind says what a record is. Everything that changes state is a record.
type Kind uint8

// The record kinds. Their numbers are part of record format 1.
const (
	// KindEvent carries an Event (Event.AppendBinary). Key: a: or u:.
	KindEvent Kind = 1
	// KindLink tells user Key that a device is hers. Payload: Link as JSON.
	KindLink Kind = 2
	// KindClaim tells device Key whose it is, from a server's identify that
	// names the anonymousId. Payload: Claim as JSON.
	KindClaim Kind = 3
	// KindEdge joins user Key to another user. Payload: Edge as JSON. It is
	// appended to both users.
	KindEdge Kind = 4
	// KindOrder feeds the purchase statistics of items. Key: o:<orderId>.
	// Payload: an Event.
	KindOrder Kind = 5
	// KindItem puts or deletes a catalog item. Key: i:<itemId>. Payload: Item
	// as JSON.
	KindItem Kind = 6
	// KindVisitor says that device Key was given a visitor token. No payload.
	KindVisitor Kind = 7
	// KindTouch asks the worker of user Key to look at the person again,
	// because a part of hers on another partition changed. Payload: Touch as
	// JSON, or none for anything.
	KindTouch Kind = 8
	// KindTick carries the edge's clock into a partition, so that windows
	// that expire make people leave segments. Key: t:<partition>. No payload.
	KindTick Kind = 9
	// KindDecision is what was answered. Never folded into a profile.
	// Payload: a DecisionLog (AppendLog); of older builds, as JSON.
	KindDecision Kind = 10
	// KindTransition is a segment entered or left: an output, not produced
	// again by a replay. Payload: Transition as JSON.
	KindTransition Kind = 11
	// KindExpiry drops what its device's unclaimed stretch holds.
	KindExpiry Kind = 12
	// KindExternal says that an external id, such as an e-mail address, is a
	// user's. It is appended to the user, Key u:, and to the id, Key
	// x:<type>:<value>. Payload: External as JSON.
	KindExternal Kind = 13
)

// Record is one entry of the journal. Offset is given by the journal: in a
// partition offsets rise from 1 without gaps; 0 is "before everything".
type Record struct {
	Offset     uint64
	Kind       Kind
	Workspace  string // "" is the default workspace
	Key        string // routing id: a:, u:, o:, i: or t: and the id
	DataKey    uint32 // id of the key the payload is sealed with; 0 is none
	Time       Millis // event time
	ReceivedAt Millis // the edge's clock
	Payload    []byte
}

// recordFormat is the first byte of every stored record.
const recordFormat = 1

// AppendBinary appends r in record format 1, without its Offset (the journal's
// own key says that). The error is always nil.
func (r *Record) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, recordFormat, byte(r.Kind))
	b = binary.AppendUvarint(b, uint64(len(r.Workspace)))
	b = append(b, r.Workspace...)
	b = binary.AppendUvarint(b, uint64(len(r.Key)))
	b = append(b, r.Key...)
	b = binary.AppendUvarint(b, uint64(r.DataKey))
	b = binary.AppendVarint(b, int64(r.Time))
	b = binary.AppendVarint(b, int64(r.ReceivedAt))
	b = binary.AppendUvarint(b, uint64(len(r.Payload)))
	return append(b, r.Payload...), nil
}

// UnmarshalBinary decodes what AppendBinary wrote, leaving Offset as it is.
// Payload shares b. An error wraps ErrCorrupt.
func (r *Record) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); v != recordFormat && !d.bad {
		return fmt.Errorf("record format %d, this build reads %d: %w", v, recordFormat, ErrCorrupt)
	}
	r.Kind = Kind(d.byte())
	r.Workspace = string(d.bytes())
	r.Key = string(d.bytes())
	r.DataKey = uint32(d.uvarint()) //nolint:gosec // 32 bits were written
	r.Time = Millis(d.varint())
	r.ReceivedAt = Millis(d.varint())
	r.Payload = d.bytes()
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("record of %d bytes: %w", len(b), ErrCorrupt)
	}
	return nil
}

// Link is the payload of KindLink: this device was used by the record's user.
type Link struct {
	AnonymousID string `json:"anonymous_id"`
	Verified    bool   `json:"verified,omitempty"`
}

// Claim is the payload of KindClaim: a server says the record's device is
// UserID's.
type Claim struct {
	UserID    string `json:"user_id"`
	MessageID string `json:"message_id"`
}

// Edge is the payload of KindEdge. From is left behind, To is the canonical
// id; both users' parts keep the edge.
type Edge struct {
	From      string `json:"from"`
	To        string `json:"to"`
	MessageID string `json:"message_id"`
	// Removed: the two are not joined. Of the records about one pair the
	// newest by (time, messageId) counts.
	Removed bool `json:"removed,omitempty"`
	// By is the type of the external id that both users have, when nobody said
	// that they are one but the configuration. What somebody said counts
	// before that, whatever the times.
	By string `json:"by,omitempty"`
}

// External is the payload of KindExternal.
type External struct {
	Type     string `json:"type"`
	Value    string `json:"value"`
	UserID   string `json:"user_id"`
	Verified bool   `json:"verified,omitempty"` // a server said so
}

// Touch is the payload of KindTouch: what may have changed.
type Touch struct {
	// On are the events that were folded, as Event.On says them.
	On []string `json:"on,omitempty"`
	// Traits are the first names of the traits they told.
	Traits []string `json:"traits,omitempty"`
}

// Transition is the payload of KindTransition.
type Transition struct {
	// ID is the same whenever this transition is sent again, as it may be when
	// the journal could not say whether it has it: a hash of the user, the
	// segment, Entered and the position that caused it, in 16 hex digits.
	// Consumers drop an ID that they know.
	ID      string `json:"id,omitempty"`
	UserID  string `json:"user_id"`
	Segment string `json:"segment"`
	Entered bool   `json:"entered"`
}
