package model

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/attune-io/attune"
)

// maxItems bounds the item numbers a structure takes: larger ones come from a
// damaged row, and would make a table of them exhaust the memory.
const maxItems = 1 << 24

func validItem(item int32) bool { return item >= 0 && item < maxItems }

// rowKey is the key of the row of a number: a letter that names the kind of
// row, then the number, so that rows sort by it.
func rowKey(b []byte, kind byte, n int32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), uint32(n)) //nolint:gosec // numbers are never negative
}

// parseKey is the inverse of rowKey.
func parseKey(key []byte) (kind byte, n int32, err error) {
	if len(key) != 5 {
		return 0, 0, fmt.Errorf("row key of %d bytes, want 5: %w", len(key), attune.ErrCorrupt)
	}
	u := binary.BigEndian.Uint32(key[1:])
	if u >= maxItems {
		return 0, 0, fmt.Errorf("row %q of number %d: %w", key[:1], u, attune.ErrCorrupt)
	}
	return key[0], int32(u), nil
}

// rowReader reads varints; after a fault bad is set and every read returns 0.
type rowReader struct {
	b   []byte
	bad bool
}

func (r *rowReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// item reads an item number.
func (r *rowReader) item() int32 {
	v := r.uvarint()
	if v >= maxItems {
		r.bad = true
		return 0
	}
	return int32(v)
}

// tile reads the number of a half-life.
func (r *rowReader) tile() int32 {
	v := r.varint()
	if v < 0 || v > math.MaxInt32/2 {
		r.bad = true
		return 0
	}
	return int32(v)
}

// done returns an error when anything was wrong or is left over.
func (r *rowReader) done(what string) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%s: %w", what, attune.ErrCorrupt)
	}
	return nil
}
