package disk

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOwnTables writes a journal of four partitions through small tables and
// expects that what is in a table is written again at most once or twice, when
// there are so many tables that they are made fewer.
func TestOwnTables(t *testing.T) {
	o := pebbleOptions(nil, &fault{log: slog.New(slog.DiscardHandler)})
	o.FS = vfs.NewMem()
	o.MemTableSize = 256 << 10
	db, err := pebble.Open("journal", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it is in memory
	const partitions, flushes, records = 4, 200, 100
	value := bytes.Repeat([]byte("v"), 100) // short, so that it stays in the table
	offset := uint64(0)
	for range flushes {
		for range records {
			offset++
			for p := range partitions {
				if err := db.Set(appendKey(nil, p, offset), value, pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	m := db.Metrics()
	var flushed, compacted, tables int64
	for i := range m.Levels {
		flushed += int64(m.Levels[i].TableBytesFlushed)
		compacted += int64(m.Levels[i].TableBytesCompacted)
		tables += m.Levels[i].TablesCount
	}
	t.Logf("flushed %d, compacted %d, tables %d", flushed, compacted, tables)
	if compacted > 2*flushed {
		t.Errorf("compactions wrote %d bytes of %d that were flushed, want at most twice as many", compacted, flushed)
	}
	if got, limit := tables, int64(partitions*flushes); got > limit {
		t.Errorf("got %d tables, want at most %d", got, limit)
	}
	for _, key := range [][]byte{appendKey(nil, 0, 1), appendKey(nil, 3, offset)} {
		got, closer, err := db.Get(key)
		if err != nil {
			t.Fatalf("get %x: %v", key, err)
		}
		if !bytes.Equal(got, value) {
			t.Errorf("get %x: got %q, want %q", key, got, value)
		}
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	}
}
