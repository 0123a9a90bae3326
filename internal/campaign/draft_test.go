package campaign_test

import (
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/internal/campaign"
)

func TestADraftMayLackWhatACampaignMayNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]campaign.Content{
		"nothing at all":     {},
		"a name":             {Name: "June"},
		"a half address":     {Name: "June", FromAddress: "news@", ReplyTo: "x"},
		"an empty language":  {Variants: map[string]campaign.Variant{"da": {}}, DefaultLanguage: "en"},
		"a subject and HTML": {Variants: map[string]campaign.Variant{"da": {Subject: "Juni", HTML: "<p>"}}},
	} {
		if err := c.ValidateDraft(); err != nil {
			t.Errorf("%s is refused as a draft: %v", name, err)
		}
		if c.Validate() == nil || len(campaign.Check(c)) == 0 {
			t.Errorf("%s may be launched", name)
		}
	}
	long := strings.Repeat("x", campaign.MaxPart+1)
	for name, c := range map[string]campaign.Content{
		"a part too large":         {Variants: map[string]campaign.Variant{"da": {HTML: long}}},
		"a text too large":         {Variants: map[string]campaign.Variant{"da": {Text: long}}},
		"a long name":              {Name: strings.Repeat("x", 201)},
		"a name of two lines":      {Name: "a\nb"},
		"a header in the sender":   {FromName: "A\r\nBcc: b@example.org"},
		"a NUL":                    {PostalAddress: "a\x00b"},
		"not UTF-8":                {Variants: map[string]campaign.Variant{"da": {HTML: "\xff"}}},
		"a subject of two lines":   {Variants: map[string]campaign.Variant{"da": {Subject: "a\nb"}}},
		"a language that is none":  {Variants: map[string]campaign.Variant{"klingonsk?": {}}},
		"a class that is none":     {Class: "advert"},
		"an audience that is none": {Audience: campaign.Audience{ExpiringDays: -1}},
	} {
		if c.ValidateDraft() == nil {
			t.Errorf("%s is kept as a draft", name)
		}
	}
}

// What is written in Markdown stays Markdown until it is sent.
func TestBuildingTwiceIsBuildingOnce(t *testing.T) {
	t.Parallel()
	for _, name := range examples.Campaigns() {
		folder, err := examples.Campaign(name)
		if err != nil {
			t.Fatal(err)
		}
		source, err := campaign.Read(folder)
		if err != nil {
			t.Fatal(err)
		}
		if problems := campaign.Check(source); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		once, err := source.Build()
		if err != nil {
			t.Fatal(err)
		}
		twice, err := once.Build()
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := campaign.Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, lang := range source.Languages() {
			if once.Variants[lang] != twice.Variants[lang] || once.Variants[lang] != loaded.Variants[lang] {
				t.Errorf("%s in %s changes when it is built again", name, lang)
			}
			if once.Variants[lang].Markdown != "" || once.Variants[lang].HTML == "" {
				t.Errorf("%s in %s is not built", name, lang)
			}
		}
	}
}

func TestPreviewShowsAHalfDraft(t *testing.T) {
	t.Parallel()
	c := campaign.Content{FromName: "Nordlys", Variants: map[string]campaign.Variant{
		"da": {Subject: `Hej {{ contact.first_name | default: "ven" }}`, Markdown: "# Hej {{ contact.first_name }}\n\n[Læs](https://shop.example)"},
		"en": {},
		"de": {HTML: "{{ contact.fist_name }}"},
	}}
	copied, err := campaign.Preview(c, "da", campaign.Recipient{FirstName: "<Bo>", ManageURL: "https://jatak.example/m/x"})
	if err != nil || copied.Subject != "Hej <Bo>" || !strings.Contains(copied.HTML, "Hej &lt;Bo&gt;</h1>") || !strings.Contains(copied.Text, "Læs: https://shop.example") {
		t.Errorf("the preview is %+v, %v", copied, err)
	}
	if empty, err := campaign.Preview(c, "en", campaign.Recipient{}); err != nil || empty != (campaign.Copy{}) {
		t.Errorf("of nothing it is %+v, %v", empty, err)
	}
	if _, err := campaign.Preview(c, "de", campaign.Recipient{}); err == nil || !strings.Contains(err.Error(), "contact.first_name") {
		t.Errorf("a misspelt field: %v", err)
	}
	light, dark := copied.Framed(false), copied.Framed(true)
	if !strings.Contains(dark, "@media (min-width: 0px)") || !strings.Contains(light, "@media (max-width: 0px)") || strings.Contains(light+dark, "prefers-color-scheme") {
		t.Errorf("the colour scheme is not emulated:\n%s", dark)
	}
	inert := campaign.Copy{HTML: `<A HREF='https://shop.example/?a=1&amp;b="2"' target=_top>x</A><p title="a>b">y</p><!-- c --><script>1<2</script>`}.Framed(false)
	if !strings.HasPrefix(inert, `<a href="https://shop.example/?a=1&amp;b=&#34;2&#34;" target="_blank">x</A><p title="a>b">y</p><!-- c --><script>1<2</script>`) {
		t.Errorf("the links are %s", inert)
	}
}

