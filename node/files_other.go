//go:build !unix

package node

// connLimit is how many connections may be open.
func connLimit() int64 { return mostConns }
