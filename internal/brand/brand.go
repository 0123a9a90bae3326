// Package brand answers what the tenant's own pages and mails look like: a
// colour, a logo, and words of its own. It is pure.
package brand

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Brand is a look. The zero value is ours.
type Brand struct {
	Version int64  `json:"version"` // grows with each change
	Colour  string `json:"colour"`  // of buttons, as #rrggbb; "" for ours
	// Logo stands above the recipients' pages; nil for none.
	Logo    []byte `json:"-"`
	LogoAlt string `json:"logo_alt,omitempty"` // what it says, for those who do not see it
	// Words replaces texts, by language and key.
	Words map[string]map[string]string `json:"words"`
}

// Bounds.
const (
	MaxLogo    = 200 << 10 // bytes
	maxLogoAlt = 100       // bytes
)

// Validate returns what cannot be shown.
func (b Brand) Validate() error {
	if b.Colour != "" {
		if _, err := parse(b.Colour); err != nil {
			return err
		}
	}
	if b.Logo == nil {
		return nil
	}
	if len(b.Logo) > MaxLogo {
		return fmt.Errorf("the logo has %d KB; it may have %d", len(b.Logo)>>10, MaxLogo>>10)
	}
	if LogoType(b.Logo) == "" {
		return errors.New("the logo is no picture in PNG, JPEG, WebP or SVG")
	}
	if strings.TrimSpace(b.LogoAlt) == "" || len(b.LogoAlt) > maxLogoAlt {
		return fmt.Errorf("say in 1 to %d bytes what the logo shows, for those who do not see it: the sender's name, as a rule", maxLogoAlt)
	}
	return nil
}

// LogoType returns the media type of a picture by its first bytes, or "" for
// what is none that we show.
func LogoType(picture []byte) string {
	switch head := picture[:min(len(picture), 512)]; {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case len(head) > 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return "image/webp"
	case bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff \t\r\n"), []byte("<")) && bytes.Contains(head, []byte("<svg")):
		return "image/svg+xml"
	}
	return ""
}

// Pair is a colour and what is written on it.
type Pair struct{ Main, Ink string }

// The cards that the colour stands on.
const (
	lightCard = "#ffffff"
	darkCard  = "#1a211e"
	lightInk  = "#ffffff"
	darkInk   = "#08150f"
)

// LeastContrast is the contrast by which a button is told from its card (WCAG 2.2,
// 1.4.11).
const LeastContrast = 3

// Pairs returns the colour as it is used on light and on dark pages: darkened or
// lightened as far as it must be to be seen, with an ink that can be read on it.
// ok is false when the colour is ours.
func (b Brand) Pairs() (light, dark Pair, ok bool) {
	main, err := parse(b.Colour)
	if err != nil {
		return light, dark, false
	}
	return fit(main, mustParse(lightCard), rgb{}), fit(main, mustParse(darkCard), rgb{255, 255, 255}), true
}

// Contrast returns the contrast of the colour as it was chosen with the cards of
// light and of dark pages, from 1 to 21; 0 when the colour is ours. Below
// LeastContrast people cannot tell a button from its card.
func (b Brand) Contrast() (light, dark float64) {
	main, err := parse(b.Colour)
	if err != nil {
		return 0, 0
	}
	return contrast(main, mustParse(lightCard)), contrast(main, mustParse(darkCard))
}

// leastText is the contrast by which text can be read (WCAG 2.2, 1.4.3).
const leastText = 4.5

// fit mixes a colour with another until it stands out from a card and can be
// written on.
func fit(main, card, with rgb) Pair {
	for {
		ink := lightInk
		if contrast(main, mustParse(darkInk)) > contrast(main, mustParse(lightInk)) {
			ink = darkInk
		}
		if main == with || contrast(main, card) >= LeastContrast && contrast(main, mustParse(ink)) >= leastText {
			return Pair{main.String(), ink}
		}
		main = main.towards(with)
	}
}

type rgb [3]float64 // 0 to 255

func parse(colour string) (c rgb, err error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil || len(colour) != 7 || colour[0] != '#' {
		return c, fmt.Errorf("%q is no colour; write one like #0b6e4f", colour)
	}
	return rgb{float64(n >> 16), float64(n >> 8 & 0xff), float64(n & 0xff)}, nil
}

func mustParse(colour string) rgb {
	c, err := parse(colour)
	if err != nil {
		panic(err)
	}
	return c
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0])), int(math.Round(c[1])), int(math.Round(c[2])))
}

// towards is a step from a colour to another.
func (c rgb) towards(other rgb) rgb {
	const step = 6
	for i := range c {
		c[i] += min(step, max(-step, other[i]-c[i]))
	}
	return c
}

// luminance is the relative luminance of WCAG 2.2.
func (c rgb) luminance() float64 {
	linear := func(v float64) float64 {
		v /= 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is the contrast ratio of WCAG 2.2, from 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