// Fields that are misspelt become those that are meant, on every part of a mail;
// what may mean anything is left to its author.
func TestMergeFieldsAreMended(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"Hi {{ contact.firstname }} {{contact.LASTNAME}}":                   "Hi {{ contact.first_name }} {{contact.last_name}}",
		"Hi {{ contact.FNAME | default: \"you\" }}":                         "Hi {{ contact.first_name | default: \"you\" }}",
		"Åse: {{ contact.frist_name }}, *|LNAME|*\n{{ contact.fornavn }}":   "Åse: {{ contact.first_name }}, {{ contact.last_name }}\n{{ contact.first_name }}",
		"{% if contact.firstname %}Hi {{ contact.first_nam }}{% endif %}":   "{% if contact.first_name %}Hi {{ contact.first_name }}{% endif %}",
		"{{ contact.shoe_size }} {{ contact.frist_name }}":                  "{{ contact.shoe_size }} {{ contact.first_name }}",
		"{{ contact.first_name }} {{ sender.address }} {{ manage_url }} %%": "{{ contact.first_name }} {{ sender.address }} {{ manage_url }} %%",
	} {
		mended, mends := campaign.MendFields(source, false)
		if mended != want || (len(mends) > 0) != (source != want) {
			t.Errorf("%q becomes %q by %+v, want %q", source, mended, mends, want)
		}
	}
	c := campaign.Content{Name: "June", FromAddress: "news@jatak.example", PostalAddress: "P", DefaultLanguage: "en", Variants: map[string]campaign.Variant{"en": {
		Subject: "*|FNAME|*, {{ contact.firstname }}", Preheader: "Hi [First Name]", Markdown: "Dear *|FNAME|*"}}}
	if problems := campaign.Check(c); len(problems) < 4 {
		t.Errorf("it may be launched as it is: %v", problems)
	}
	for range 4 {
		for _, f := range campaign.Findings(c, "en") {
			if f.Mend == campaign.MendField {
				c, _ = campaign.Apply(c, "en", f)
				break
			}
		}
	}
	v := c.Variants["en"]
	if v.Subject != "{{ contact.first_name }}, {{ contact.first_name }}" || v.Preheader != "Hi {{ contact.first_name }}" || v.Markdown != "Dear {{ contact.first_name }}" {
		t.Errorf("mended it is %+v", v)
	}
	if problems := campaign.Check(c); len(problems) > 0 {
		t.Errorf("mended it has %v", problems)
	}
}

// Every finding that offers a mend is gone when the mend is applied.
func TestMends(t *testing.T) {
	t.Parallel()
	c := campaign.Content{PostalAddress: "Pakhuskaj 7", Variants: map[string]campaign.Variant{"da": {
		Subject: "Juni",
		HTML: "<html><body>\n<p>Hej *|FNAME|* og {{ first_name }}</p>\n<a href=\"*|UNSUB|*\">afmeld her</a>\n" +
			"<a href=\"https://shop.example/afmeld\">Afmeld</a> <a href=\"mailto:stop@shop.example\">Afmeld</a>\n</body></html>",
		Text: "Hej\nAfmeld: https://shop.example/afmeld\n",
	}}}
	for turn := 0; ; turn++ {
		var next *campaign.Finding
		for _, f := range campaign.Findings(c, "da") {
			if f.Mend != campaign.MendNone {
				next = &f
				break
			}
		}
		if next == nil {
			if turn < 7 {
				t.Errorf("only %d mends were offered", turn)
			}
			break
		}
		before := c.Variants["da"]
		mended, changed := campaign.Apply(c, "da", *next)
		if !changed || turn > 20 {
			t.Fatalf("%+v cannot be mended in %+v", *next, before)
		}
		if c.Variants["da"] != before {
			t.Fatal("the original changes too")
		}
		c = mended
	}
	v := c.Variants["da"]
	if strings.Contains(v.HTML, "FNAME") || strings.Contains(v.HTML, "shop.example") || !strings.Contains(v.HTML, "{{ sender.address }}</p>\n</body>") {
		t.Errorf("the HTML is\n%s", v.HTML)
	}
	if !strings.Contains(v.Text, "Administrer abonnementer: {{ manage_url }}") || !strings.Contains(v.Text, "{{ sender.address }}") {
		t.Errorf("the text is\n%s", v.Text)
	}
	if left := campaign.Findings(c, "da"); len(left) > 0 {
		t.Errorf("left over: %+v", left)
	}
	if _, changed := campaign.Apply(c, "da", campaign.Finding{Part: campaign.PartHTML, Mend: campaign.MendTag, Original: "*|FNAME|*"}); changed {
		t.Error("what is gone is mended again")
	}
}
