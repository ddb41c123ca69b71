//go:build !race

package node_test

// underRace says whether the race detector slows everything down.
const underRace = false
