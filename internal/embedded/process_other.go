//go:build !linux

package embedded

import "syscall"

// childrenOf lists none: PostgreSQL's children end by themselves soon after
// their parent.
func childrenOf(int) []int { return nil }

// alive tells whether a process still runs.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
