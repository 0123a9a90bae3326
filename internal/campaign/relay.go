package campaign

import "time"

// Relay is a server that mail leaves through, as a worker tells of it: never
// with its password.
type Relay struct {
	Name        string `json:"name"` // host and port
	Host        string `json:"host"`
	Encryption  string `json:"encryption"` // tls, required, opportunistic or none
	User        string `json:"user,omitempty"`
	Connections int    `json:"connections"`
	Trouble     string `json:"trouble,omitempty"` // why it takes no mail at this moment
}

// Signer is a key that a worker signs the mails of a domain with.
type Signer struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Record   string `json:"record"` // what stands in the DNS
}

// About is what a worker says of itself when it starts.
type About struct {
	Relays       []Relay  `json:"relays"`
	Signers      []Signer `json:"signers"`
	BounceDomain string   `json:"bounce_domain,omitempty"` // of MAIL FROM; "": that of From
}

// WorkerSeen is a worker that works now.
type WorkerSeen struct {
	ID      int64
	Name    string
	Started time.Time
	About   About
}

// RelayTest is a wish that a worker logs in at a relay, and what it found.
type RelayTest struct {
	ID    int64
	Relay string
	Actor string
	Asked time.Time
	Taken time.Time // zero until a worker does it
	Done  time.Time // zero until it is done
	OK    bool
	Says  string // what the relay offers, or what is wrong
	// Trouble is the kind of what is wrong, as the mailer names it; "" for none.
	Trouble string
}
