package linkrewrite

import (
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"a placeholder of the legacy CRM", `<p><a href="[[link.subscription]]" style="color:red">Afmeld her</a></p>`,
			`<p><a href="{{ manage_url }}" style="color:red">Administrer abonnementer</a></p>`},
		{"a placeholder inside a URL", `<a href="https://x.example/u?a=*|UNSUB|*&amp;b=1">out</a>`,
			`<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"a percent-encoded placeholder", `<a href="https://x.example/%7B%7Bunsubscribe%7D%7D">out</a>`,
			`<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"quotes inside a tag", `<a href="{% unsubscribe "now" %}">x</a>`,
			`<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"an unquoted href with blanks in the tag", `<a href={{ unsubscribe }} class=x>Frameld</a>`,
			`<a href="{{ manage_url }}" class=x>Administrer abonnementer</a>`},
		{"single quotes are kept", `<a href='#'>Unsubscribe here</a>`, `<a href='{{ manage_url }}'>Administrer abonnementer</a>`},
		{"no href", `<a class="x">Unsubscribe</a>`, `<a href="{{ manage_url }}" class="x">Administrer abonnementer</a>`},
		{"an href without a value", `<a href>Unsubscribe</a>`, `<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"an empty href", `<a href="">Klik her for at afmelde dig</a>`, `<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"inner markup is kept", "<a href=\"#\">\n <span>&nbsp;<b>Afmeld</b></span> her → </a>",
			"<a href=\"{{ manage_url }}\">\n <span>&nbsp;<b>Administrer abonnementer</b></span>  </a>"},
		{"a picture with words", `<a href="*|UNSUB|*"><img src="u.png" alt="Unsubscribe"></a>`,
			`<a href="{{ manage_url }}"><img src="u.png" alt="Administrer abonnementer"></a>`},
		{"a whole-anchor tag", `<td>{% unsubscribe 'Bye' %}</td>`, `<td><a href="{{ manage_url }}">Administrer abonnementer</a></td>`},
		{"a whole-anchor tag inside a link", `<a href="https://x.example/">{% unsubscribe %}</a>`,
			`<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"a bare URL tag in running text", `<p>Out: %unsubscribe_url%</p>`,
			`<p>Out: <a href="{{ manage_url }}">Administrer abonnementer</a></p>`},
		{"a wrapper keeps its attributes", `<unsubscribe style="x">here</unsubscribe>!`,
			`<a href="{{ manage_url }}" style="x">Administrer abonnementer</a>!`},
		{"a wrapper of hashes", `<p>##UnsubscribeLink##<b>stop</b>##/UnsubscribeLink##</p>`,
			`<p><a href="{{ manage_url }}"><b>Administrer abonnementer</b></a></p>`},
		{"Outlook's button", `<!--[if mso]><v:roundrect href="{{unsubscribe}}" arcsize="5%"><center>Unsubscribe</center></v:roundrect><![endif]-->`,
			`<!--[if mso]><v:roundrect href="{{ manage_url }}" arcsize="5%"><center>Administrer abonnementer</center></v:roundrect><![endif]-->`},
		{"a link that is not closed", `<td><a href="#">Unsubscribe</td><td>More text</td>`,
			`<td><a href="{{ manage_url }}">Administrer abonnementer</td><td>More text</td>`},
		{"an image map", `<area shape="rect" href="*|UNSUB|*" alt="x">`, `<area shape="rect" href="{{ manage_url }}" alt="x">`},
		{"a path of Odoo", `<a href="https://my.example/unsubscribe_from_list">Out</a>`, `<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"a legacy page", `<a href="http://www.crm.example/u/?id=7">Afmeld</a>`, `<a href="{{ manage_url }}">Administrer abonnementer</a>`},
		{"a link of ours keeps its words", `<a href="{{ manage_url }}">My choices</a>`, `<a href="{{ manage_url }}">My choices</a>`},
		{"another link", `<a href="https://x.example/?a=1&b=2">Read</a>`, `<a href="https://x.example/?a=1&b=2">Read</a>`},
		{"text that talks about unsubscribing", `<p>You can unsubscribe here at any time.</p>`, `<p>You can unsubscribe here at any time.</p>`},
		{"style, script and plain comments", `<style>a[unsubscribe]{x:1}</style><!-- *|UNSUB|* --><title>{unsubscribe}</title>`,
			`<style>a[unsubscribe]{x:1}</style><!-- *|UNSUB|* --><title>{unsubscribe}</title>`},
		{"our own merge fields", `<p title="{{ contact.first_name }}">{{ contact.email | default: "x" }}</p>`,
			`<p title="{{ contact.first_name }}">{{ contact.email | default: "x" }}</p>`},
		{"a custom page is left", `<a href="https://shop.example/konto/afmeld">Afmeld</a>`, `<a href="https://shop.example/konto/afmeld">Afmeld</a>`},
		{"a mail address is left", `<a href="mailto:unsubscribe@shop.example">Stop</a>`, `<a href="mailto:unsubscribe@shop.example">Stop</a>`},
		{"a Markdown link in brackets", `<p>[unsubscribe](https://x.example)</p>`, `<p>[unsubscribe](https://x.example)</p>`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := Options{Language: "da", LegacyURLs: []string{"https://crm.example/u"}}
			got, _ := HTML(test.in, o)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("rewritten (-want +got):\n%s", diff)
			}
			if again, _ := HTML(got, o); again != got {
				t.Errorf("a second rewrite changed it to %q", again)
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"words before a tag", "Afmeld her: *|UNSUB|*\n", "Manage subscriptions: {{ manage_url }}\n"},
		{"words on the line above", "Unsubscribe here:\n\n%unsubscribe_url%\n", "Manage subscriptions:\n\n{{ manage_url }}\n"},
		{"a tag alone", "Bye\n[unsubscribe]\n", "Bye\n{{ manage_url }}\n"},
		{"a whole-anchor tag", "{% unsubscribe %}", "Manage subscriptions: {{ manage_url }}"},
		{"a wrapper", "<unsubscribe>click</unsubscribe>", "Manage subscriptions: {{ manage_url }}"},
		{"a tag inside an address", "Opt out (https://x.example/?u={{unsubscribe}}&x=1).", "Manage subscriptions ({{ manage_url }})."},
		{"Markdown", "[Unsubscribe](*|UNSUB|*)", "[Manage subscriptions]({{ manage_url }})"},
		{"a legacy page", "Unsubscribe: https://crm.example/u?id=3.", "Manage subscriptions: {{ manage_url }}."},
		{"a custom page is left", "Unsubscribe: https://shop.example/bye", "Unsubscribe: https://shop.example/bye"},
		{"another address", "Shop: https://shop.example/?x=1\n", "Shop: https://shop.example/?x=1\n"},
		{"talk", "You can unsubscribe when you like.\n", "You can unsubscribe when you like.\n"},
		{"our own", "Manage: {{ manage_url }}", "Manage: {{ manage_url }}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := Options{Language: "en", LegacyURLs: []string{"crm.example/u"}}
			got, _ := Text(test.in, o)
			if got != test.want {
				t.Errorf("rewritten to %q, want %q", got, test.want)
			}
			if again, _ := Text(got, o); again != got {
				t.Errorf("a second rewrite changed it to %q", again)
			}
		})
	}
}

