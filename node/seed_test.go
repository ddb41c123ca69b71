package node

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// seedEnv names the seed of a run that is to be repeated.
const seedEnv = "ATTUNE_SEED"

// Seed returns the seed of a test's random choices: that of ATTUNE_SEED, or
// another one each time. It is logged, which a failure and -v show.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("the choices of this run again: %s=%d go test -run '^%s$' ./node", seedEnv, seed, t.Name())
	return seed
}
