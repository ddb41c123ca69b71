package profiletest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/attune-io/attune/profile"
)

// crashDir tells the test binary, run again, that it is the process to kill.
const crashDir = "ATTUNE_PROFILETEST_CRASH_DIR"

// Crash kills a process that commits, rounds times, and checks after each that
// the store is at one whole commit, not before the last synced one. Call it
// from a test of its own, which it runs again in another process.
func Crash(t *testing.T, open Open, rounds int) {
	t.Helper()
	if dir := os.Getenv(crashDir); dir != "" {
		t.Fatal(commitForEver(os.Stdout, open, dir))
	}
	dir := t.TempDir()
	for round := range rounds {
		synced := killOnce(t, dir, 3+round%5)
		s, err := open(dir)
		if err != nil {
			t.Fatalf("round %d: open after a kill: %v", round, err)
		}
		checkWhole(t, s, synced)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killOnce starts the process, kills it when it has said lines numbers, and
// returns the last one it said.
func killOnce(t *testing.T, dir string, lines int) (synced uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); {
		n, err := strconv.ParseUint(in.Text(), 10, 64)
		if err != nil {
			t.Errorf("the other process said %q", in.Text())
			break
		}
		synced = n
		// What it says between the kill and its end counts too.
		if lines--; lines == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if lines > 0 {
		_ = cmd.Process.Kill()
		t.Error("the other process ended by itself")
	}
	_ = cmd.Wait() // it was killed, which is an error
	return synced
}

const crashKeys = 50

// commitForEver commits the numbers that follow the store's, each as the value
// of every key and as the position, and says every fifth, which is synced. It
// returns an error, or not at all.
func commitForEver(out io.Writer, open Open, dir string) error {
	s, err := open(dir)
	if err != nil {
		return err
	}
	_, applied, err := s.Positions(context.Background())
	if err != nil {
		return err
	}
	n := uint64(0)
	if len(applied) > 0 {
		n = applied[0]
	}
	for n++; ; n++ {
		b := profile.Batch{Journal: "j", Applied: []uint64{n}, Sync: n%5 == 0}
		for i := range crashKeys {
			b.Put(fmt.Appendf(nil, "k%d", i), strconv.AppendUint(nil, n, 10))
		}
		if err := s.Commit(context.Background(), &b); err != nil {
			return err
		}
		if b.Sync {
			if _, err := fmt.Fprintln(out, n); err != nil {
				return err
			}
		}
	}
}

func checkWhole(t *testing.T, s profile.Store, synced uint64) {
	t.Helper()
	_, applied, err := s.Positions(t.Context())
	if err != nil || len(applied) != 1 || applied[0] < synced {
		t.Fatalf("positions after a kill: got %v, %v, want at least %d", applied, err, synced)
	}
	value := strconv.FormatUint(applied[0], 10)
	for i := range crashKeys {
		want(t, s, fmt.Sprintf("k%d", i), value)
	}
}
