package campaign_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

func content() campaign.Content {
	return campaign.Content{
		Name: "June", FromName: "Nordlys & Søn", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{
			"en": {Subject: "June", HTML: `<p>Hi</p><a href="*|UNSUB|*">unsubscribe</a> Pakhuskaj 7`},
			"da": {Subject: "Juni", HTML: `<p>Hej</p><a href="*|UNSUB|*">afmeld her</a> Pakhuskaj 7`},
		},
	}
}

func TestLoadSaysWhatToMend(t *testing.T) {
	t.Parallel()
	const good = `{"name":"June","from_name":"N","from_address":"n@jatak.example","postal_address":"P","default_language":"en",
"variants":{"en":{"subject":"s","html":"en.html"}}}`
	for _, test := range []struct {
		name, description string
		html              []byte
		says              string
	}{
		{"good", good, []byte("<p>hi</p>"), ""},
		{"a byte order mark", "\ufeff" + good, []byte("\xef\xbb\xbf<p>hi</p>"), ""},
		{"broken JSON", "{\n\n\"name\": }", nil, "campaign.json: line 3"},
		{"a misspelt field", `{"nmae":"June"}`, nil, `"nmae"`},
		{"of the wrong kind", `{"name":7}`, nil, "line 1"},
		{"something behind", good + "}", []byte("x"), "closing brace"},
		{"no file named", strings.Replace(good, `"html":"en.html"`, `"html":""`, 1), nil, `variant "en" names no html file and no markdown file`},
		{"a file that is not there", strings.Replace(good, "en.html", "fr.html", 1), nil, "fr.html"},
		{"a file outside", strings.Replace(good, "en.html", "../../etc/passwd", 1), nil, "not a file of the campaign's folder"},
		{"not UTF-8", good, []byte("<p>bl\xe5b\xe6r</p>"), "en.html is not UTF-8"},
		{"binary", good, []byte("a\x00b"), "NUL"},
		{"too large", good, make([]byte, 3<<20), "larger than 2048 KiB"},
		{"no campaign.json", "", nil, "campaign.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := fstest.MapFS{}
			if test.description != "" {
				folder["campaign.json"] = &fstest.MapFile{Data: []byte(test.description)}
			}
			if test.html != nil {
				folder["en.html"] = &fstest.MapFile{Data: test.html}
			}
			c, err := campaign.Load(folder)
			if test.says == "" {
				if err != nil || !strings.HasPrefix(c.Variants["en"].HTML, "<p>") {
					t.Errorf("Load: %v, %q", err, c.Variants["en"].HTML)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Load: %v; want an error that says %q", err, test.says)
			}
		})
	}
}

func TestValidateNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	if err := content().Validate(); err != nil {
		t.Errorf("good content: %v", err)
	}
	err := campaign.Content{
		Class: "advert", FromAddress: "nobody", ReplyTo: "x@y", FromName: "A\r\nBcc: b@example.org", DefaultLanguage: "fr",
		Variants: map[string]campaign.Variant{"da": {Subject: "a\nb", HTML: " "}, "klingonsk?": {Subject: strings.Repeat("x", 999), HTML: "x"}, "en": {HTML: "x"}},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"name is empty", `not "advert"`, `from_address "nobody"`, `reply_to "x@y"`, "one line each", "postal_address is empty",
		`default_language "fr" has no variant`, "subject of variant da stands on one line", "variant da has no HTML", "klingonsk?", "longer than 998", "variant en has no subject"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q:\n%v", part, err)
		}
	}
}

// splice puts a copy together as a mailer does.
func splice(segments []campaign.Segment, values []string) string {
	var b strings.Builder
	for _, s := range segments {
		if s.Slot < 0 {
			b.WriteString(s.Static)
			continue
		}
		b.WriteString(values[s.Slot])
	}
	return b.String()
}

