package brand

import (
	"fmt"
	"strings"
	"testing"
)

// Whatever colour the tenant has, the button is seen and can be read.
func TestEveryColourCanBeRead(t *testing.T) {
	t.Parallel()
	for r := 0; r <= 255; r += 15 {
		for g := 0; g <= 255; g += 15 {
			for b := 0; b <= 255; b += 15 {
				colour := fmt.Sprintf("#%02x%02x%02x", r, g, b)
				light, dark, ok := Brand{Colour: colour}.Pairs()
				if !ok {
					t.Fatalf("%s is not taken", colour)
				}
				for card, pair := range map[string]Pair{lightCard: light, darkCard: dark} {
					main := mustParse(pair.Main)
					if edge, text := contrast(main, mustParse(card)), contrast(main, mustParse(pair.Ink)); edge < 2.95 || text < 4.45 {
						t.Fatalf("%s becomes %v on %s: edge %.2f, text %.2f", colour, pair, card, edge, text)
					}
				}
			}
		}
	}
}

func TestAColourThatCanBeSeenStaysAsItIs(t *testing.T) {
	t.Parallel()
	if light, _, _ := (Brand{Colour: "#0b6e4f"}).Pairs(); light != (Pair{"#0b6e4f", "#ffffff"}) {
		t.Errorf("it becomes %v", light)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	png := []byte("\x89PNG\r\n\x1a\n....")
	for name, test := range map[string]struct {
		brand Brand
		want  string
	}{
		"ours":              {Brand{}, ""},
		"a colour":          {Brand{Colour: "#A0B1c2"}, ""},
		"a word":            {Brand{Colour: "red"}, "write one like"},
		"a short one":       {Brand{Colour: "#abc"}, "write one like"},
		"style in a colour": {Brand{Colour: "#fff;}x"}, "write one like"},
		"a logo":            {Brand{Logo: png, LogoAlt: "Nordlys"}, ""},
		"an SVG":            {Brand{Logo: []byte("<?xml version='1.0'?>\n<svg xmlns='x'/>"), LogoAlt: "Nordlys"}, ""},
		"no alt":            {Brand{Logo: png}, "what the logo shows"},
		"no picture":        {Brand{Logo: []byte("<html>"), LogoAlt: "x"}, "PNG"},
		"an empty file":     {Brand{Logo: []byte{}, LogoAlt: "x"}, "PNG"},
		"too large":         {Brand{Logo: append(png, make([]byte, MaxLogo)...), LogoAlt: "x"}, "it may have 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.brand.Validate()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("it says %v, want %q", err, test.want)
			}
		})
	}
}
