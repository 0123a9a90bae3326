package contact

import (
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Vocabulary is a list of terms that the tenant may add to.
type Vocabulary string

// The vocabularies.
const (
	Purposes   Vocabulary = "purpose"
	LegalBases Vocabulary = "legal_basis"
)

// Term is a purpose or a legal basis.
type Term struct {
	Key      string            `json:"key"`
	CountsAs gating.LegalBasis `json:"counts_as,omitempty"` // of a legal basis: the built-in one
	Names    map[string]string `json:"names"`               // by language
	BuiltIn  bool              `json:"built_in"`
	Retired  bool              `json:"retired"`
}

// SubscriptionType is a kind of mailing as it is kept.
type SubscriptionType struct {
	Key     string            `json:"key"`
	Names   map[string]string `json:"names"` // by language
	Created time.Time         `json:"created"`
	Retired bool              `json:"retired"`
}

// SettingChange is what a setting was set to, by whom and when.
type SettingChange struct {
	Version int64
	Name    gating.Setting
	Value   string
	Actor   string
	At      time.Time
}
