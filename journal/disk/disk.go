// Package disk is the journal on one machine, over Pebble.
//
// One goroutine, the committer, writes. Callers queue; it gathers whoever
// waits, gives offsets, writes one Pebble batch with one fsync, publishes the
// records to the readers and wakes the callers. So an fsync is shared by as many
// callers as came while the one before it ran, and a record is visible only
// when it is durable.
//
// The newest records stay in memory, as slices of the very batch that was
// written, so a reader that keeps up never touches Pebble. One that is behind
// reads Pebble up to the last published offset and then goes on in memory: both
// hold every offset between, so nothing is skipped and nothing comes twice.
// Readers sleep on a channel; an idle journal uses no CPU.
//
// Keys are partition (2 bytes, big endian) and offset (8 bytes, big endian); a
// value is a CRC-32C of record and key (4 bytes, little endian) and the record
// (attune.Record.AppendBinary). Partition 0xffff holds what the journal knows of
// itself: identity, how far it was trimmed, whether it was closed.
//
// It does not spread over machines, and a second process cannot read it while
// one has it open.
package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// Defaults of Options.
const (
	DefaultMaxPending = 64 << 20
	DefaultTailBytes  = 64 << 20
)

// Options say where a journal is and what it may use.
type Options struct {
	// Dir is made if it is not there.
	Dir string
	// Partitions is the number of partitions of a new journal (0 is 1). An
	// existing one must have the same number; 0 takes what it has.
	Partitions int
	// Log hears of recovery, damage and Pebble's warnings; nil is silence.
	Log *slog.Logger
	// MaxPending bounds the bytes that wait to be written or are being written;
	// beyond it Append answers attune.ErrBusy. 0 is DefaultMaxPending; at most
	// 1 GiB, which is what one Pebble batch takes with ease.
	MaxPending int64
	// TailBytes bounds the memory that the newest records take, over all
	// partitions. 0 is DefaultTailBytes.
	TailBytes int64
}

// Journal is a journal.Journal in a directory.
type Journal struct {
	id       string
	dir      string
	log      *slog.Logger
	db       *pebble.DB
	lock     *pebble.Lock
	crc      *crc32.Table
	parts    []*partition
	queue    *queue
	tail     *tail
	fault    *fault
	requests sync.Pool

	trimming sync.Mutex   // one Trim at a time
	reads    sync.RWMutex // held shared while Pebble is used outside the committer; Close takes it
	closed   bool         // under reads
	closing  sync.Once
	done     chan struct{} // closed by the committer when it has ended

	commits, records, behind atomic.Uint64
}

var _ journal.Journal = (*Journal)(nil)

// Open opens the journal in o.Dir, or makes it. It cuts what a crash left half
// written and says so in the log.
//
// Errors: attune.ErrBusy when another process has the directory open;
// attune.ErrInvalid when o does not fit what is stored; attune.ErrCorrupt when
// records that were acknowledged cannot be read back.
func Open(o Options) (*Journal, error) {
	if err := o.settle(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		dir:   o.Dir,
		log:   o.Log,
		lock:  lock,
		crc:   crc32.MakeTable(crc32.Castagnoli),
		queue: newQueue(o.MaxPending),
		tail:  &tail{limit: o.TailBytes},
		fault: &fault{log: o.Log},
		done:  make(chan struct{}),
	}
	if err := j.open(o.Partitions); err != nil {
		return nil, errors.Join(err, j.release())
	}
	go j.commitAll()
	return j, nil
}

func (o *Options) settle() error {
	if o.Partitions < 0 || o.Partitions > journal.MaxPartitions {
		return fmt.Errorf("journal.partitions %d: want 1 to %d: %w", o.Partitions, journal.MaxPartitions, attune.ErrInvalid)
	}
	if o.Dir == "" {
		return fmt.Errorf("journal directory is not given: %w", attune.ErrInvalid)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxPending <= 0 {
		o.MaxPending = DefaultMaxPending
	}
	o.MaxPending = min(o.MaxPending, 1<<30)
	if o.TailBytes <= 0 {
		o.TailBytes = DefaultTailBytes
	}
	return nil
}

// open opens Pebble, settles the identity and finds the ends of the partitions.
func (j *Journal) open(partitions int) error {
	if err := j.openPebble(); err != nil {
		return err
	}
	who, made, err := j.identify(partitions)
	if err != nil {
		return err
	}
	j.id = who.ID
	for range who.Partitions {
		j.parts = append(j.parts, &partition{first: 1})
	}
	if !made {
		return j.recover()
	}
	// Pebble writes the very first log of a directory in an older format, in
	// which damage in the middle looks like a torn end. The second has marks of
	// what was synced, so that it is told apart.
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("open journal %s: %w", j.dir, err)
	}
	j.db = nil
	return j.openPebble()
}

func (j *Journal) openPebble() error {
	db, err := pebble.Open(j.dir, pebbleOptions(j.lock, j.fault))
	if err != nil {
		if pebble.IsCorruptionError(err) {
			return fmt.Errorf("journal %s: acknowledged records are damaged (%w); restore the directory from a copy: %w", j.dir, err, attune.ErrCorrupt)
		}
		return fmt.Errorf("open journal %s: %w", j.dir, err)
	}
	j.db = db
	return nil
}

