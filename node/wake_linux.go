package node

import "syscall"

// wakeFor makes the system wake the reader of h once n bytes are there, or the
// sender is done. Reads still take what there is. A system that refuses wakes
// for each byte, as before.
func (h *held) wakeFor(n int) {
	raw, err := h.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	})
}
