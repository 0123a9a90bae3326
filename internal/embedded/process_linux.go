package embedded

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// processStat returns a process's state letter and parent from /proc, and
// whether there is such a process. See proc(5), "stat": the name in
// parentheses may itself contain anything.
func processStat(pid int) (state byte, parent int, found bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent, err == nil
}

// childrenOf lists the direct children of a process.
func childrenOf(pid int) []int {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var children []int
	for _, folder := range folders {
		child, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}
		if _, parent, found := processStat(child); found && parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// alive tells whether a process still runs; a zombie does not.
func alive(pid int) bool {
	state, _, found := processStat(pid)
	return found && state != 'Z' && state != 'X'
}
