package journal

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/attune-io/attune"
)

// Token is a consistency token: the newest offset a request reached in each
// partition it wrote to. Whoever reads with it wants those records reflected.
// It is not a secret and proves nothing: it only says how long to wait.
//
// As text it is base64url without padding of: format version (1 byte), the
// short form of the journal's id (4 bytes), then for each position the distance
// of its partition from the one before, and its offset, as varints. One
// position is about eleven characters.
type Token struct {
	// Journal is the id of the journal, or its short form (ShortID); a parsed
	// token has the short form.
	Journal string
	// Positions rise by partition, one entry a partition, offsets above 0. Use
	// Add to keep it so.
	Positions []Position
}

const (
	tokenVersion = 1
	// maxToken bounds the text of a token: MaxPartitions positions of the
	// longest kind fit.
	maxToken = 20 << 10
)

// ShortID returns the short form of a journal id: eight hexadecimal digits. The
// short form of a short form is itself.
func ShortID(id string) string {
	b := shortID(id)
	return hex.EncodeToString(b[:])
}

func shortID(id string) (b [4]byte) {
	if len(id) == 8 {
		if _, err := hex.Decode(b[:], []byte(id)); err == nil {
			return b
		}
	}
	binary.BigEndian.PutUint32(b[:], uint32(attune.Hash(id))) //nolint:gosec // cut on purpose
	return b
}

// TokenOf returns the token of records that were appended to the journal id
// with that many partitions. Records without an offset are left out.
func TokenOf(id string, partitions int, recs []attune.Record) Token {
	t := Token{Journal: ShortID(id)}
	for i := range recs {
		t.Add(Position{Partition: Partition(recs[i].Key, partitions), Offset: recs[i].Offset})
	}
	return t
}

// Of reports whether t speaks of the journal with that id. A token of another
// journal must not be waited for.
func (t Token) Of(id string) bool { return shortID(t.Journal) == shortID(id) }

// Add makes t cover p too: the newer offset of a partition wins. Offset 0,
// before everything, adds nothing.
func (t *Token) Add(p Position) {
	if p.Offset == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(t.Positions, p.Partition, func(q Position, partition int) int {
		return q.Partition - partition
	})
	if found {
		t.Positions[i].Offset = max(t.Positions[i].Offset, p.Offset)
		return
	}
	t.Positions = slices.Insert(t.Positions, i, p)
}

// String returns t as text that is safe in a header, a query and a cookie. The
// same positions always give the same text.
func (t Token) String() string {
	id := shortID(t.Journal)
	b := make([]byte, 0, 5+6*len(t.Positions))
	b = append(b, tokenVersion)
	b = append(b, id[:]...)
	last := 0
	for _, p := range t.Positions {
		b = binary.AppendUvarint(b, uint64(p.Partition-last)) //nolint:gosec // partitions rise
		b = binary.AppendUvarint(b, p.Offset)
		last = p.Partition
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what String wrote. An error wraps attune.ErrInvalid and says
// what is wrong; text of any length and content is safe.
func ParseToken(s string) (Token, error) {
	if s == "" {
		return Token{}, fmt.Errorf("consistency token is empty; leave it out instead: %w", attune.ErrInvalid)
	}
	if len(s) > maxToken {
		return Token{}, fmt.Errorf("consistency token of %d characters, at most %d: %w", len(s), maxToken, attune.ErrInvalid)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return Token{}, fmt.Errorf("consistency token is not base64url (%s); send it as it was received: %w", err.Error(), attune.ErrInvalid)
	}
	if len(b) == 0 { // base64 skips line ends
		return Token{}, fmt.Errorf("consistency token is blank; leave it out instead: %w", attune.ErrInvalid)
	}
	if b[0] != tokenVersion {
		return Token{}, fmt.Errorf("consistency token of version %d, this build reads %d: %w", b[0], tokenVersion, attune.ErrInvalid)
	}
	if len(b) < 5 {
		return Token{}, fmt.Errorf("consistency token is cut short; send it as it was received: %w", attune.ErrInvalid)
	}
	t := Token{Journal: hex.EncodeToString(b[1:5])}
	last := 0
	for b = b[5:]; len(b) > 0; {
		step, n := binary.Uvarint(b)
		if n <= 0 || step >= MaxPartitions {
			return Token{}, badPosition(len(t.Positions))
		}
		offset, m := binary.Uvarint(b[n:])
		if m <= 0 || offset == 0 {
			return Token{}, badPosition(len(t.Positions))
		}
		p := Position{Partition: last + int(step), Offset: offset}
		if p.Partition >= MaxPartitions || len(t.Positions) > 0 && step == 0 {
			return Token{}, badPosition(len(t.Positions))
		}
		t.Positions = append(t.Positions, p)
		last, b = p.Partition, b[n+m:]
	}
	if t.String() != s { // a varint longer than it need be
		return Token{}, fmt.Errorf("consistency token is not in its shortest form; send it as it was received: %w", attune.ErrInvalid)
	}
	return t, nil
}

func badPosition(i int) error {
	return fmt.Errorf("consistency token: position %d does not read; send it as it was received: %w", i+1, attune.ErrInvalid)
}