// Each row of placeholders.tsv is found where tools write it, and nothing of
// it is left.
func TestEveryPlaceholderBecomesAManageLink(t *testing.T) {
	t.Parallel()
	for _, row := range tableRows("placeholders.tsv", placeholdersTSV) {
		kind, tool, pattern := role(row[0]), row[1], row[2]
		tag := strings.ReplaceAll(pattern, "…", "text")
		t.Run(tool+" "+tag, func(t *testing.T) {
			t.Parallel()
			document, text := "<p>"+tag+"</p>", "Unsubscribe: "+tag+"\n"
			switch kind {
			case roleURL, roleAddress, roleOwn:
				document = `<p><a href="` + tag + `">Unsubscribe</a></p>`
			case rolePath:
				document, text = `<a href="https://x.example`+tag+`">x</a>`, "https://x.example"+tag
			case roleOther:
				if problems := Lint(document, text, LintOptions{}); !hasCode(problems, CodePlaceholder) {
					t.Errorf("Lint does not report %s", tag)
				}
				return
			}
			if kind != roleOwn {
				if problems := Lint(document, text, LintOptions{}); !hasCode(problems, CodePlaceholder) {
					t.Errorf("Lint does not report %s", tag)
				}
			}
			htmlPart, _ := HTML(document, Options{Language: "en"})
			textPart, _ := Text(text, Options{Language: "en"})
			if strings.Contains(htmlPart+textPart, tag) && kind != roleOwn || !strings.Contains(htmlPart, Slot) || !strings.Contains(textPart, Slot) {
				t.Errorf("rewritten to %q and %q", htmlPart, textPart)
			}
			if kind != roleOwn {
				if doc, _ := goquery.NewDocumentFromReader(strings.NewReader(htmlPart)); doc.Find("a").Text() != ManageWords("en") {
					t.Errorf("the link says %q in %q", doc.Find("a").Text(), htmlPart)
				}
			}
			if problems := Lint(htmlPart, textPart, LintOptions{}); hasCode(problems, CodePlaceholder) || hasCode(problems, CodeNoManageLink) {
				t.Errorf("after rewriting Lint says %v", problems)
			}
		})
	}
}

