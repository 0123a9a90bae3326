package contact

import "github.com/jatak-mail/jatak/gating"

// Recipient is a contact as a campaign meets it: what its copy of the mail
// needs, and the facts that the gate decides on.
type Recipient struct {
	Contact
	Facts gating.Facts
}
