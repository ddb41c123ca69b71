package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/bits"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/attune-io/attune"
)

const (
	keyLen   = 10
	crcLen   = 4
	metaPart = 0xffff
)

// appendKey appends the key of a record. Offsets of a partition sort by number.
func appendKey(b []byte, partition int, offset uint64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(partition)) //nolint:gosec // below MaxPartitions
	return binary.BigEndian.AppendUint64(b, offset)
}

// metaKey is the key of what the journal knows of itself under that name.
func metaKey(name string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, metaPart), name...)
}

// valueLen is the exact length of what putValue writes for r.
func valueLen(r *attune.Record) int {
	return crcLen + 2 + uvarintLen(uint64(len(r.Workspace))) + len(r.Workspace) +
		uvarintLen(uint64(len(r.Key))) + len(r.Key) +
		uvarintLen(uint64(r.DataKey)) + varintLen(int64(r.Time)) + varintLen(int64(r.ReceivedAt)) +
		uvarintLen(uint64(len(r.Payload))) + len(r.Payload)
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func varintLen(v int64) int { return uvarintLen(uint64(v)<<1 ^ uint64(v>>63)) } //nolint:gosec // zigzag

// putValue writes the stored form of r into v, which is valueLen(r) long, and
// returns r's payload inside v. The checksum covers the key too, so that a
// record read from another's place is not taken for it.
func putValue(table *crc32.Table, v, key []byte, r *attune.Record) ([]byte, error) {
	body, err := r.AppendBinary(v[crcLen:crcLen])
	if err != nil {
		return nil, err
	}
	if crcLen+len(body) != len(v) {
		return nil, fmt.Errorf("record of %d bytes was measured as %d", len(body), len(v)-crcLen)
	}
	binary.LittleEndian.PutUint32(v, crc32.Update(crc32.Checksum(body, table), table, key))
	return body[len(body)-len(r.Payload) : len(body) : len(body)], nil
}

// readValue decodes what putValue wrote. The payload shares v.
func readValue(table *crc32.Table, v, key []byte, r *attune.Record) error {
	if len(v) < crcLen {
		return fmt.Errorf("%d bytes: %w", len(v), attune.ErrCorrupt)
	}
	body := v[crcLen:]
	if want, got := binary.LittleEndian.Uint32(v), crc32.Update(crc32.Checksum(body, table), table, key); got != want {
		return fmt.Errorf("checksum %08x, want %08x: %w", got, want, attune.ErrCorrupt)
	}
	return r.UnmarshalBinary(body)
}

// lockDir takes the lock of a directory before Pebble looks into it.
func lockDir(dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, syscall.EAGAIN), strings.Contains(err.Error(), "lock held by current process"):
		return nil, fmt.Errorf("journal %s is open in another process; stop that one, or give this one another data directory: %w", dir, attune.ErrBusy)
	default:
		return nil, fmt.Errorf("lock journal %s: %w", dir, err)
	}
}

// pebbleOptions tune Pebble for a log: values are written once in almost sorted
// order, read once soon after and then rarely, and dropped from the front. So a
// large memtable, few and large tables, little cache. The write-ahead log is
// not compressed; the tables are.
func pebbleOptions(lock *pebble.Lock, f *fault) *pebble.Options {
	o := &pebble.Options{
		Lock:                        lock,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   8 << 20,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               512 << 20,
		BytesPerSync:                1 << 20,
		Logger:                      f,
		EventListener: &pebble.EventListener{
			// Pebble's own answer is to end the process. Here the reader that
			// met the damage says so, and the rest of the journal goes on.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				f.log.Error("journal: damaged table", slog.String("path", i.Path), slog.Any("error", i.Details))
			},
		},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 64 << 20
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	// Payloads are written once, to files of their own, and tables hold where
	// they are: a table that covers every partition is merged into those
	// below it again and again, and would take the payloads along. They are
	// never rewritten to reclaim space, since records go as they came, the
	// oldest first, and a file goes with its last one.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: 128, MaxBlobReferenceDepth: 1000,
			RewriteMinimumAge: time.Hour, TargetGarbageRatio: 1,
		}
	}
	o.Experimental.SpanPolicyFunc = ownTables
	return o
}

// splitPartitions is how many partitions have tables of their own; the others
// share, since many partitions would make many small tables.
const splitPartitions = 16

// ownTables ends a table where its partition ends. Offsets only rise, so that
// such a table overlaps no other, and nothing is merged until there are many
// small ones to be made one; a table of several partitions overlaps everything
// between its ends, and is merged with all of it again and again.
func ownTables(key []byte) (pebble.SpanPolicy, []byte, error) {
	if len(key) < 2 {
		return pebble.SpanPolicy{}, nil, nil
	}
	partition := binary.BigEndian.Uint16(key)
	if partition >= splitPartitions {
		return pebble.SpanPolicy{}, nil, nil
	}
	return pebble.SpanPolicy{}, binary.BigEndian.AppendUint16(nil, partition+1), nil
}

// fault is Pebble's logger, and remembers the write that could not be made
// durable. After one nobody knows what the disk holds (a second fsync may
// report success for data that is gone), so nothing is acknowledged any more
// until the journal is opened again and has read back what is there.
type fault struct {
	log   *slog.Logger
	first atomic.Pointer[string]
}

// Infof drops Pebble's account of its own housekeeping.
func (*fault) Infof(string, ...any) {}

// Errorf logs what Pebble retries.
func (f *fault) Errorf(format string, args ...any) {
	f.log.Warn("journal: storage", slog.String("message", fmt.Sprintf(format, args...)))
}

// Fatalf is called by Pebble where it would end the process.
func (f *fault) Fatalf(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	f.first.CompareAndSwap(nil, &s)
	f.log.Error("journal: storage failed; nothing is acknowledged until the journal is opened again", slog.String("message", s))
}

// failed reports whether err would be one.
func (f *fault) failed() bool { return f.first.Load() != nil }

func (f *fault) err() error {
	if s := f.first.Load(); s != nil {
		return fmt.Errorf("journal: storage failed (%s); look at the disk, then restart", *s)
	}
	return nil
}
