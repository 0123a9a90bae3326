package contact

import (
	"errors"
	"time"
)

// ErrNotMailed says that a campaign has sent somebody no mail.
var ErrNotMailed = errors.New("the campaign sent no mail to this address")

// Complaint is a report of a mail as spam: by the recipient, or by a mailbox
// provider for them.
type Complaint struct {
	Address  Address
	Campaign int64 // 0: that of the last mail to the address
	Comment  string
	Actor    string // who keeps it
	At       time.Time
}

// KeptComplaint is what a complaint was found to be about.
type KeptComplaint struct {
	Contact  ID
	Campaign int64 // 0: no mail was found
	New      bool  // false: it was kept before
}
