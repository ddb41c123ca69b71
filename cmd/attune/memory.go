package main

import (
	"os"
	"runtime/debug"

	"github.com/attune-io/attune/config"
)

// beside is what a server needs in memory beside the configured cache: the
// journal's newest records, the tables being written, requests.
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