func TestEachCopyIsEscapedForWhereItStands(t *testing.T) {
	t.Parallel()
	c := content()
	c.Variants = map[string]campaign.Variant{"en": {
		Subject: `{{ contact.first_name | default: "friend" }}, news from {{ sender.name }}`,
		HTML: `<p title="{{contact.last_name}}">Dear {{ contact.first_name | default: 'friend & co' }} of {{ contact.company }}</p>` +
			`<a href="https://shop.example/?q={{ contact.last_name }}&amp;x=1">Shop</a> <A HREF='{{ manage_url }}'>Manage</A> {{ sender.address }} {{ other.tool }}`,
		Text: "Dear {{ contact.first_name }}\n{{ manage_url }} {{ contact.email }}",
	}}
	compiled, err := campaign.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	v := compiled.For("en")
	nasty := campaign.Recipient{FirstName: "Bo <b>\r\nBcc: x@y", LastName: `"><script>&`, Email: "bo@example.org", ManageURL: "https://jatak.example/m/abc?a=1&b=2"}
	values := v.Values(nil, nasty)
	if got, want := splice(v.Subject, values), "Bo <b>  Bcc: x@y, news from Nordlys & Søn"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	want := `<p title="&#34;&gt;&lt;script&gt;&amp;">Dear Bo &lt;b&gt;` + "\r\n" + `Bcc: x@y of </p>` +
		`<a href="https://shop.example/?q=%22%3E%3Cscript%3E%26&amp;x=1">Shop</a> <A HREF='https://jatak.example/m/abc?a=1&amp;b=2'>Manage</A> Pakhuskaj 7 {{ other.tool }}`
	if got := splice(v.HTML, values); got != want {
		t.Errorf("HTML\n%s\nwant\n%s", got, want)
	}
	if got, want := splice(v.Text, values), "Dear Bo <b>\r\nBcc: x@y\nhttps://jatak.example/m/abc?a=1&b=2 bo@example.org"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}

	nobody := v.Values(nil, campaign.Recipient{FirstName: "  "})
	if got := splice(v.Subject, nobody); got != "friend, news from Nordlys & Søn" {
		t.Errorf("the subject for who has no name is %q", got)
	}
	if got := splice(v.HTML, nobody); !strings.Contains(got, "Dear friend &amp; co of") {
		t.Errorf("the HTML for who has no name is %q", got)
	}
}

func TestForFallsBack(t *testing.T) {
	t.Parallel()
	compiled, err := campaign.Compile(content())
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"da": "da", "da-dk": "da", "en-gb": "en", "fr": "en", "": "en", "-": "en"} {
		if got := compiled.For(asked).Language; got != want {
			t.Errorf("For(%q) is %s, want %s", asked, got, want)
		}
	}
}

func TestMergeFieldErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, html, says string }{
		{"misspelt", "<p>\n  {{ contact.frist_name }}", "line 2, column 3: there is no merge field contact.frist_name; did you mean contact.first_name?"},
		{"open", "{{ contact.first_name <p>", "is not closed"},
		{"no filter", "{{ contact.first_name upcase }}", "a filter can stand"},
		{"an unknown filter", "{{ contact.first_name | shell }}", "there is no filter shell"},
		{"misspelt in a condition", "x\n{% if contact.frist_name %}y{% endif %}", "line 2, column 7: there is no merge field contact.frist_name; did you mean contact.first_name?"},
		{"not ended", "{% if contact.company %}y", "is not ended; write {% endif %}"},
		{"not begun", "y{% endif %}", "ends what was not begun"},
		{"another tag", "{% if contact.company %}{% include 'x' %}{% endif %}", "{% include %} cannot stand here"},
		{"too many turns", "{% for i in (1..1000000000) %}x{% endfor %}", "at most 100 turns"},
		{"an endless loop", "{% for i in contact %}x{% endfor %}", "a loop counts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := content()
			c.Variants["en"] = campaign.Variant{Subject: "s", HTML: test.html}
			if _, err := campaign.Compile(c); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Compile: %v; want %q", err, test.says)
			}
			found := false
			for _, p := range campaign.Check(c) {
				found = found || p.Code == "merge_field" && p.Language == "en"
			}
			if !found {
				t.Error("Check does not report it")
			}
		})
	}
}

func TestTheExamplesMayBeLaunched(t *testing.T) {
	t.Parallel()
	for _, name := range examples.Campaigns() {
		folder, err := examples.Campaign(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := campaign.Load(folder)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range campaign.Check(c) {
			t.Errorf("%s: %s", name, p)
		}
	}
}

func TestTextFromHTML(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, html, want string }{
		{"paragraphs", "<p>One\n two</p><p>Three</p>", "One two\n\nThree\n"},
		{"breaks", "a<br>b<br/>c", "a\nb\nc\n"},
		{"list", "<ul><li>one<li>two</ul>after", "- one\n- two\n\nafter\n"},
		{"link", `Read <a href="https://a.example/x">more</a>.`, "Read more: https://a.example/x.\n"},
		{"a link that shows its address", `<a href="https://a.example">https://a.example</a>`, "https://a.example\n"},
		{"what is not for reading", `<style>p{}</style><script>x</script><div style="display: none">preheader</div>Hi`, "Hi\n"},
		{"a picture", `<img src=x alt="Our shop">`, "Our shop\n"},
		{"cells", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"},
		{"entities", "&AElig;bler &amp; p&aelig;rer&nbsp;", "Æbler & pærer\n"},
		{"nothing", "", "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := campaign.TextFromHTML(test.html); got != test.want {
				t.Errorf("TextFromHTML(%q) = %q, want %q", test.html, got, test.want)
			}
		})
	}
}

