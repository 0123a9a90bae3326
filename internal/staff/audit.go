package staff

import "time"

// Entry is a line of the audit log: who did what, when, and about whom.
type Entry struct {
	At       time.Time
	Kind     int // of the log that it stands in; with At and ID it orders lines
	ID       int64
	Actor    string
	Action   string
	Contact  int64 // 0 when none is concerned, as for Campaign
	Campaign int64
	Detail   string
}

// Filter says which lines of the audit log are asked for. Zero values ask for
// all.
type Filter struct {
	Actor    string
	Topic    string // the first word of what was done
	Action   string // what was done, whole
	Contact  int64
	Campaign int64
	From     time.Time // and later
	Until    time.Time // and earlier
	// Before is the last line that was seen: those that are older follow.
	Before Entry
	Most   int
}
