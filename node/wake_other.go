//go:build !linux

package node

// wakeFor does nothing: the reader of h wakes for each byte.
func (*held) wakeFor(int) {}
