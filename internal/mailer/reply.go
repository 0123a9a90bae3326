package mailer

import (
	"path"
	"slices"
	"strings"
)

// step is a command of a transaction.
type step int

// The steps of a transaction, in order.
const (
	atMail step = iota
	atRcpt
	atData
	atDot
)

// rule says what a refusal means. Where a field is empty it does not matter.
type rule struct {
	at       []step
	codes    []int
	enhanced []string // RFC 3463 codes; ? and * stand for what path.Match has them stand for; "" for none
	says     []string // words of which the reply has some
	kind     Kind
	blame    Blame
}

// rules are asked in their order, and the first that fits a 4xx or 5xx holds.
// docs/operating.md has them in words.
func rules() []rule {
	const keep = -1 // Later for a 4xx, Refused for a 5xx
	behindMail := []step{atRcpt, atData, atDot}
	return []rule{
		// Who we are, and whether anybody may come in at all.
		{codes: []int{530, 534, 535, 538}, kind: Unsent, blame: BlameRelay},
		{enhanced: []string{"?.7.8", "?.7.57"}, kind: Unsent, blame: BlameRelay},
		{says: []string{"authentication required", "authentication is required", "must authenticate", "not authenticated", "unauthenticated senders"},
			kind: Unsent, blame: BlameRelay},
		// What the message is. RFC 1870 section 6: a size is said of MAIL already.
		{enhanced: []string{"?.3.4", "?.2.3", "?.6.*"}, kind: keep},
		{at: []step{atMail}, codes: []int{552}, kind: Refused},
		// Who may send through this relay, and as whom.
		{says: []string{"relay access denied", "relaying denied", "relay denied", "relay not permitted", "relaying not permitted", "relaying not allowed",
			"relaying prohibited", "unable to relay", "not permitted to relay", "not allowed to relay"}, kind: Later, blame: BlameSender},
		{says: []string{"sender address rejected", "sender rejected", "not owned by", "to send as", "sendasdenied", "sender identity", "address is not verified"},
			kind: Later, blame: BlameSender},
		{enhanced: []string{"?.1.7", "?.1.8", "?.2.252", "?.7.54", "?.7.60"}, kind: Later, blame: BlameSender},
		// Postfix's bounds on a client, whoever its mails are from and to.
		{at: []step{atMail}, says: []string{"too much mail from"}, kind: Unsent, blame: BlameRelay},
		{at: []step{atRcpt}, says: []string{"too many recipients from"}, kind: Later, blame: BlameRelay},
		// At MAIL nobody has spoken of a recipient yet.
		{at: []step{atMail}, codes: []int{421, 454}, kind: Unsent, blame: BlameRelay},
		{at: []step{atMail}, enhanced: []string{"?.3.*"}, kind: Unsent, blame: BlameRelay},
		{at: []step{atMail}, enhanced: []string{"4.1.*", "4.7.*", "5.*"}, kind: Later, blame: BlameSender},
		{at: []step{atMail}, codes: []int{500, 501, 502, 503, 504, 550, 551, 553, 554, 555}, kind: Later, blame: BlameSender},
		{at: []step{atMail}, kind: Unsent, blame: BlameRelay},
		// The relay's own trouble; 5.3.0 is what some say of everything.
		{at: behindMail, enhanced: []string{"4.3.*", "5.3.1", "5.3.2", "5.3.5", "5.1.90"}, kind: Later, blame: BlameRelay},
		{at: behindMail, codes: []int{454}, kind: Later, blame: BlameRelay},
		// RFC 5321 section 4.5.3.1.10: 552 for a recipient counts as 452.
		{at: []step{atRcpt}, codes: []int{552}, kind: Later},
		// Nobody is there.
		{enhanced: []string{"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1", "5.4.4"}, kind: Refused, blame: BlameRecipient},
		{at: []step{atRcpt}, codes: []int{550, 551, 553}, enhanced: []string{""}, kind: Refused, blame: BlameRecipient},
		// One mailbox is full, or not known yet: that says nothing of its neighbours.
		{enhanced: []string{"4.1.*", "4.2.2"}, kind: Later, blame: BlameRecipient},
		{kind: keep},
	}
}

// class says what a reply to a step means for the mail, and whose doing it is.
func class(at step, r reply) (Kind, Blame) {
	if r.code/100 == 2 {
		return Accepted, BlameMail
	}
	text := strings.ToLower(r.text)
	all := rules()
	is := all[slices.IndexFunc(all, func(of rule) bool {
		return (of.at == nil || slices.Contains(of.at, at)) &&
			(of.codes == nil || slices.Contains(of.codes, r.code)) &&
			(of.enhanced == nil || slices.ContainsFunc(of.enhanced, func(pattern string) bool {
				fits, _ := path.Match(pattern, r.enhanced)
				return fits
			})) &&
			(of.says == nil || slices.ContainsFunc(of.says, func(words string) bool { return strings.Contains(text, words) }))
	})]
	switch {
	case is.kind >= 0:
		return is.kind, is.blame
	case r.code/100 == 5:
		return Refused, is.blame
	}
	return Later, is.blame
}
