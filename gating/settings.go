package gating

import (
	"fmt"
	"strconv"
)

// Setting names one of the tenant's rules that change while programs run.
type Setting string

// The tenant's rules.
const (
	SettingPrivacy      Setting = "emarketing-privacy"
	SettingExplicitOnly Setting = "explicit-consent-only"
	SettingBounceLimit  Setting = "bounce-limit"
)

// Settings lists every setting with the value it has when nobody has set it.
func Settings() []struct {
	Name    Setting
	Default string
} {
	return []struct {
		Name    Setting
		Default string
	}{
		{SettingPrivacy, "off"},
		{SettingExplicitOnly, "off"},
		{SettingBounceLimit, strconv.Itoa(DefaultBounceLimit)},
	}
}

// mostBounces is the highest limit that still is one.
const mostBounces = 100

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
