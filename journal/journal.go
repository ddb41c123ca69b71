// Package journal is the ordered durable record of everything that changes
// state: the seam between collect, which appends, and the pipeline, the live
// view and the trainers, which read.
//
// It guarantees that a record whose Append returned nil is never lost, that the
// records of one partition have offsets 1, 2, 3 … without gaps, and that every
// reader of a partition sees the same records in the same order, each once. It
// knows nothing of what a record means, gives no order between partitions, and
// does not drop repeats: that is the fold's work.
//
// journal/disk keeps it on one machine; journal/journaltest is what any backend
// must pass.
package journal

import (
	"context"

	"github.com/attune-io/attune"
)

// MaxPartitions bounds the number of partitions of any journal.
const MaxPartitions = 1024

// Journal is the durable record. Any number of goroutines may call any method
// at once.
type Journal interface {
	// Append makes recs durable, sets Offset in each, and returns. When it
	// returns nil all of recs survive a crash; on an error nothing is promised,
	// Offset is as it was, and the caller may repeat it (a reader may then see
	// the records twice, and drops the repeat by message id).
	// Never will a part of recs be stored without the rest. Records of one
	// partition keep the order of the slice; the partition is
	// Partition(rec.Key, n). What one goroutine appends after a nil is behind
	// what it appended before.
	//
	// Payloads are copied before Append returns: the caller may reuse them.
	// Strings are kept as they are and must not change. Other goroutines must
	// not touch recs while Append runs. No recs is not an error.
	//
	// Errors: attune.ErrBusy at once when the bounded queue is full (nothing is
	// stored; try again later), attune.ErrInvalid for a record that can never
	// be stored, attune.ErrClosed after Close, the context's error when ctx
	// ended before the records were on their way.
	Append(ctx context.Context, recs []attune.Record) error

	// Read returns a reader of one partition that starts at the first record
	// with Offset >= from. From may lie before the first kept record or beyond
	// the last one; the reader then waits for it. A partition may have any
	// number of readers at once. attune.ErrInvalid: there is no such partition.
	Read(partition int, from uint64) (Reader, error)

	// Status says who the journal is and how far it reaches. What Last names is
	// durable and readable. The slices are the caller's.
	Status() Status

	// Trim drops records from the front of each partition: those received
	// before the instant, up to the first one that was not, and none with an
	// Offset after keep[partition] (one entry a partition, else
	// attune.ErrInvalid). Offsets do not change, and never start again. A
	// reader that stands on a dropped record goes on at the first kept one.
	Trim(ctx context.Context, before attune.Millis, keep []uint64) error

	// Close waits for the appends that were let in, ends every reader with
	// attune.ErrClosed, and frees the journal's files. A second Close is
	// nothing.
	Close() error
}

// Reader reads one partition in order. One goroutine may call Next at a time;
// Close may be called from any.
type Reader interface {
	// Next blocks until there is at least one record, and returns those that
	// are there, at least one and at most limit (below 1 is attune.ErrInvalid).
	// It may return fewer than there are, to bound memory. The slice and the
	// payloads in it are good until the next call of Next, and must not be
	// written to; strings may be kept.
	//
	// Only durable records are returned. The context ends the wait with its
	// error and loses nothing: the next call goes on. attune.ErrClosed: the
	// reader or the journal was closed. attune.ErrCorrupt: a stored record does
	// not read; the error names partition and offset, every further Next says
	// the same, and a reader opened behind that offset goes on.
	Next(ctx context.Context, limit int) ([]attune.Record, error)

	// Close ends a waiting Next with attune.ErrClosed and frees the reader.
	Close() error
}

// Status is what a journal says of itself.
type Status struct {
	// ID is the journal's identity: given at random when it was made, the same
	// ever after. Offsets mean nothing in a journal of another ID.
	ID string
	// First and Last have one entry a partition: the offset of the first kept
	// record, and of the newest one. Last is 0 before the first record; an
	// empty partition has First = Last + 1.
	First, Last []uint64
}

// Partitions returns the number of partitions.
func (s Status) Partitions() int { return len(s.Last) }

// Partition returns the partition, in [0, n), of the records of key. It is the
// same on every machine for ever; n below 2 gives 0. The hash is mixed once
// more (splitmix64's finalizer), so that other uses of attune.Hash, such as
// experiment buckets, do not line up with partitions.
func Partition(key string, n int) int {
	if n < 2 {
		return 0
	}
	h := attune.Hash(key)
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
	h = (h ^ (h >> 27)) * 0x94d049bb133111eb
	h ^= h >> 31
	return int(h % uint64(n)) //nolint:gosec // below n
}

// Position is a place in a journal: a partition, and the offset of a record.
type Position struct {
	Partition int
	Offset    uint64
}
