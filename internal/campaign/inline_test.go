package campaign

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestInlineCSS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, document string
		want           []string
		refused        string
	}{
		{"a rule", `<style>p { color: red }</style><p>Hej</p>`, []string{`<p style="color:red">Hej</p>`}, ""},
		{"what is inline wins", `<style>p { color: red }</style><p style="color:blue">Hej</p>`, []string{`<p style="color:blue">Hej</p>`}, ""},
		{"media queries stay", `<html><head><style>a { color: red } @media (max-width: 480px) { a { color: blue } }</style></head><body><a href="#x">x</a></body></html>`,
			[]string{`<a href="#x" style="color:red">`, `@media (max-width: 480px)`}, ""},
		{"Outlook's comments stay", `<body><!--[if mso]><table><tr><td><![endif]--><p>x</p><!--[if mso]></td></tr></table><![endif]--></body>`,
			[]string{`<!--[if mso]><table><tr><td><![endif]--><p>x</p><!--[if mso]></td></tr></table><![endif]-->`}, ""},
		{"merge fields keep their quotes", `<style>p { margin: 0 }</style><p>Hej {{ contact.first_name | default: "du & dit" }}</p><a href="{{ manage_url }}">x</a>`,
			[]string{`{{ contact.first_name | default: "du & dit" }}`, `href="{{ manage_url }}"`}, ""},
		{"other tools' tags stay", `<a href="*|UNSUB|*">x</a><p>{{{ pm:unsubscribe }}} [[link.subscription]]</p>`, []string{`href="*|UNSUB|*"`, `{{{ pm:unsubscribe }}} [[link.subscription]]`}, ""},
		{"a block between rows", `<table><tr><td>a</td></tr>{% if contact.company %}<tr><td>b</td></tr>{% endif %}<tr><td>{{ contact.email }}</td></tr></table>`, nil, "put the block around a whole table"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := inlineCSS(test.document)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Fatalf("it says %v, want %q; %s", err, test.refused, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("there is no %q in\n%s", want, got)
				}
			}
		})
	}
}

func TestPreheader(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{
		"campaign.json": {Data: []byte(`{"name": "x", "from_name": "N", "from_address": "n@example.org", "postal_address": "Vej 1", "default_language": "en", "inline_css": true,
			"variants": {"en": {"subject": "s", "html": "en.html", "preheader": "For {{ contact.first_name | default: \"you & me\" }}"}}}`)},
		"en.html": {Data: []byte(`<!DOCTYPE html><html><head><style>p { margin: 0 }</style></head><body class="b"><p>Hi</p><a href="{{ manage_url }}">Manage subscriptions</a> Vej 1</body></html>`)},
	}
	c, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	v := c.Variants["en"]
	if v.Preheader != "" || !strings.Contains(v.HTML, `<body class="b"><div style="display:none`) ||
		!strings.Contains(v.HTML, `For {{ contact.first_name | default: "you & me" }}`) || !strings.Contains(v.HTML, `<p style="margin:0">Hi</p>`) {
		t.Errorf("the HTML is\n%s", v.HTML)
	}
	rewritten, _ := c.Rewrite(nil, nil)
	if text := rewritten.Variants["en"].Text; strings.Contains(text, "you & me") || !strings.HasPrefix(text, "Hi") {
		t.Errorf("the text part is\n%s", text)
	}
}
