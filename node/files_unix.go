//go:build unix

package node

import "syscall"

// connLimit is how many connections may be open: three quarters of the files
// that the process may open. The rest is the journal's and the profiles'.
func connLimit() int64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return mostConns
	}
	return int64(min(mostConns, max(fewestConns, uint64(files.Cur)/4*3))) //nolint:unconvert // FreeBSD's is signed
}
