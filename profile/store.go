package profile

import "context"

// Store is the seam behind which state is durable. It holds keys and values,
// and the journal's positions they belong to.
//
// Any number of goroutines may use a Store at once, but only one may Commit.
// After Close every method returns an error that wraps attune.ErrClosed.
type Store interface {
	// Get returns the value of key, which the caller then owns; nil, nil when
	// there is none.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Scan calls fn for every key that begins with prefix, ascending, as they
	// were at one instant. key and value are good until fn returns. An error
	// of fn ends the scan and is returned.
	Scan(ctx context.Context, prefix []byte, fn func(key, value []byte) error) error
	// Commit makes b true, all of it or nothing, with its positions. A crash
	// may take back whole commits, newest first: those since the last one
	// with Sync. On error nothing is promised but that; commit again, with
	// the same content or more. b is not kept.
	Commit(ctx context.Context, b *Batch) error
	// Positions returns the journal and, per partition, the offset that the
	// newest commit with positions had; "" and nil when there was none.
	Positions(ctx context.Context) (journal string, applied []uint64, err error)
	// Close releases what the store holds. It does not make unsynced commits
	// durable against a power loss.
	Close() error
}

// Batch is what one Commit changes. The zero Batch is empty. Later changes of
// a key win over earlier ones.
type Batch struct {
	// Journal and Applied are the positions that the state will be at. An
	// empty Journal leaves them as they are.
	Journal string
	Applied []uint64
	// Sync asks that the commit, and all before it, survive a power loss
	// when Commit returns. Only what is before a synced position may be
	// trimmed from the journal.
	Sync bool

	buf []byte
	ops []op
}

// op is one change: buf[key:value] and buf[value:end], or a deletion.
type op struct {
	key, value, end int
	deleted         bool
}

// Put sets key to value. It copies both.
func (b *Batch) Put(key, value []byte) {
	b.put(key, func(buf []byte) []byte { return append(buf, value...) })
}

// put sets key to what appendTo appends.
func (b *Batch) put(key []byte, appendTo func([]byte) []byte) {
	o := op{key: len(b.buf)}
	b.buf = append(b.buf, key...)
	o.value = len(b.buf)
	b.buf = appendTo(b.buf)
	o.end = len(b.buf)
	b.ops = append(b.ops, o)
}

// Delete removes key. It copies it.
func (b *Batch) Delete(key []byte) {
	b.put(key, func(buf []byte) []byte { return buf })
	b.ops[len(b.ops)-1].deleted = true
}

// add appends the changes of o.
func (b *Batch) add(o *Batch) {
	at := len(b.buf)
	b.buf = append(b.buf, o.buf...)
	for _, x := range o.ops {
		x.key, x.value, x.end = x.key+at, x.value+at, x.end+at
		b.ops = append(b.ops, x)
	}
}

// Each calls put or drop for every change, in the order they were made. The
// slices are the batch's.
func (b *Batch) Each(put func(key, value []byte) error, drop func(key []byte) error) error {
	for _, o := range b.ops {
		key := b.buf[o.key:o.value:o.value]
		var err error
		if o.deleted {
			err = drop(key)
		} else {
			err = put(key, b.buf[o.value:o.end:o.end])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of changes, and Size their bytes.
func (b *Batch) Len() int { return len(b.ops) }

// Size is the bytes of all keys and values.
func (b *Batch) Size() int { return len(b.buf) }

// maxReset is the memory a batch keeps for its next use.
const maxReset = 16 << 20

// Reset empties b for another use. Memory of an unusually large one is let go.
func (b *Batch) Reset() {
	if cap(b.buf) > maxReset {
		b.buf, b.ops = nil, nil
	}
	*b = Batch{buf: b.buf[:0], ops: b.ops[:0]}
}

// The keys of parts in a store. Other packages that keep state in the same
// store, to have it committed together, use other first bytes.
const (
	partSpace = "p"
	seenSpace = "d"
)

// PartKey returns the store's key of a part: "p", workspace, 0, routing id.
// Ids hold no control characters, so keys do not run into each other.
func PartKey(workspace, key string) []byte {
	b := make([]byte, 0, 2+len(workspace)+len(key))
	b = append(append(b, partSpace...), workspace...)
	return append(append(b, 0), key...)
}

// appendSeenKey appends the key of a chunk of a part's deduplication set.
func appendSeenKey(b []byte, workspace, key string, chunk uint64) []byte {
	b = append(append(b, seenSpace...), workspace...)
	b = append(append(b, 0), key...)
	return append(b, 0, byte(chunk>>56), byte(chunk>>48), byte(chunk>>40), byte(chunk>>32), //nolint:gosec // big endian
		byte(chunk>>24), byte(chunk>>16), byte(chunk>>8), byte(chunk)) //nolint:gosec // big endian
}
