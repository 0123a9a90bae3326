// Package campaign answers what a campaign is and what each recipient's copy
// of it looks like. It reads what the author wrote, checks it, compiles it once
// and splices it many times, and states how a campaign's life may go and when
// its books balance. It is pure: it keeps nothing, sends nothing, and has no
// clock.
package campaign

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jatak-mail/jatak/internal/contact"
)

// ID identifies a campaign.
type ID int64

// State is where a campaign is in its life.
type State string

// The states of a campaign.
const (
	StateDraft     State = "draft"
	StateScheduled State = "scheduled"
	StatePlanning  State = "planning"
	StateSending   State = "sending"
	StatePaused    State = "paused"
	StateFinished  State = "finished"
	StateCancelled State = "cancelled"
)

// May reports whether a campaign may go from one state to the next.
func (s State) May(next State) bool {
	return slices.Contains(map[State][]State{
		StateDraft:     {StateScheduled, StatePlanning, StateCancelled},
		StateScheduled: {StateDraft, StatePlanning, StateCancelled},
		StatePlanning:  {StateSending, StatePaused, StateCancelled},
		StateSending:   {StatePaused, StateFinished, StateCancelled},
		StatePaused:    {StatePlanning, StateSending, StateCancelled},
		StateFinished:  {StateSending}, // a resend opens it again
	}[s], next)
}

// Priority says whose batches come first when several campaigns are under way.
type Priority string

// The priorities.
const (
	PriorityHigh   Priority = "high"
	PriorityNormal Priority = "normal"
	PriorityLow    Priority = "low"
)

// Rank orders priorities: the most urgent is the lowest.
func (p Priority) Rank() int {
	switch p {
	case PriorityHigh:
		return 0
	case PriorityLow:
		return 2
	}
	return 1
}

// Ended reports whether nothing more happens by itself.
func (s State) Ended() bool { return s == StateFinished || s == StateCancelled }

// DeliveryState is what became of one recipient's copy.
type DeliveryState string

// The states of a delivery.
const (
	Pending   DeliveryState = "pending"
	Sending   DeliveryState = "sending"
	Sent      DeliveryState = "sent"
	Deferred  DeliveryState = "deferred"
	Failed    DeliveryState = "failed"
	InDoubt   DeliveryState = "in_doubt"
	Cancelled DeliveryState = "cancelled"
	Blocked   DeliveryState = "blocked"
)

// MessageID returns the Message-ID of a recipient's copy, without angle
// brackets. It is the same each time the copy is sent, so that a receiver can
// recognise a duplicate (RFC 5322 section 3.6.4), and does not show the ids.
func MessageID(id ID, recipient contact.ID, domain string) string {
	var ids [16]byte
	binary.BigEndian.PutUint64(ids[:], uint64(id))
	binary.BigEndian.PutUint64(ids[8:], uint64(recipient))
	sum := sha256.Sum256(append([]byte("jatak message "+domain+" "), ids[:]...))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20])) + "@" + domain
}