// identity is what the directory says of itself.
type identity struct {
	Format     int    `json:"format"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
}

const format = 1

// identify reads the identity, or makes one in an empty directory.
func (j *Journal) identify(partitions int) (who identity, made bool, err error) {
	b, err := j.get(metaKey("identity"))
	if err != nil {
		return who, false, fmt.Errorf("journal %s: read identity: %w", j.dir, err)
	}
	if b == nil {
		who, err = j.found(partitions)
		return who, true, err
	}
	if err := json.Unmarshal(b, &who); err != nil || who.ID == "" || who.Partitions < 1 || who.Partitions > journal.MaxPartitions {
		return who, false, fmt.Errorf("journal %s: its identity %q does not read: %w", j.dir, b, attune.ErrCorrupt)
	}
	if who.Format != format {
		return who, false, fmt.Errorf("journal %s has format %d, this build reads %d: %w", j.dir, who.Format, format, attune.ErrInvalid)
	}
	if partitions != 0 && partitions != who.Partitions {
		return who, false, fmt.Errorf("journal %s has %d partitions, not %d; another number is a migration: "+
			"open it with %d, or replay it into a new directory: %w", j.dir, who.Partitions, partitions, who.Partitions, attune.ErrInvalid)
	}
	return who, false, nil
}

// found gives an empty directory its identity.
func (j *Journal) found(partitions int) (identity, error) {
	it, err := j.db.NewIter(nil)
	if err != nil {
		return identity{}, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	other := it.First()
	if err := it.Close(); err != nil {
		return identity{}, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	if other {
		return identity{}, fmt.Errorf("journal %s holds a database that is not a journal; give another directory: %w", j.dir, attune.ErrInvalid)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails, by its contract
	who := identity{Format: format, ID: hex.EncodeToString(id[:]), Partitions: max(partitions, 1)}
	b, err := json.Marshal(who)
	if err != nil {
		return who, fmt.Errorf("journal identity: %w", err)
	}
	if err := j.db.Set(metaKey("identity"), b, pebble.Sync); err != nil {
		return who, fmt.Errorf("journal %s: write identity: %w", j.dir, err)
	}
	return who, j.fault.err()
}

// get returns a copy of the value of key, nil when there is none.
func (j *Journal) get(key []byte) ([]byte, error) {
	v, c, err := j.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := append([]byte{}, v...)
	return b, c.Close()
}

// Status is journal.Journal's.
func (j *Journal) Status() journal.Status {
	s := journal.Status{ID: j.id, First: make([]uint64, len(j.parts)), Last: make([]uint64, len(j.parts))}
	for i, p := range j.parts {
		p.mu.Lock()
		s.First[i], s.Last[i] = p.first, p.last
		p.mu.Unlock()
	}
	return s
}

// Stats are figures for people and metrics.
type Stats struct {
	Commits    uint64 // fsyncs since Open
	Records    uint64 // records appended since Open
	BehindRead uint64 // reads that had to go to Pebble since Open
	Pending    int64  // bytes that wait to be written or are being written
	Tail       int64  // bytes of records in memory
	Disk       uint64 // bytes of files, as Pebble counts them
}

// Stats returns the figures of this moment; the zero Stats after Close.
func (j *Journal) Stats() Stats {
	j.reads.RLock()
	defer j.reads.RUnlock()
	if j.closed {
		return Stats{}
	}
	return Stats{
		Commits:    j.commits.Load(),
		Records:    j.records.Load(),
		BehindRead: j.behind.Load(),
		Pending:    j.queue.size(),
		Tail:       j.tail.used.Load(),
		Disk:       j.db.Metrics().DiskSpaceUsage(),
	}
}

// Read is journal.Journal's.
func (j *Journal) Read(partition int, from uint64) (journal.Reader, error) {
	if partition < 0 || partition >= len(j.parts) {
		return nil, fmt.Errorf("journal %s has no partition %d, only 0 to %d: %w", j.dir, partition, len(j.parts)-1, attune.ErrInvalid)
	}
	j.reads.RLock()
	defer j.reads.RUnlock()
	if j.closed {
		return nil, errClosed()
	}
	return &reader{j: j, p: j.parts[partition], partition: partition, next: max(from, 1), done: make(chan struct{})}, nil
}

// Close is journal.Journal's. What was queued is written first.
func (j *Journal) Close() error {
	var err error
	j.closing.Do(func() {
		j.queue.close()
		<-j.done
		for _, p := range j.parts {
			p.close()
		}
		j.reads.Lock() // waits for readers that are inside Pebble, and for Trim
		defer j.reads.Unlock()
		j.closed = true
		err = errors.Join(j.sayClean(), j.release())
	})
	return err
}

// release frees Pebble and the lock.
func (j *Journal) release() error {
	var err error
	if j.db != nil {
		err = j.db.Close()
	}
	if err = errors.Join(err, j.lock.Close()); err != nil {
		return fmt.Errorf("close journal %s: %w", j.dir, err)
	}
	return nil
}

func errClosed() error { return fmt.Errorf("journal: %w", attune.ErrClosed) }
