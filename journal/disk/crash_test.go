package disk

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

const (
	childEnv    = "ATTUNE_JOURNAL_CHILD" // what this binary does instead of testing
	childDirEnv = "ATTUNE_JOURNAL_DIR"
	soakEnv     = "ATTUNE_SOAK" // number of crashes; 500 when it is no number
)

func mustLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestMain runs the tests, or, started by one of them, the part of another
// process.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childEnv) {
	case "":
		m.Run()
		return
	case "open":
		_, err = Open(Options{Dir: os.Getenv(childDirEnv)})
	case "append":
		err = appendForEver(os.Getenv(childDirEnv))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// appendForEver appends under load and prints each record after its
// acknowledgement: partition, offset, hash of the payload.
func appendForEver(dir string) error {
	j, err := Open(Options{Dir: dir, Partitions: 4})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, "ready"); err != nil {
		return err
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range cap(failed) {
		wg.Go(func() {
			for {
				recs := make([]attune.Record, 1+rand.IntN(6))
				for i := range recs {
					recs[i] = attune.Record{
						Kind: attune.KindEvent, Key: fmt.Sprintf("u:%d", rand.IntN(50)),
						Payload: make([]byte, rand.IntN(3000)),
					}
					for b := range recs[i].Payload {
						recs[i].Payload[b] = byte(rand.Uint32())
					}
				}
				if err := j.Append(context.Background(), recs); err != nil {
					failed <- err
					return
				}
				var b []byte
				for i := range recs {
					b = fmt.Appendf(b, "%d %d %x\n", journal.Partition(recs[i].Key, 4), recs[i].Offset, attune.Hash(string(recs[i].Payload)))
				}
				out.Lock()
				_, err := os.Stdout.Write(b)
				out.Unlock()
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	return <-failed
}

// TestKill kills a process that appends, at random moments, again and again on
// the same directory. Whatever it printed is there, whole, at its offset, and
// offsets have no gap.
func TestKill(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	if s := os.Getenv(soakEnv); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 8 {
			rounds = 500
		}
	}
	dir := t.TempDir()
	acked := make([]map[uint64]string, 4)
	for p := range acked {
		acked[p] = map[uint64]string{}
	}
	for round := range rounds {
		killOnce(t, dir, acked)
		verify(t, dir, acked)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	n := 0
	for _, a := range acked {
		n += len(a)
	}
	t.Logf("%d acknowledged records", n)
}

// killOnce lets a child append for a random while, kills it, and notes what it
// printed.
func killOnce(t *testing.T, dir string, acked []map[uint64]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=append", childDirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Errorf("the child says %q, %v", line, err)
	}
	timer := time.AfterFunc(time.Duration(rand.IntN(200_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the kill; a line without its end does not count
		}
		var p int
		var offset uint64
		var hash string
		if _, err := fmt.Sscanf(line, "%d %d %s\n", &p, &offset, &hash); err != nil {
			t.Errorf("the child says %q: %v", line, err)
			break
		}
		acked[p][offset] = hash
	}
	_ = cmd.Wait() // killed
}

func verify(t *testing.T, dir string, acked []map[uint64]string) {
	t.Helper()
	j, err := Open(Options{Dir: dir, Log: mustLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	for p, last := range j.Status().Last {
		r, err := j.Read(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for next := uint64(1); next <= last; {
			recs, err := r.Next(t.Context(), 500)
			if err != nil {
				t.Fatal(err)
			}
			for i := range recs {
				if recs[i].Offset != next {
					t.Fatalf("partition %d: offset %d, want %d", p, recs[i].Offset, next)
				}
				if want, ok := acked[p][next]; ok {
					seen++
					if got := strconv.FormatUint(attune.Hash(string(recs[i].Payload)), 16); got != want {
						t.Fatalf("partition %d, offset %d: payload %s, want %s", p, next, got, want)
					}
				}
				next++
			}
		}
		if seen != len(acked[p]) {
			t.Errorf("partition %d: %d of %d acknowledged records", p, seen, len(acked[p]))
		}
		_ = r.Close()
	}
}
