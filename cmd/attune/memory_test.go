package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
)

// TestMemoryLimitFollows holds that the limit leaves room above what lives: a
// limit below it would make the collector run without end.
func TestMemoryLimitFollows(t *testing.T) {
	before, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(-1)
	debug.SetGCPercent(percent)
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel()
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	}()
	tuneMemory(ctx, &config.Config{})
	if got := debug.SetMemoryLimit(-1); got != beside {
		t.Fatalf("at first: got a limit of %d, want %d", got, beside)
	}
	live := make([]byte, 2*beside)
	want := memoryLimit(beside, int64(len(live)))
	for n := 0; debug.SetMemoryLimit(-1) < want; n++ {
		if n == 1000 {
			t.Fatalf("with %d in use the limit stays at %d, want %d", len(live), debug.SetMemoryLimit(-1), want)
		}
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.KeepAlive(live)
	if got := memoryLimit(1000<<20, 100<<20); got != 1000<<20 {
		t.Errorf("with little in use: got %d, want the floor", got)
	}
}
