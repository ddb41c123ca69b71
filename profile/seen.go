package profile

import (
	"encoding/binary"
	"fmt"

	"github.com/attune-io/attune"
)

// The deduplication window: what SDKs send again is known for seenFor of
// receivedAt, and at least the newest seenMin messages are known whatever
// their age; never more than seenMax.
const (
	seenFor = day
	seenMin = 1000
	seenMax = 20_000
	// seenChunk entries are stored under one key, so that a checkpoint writes
	// the newest chunk again and not the whole set.
	seenChunk = 128
	// seenLinear is the size up to which looking at every entry is quicker
	// than a table.
	seenLinear = 32
)

// Seen is the set of messages a part knows: a window over the messages in the
// order of the log, so that a replay has the same window at the same record.
// Its entries are stored beside the part, in chunks. The zero Seen is empty.
type Seen struct {
	// Entries are numbered from 0 in the order they came. first and next
	// bound the window; entries holds [base, next), base being the start of
	// first's chunk: a chunk stays whole until all of it has left the window.
	first, next, base uint64
	newest            attune.Millis
	entries           []seenEntry
	// table is open addressing over entries: the low bits of number + 1, or
	// 0. used counts its slots, those of entries that are gone too.
	table []uint32
	used  int
	// dirty is the oldest entry that is not stored; stored the oldest chunk
	// the store may hold. loaded is false while entries are only in the store.
	dirty, stored uint64
	loaded        bool
}

type seenEntry struct {
	hash, offset uint64
	at           attune.Millis
}

// Len is the number of messages in the window.
func (s *Seen) Len() int { return int(s.next - s.first) } //nolint:gosec // at most seenMax

// Offset returns the offset of the record that first brought the message with
// this hash, and whether it is in the window.
func (s *Seen) Offset(hash uint64) (first uint64, known bool) {
	if s.table == nil {
		for i := range s.entries {
			if s.entries[i].hash == hash && s.base+uint64(i) >= s.first {
				return s.entries[i].offset, true
			}
		}
		return 0, false
	}
	mask := uint64(len(s.table)) - 1
	for slot := hash & mask; s.table[slot] != 0; slot = (slot + 1) & mask {
		if i := s.index(s.table[slot]); i >= 0 && s.entries[i].hash == hash && s.base+uint64(i) >= s.first {
			return s.entries[i].offset, true
		}
	}
	return 0, false
}

// index returns where the entry of a table's slot is; below 0 when it is gone.
func (s *Seen) index(slot uint32) int { return int(int32(slot - 1 - uint32(s.base))) } //nolint:gosec // distances are below 2^31

// Add takes the message with this hash, brought by the record at offset. It
// returns false, and changes nothing, when the message is known.
func (s *Seen) Add(hash, offset uint64, at attune.Millis) bool {
	if _, known := s.Offset(hash); known {
		return false
	}
	s.loaded = true
	s.entries = append(s.entries, seenEntry{hash, offset, at})
	s.next++
	s.newest = max(s.newest, at)
	s.trim()
	switch {
	case len(s.entries) <= seenLinear:
	case s.table == nil || 2*(s.used+1) > len(s.table):
		s.index2table()
	default:
		s.put(s.next - 1)
	}
	return true
}

// trim moves the window on.
func (s *Seen) trim() {
	for n := s.next - s.first; n > seenMin; n-- {
		if n <= seenMax && s.entries[s.first-s.base].at >= s.newest-seenFor {
			break
		}
		s.first++
	}
	if base := s.first / seenChunk * seenChunk; base > s.base {
		// The front is cut off when append needs room next; until then the
		// chunks that are gone cost their memory once.
		s.entries = s.entries[base-s.base:]
		s.base = base
		s.dirty = max(s.dirty, base)
	}
}

// index2table builds the table anew, at most a quarter full.
func (s *Seen) index2table() {
	size := 128
	for size < 4*len(s.entries) {
		size *= 2
	}
	s.table, s.used = make([]uint32, size), 0
	for n := s.base; n < s.next; n++ {
		s.put(n)
	}
}

func (s *Seen) put(n uint64) {
	mask := uint64(len(s.table)) - 1
	slot := s.entries[n-s.base].hash & mask
	for s.table[slot] != 0 {
		slot = (slot + 1) & mask
	}
	s.table[slot] = uint32(n) + 1 //nolint:gosec // index undoes the cut
	s.used++
}

// size is the memory entries and table take, in bytes.
func (s *Seen) size() int { return 24*cap(s.entries) + 4*len(s.table) }

// appendChunk appends chunk number c in format 1.
func (s *Seen) appendChunk(b []byte, c uint64) []byte {
	from := max(c*seenChunk, s.base)
	to := min((c+1)*seenChunk, s.next)
	b = append(b, 1)
	b = binary.AppendUvarint(b, to-from)
	var prev seenEntry
	for _, e := range s.entries[from-s.base : to-s.base] {
		b = binary.LittleEndian.AppendUint64(b, e.hash)
		b = binary.AppendVarint(b, int64(e.at-prev.at))
		b = binary.AppendUvarint(b, e.offset-prev.offset)
		prev = e
	}
	return b
}

// appendMessages appends all messages without their offsets, which depend on
// the number of partitions.
func (s *Seen) appendMessages(b []byte) []byte {
	for _, e := range s.entries {
		b = binary.LittleEndian.AppendUint64(b, e.hash)
		b = binary.AppendVarint(b, int64(e.at))
	}
	return b
}

// load reads the chunks of a part whose header has been decoded. get returns
// a stored chunk.
func (s *Seen) load(get func(chunk uint64) ([]byte, error)) error {
	if s.loaded {
		return nil
	}
	entries := make([]seenEntry, 0, s.next-s.base)
	for c := s.base / seenChunk; c*seenChunk < s.next; c++ {
		b, err := get(c)
		if err != nil {
			return err
		}
		want := min((c+1)*seenChunk, s.next) - c*seenChunk
		if entries, err = decodeChunk(entries, b, want); err != nil {
			return fmt.Errorf("messages of chunk %d: %w", c, err)
		}
	}
	s.entries, s.loaded, s.table = entries, true, nil
	if len(entries) > seenLinear {
		s.index2table()
	}
	return nil
}

func decodeChunk(entries []seenEntry, b []byte, want uint64) ([]seenEntry, error) {
	d := decoder{b: b}
	if v := d.byte(); v != 1 || d.uvarint() != want {
		return nil, attune.ErrCorrupt
	}
	var e seenEntry
	for range want {
		e.hash = d.uint64()
		e.at += attune.Millis(d.varint())
		e.offset += d.uvarint()
		entries = append(entries, e)
	}
	if d.bad || len(d.b) > 0 {
		return nil, attune.ErrCorrupt
	}
	return entries, nil
}