func TestBooks(t *testing.T) {
	t.Parallel()
	r := campaign.Report{Audience: 21}
	for i, state := range []campaign.DeliveryState{campaign.Pending, campaign.Sending, campaign.Sent, campaign.Deferred, campaign.Failed, campaign.InDoubt} {
		if err := r.Add(state, "", int64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Balanced(); err != nil {
		t.Errorf("1+2+3+4+5+6 of 21: %v", err)
	}
	if r.Open() != 1+2+4 {
		t.Errorf("%d are open", r.Open())
	}
	_ = r.Add(campaign.Cancelled, "", 10)
	_ = r.Add(campaign.Blocked, gating.Withdrawn, 20)
	_ = r.Add(campaign.Blocked, gating.Bounced, 30)
	if err := r.Balanced(); err == nil || !strings.Contains(err.Error(), "81") {
		t.Errorf("81 of 21: %v", err)
	}
	if err := r.Add("lost", "", 1); err == nil {
		t.Error("a state that is not one was booked")
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to campaign.State
		may      bool
	}{
		{campaign.StateDraft, campaign.StatePlanning, true},
		{campaign.StatePlanning, campaign.StateSending, true},
		{campaign.StateSending, campaign.StateFinished, true},
		{campaign.StateSending, campaign.StateDraft, false},
		{campaign.StateFinished, campaign.StatePlanning, false},
		{campaign.StateCancelled, campaign.StateSending, false},
		{campaign.StateDraft, campaign.StateDraft, false},
		{"", campaign.StateDraft, false},
	} {
		if test.from.May(test.to) != test.may {
			t.Errorf("from %s to %s: %v", test.from, test.to, !test.may)
		}
	}
}

func TestMessageIDsAreStableAndDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := range campaign.ID(50) {
		for r := range contact.ID(50) {
			id := campaign.MessageID(k, r, "jatak.example")
			if seen[id] || id != campaign.MessageID(k, r, "jatak.example") || !strings.HasSuffix(id, "@jatak.example") {
				t.Fatalf("campaign %d, contact %d: %q", k, r, id)
			}
			seen[id] = true
		}
	}
}

// Whatever an author writes and whatever people are called: compiling does not
// panic, and nobody's name becomes markup.
func FuzzCompile(f *testing.F) {
	f.Add(`<p>{{ contact.first_name }}</p>`, "<b>")
	f.Add(`<a href="{{ contact.first_name }}" title='{{contact.last_name}}'>`, `"'>`)
	f.Add(`{{ contact.first_name | default: "x" }} {{`, "\r\n")
	f.Add(`<a href = {{ contact.first_name }} >`, "javascript:alert(1)")
	f.Fuzz(func(t *testing.T, html, name string) {
		c := content()
		c.Variants = map[string]campaign.Variant{"en": {Subject: "{{ contact.first_name }}", HTML: html, Text: html}}
		compiled, err := campaign.Compile(c)
		if err != nil || strings.Contains(html, "{%") {
			return // what a condition asks for may well bring marks
		}
		v := compiled.For("en")
		plain := splice(v.HTML, v.Values(nil, campaign.Recipient{FirstName: "x", LastName: "x", ManageURL: "x"}))
		nasty := splice(v.HTML, v.Values(nil, campaign.Recipient{FirstName: name, LastName: name, ManageURL: "x"}))
		for _, mark := range []string{"<", ">", `"`, "'"} {
			if strings.TrimSpace(name) != "" && strings.Count(nasty, mark) != strings.Count(plain, mark) {
				t.Fatalf("the name %q brings %s into %q: %q", name, mark, html, nasty)
			}
		}
		if subject := splice(v.Subject, v.Values(nil, campaign.Recipient{FirstName: name})); strings.ContainsAny(subject, "\r\n\x00") {
			t.Fatalf("the name %q breaks the subject: %q", name, subject)
		}
	})
}

func TestLiquid(t *testing.T) {
	t.Parallel()
	c := content()
	c.Variants = map[string]campaign.Variant{"en": {
		Subject: `{% if contact.company %}For {{ contact.company | upcase }}{% else %}For you{% endif %}`,
		HTML: `<p>{{ contact.first_name | capitalize }}{% if contact.company == "A & B" %} of <b title="{{ contact.company }}">{{ contact.company }}</b>` +
			`<a href="https://x.example/?c={{ contact.company }}">x</a>{% elsif contact.last_name %} {{ contact.last_name }}{% endif %}</p>` +
			`{% for i in (1..3) %}{{ i }},{% endfor %} {{ sender.address }} <a href="{{ manage_url }}">Manage</a> {% unless contact.email %}no mail{% endunless %}`,
		Text: "{% case contact.first_name %}{% when 'bo' %}Bo!{% else %}{{ contact.first_name | default: 'friend' | upcase }}{% endcase %} {{ manage_url }} {{ sender.address }}",
	}}
	compiled, err := campaign.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	v := compiled.For("en")
	values := v.Values(nil, campaign.Recipient{FirstName: "bo", LastName: "<i>", Company: "A & B", Email: "bo@example.org", ManageURL: "https://jatak.example/m/x"})
	if got := splice(v.Subject, values); got != "For A & B" {
		t.Errorf("subject %q", got)
	}
	want := `<p>Bo of <b title="A &amp; B">A &amp; B</b><a href="https://x.example/?c=A+%26+B">x</a></p>1,2,3, Pakhuskaj 7 <a href="https://jatak.example/m/x">Manage</a> `
	if got := splice(v.HTML, values); got != want {
		t.Errorf("HTML\n%s\nwant\n%s", got, want)
	}
	if got := splice(v.Text, values); got != "Bo! https://jatak.example/m/x Pakhuskaj 7" {
		t.Errorf("text %q", got)
	}
	other := v.Values(nil, campaign.Recipient{LastName: "<i>\r\n", ManageURL: "https://jatak.example/m/y"})
	if got := splice(v.HTML, other); !strings.Contains(got, " &lt;i&gt;\r\n</p>") || !strings.Contains(got, "no mail") {
		t.Errorf("HTML of another: %s", got)
	}
	if got := splice(v.Subject, other); got != "For you" {
		t.Errorf("subject of another: %q", got)
	}
	if got := splice(v.Text, other); !strings.HasPrefix(got, "FRIEND ") {
		t.Errorf("text of another: %q", got)
	}
	for _, p := range campaign.Check(c) {
		t.Errorf("Check: %s", p)
	}
}

func BenchmarkValues(b *testing.B) {
	c := content()
	for name, html := range map[string]string{
		"fields": `<p>{{ contact.first_name | default: "friend" }} {{ contact.last_name }}</p>`,
		"liquid": `<p>{% if contact.company %}{{ contact.company }}{% else %}{{ contact.last_name }}{% endif %}</p>`,
	} {
		c.Variants = map[string]campaign.Variant{"en": {Subject: "s", HTML: html + `<a href="{{ manage_url }}">x</a>`}}
		compiled, err := campaign.Compile(c)
		if err != nil {
			b.Fatal(err)
		}
		v := compiled.For("en")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			values := make([]string, 0, 8)
			for b.Loop() {
				values = v.Values(values[:0], campaign.Recipient{FirstName: "Anna", LastName: "Holm", Company: "A & B", ManageURL: "https://jatak.example/m/x"})
			}
		})
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{
		"campaign.json": {Data: []byte(`{"name":"June","from_name":"Nordlys & Søn","from_address":"n@jatak.example","postal_address":"Pakhuskaj 7","default_language":"da",
"variants":{"da":{"subject":"s","markdown":"da.md"}}}`)},
		"da.md": {Data: []byte("# Hej {{ contact.first_name | default: \"du\" }}\n\n{% if contact.company == 'A' %}**Til A**{% endif %}\n\n- én\n- to\n\n[Læs](https://shop.example/?a=1&b=2) [her]({{ manage_url }})\n\n<script>alert(1)</script>\n")},
	}
	c, err := campaign.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range campaign.Check(c) {
		t.Errorf("Check: %s", p)
	}
	compiled, err := campaign.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	v := compiled.For("da")
	values := v.Values(nil, campaign.Recipient{FirstName: "Åse", Company: "A", ManageURL: "https://jatak.example/m/x"})
	page := splice(v.HTML, values)
	for _, part := range []string{`line-height:34px">Hej Åse</h1>`, "<strong>Til A</strong>", "<li>én</li>", `href="https://shop.example/?a=1&amp;b=2"`, `href="https://jatak.example/m/x"`, "Nordlys &amp; Søn", "Pakhuskaj 7"} {
		if !strings.Contains(page, part) {
			t.Errorf("the mail has no %s:\n%s", part, page)
		}
	}
	if strings.Contains(page, "<script") {
		t.Error("raw HTML came through")
	}
	if text := splice(v.Text, values); !strings.Contains(text, "Hej Åse") || !strings.Contains(text, "https://jatak.example/m/x") {
		t.Errorf("the text is %q", text)
	}

	// Who forgets the way out gets one.
	folder["da.md"] = &fstest.MapFile{Data: []byte("Hej\n")}
	if c, err = campaign.Load(folder); err != nil {
		t.Fatal(err)
	}
	if problems := campaign.Check(c); len(problems) > 0 || !strings.Contains(c.Variants["da"].HTML, "Administrer abonnementer") {
		t.Errorf("without a link of its own: %v", problems)
	}
}
