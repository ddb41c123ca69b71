// Package disk is the profile.Store of one machine: a Pebble database in a
// directory of its own. A commit is one Pebble batch, so it is whole or absent
// after a crash, and commits are lost newest first. It keeps no cache of its
// own beyond Pebble's; profile.Parts is the memory.
package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// The first byte of every Pebble key: what callers keep, and what the store
// keeps about itself.
const (
	dataSpace = 'k'
	metaSpace = 'm'
)

// positionsKey holds the newest positions, in format 1: journal, offsets.
const positionsKey = "mpositions"

// Options says where and how.
type Options struct {
	// Dir is the directory; it is made when it is not there.
	Dir string
	// Cache is the bytes of Pebble's block cache; 0 is 40 MB.
	Cache int64
	// NoSync lets Commit return before the data is on disk, unless the batch
	// asks for more: a power loss may take commits back, a killed process
	// loses none that the system had taken. The journal replays them.
	NoSync bool
	// Log receives what Pebble has to say; nil is silent.
	Log *slog.Logger
}

// Store is a profile.Store on disk. Use Open.
type Store struct {
	mu     sync.RWMutex // held for reading while db is in use
	db     *pebble.DB
	lock   *pebble.Lock
	closed bool
	noSync bool
}

var _ profile.Store = (*Store)(nil)

// Open opens or makes the store in o.Dir. A directory that another process has
// open is an error that wraps attune.ErrBusy.
func Open(o Options) (*Store, error) {
	if o.Cache <= 0 {
		o.Cache = 40 << 20
	}
	cache := pebble.NewCache(o.Cache)
	defer cache.Unref()
	lock, err := pebbleLock(o.Dir)
	if err != nil {
		return nil, err
	}
	options := &pebble.Options{
		Cache:              cache,
		Logger:             logger{o.Log},
		Lock:               lock,
		FormatMajorVersion: pebble.FormatNewest,
		// Each checkpoint writes the parts that changed once more. What is
		// replaced while it is still in memory never reaches a table, and
		// what is merged seldom is merged with more of its like.
		MemTableSize:          16 << 20,
		L0CompactionThreshold: 8,
		LBaseMaxBytes:         256 << 20,
	}
	options.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range options.Levels {
		// Every new id is looked for once, in vain: ten bits a key answer that
		// without reading a table.
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(o.Dir, options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open profile store %s: %w", o.Dir, err), lock.Close())
	}
	return &Store{db: db, lock: lock, noSync: o.NoSync}, nil
}

// pebbleLock takes the directory's lock, so that a store in use is told apart
// from a store that is broken.
func pebbleLock(dir string) (*pebble.Lock, error) {
	if err := vfs.Default.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make profile store: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	if err != nil {
		return nil, fmt.Errorf("profile store %s is in use, stop the other process first: %w", dir, errors.Join(attune.ErrBusy, err))
	}
	return lock, nil
}

// use returns the database, which stays open until done is called.
func (s *Store) use(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, fmt.Errorf("profile store: %w", attune.ErrClosed)
	}
	return s.mu.RUnlock, nil
}

// Get implements profile.Store.
func (s *Store) Get(ctx context.Context, key []byte) ([]byte, error) {
	done, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.get(append([]byte{dataSpace}, key...))
}

func (s *Store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", key, err)
	}
	v = append(make([]byte, 0, len(v)), v...)
	return v, closer.Close()
}

// Scan implements profile.Store.
func (s *Store) Scan(ctx context.Context, prefix []byte, fn func(key, value []byte) error) (err error) {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	lower := append([]byte{dataSpace}, prefix...)
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: after(lower)})
	if err != nil {
		return fmt.Errorf("scan %q: %w", prefix, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(it.Key()[1:], it.Value()); err != nil {
			return err
		}
	}
	return nil
}

// after returns the first key that does not begin with prefix, which begins
// with a byte below 255.
func after(prefix []byte) []byte {
	end := bytes.TrimRight(prefix, "\xff")
	end = bytes.Clone(end)
	end[len(end)-1]++
	return end
}

// Commit implements profile.Store.
func (s *Store) Commit(ctx context.Context, b *profile.Batch) (err error) {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	pb := s.db.NewBatchWithSize(b.Size() + 32*b.Len() + 256)
	defer func() { err = errors.Join(err, pb.Close()) }()
	put := func(key, value []byte) error {
		op := pb.SetDeferred(1+len(key), len(value))
		op.Key[0] = dataSpace
		copy(op.Key[1:], key)
		copy(op.Value, value)
		return op.Finish()
	}
	drop := func(key []byte) error {
		op := pb.DeleteDeferred(1 + len(key))
		op.Key[0] = dataSpace
		copy(op.Key[1:], key)
		return op.Finish()
	}
	if err := b.Each(put, drop); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if b.Journal != "" {
		if err := pb.Set([]byte(positionsKey), appendPositions(nil, b.Journal, b.Applied), nil); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	// Pebble writes its log in order, so that syncing one commit makes those
	// before it durable too.
	how := pebble.Sync
	if s.noSync && !b.Sync {
		how = pebble.NoSync
	}
	if err := pb.Commit(how); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Positions implements profile.Store.
func (s *Store) Positions(ctx context.Context) (journal string, applied []uint64, err error) {
	done, err := s.use(ctx)
	if err != nil {
		return "", nil, err
	}
	defer done()
	b, err := s.get([]byte(positionsKey))
	if err != nil || b == nil {
		return "", nil, err
	}
	journal, applied, ok := decodePositions(b)
	if !ok {
		return "", nil, fmt.Errorf("positions of the profile store: %w", attune.ErrCorrupt)
	}
	return journal, applied, nil
}

// Close implements profile.Store. It waits for those who use the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("close profile store: %w", err)
	}
	return nil
}

func appendPositions(b []byte, journal string, applied []uint64) []byte {
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(len(journal)))
	b = append(b, journal...)
	b = binary.AppendUvarint(b, uint64(len(applied)))
	for _, offset := range applied {
		b = binary.AppendUvarint(b, offset)
	}
	return b
}

func decodePositions(b []byte) (journal string, applied []uint64, ok bool) {
	if len(b) == 0 || b[0] != 1 {
		return "", nil, false
	}
	r := bytes.NewReader(b[1:])
	n, err := binary.ReadUvarint(r)
	if err != nil || n > uint64(r.Len()) { //nolint:gosec // a length
		return "", nil, false
	}
	name := make([]byte, n)
	if _, err := r.Read(name); err != nil && n > 0 {
		return "", nil, false
	}
	n, err = binary.ReadUvarint(r)
	if err != nil || n > uint64(r.Len()) { //nolint:gosec // a length
		return "", nil, false
	}
	applied = make([]uint64, n)
	for i := range applied {
		if applied[i], err = binary.ReadUvarint(r); err != nil {
			return "", nil, false
		}
	}
	return string(name), applied, r.Len() == 0
}

// logger passes on what Pebble says.
type logger struct{ log *slog.Logger }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	if l.log != nil {
		l.log.Error("profile store", slog.String("pebble", fmt.Sprintf(format, args...)))
	}
}

// Fatalf is called when Pebble cannot go on, with its log in an unknown state;
// it must not return.
func (l logger) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	panic("profile store: " + fmt.Sprintf(format, args...))
}
