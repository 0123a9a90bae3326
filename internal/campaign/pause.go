package campaign

import "fmt"

// TooManyFailures is why a campaign is paused of which too many mails fail.
type TooManyFailures struct {
	Failed, Of, Percent int
	Reply               string // the newest
}

const (
	failuresFormat   = "%d of the last %d mails failed, more than %d %%; the newest: "
	refusedFormat    = "the relay %s refuses the sender, %d times in a row; the newest: "
	complaintsFormat = "%d of %d recipients complained of spam, more than %g %%"
)

// String writes it as it is kept.
func (p TooManyFailures) String() string {
	return fmt.Sprintf(failuresFormat, p.Failed, p.Of, p.Percent) + p.Reply
}

// Parse reads what String wrote; it reports whether that is what it reads.
func (p *TooManyFailures) Parse(text string) bool {
	var read TooManyFailures
	if n, _ := fmt.Sscanf(text, failuresFormat, &read.Failed, &read.Of, &read.Percent); n < 3 {
		return false
	}
	begin := read.String()
	if len(text) < len(begin) || text[:len(begin)] != begin {
		return false
	}
	read.Reply = text[len(begin):]
	*p = read
	return true
}

// TooManyComplaints is why a campaign is paused that too many report as spam.
type TooManyComplaints struct {
	Complaints, Of int
	Percent        float64
}

// String writes it as it is kept.
func (p TooManyComplaints) String() string {
	return fmt.Sprintf(complaintsFormat, p.Complaints, p.Of, p.Percent)
}

// Parse reads what String wrote; it reports whether that is what it reads.
func (p *TooManyComplaints) Parse(text string) bool {
	var read TooManyComplaints
	if n, _ := fmt.Sscanf(text, complaintsFormat, &read.Complaints, &read.Of, &read.Percent); n < 3 || read.String() != text {
		return false
	}
	*p = read
	return true
}

// SenderRefused is why a campaign is paused whose sender no relay takes mail of.
type SenderRefused struct {
	Relay string
	Mails int
	Reply string // the newest
}

// String writes it as it is kept.
func (p SenderRefused) String() string {
	return fmt.Sprintf(refusedFormat, p.Relay, p.Mails) + p.Reply
}

// Parse reads what String wrote; it reports whether that is what it reads.
func (p *SenderRefused) Parse(text string) bool {
	var read SenderRefused
	if n, _ := fmt.Sscanf(text, refusedFormat, &read.Relay, &read.Mails); n < 2 {
		return false
	}
	begin := read.String()
	if len(text) < len(begin) || text[:len(begin)] != begin {
		return false
	}
	read.Reply = text[len(begin):]
	*p = read
	return true
}
