package contact

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// The tenant's rules beyond those that the gate decides by.
const (
	SettingDefaultPurpose gating.Setting = "default-purpose"
	SettingDefaultBasis   gating.Setting = "default-basis"
	SettingConfirmSources gating.Setting = "confirm-sources"
	SettingSignUpLife     gating.Setting = "sign-up-life"
	SettingSenderName     gating.Setting = "sender-name"
	SettingSenderAddress  gating.Setting = "sender-address"
	SettingPostalAddress  gating.Setting = "postal-address"
	SettingSendPace       gating.Setting = "send-pace"
	SettingFailureLimit   gating.Setting = "failure-limit"
	SettingTimeZone       gating.Setting = "time-zone"
)

// Rules are those settings.
type Rules struct {
	// DefaultPurpose and DefaultBasis are why a contact is stored when nobody
	// says why.
	DefaultPurpose gating.Purpose
	DefaultBasis   gating.LegalBasis
	// ConfirmSources are those after which a new contact is told by mail that
	// they were added.
	ConfirmSources []gating.Source
	SignUpLife     time.Duration // how long a sign-up may be confirmed
	// Who the mails that Jatak sends by itself are from. Without an address
	// there are none, and nobody can sign up.
	SenderName    string
	SenderAddress Address
	PostalAddress string
	SendPace      float64        // mails a second of all campaigns together; 0: as fast as can be
	FailureLimit  int            // percent of failures that pauses a campaign; 0: none does
	TimeZone      *time.Location // that the console tells times in
}

// RuleDefaults lists every such setting.
func RuleDefaults() []gating.SettingDefault {
	return []gating.SettingDefault{
		{Name: SettingDefaultPurpose, Default: string(gating.PurposeStore)},
		{Name: SettingDefaultBasis, Default: string(gating.BasisLegitimateInterest)},
		{Name: SettingConfirmSources},
		{Name: SettingSignUpLife, Default: "7"},
		{Name: SettingSenderName},
		{Name: SettingSenderAddress},
		{Name: SettingPostalAddress},
		{Name: SettingSendPace, Default: "unlimited"},
		{Name: SettingFailureLimit, Default: "20"},
		{Name: SettingTimeZone, Default: "UTC"},
	}
}

// IsRule reports whether a setting is one of these.
func IsRule(name gating.Setting) bool {
	return slices.ContainsFunc(RuleDefaults(), func(r gating.SettingDefault) bool { return r.Name == name })
}

// DefaultRules returns the rules of a tenant who has set nothing.
func DefaultRules() (r Rules) {
	for _, d := range RuleDefaults() {
		_ = r.Set(d.Name, d.Default) // the defaults are right
	}
	return r
}

const (
	mostSignUpLife = 90  // days
	mostLine       = 200 // characters of a name or postal address
)

// Set changes the rules as the setting says. The error tells what to write.
// That a purpose or basis is there is for the store to say.
func (r *Rules) Set(name gating.Setting, value string) error {
	switch name {
	case SettingDefaultPurpose, SettingDefaultBasis:
		if !IsKey(value) {
			return fmt.Errorf("%s is a key such as %s, not %q", name, gating.PurposeStore, value)
		}
		if name == SettingDefaultPurpose {
			r.DefaultPurpose = gating.Purpose(value)
			return nil
		}
		if gating.LegalBasis(value) == gating.BasisWithdrawn {
			return fmt.Errorf("%s cannot be %s: nobody would be stored", name, value)
		}
		r.DefaultBasis = gating.LegalBasis(value)
	case SettingConfirmSources:
		sources, err := parseSources(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.ConfirmSources = sources
	case SettingSignUpLife:
		days, err := strconv.Atoi(value)
		if err != nil || days < 1 || days > mostSignUpLife {
			return fmt.Errorf("%s is a number of days from 1 to %d, not %q", name, mostSignUpLife, value)
		}
		r.SignUpLife = time.Duration(days) * 24 * time.Hour
	case SettingFailureLimit:
		percent, err := strconv.Atoi(value)
		if value == "off" {
			percent, err = 0, nil
		} else if percent < 1 || percent > 100 {
			err = strconv.ErrRange
		}
		if err != nil {
			return fmt.Errorf("%s is off, or a number of percent from 1 to 100, not %q", name, value)
		}
		r.FailureLimit = percent
	case SettingSendPace:
		pace, err := ParsePace(value)
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		r.SendPace = pace
	case SettingSenderAddress:
		if value == "" {
			r.SenderAddress = ""
			return nil
		}
		address, err := ParseAddress(value)
		if err != nil {
			return fmt.Errorf("%s %q: %w", name, value, err)
		}
		r.SenderAddress = address
	case SettingSenderName, SettingPostalAddress:
		if len([]rune(value)) > mostLine || strings.ContainsAny(value, "\r\n\x00") {
			return fmt.Errorf("%s stands on one line of at most %d characters", name, mostLine)
		}
		if name == SettingSenderName {
			r.SenderName = value
		} else {
			r.PostalAddress = value
		}
	case SettingTimeZone:
		zone, err := time.LoadLocation(value)
		if err != nil || value == "" || value == "Local" {
			return fmt.Errorf("%s is a zone of the IANA list such as Europe/Copenhagen, not %q", name, value)
		}
		r.TimeZone = zone
	default:
		return fmt.Errorf("there is no setting %q", name)
	}
	return nil
}

// AddingSources are the sources by which somebody becomes a contact.
func AddingSources() []gating.Source {
	return []gating.Source{gating.SourceUser, gating.SourceEmail, gating.SourceIncomingRequest, gating.SourceChat,
		gating.SourceWebForm, gating.SourceCustomerPortal, gating.SourceImport, gating.SourceIntegration}
}

func parseSources(value string) (list []gating.Source, err error) {
	if value == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(value, ",") {
		source := gating.Source(strings.TrimSpace(part))
		if !slices.Contains(AddingSources(), source) {
			return nil, fmt.Errorf("%q is none of the sources %v, separated by commas", source, AddingSources())
		}
		list = append(list, source)
	}
	return list, nil
}

// mostKey is the longest key of a purpose, basis or type.
const mostKey = 40

// IsKey reports whether s may be the key of a purpose, basis or type: a-z, 0-9,
// - and _, a letter first.
func IsKey(s string) bool {
	if s == "" || len(s) > mostKey || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// ParsePace reads a pace such as 50/s, 600/m, 20000/h or 100000/d, and returns
// it in mails a second; "unlimited" is 0.
func ParsePace(s string) (perSecond float64, err error) {
	if s == "unlimited" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	if err != nil || n < 1 || !known {
		return 0, fmt.Errorf("is unlimited, or mails in a time such as 50/s, 600/m, 20000/h or 100000/d, not %q", s)
	}
	return float64(n) / seconds, nil
}
