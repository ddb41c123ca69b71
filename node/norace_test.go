//go:build !race

package node

// raceEnabled says whether the race detector slows everything down.
const raceEnabled = false
