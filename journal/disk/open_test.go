package disk

import (
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

func TestPartitionsAreFixed(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, Options{Dir: dir, Partitions: 4})
	id := j.Status().ID
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Dir: dir, Partitions: 8})
	if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), "migration") {
		t.Errorf("8 partitions for 4: got %v, want a migration", err)
	}
	j = mustOpen(t, Options{Dir: dir})
	if s := j.Status(); s.ID != id || s.Partitions() != 4 {
		t.Errorf("status %+v, want journal %s with 4 partitions", s, id)
	}
	for _, o := range []Options{{Dir: dir, Partitions: -1}, {Dir: dir, Partitions: 1 << 20}, {}} {
		if _, err := Open(o); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", o, err)
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	j := mustOpen(t, Options{})
	if _, err := Open(Options{Dir: j.dir}); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("in this process: got %v, want ErrBusy", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=open", childDirEnv+"="+j.dir)
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "is open in another process") {
		t.Errorf("in another process: %q, %v; want a refusal", said, err)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir, &pebble.Options{Logger: &fault{log: mustLog()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("x"), nil, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// A full queue answers at once; an append that can never fit says so.
func TestBusy(t *testing.T) {
	q := newQueue(1000)
	if err := q.put(&request{size: 1001}); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("1001 of 1000 bytes: got %v, want ErrInvalid", err)
	}
	if err := q.put(&request{size: 600}); err != nil {
		t.Fatal(err)
	}
	if err := q.put(&request{size: 401}); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("401 bytes beside 600: got %v, want ErrBusy", err)
	}
	got := q.take(nil)
	if err := q.put(&request{size: 401}); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("401 bytes beside 600 that are being written: got %v, want ErrBusy", err)
	}
	q.freed(got[0].size)
	if err := q.put(&request{size: 401}); err != nil {
		t.Errorf("401 bytes beside none: %v", err)
	}
}

// Under load with a small queue every append is either stored or refused with
// ErrBusy, and memory stays bounded.
func TestBusyUnderLoad(t *testing.T) {
	j := mustOpen(t, Options{Partitions: 2, MaxPending: 20_000})
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored, busy := 0, 0
	for range 32 {
		wg.Go(func() {
			for range 20 {
				err := j.Append(t.Context(), []attune.Record{{Key: "u:1", Payload: make([]byte, 1300)}})
				mu.Lock()
				switch {
				case err == nil:
					stored++
				case errors.Is(err, attune.ErrBusy):
					busy++
				default:
					t.Error(err)
				}
				mu.Unlock()
				if pending := j.Stats().Pending; pending > 20_000 {
					t.Errorf("%d bytes pending, want at most 20000", pending)
				}
			}
		})
	}
	wg.Wait()
	s := j.Status()
	if got := int(s.Last[0] + s.Last[1]); got != stored || stored+busy != 32*20 {
		t.Errorf("%d stored, %d acknowledged, %d refused", got, stored, busy)
	}
	if j.Stats().Pending != 0 {
		t.Errorf("%d bytes pending at rest", j.Stats().Pending)
	}
}

// A storage failure stops acknowledgements for good.
func TestFault(t *testing.T) {
	j := mustOpen(t, Options{})
	appendOne(t, j, 1)
	j.fault.Fatalf("disk %s", "gone")
	recs := []attune.Record{{Key: "u:1"}}
	if err := j.Append(t.Context(), recs); err == nil || recs[0].Offset != 0 || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("append after a failure: %v, offset %d", err, recs[0].Offset)
	}
}

// A reader that keeps up is served from memory, within its bound.
func TestTail(t *testing.T) {
	const limit = 100_000
	j := mustOpen(t, Options{Partitions: 1, TailBytes: limit})
	r, err := j.Read(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 300; n++ {
		appendOne(t, j, n)
		recs, err := r.Next(t.Context(), 10)
		if err != nil || len(recs) != 1 || recs[0].Offset != n {
			t.Fatalf("at %d: %d records, %v", n, len(recs), err)
		}
		if s := j.Stats(); s.Tail > limit || s.BehindRead > 0 {
			t.Fatalf("at %d: %d bytes in memory, %d reads of storage; want at most %d and none", n, s.Tail, s.BehindRead, limit)
		}
	}
	if got, err := readAll(t, j, 1); got != 300 || err != nil {
		t.Errorf("a reader from behind: %d records, %v", got, err)
	}
	if j.Stats().BehindRead == 0 {
		t.Error("a reader from behind did not touch storage")
	}
}

// The measured length is the written one, and what is written reads back.
func TestValue(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	rapid.Check(t, func(t *rapid.T) {
		want := attune.Record{
			Kind:       attune.Kind(rapid.Byte().Draw(t, "kind")),
			Workspace:  rapid.String().Draw(t, "workspace"),
			Key:        rapid.String().Draw(t, "key"),
			DataKey:    rapid.Uint32().Draw(t, "data key"),
			Time:       attune.Millis(rapid.Int64().Draw(t, "time")),
			ReceivedAt: attune.Millis(rapid.Int64().Draw(t, "received")),
			Payload:    rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
		}
		key := appendKey(nil, 3, 9)
		v := make([]byte, valueLen(&want))
		if _, err := putValue(table, v, key, &want); err != nil {
			t.Fatal(err)
		}
		var got attune.Record
		if err := readValue(table, v, key, &got); err != nil {
			t.Fatal(err)
		}
		if got.Kind != want.Kind || got.Workspace != want.Workspace || got.Key != want.Key || got.DataKey != want.DataKey ||
			got.Time != want.Time || got.ReceivedAt != want.ReceivedAt || string(got.Payload) != string(want.Payload) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		v[rapid.IntRange(0, len(v)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if err := readValue(table, v, key, &got); !errors.Is(err, attune.ErrCorrupt) {
			t.Fatalf("a flipped bit: got %v, want ErrCorrupt", err)
		}
	})
}

func FuzzValue(f *testing.F) {
	table := crc32.MakeTable(crc32.Castagnoli)
	r := attune.Record{Kind: 1, Key: "u:1", Payload: []byte("x")}
	key := appendKey(nil, 0, 1)
	v := make([]byte, valueLen(&r))
	if _, err := putValue(table, v, key, &r); err != nil {
		f.Fatal(err)
	}
	f.Add(v)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, v []byte) {
		var r attune.Record
		if err := readValue(table, v, key, &r); err != nil && !errors.Is(err, attune.ErrCorrupt) {
			t.Fatalf("%v does not wrap ErrCorrupt", err)
		}
	})
}
