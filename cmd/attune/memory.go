package main

import (
	"os"
	"runtime/debug"

	"github.com/attune-io/attune/config"
)

// beside is what Go's heap may take beside the configured cache: models, the
// journal's newest records, requests. A limit near what is in use makes the
// collector run all the time without being kept.
const beside = 280 << 20

// tuneMemory lets the garbage collector wait while there is room: most of a
// server's memory is long-lived, so collecting seldom saves much time, and the
// limit takes that back when memory runs short. GOGC and GOMEMLIMIT, where they
// are set, say otherwise.
func tuneMemory(cfg *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(cfg.Profiles.CacheBytes) + beside)
	}
}
