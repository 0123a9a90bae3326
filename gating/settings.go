package gating

import (
	"fmt"
	"strconv"
	"time"
)

// Setting names one of the tenant's rules that change while programs run.
type Setting string

// The tenant's rules.
const (
	SettingPrivacy      Setting = "emarketing-privacy"
	SettingExplicitOnly Setting = "explicit-consent-only"
	SettingBounceLimit  Setting = "bounce-limit"
	SettingConsentLife  Setting = "consent-life"
)

// SettingDefault is a setting with the value it has when nobody has set it.
type SettingDefault struct {
	Name    Setting
	Default string
}

// Settings lists every setting that the gate decides by.
func Settings() []SettingDefault {
	return []SettingDefault{
		{SettingPrivacy, "off"},
		{SettingExplicitOnly, "off"},
		{SettingBounceLimit, strconv.Itoa(DefaultBounceLimit)},
		{SettingConsentLife, never},
	}
}

const (
	mostBounces = 100 // the highest limit that still is one
	never       = "never"
	// The shortest and longest life of a consent, in days.
	leastLife, mostLife = 30, 3650
)

// Set changes the policy as the setting says. The error tells what to write.
func (p *Policy) Set(name Setting, value string) (err error) {
	switch name {
	case SettingPrivacy:
		p.Privacy, err = onOff(name, value)
	case SettingExplicitOnly:
		p.ExplicitOnly, err = onOff(name, value)
	case SettingBounceLimit:
		n, convErr := strconv.Atoi(value)
		if convErr != nil || n < 1 || n > mostBounces {
			return fmt.Errorf("%s is a number from 1 to %d, not %q", name, mostBounces, value)
		}
		p.BounceLimit = n
	case SettingConsentLife:
		if value == never {
			p.ConsentLife = 0
			return nil
		}
		days, convErr := strconv.Atoi(value)
		if convErr != nil || days < leastLife || days > mostLife {
			return fmt.Errorf("%s is %s, or a number of days from %d to %d, not %q", name, never, leastLife, mostLife, value)
		}
		p.ConsentLife = time.Duration(days) * 24 * time.Hour
	default:
		return fmt.Errorf("there is no setting %q", name)
	}
	return err
}

func onOff(name Setting, value string) (bool, error) {
	switch value {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is on or off, not %q", name, value)
}
