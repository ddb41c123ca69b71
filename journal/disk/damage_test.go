package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
)

// payload is what record n of the damage tests carries: its size and content
// follow from n, so that an invented record is seen.
func payload(n uint64) []byte {
	r := rand.New(rand.NewPCG(n, 7))
	b := make([]byte, 20+r.IntN(3000))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return fmt.Appendf(b, " %d", n)
}

func appendOne(t *testing.T, j *Journal, n uint64) {
	t.Helper()
	recs := []attune.Record{{Kind: attune.KindEvent, Key: "u:1", Time: 1, ReceivedAt: attune.Millis(n), Payload: payload(n)}}
	if err := j.Append(context.Background(), recs); err != nil {
		t.Fatal(err)
	}
	if recs[0].Offset != n {
		t.Fatalf("offset %d, want %d", recs[0].Offset, n)
	}
}

// readAll returns how many records read whole from the start, and what ended
// it. A record that is not the one that was appended fails the test.
func readAll(t *testing.T, j *Journal, from uint64) (uint64, error) {
	t.Helper()
	r, err := j.Read(0, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	next, last := from, j.Status().Last[0]
	for next <= last {
		recs, err := r.Next(t.Context(), 7)
		if err != nil {
			return next - 1, err
		}
		for i := range recs {
			if recs[i].Offset != next || !bytes.Equal(recs[i].Payload, payload(next)) {
				t.Fatalf("offset %d is not what was appended at %d", recs[i].Offset, next)
			}
			next++
		}
	}
	return next - 1, nil
}

// snapshot copies the files of a journal as a power cut would leave them, were
// everything on the disk.
func snapshot(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// files returns the files of dir whose name ends so, oldest first.
func files(t *testing.T, dir, suffix string) []string {
	t.Helper()
	got, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(got) == 0 {
		t.Fatalf("no %s files in %s (%v)", suffix, dir, err)
	}
	return got
}

// written is the length of a log without the zeros that were allocated ahead.
func written(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(bytes.TrimRight(b, "\x00"))
}

// walRig is a journal of 120 acknowledged records that was not closed, and how
// long its log was at each acknowledgement.
func walRig(t *testing.T) (dir, wal string, ends []int) {
	t.Helper()
	j := mustOpen(t, Options{Partitions: 1})
	wals := files(t, j.dir, ".log")
	live := wals[len(wals)-1]
	for n := uint64(1); n <= 120; n++ {
		appendOne(t, j, n)
		ends = append(ends, written(t, live))
	}
	return snapshot(t, j.dir), filepath.Base(live), ends
}

// A log cut anywhere gives back every record that was acknowledged before the
// cut, whole, and none that was not appended.
func TestTruncatedWAL(t *testing.T) {
	dir, wal, ends := walRig(t)
	size := ends[len(ends)-1]
	cuts := []int{0, 1, ends[0] - 1, ends[0], ends[0] + 1, ends[19] - 1, ends[19], ends[19] + 3, size - 1, size}
	for range 30 {
		cuts = append(cuts, rand.IntN(size))
	}
	for _, cut := range cuts {
		copied := snapshot(t, dir)
		if err := os.Truncate(filepath.Join(copied, wal), int64(cut)); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		for want < uint64(len(ends)) && ends[want] <= cut {
			want++
		}
		var said bytes.Buffer
		j, err := Open(Options{Dir: copied, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got, err := readAll(t, j, 1)
		if err != nil || got < want || got > want+1 {
			t.Errorf("cut at %d: %d records and error %v, want %d", cut, got, err, want)
		}
		if got > 0 && !strings.Contains(said.String(), "recovered to the last whole record") {
			t.Errorf("cut at %d: the log says %q", cut, said.String())
		}
		if id := j.Status(); id.Last[0] != got {
			t.Errorf("cut at %d: last is %d, read %d", cut, id.Last[0], got)
		}
		appendOne(t, j, got+1) // and it goes on
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A flipped byte far from the end of a log is refused: what was acknowledged
// behind it would be lost in silence. Near the end (Pebble looks for proof in
// the 32 KiB blocks behind the damage) it cannot be told from a torn write, and
// what is before it comes back. Nothing else ever does.
func TestFlippedWAL(t *testing.T) {
	dir, wal, ends := walRig(t)
	size := ends[len(ends)-1]
	refused, cut := 0, 0
	for i := range 60 {
		at := rand.IntN(size)
		if i%2 == 1 {
			at = ends[len(ends)-6] + rand.IntN(size-ends[len(ends)-6])
		}
		copied := snapshot(t, dir)
		flip(t, filepath.Join(copied, wal), at)
		j, err := Open(Options{Dir: copied})
		if err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("flip at %d: %v does not wrap ErrCorrupt", at, err)
			}
			refused++
			continue
		}
		got, err := readAll(t, j, 1)
		if err != nil {
			t.Errorf("flip at %d: %v", at, err)
		}
		if got > 0 && ends[got-1] > at || got < uint64(len(ends)) && ends[got] <= at {
			t.Errorf("flip at %d of %d: %d records, ends %v", at, size, got, ends)
		}
		if at < size-(64<<10) {
			t.Errorf("flip at %d of %d: opened with %d records, want a refusal", at, size, got)
		}
		cut++
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	if refused == 0 || cut == 0 {
		t.Errorf("%d refused, %d cut; want some of both", refused, cut)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0x5a
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A damaged table is met by the reader, which says where, or by Open; the
// records around it still read.
func TestFlippedTable(t *testing.T) {
	j := mustOpen(t, Options{Partitions: 1})
	const n = 400
	for i := uint64(1); i <= n; i++ {
		appendOne(t, j, i)
	}
	if err := j.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	tables := files(t, j.dir, ".sst")
	name := filepath.Base(tables[len(tables)-1])
	size := written(t, tables[len(tables)-1])
	for range 20 {
		at := rand.IntN(size)
		copied := snapshot(t, j.dir)
		flip(t, filepath.Join(copied, name), at)
		d, err := Open(Options{Dir: copied, TailBytes: 1})
		if err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("flip at %d: open: %v does not wrap ErrCorrupt", at, err)
			}
			continue
		}
		lost := 0
		for from := uint64(1); from <= n; {
			got, err := readAll(t, d, from)
			if err == nil {
				break
			}
			if want := fmt.Sprintf("partition 0, offset %d", got+1); !errors.Is(err, attune.ErrCorrupt) || !strings.Contains(err.Error(), want) {
				t.Fatalf("flip at %d: %v, want an ErrCorrupt of %s", at, err, want)
			}
			lost++
			from = got + 2
		}
		if d.Status().Last[0] != n {
			t.Errorf("flip at %d: last is %d, want %d", at, d.Status().Last[0], n)
		}
		t.Logf("flip at %d: %d of %d records do not read", at, lost, n)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Stored records that do not read: at the end they are cut and said, inside
// they are an error with their place.
func TestBadRecords(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, Options{Dir: dir, Partitions: 2})
	const n = 20
	for i := uint64(1); i <= n; i++ {
		appendOne(t, j, i)
	}
	p := 0
	if j.Status().Last[0] == 0 {
		p = 1
	}
	good, err := j.get(appendKey(nil, p, 9))
	if err != nil {
		t.Fatal(err)
	}
	half := append([]byte{}, good...)
	half[len(half)-1]++
	for offset, v := range map[uint64][]byte{
		5:     half,
		6:     nil,
		7:     good, // whole, but of another place
		n:     half,
		n - 1: {1, 2, 3},
	} {
		if err := j.db.Set(appendKey(nil, p, offset), v, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.db.Delete(appendKey(nil, p, 11), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	j = mustOpen(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	for _, want := range []string{"cut records", "records=2", "last=18", "are gone"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log lacks %q: %s", want, said.String())
		}
	}
	if last := j.Status().Last[p]; last != n-2 {
		t.Fatalf("last %d, want %d", last, n-2)
	}
	var bad []uint64
	for from := uint64(1); from <= n-2; from++ {
		r, err := j.Read(p, from)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := r.Next(t.Context(), 1)
		if err == nil && !bytes.Equal(recs[0].Payload, payload(from)) {
			t.Errorf("offset %d is not what was appended", from)
		}
		if err != nil {
			_, again := r.Next(t.Context(), 1)
			if !errors.Is(err, attune.ErrCorrupt) || again == nil || again.Error() != err.Error() {
				t.Errorf("offset %d: %v, then %v; want the same ErrCorrupt twice", from, err, again)
			}
			bad = append(bad, from)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprint(bad) != "[5 6 7 11]" {
		t.Errorf("offsets that do not read: %v, want 5, 6, 7 and 11", bad)
	}
}
