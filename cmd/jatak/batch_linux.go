package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// batchWork tells the kernel that this process cares for how much it gets done, not
// for how soon it is woken (SCHED_BATCH, sched(7)). Otherwise each reply of a relay
// on this machine wakes the worker, and the worker takes the CPU from the relay that
// was just about to answer others. It changes nothing where the operator has chosen
// a policy, and where the system does not let us, nothing is lost but some speed.
func batchWork() error {
	const self = "/proc/self/task"
	told := map[int]bool{}
	for {
		threads, err := os.ReadDir(self)
		if err != nil {
			return err
		}
		before := len(told)
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil || told[id] {
				continue
			}
			told[id] = true
			attr, err := unix.SchedGetAttr(id, 0)
			if err != nil || attr.Policy != unix.SCHED_NORMAL {
				continue // it has ended, or has a policy already
			}
			attr.Policy = unix.SCHED_BATCH
			if err := unix.SchedSetAttr(id, attr, 0); err != nil {
				return err
			}
		}
		if len(told) == before {
			return nil // threads to come have the policy of those that start them
		}
	}
}