func hasCode(problems []Problem, code string) bool {
	for _, p := range problems {
		if p.Code == code {
			return true
		}
	}
	return false
}

// Each phrase is found whatever its case and white space, and only whole.
func TestEveryPhraseIsFound(t *testing.T) {
	t.Parallel()
	for _, row := range tableRows("phrases.tsv", phrasesTSV) {
		language, kind, words := row[0], row[1], row[2]
		if kind != "unsubscribe" {
			continue
		}
		t.Run(language+" "+words, func(t *testing.T) {
			t.Parallel()
			for _, written := range []string{words, strings.ToUpper(words), "  " + strings.ReplaceAll(words, " ", "\n&nbsp;") + " "} {
				if language == "tr" && written == strings.ToUpper(words) {
					continue // Turkish capitals are another alphabet's
				}
				got, _ := HTML(`<a href="#">`+written+`</a>`, Options{Language: language})
				if want := ManageWords(language); !strings.Contains(got, want) || !strings.Contains(got, Slot) {
					t.Errorf("%q became %q", written, got)
				}
			}
			if strings.Contains(words, " ") {
				return // a part of it may be a phrase itself
			}
			if got, _ := HTML(`<a href="#">`+words+`xyz</a>`, Options{}); strings.Contains(got, Slot) {
				t.Errorf("%sxyz is another word and became %q", words, got)
			}
		})
	}
}

func TestManageWordsFallBack(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]string{
		"da": "Administrer abonnementer", "da-DK": "Administrer abonnementer", "nb": "Administrere abonnementer",
		"pt-BR": "Gerenciar preferências", "pt": "Gerir preferências", "xx": "Manage subscriptions", "": "Manage subscriptions",
	} {
		if got := ManageWords(language); got != want {
			t.Errorf("ManageWords(%q) = %q, want %q", language, got, want)
		}
	}
}

