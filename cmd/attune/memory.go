package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/attune-io/attune/config"
)

// beside is what Go's heap may take beside the configured cache: models, the
// journal's newest records, requests.
const beside = 224 << 20

// tuneMemory lets the garbage collector wait while there is room: most of a
// server's memory is long-lived, so collecting seldom saves much time, and a
// limit takes that back when memory runs short. A catalog of a million items
// needs more than any fixed limit, and a limit near what is in use makes the
// collector run all the time without being kept; so the limit follows what
// lives, until ctx ends. GOGC and GOMEMLIMIT, where they are set, say otherwise.
func tuneMemory(ctx context.Context, cfg *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	floor := int64(cfg.Profiles.CacheBytes) + beside
	debug.SetMemoryLimit(floor)
	go func() {
		look := time.NewTicker(time.Second)
		defer look.Stop()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for limit := floor; ; {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			metrics.Read(sample)
			if want := memoryLimit(floor, int64(sample[0].Value.Uint64())); want > limit || want < limit*9/10 { //nolint:gosec // far below 8 EB
				limit = want
				debug.SetMemoryLimit(limit)
			}
		}
	}()
}

// memoryLimit is the limit for a heap of which live bytes were in use at its
// last collection: room for a quarter as much again, and never below floor.
func memoryLimit(floor, live int64) int64 {
	return max(floor, live*5/4+64<<20)
}
