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

	// Behind a pointer, since every part has room for a batch of its own.
	*changes
}

// changes are what a batch holds. They lie in pieces, so that many of them grow
// without being moved: the full ones, then last.
type changes struct {
	full  [][]byte
	last  []byte
	spare [][]byte // empty pieces for later use
	size  int
	ops   []op
}

// op is one change: in its piece, [key:value] and [value:end], or a deletion.
type op struct {
	piece           int32
	deleted         bool
	key, value, end int
}

const (
	// pieceBytes is what a piece holds; a value that does not fit into its rest
	// makes it larger.
	pieceBytes = 1 << 20
	// pieceRest is how much may stay free, so that values seldom do.
	pieceRest = 32 << 10
	// maxSpare bounds the pieces a batch keeps for its next use.
	maxSpare = 4
)

// Put sets key to value. It copies both.
func (b *Batch) Put(key, value []byte) {
	b.put(key, func(buf []byte) []byte { return append(buf, value...) })
}

// put sets key to what appendTo appends.
func (b *Batch) put(key []byte, appendTo func([]byte) []byte) {
	if b.changes == nil {
		b.changes = &changes{}
	}
	if len(b.last) > pieceBytes-pieceRest {
		b.turn()
	}
	at := len(b.last)
	b.last = append(b.last, key...)
	value := len(b.last)
	b.last = appendTo(b.last)
	b.size += len(b.last) - at
	b.ops = append(b.ops, op{piece: int32(len(b.full)), key: at, value: value, end: len(b.last)}) //nolint:gosec // far below 2^31 pieces
}

// turn begins a new piece.
func (c *changes) turn() {
	c.full = append(c.full, c.last)
	if n := len(c.spare); n > 0 {
		c.last, c.spare = c.spare[n-1], c.spare[:n-1]
		return
	}
	c.last = make([]byte, 0, pieceBytes)
}

// Delete removes key. It copies it.
func (b *Batch) Delete(key []byte) {
	b.put(key, func(buf []byte) []byte { return buf })
	b.ops[len(b.ops)-1].deleted = true
}

// add appends the changes of o.
func (b *Batch) add(o *Batch) {
	if o.changes == nil {
		return
	}
	for _, x := range o.ops {
		key, value := o.change(x)
		b.put(key, func(buf []byte) []byte { return append(buf, value...) })
		b.ops[len(b.ops)-1].deleted = x.deleted
	}
}

// change returns what x says.
func (c *changes) change(x op) (key, value []byte) {
	p := c.last
	if int(x.piece) < len(c.full) {
		p = c.full[x.piece]
	}
	return p[x.key:x.value:x.value], p[x.value:x.end:x.end]
}

// Each calls put or drop for every change, in the order they were made. The
// slices are the batch's.
func (b *Batch) Each(put func(key, value []byte) error, drop func(key []byte) error) error {
	if b.changes == nil {
		return nil
	}
	for _, o := range b.ops {
		key, value := b.change(o)
		var err error
		if o.deleted {
			err = drop(key)
		} else {
			err = put(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of changes.
func (b *Batch) Len() int {
	if b.changes == nil {
		return 0
	}
	return len(b.ops)
}

// Size is the bytes of all keys and values.
func (b *Batch) Size() int {
	if b.changes == nil {
		return 0
	}
	return b.size
}

// maxOps is how many changes a batch keeps room for.
const maxOps = 64 << 10

// Reset empties b for another use. What an unusually large one took is let go.
func (b *Batch) Reset() {
	if b.changes != nil {
		b.reset()
	}
	*b = Batch{changes: b.changes}
}

func (c *changes) reset() {
	for i, p := range c.full {
		if len(c.spare) < maxSpare && cap(p) <= 2*pieceBytes {
			c.spare = append(c.spare, p[:0])
		}
		c.full[i] = nil
	}
	if cap(c.last) > 2*pieceBytes {
		c.last = nil
	}
	if cap(c.ops) > maxOps {
		c.ops = nil
	}
	c.full, c.last, c.size, c.ops = c.full[:0], c.last[:0], 0, c.ops[:0]
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