func TestCustomLinksAreReportedWithAProposalThatCanBeApplied(t *testing.T) {
	t.Parallel()
	const src = "<p>Hi</p>\n<p>→ <a href=\"https://shop.example/account/unsubscribe\">Leave  us</a></p>"
	got, findings := HTML(src, Options{Language: "en"})
	want := []Finding{{
		Kind: Custom, Line: 2, Column: 6, Original: `<a href="https://shop.example/account/unsubscribe">Leave us`,
		Source: `<a href="https://shop.example/account/unsubscribe">Leave  us`, Words: "Leave us", Proposal: `<a href="{{ manage_url }}">Manage subscriptions</a>`,
	}}
	if diff := cmp.Diff(want, findings); diff != "" || got != src {
		t.Errorf("findings (-want +got):\n%s\nrewritten to %q", diff, got)
	}
	got, findings = HTML(src, Options{Language: "en", Custom: true, LegacyURLs: []string{"https://shop.example"}, Kept: []string{findings[0].Source}})
	if got != src || len(findings) != 1 || findings[0].Kind != Kept {
		t.Errorf("kept: %+v, rewritten to %q", findings, got)
	}
	got, _ = HTML(src, Options{Language: "en", Custom: true})
	if want := "<p>Hi</p>\n<p>→ <a href=\"{{ manage_url }}\">Manage subscriptions</a></p>"; got != want {
		t.Errorf("applied: %q, want %q", got, want)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	const postal = "Pakhuskaj 7, 5000 Odense"
	const goodHTML = `<body><a href="{{ manage_url }}">Manage</a><p>Pakhuskaj&nbsp;7<br>5000 Odense</p></body>`
	const goodText = "Manage: {{ manage_url }}\nPakhuskaj 7\n5000 Odense\n"
	for _, test := range []struct {
		name, html, text string
		want             []Problem // without Mend
	}{
		{"nothing is wrong", goodHTML, goodText, nil},
		{"merge fields are ours", goodHTML + `<p>{{ contact.first_name }}</p>`, goodText + "{{ sender.name }}", nil},
		{"a foreign tag", goodHTML + "\n<p>*|FNAME|*</p>", goodText, []Problem{{File: "html", Line: 2, Column: 4, Code: CodePlaceholder}}},
		{"a foreign tag in an attribute", goodHTML + "\n<p title='{{ first_name }}'>x</p>", goodText, []Problem{{File: "html", Line: 2, Column: 11, Code: CodePlaceholder}}},
		{"a tag in the text", goodHTML, goodText + "å %%first_name%%", []Problem{{File: "text", Line: 4, Column: 3, Code: CodePlaceholder}}},
		{"a dead link", goodHTML + `<a href="#">Afmeld</a>`, goodText, []Problem{{File: "html", Line: 1, Column: 89, Code: CodeDeadLink}}},
		{"a hidden manage link", `<div style="display:none"><a href="{{ manage_url }}">x</a></div>` + postal, goodText, []Problem{{File: "html", Code: CodeNoManageLink}}},
		{"no manage link, no address", `<p>x</p>`, "x", []Problem{
			{File: "html", Code: CodeNoManageLink}, {File: "html", Code: CodeNoPostal},
			{File: "text", Code: CodeNoManageLink}, {File: "text", Code: CodeNoPostal}}},
		{"the address as a merge field", `<a href="{{ manage_url }}">x</a>{{ sender.address }}`, "{{manage_url}} {{sender.address}}", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Lint(test.html, test.text, LintOptions{PostalAddress: postal})
			for i := range got {
				if got[i].Mend == "" {
					t.Errorf("%v does not say how to mend it", got[i])
				}
				got[i].Mend, got[i].Detail, got[i].Args, got[i].Original, got[i].Proposal = "", "", nil, "", ""
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// What another tool writes where a name goes is written as ours, with what it says
// in the place of a name that is missing.
func TestEveryMergeCodeBecomesAField(t *testing.T) {
	t.Parallel()
	proposed := func(source string) string {
		for _, p := range LintLine(source) {
			if p.Detail == DetailCode {
				source = strings.Replace(source, p.Original, p.Proposal, 1)
			}
		}
		return source
	}
	for _, row := range tableRows("mergecodes.tsv", mergeCodesTSV) {
		code := strings.ReplaceAll(row[2], "…", "friend")
		var want []string
		for _, field := range strings.Fields(row[0]) {
			want = append(want, "{{ "+field)
		}
		got := proposed("Hi " + code + "!")
		for _, field := range want {
			if !strings.Contains(got, field) {
				t.Errorf("%s of %s becomes %q, without %s", code, row[1], got, field)
			}
		}
		if strings.Count(got, "{{") != len(want) || !strings.HasSuffix(got, "}}!") {
			t.Errorf("%s of %s becomes %q", code, row[1], got)
		}
	}
	for code, want := range map[string]string{
		"{{ first_name|default:'there' }}":                  `{{ contact.first_name | default: "there" }}`,
		`{{ first_name | title | default: "you" }}`:         `{{ contact.first_name | default: "you" }}`,
		"[firstname,fallback=dear reader]":                  `{{ contact.first_name | default: "dear reader" }}`,
		"[firstname,fallback=]":                             `{{ contact.first_name }}`,
		"[subscriber:firstname | default:reader]":           `{{ contact.first_name | default: "reader" }}`,
		"{contactfield=firstname|friend}":                   `{{ contact.first_name | default: "friend" }}`,
		`{{var:name:"friend"}}`:                             `{{ contact.first_name | default: "friend" }} {{ contact.last_name }}`,
		"*|fname|*":                                         `{{ contact.first_name }}`,
		"[NAME](https://shop.example)":                      "[NAME](https://shop.example)", // Markdown
		"100%EMAIL%":                                        "100{{ contact.email }}",
		"{{ contact.first_name }} and {{ sender.address }}": "{{ contact.first_name }} and {{ sender.address }}",
	} {
		if got := proposed(code); got != want {
			t.Errorf("%s becomes %s, want %s", code, got, want)
		}
	}
	problems := LintHTML(`<p title="{{ first_name|default:'you' }}">x</p>`, LintOptions{})
	if len(problems) == 0 || problems[0].Proposal != `{{ contact.first_name | default: 'you' }}` {
		t.Errorf("within an attribute it is %+v", problems)
	}
}

func FuzzHTML(f *testing.F) {
	for _, seed := range []string{
		`<a href="*|UNSUB|*">x</a>`, `<a href='#'>Afmeld <b>her</b>`, `##UnsubscribeLink##x`, `<unsubscribe><a href="x">`,
		`<!--[if mso]><a href="{{unsubscribe}}"><![endif]-->`, `<a href={{ x "y" }}>opt out</a><style>{unsubscribe}`,
		`<a href=https://x.example/keep>keep</a><a href="mailto:unsubscribe@x.example">`, "<a\x00href=#>Unsubscribe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		at := 0
		for _, tok := range scan(src, 0, len(src)) {
			if tok.start != at || tok.end < at || tok.end > len(src) {
				t.Fatalf("a token stands at %d to %d, after %d", tok.start, tok.end, at)
			}
			at = tok.end
		}
		const keep = `<p><a href="https://keep.example/?a=1&b">Keep</a><a href="{{ manage_url }}">Mine</a></p>`
		got, _ := HTML(keep+src, Options{Language: "en"})
		if !strings.HasPrefix(got, keep) {
			t.Errorf("another link was touched: %q", got)
		}
		if again, _ := HTML(got, Options{Language: "en"}); again != got {
			t.Errorf("not idempotent:\n%q\n%q", got, again)
		}
		Lint(src, src, LintOptions{})
	})
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"Unsubscribe:\n*|UNSUB|*", "https://x/{{unsubscribe}}y", "[unsubscribe]", "<unsubscribe>a</unsubscribe>", "opt out mailto:x@y.z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		got, _ := Text("Keep https://keep.example/\n\n\nx\n"+src, Options{Language: "en"})
		if !strings.HasPrefix(got, "Keep https://keep.example/\n") {
			t.Errorf("another link was touched: %q", got)
		}
		if again, _ := Text(got, Options{Language: "en"}); again != got {
			t.Errorf("not idempotent:\n%q\n%q", got, again)
		}
	})
}

func BenchmarkHTML(b *testing.B) {
	src := strings.Repeat(`<table><tr><td style="x">Some words of {{ contact.first_name }} and <a href="https://x.example/?a=1">more</a></td></tr></table>`, 800) +
		`<a href="*|UNSUB|*">Unsubscribe</a>`
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		HTML(src, Options{Language: "en"})
	}
}

func TestOneLinkIsRewrittenAlone(t *testing.T) {
	t.Parallel()
	const source = "<p>Hi</p>\n<a href=\"https://shop.example/unsubscribe\">Unsubscribe</a>\n<a href=\"*|UNSUB|*\">unsubscribe</a>\n<a href=\"mailto:stop@shop.example\">opt out</a>"
	_, found := HTML(source, Options{Language: "en"})
	if len(found) != 3 {
		t.Fatalf("found %+v", found)
	}
	for i, f := range found {
		got, _ := HTML(source, Options{Language: "en", Only: Place{Line: f.Line, Column: f.Column}})
		if n := strings.Count(got, Slot); n != 1 || !strings.Contains(strings.Split(got, "\n")[f.Line-1], Slot) {
			t.Errorf("link %d alone gives %s", i, got)
		}
	}
	text := "Stop: https://shop.example/unsubscribe\nUnsubscribe: https://shop.example/opt-out\n"
	_, found = Text(text, Options{Language: "en"})
	if len(found) != 2 {
		t.Fatalf("found %+v", found)
	}
	got, _ := Text(text, Options{Language: "en", Only: Place{Line: found[1].Line, Column: found[1].Column}})
	if !strings.Contains(got, "https://shop.example/unsubscribe") || strings.Contains(got, "opt-out") {
		t.Errorf("the second alone gives %q", got)
	}
}
