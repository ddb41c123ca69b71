package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestImportKilled kills an import with SIGKILL at several points and starts it
// again: it goes on where it was, and in the end the profiles are those that the
// journal gives, with every event once.
func TestImportKilled(t *testing.T) {
	var b strings.Builder
	const events = 120_000
	for i := range events {
		fmt.Fprintf(&b, `{"type":"track","event":"Product Viewed","userId":"u%d","timestamp":"2026-01-%02dT%02d:00:00Z","properties":{"product_id":"p%d"}}`+"\n",
			i%3000, 1+i%28, i%24, i%200)
	}
	path, dir := written(t, "many.ndjson", b.String()), filepath.Join(t.TempDir(), "data")
	tool := filepath.Join(t.TempDir(), "attune")
	if err := os.Symlink(must(os.Executable())(t), tool); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for ; kills < 3; kills++ {
		cmd := exec.Command(tool, "import", path, "--data-dir", dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // it is killed
		// Killed once it has come further than the last time.
		before := taken(dir)
		for deadline := time.Now().Add(20 * time.Second); taken(dir) <= before && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond)
			select {
			case <-ended:
				t.Fatalf("kill %d: the import ended before it could be killed", kills)
			default:
			}
		}
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if taken(dir) == 0 {
			t.Fatalf("kill %d: no place was kept", kills)
		}
	}
	behind := taken(dir)
	out, _ := attuned(t, 0, "import", path, "--data-dir", dir, "--output", "json")
	var sum imported
	if err := json.Unmarshal([]byte(out), &sum); err != nil || sum.Resumed != behind || sum.Accepted != events-behind {
		t.Errorf("the last import went on behind %d rows and took %d, want %d and the rest: %v", sum.Resumed, sum.Accepted, behind, err)
	}
	out, _ = attuned(t, 0, "replay", "--data-dir", dir)
	if !strings.Contains(out, "3,000 of 3,000 parts are equal") {
		t.Errorf("got %s", out)
	}
	// From the beginning, nothing counts again.
	out, _ = attuned(t, 0, "import", path, "--data-dir", dir, "--restart")
	if !strings.Contains(out, grouped(events)+" of them changed nothing") {
		t.Errorf("from the beginning: got %s", out)
	}
}

// must returns what gives v, or fails.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// taken is how far the import into dir came, as its place says.
func taken(dir string) int64 {
	kept, _ := filepath.Glob(filepath.Join(dir, "imports", "*.json"))
	for _, path := range kept {
		var place struct{ Taken int64 }
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &place) == nil {
			return place.Taken
		}
	}
	return 0
}

// TestImportDrySummary: a dry run says what there is to learn.
func TestImportDrySummary(t *testing.T) {
	path := written(t, "calls.ndjson", someCalls+`{"type":"track","event":"Order Completed","anonymousId":"d1","timestamp":"2025-02-01T00:00:00Z","properties":{"order_id":"o1","products":[{"product_id":"p1"},{"product_id":"p9"}]}}`+"\n")
	out, _ := attuned(t, 0, "import", path, "--dry-run")
	for _, want := range []string{
		"would import 3 events", "it would teach of 2 users and 1 device, 3 items and 1 order, from 2025-01-01 to 2025-02-01",
		"2  Product Viewed", "1  Order Completed", "features that would stay empty", "rejected: 2 rows",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
