package console

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

func wordsOnly(t *testing.T) *site {
	t.Helper()
	words, err := templates.New()
	if err != nil {
		t.Fatal(err)
	}
	return &site{Options: Options{Templates: words}}
}

func TestEveryFactOfTheGateIsSaidInWords(t *testing.T) {
	t.Parallel()
	s := wordsOnly(t)
	at := time.Date(2026, 11, 25, 23, 11, 5, 0, time.UTC)
	everything := gating.Facts{AddressValid: true, BouncesInRow: 3, Left: true, TwinWithdrawn: true, NoMailings: true, CompanyNoMailings: true,
		Suppressions: make([]gating.Suppression, 2), Emarketing: gating.Consent{Basis: gating.BasisConsent, Expires: at}, Preference: gating.PreferenceIn,
		LastChoice: at, LastUse: at, AwaitingConfirmation: true, Duplicate: true}
	life := 365 * 24 * time.Hour
	policies := []gating.Policy{{ConsentLife: life},
		{ConsentLife: life, Privacy: true, ExplicitOnly: true, Class: gating.Service, Type: gating.SubscriptionType{ID: 1, Created: at}}}
	for _, lang := range templates.StaffLanguages() {
		r := httptest.NewRequest("GET", "/?lang="+lang, nil)
		r.Header.Set("Accept-Language", lang)
		for _, facts := range []gating.Facts{{}, everything} {
			for _, policy := range policies {
				steps, _ := gating.Explain(facts, policy)
				rows := s.stepRows(r, contact.Words{}, []contact.TypeChoice{{ID: 1}}, steps)
				for i, step := range steps {
					for j, text := range rows[i].Found {
						if strings.Contains(text, "=") || strings.HasPrefix(strings.ToLower(text), "fact.") || strings.Contains(text, "_") || strings.Contains(text, "T23:") {
							t.Errorf("in %s, %s is said as %q", lang, step.Found[j], text)
						}
					}
					if rows[i].Holds = s.text(r, rows[i].Holds); strings.HasPrefix(rows[i].Holds, "card.") {
						t.Errorf("in %s, %s has no words: %q", lang, step.Reason, rows[i].Holds)
					}
				}
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Language", "da")
	if got, want := s.factText(r, contact.Words{}, nil, "last_choice=2026-11-25T23:11:05Z"), "har sidst valgt abonnementstyper 25. nov. 2026 kl. 23.11"; got != want {
		t.Errorf("a time is said as %q, want %q", got, want)
	}
}

func TestEveryActionOfTheAuditLogHasWords(t *testing.T) {
	t.Parallel()
	s := wordsOnly(t)
	for _, lang := range templates.StaffLanguages() {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", lang)
		for _, action := range staff.Actions() {
			if l := s.auditLine(r, contact.Words{}, staff.Entry{Action: action}); l.What == action {
				t.Errorf("%s has no words for %q", lang, action)
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Language", "da")
	words := contact.Words{Types: []contact.Word{{Key: "news", Names: map[string]string{"da": "Nyheder"}}}}
	for _, test := range []struct{ action, detail, what, about string }{
		{"settings set", "emarketing-privacy = off", "Ændrede en indstilling", "E-marketing privacy: Fra"},
		{"template save", "template 1 version 3", "Skrev i en skabelon", "skabelon 1, version 3"},
		{"upgrade run", "run 2", "Kørte opgraderingen", "kørsel 2"},
		{"preference set", "news out", "Valgte en abonnementstype for kontakten", "Nyheder: valgt fra"},
		{"campaign override", "version control is ours", "Startede med en undtagelse", "version control is ours"},
		{"user role", "a@jatak.example viewer", "Ændrede en rolle", "a@jatak.example · Læser"},
		{staff.ContactView, "", "Så kontakten", ""},
		{staff.ContactExport, "JSON", "Eksporterede kontakten", "JSON"},
		{staff.ContactExport, "", "Så eller eksporterede kontakten", ""},
	} {
		l := s.auditLine(r, words, staff.Entry{Action: test.action, Detail: test.detail})
		if l.What != test.what || l.About != test.about {
			t.Errorf("%s, %s is said as %q, %q", test.action, test.detail, l.What, l.About)
		}
	}
}

func TestTheHistoryIsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	s := wordsOnly(t)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Language", "da")
	words := contact.Words{Types: []contact.Word{{Key: "offers", Names: map[string]string{"en": "Promotions", "da": "Tilbud"}}}}
	d := contact.Dossier{
		Choices:     []contact.DossierChoice{{Name: "Promotions", Type: "offers", To: gating.PreferenceOut}, {Name: "Retired", Type: "gone", To: gating.PreferenceIn}},
		LegacyMails: []contact.DossierLegacy{{Mailing: "Nyhedsbrev", Status: "bounced"}, {Mailing: "Nyhedsbrev", Status: "Opened"}, {Mailing: "Nyhedsbrev", Status: "parked"}}}
	var said strings.Builder
	for _, row := range s.history(r, d, words) {
		said.WriteString(row.What + "\n")
	}
	for _, want := range []string{"Tilbud", "Retired", "kommet retur", "åbnet", "parked"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the history does not say %q: %s", want, said.String())
		}
	}
	if strings.Contains(said.String(), "Promotions") || strings.Contains(said.String(), "bounced") {
		t.Errorf("the history is in English: %s", said.String())
	}
	if got := s.Templates.LanguageName("da", "xx"); got != "ukendt sprog (xx)" {
		t.Errorf("a language that nobody knows is called %q", got)
	}
}

func TestDanishIsWrittenAsDanesDo(t *testing.T) {
	t.Parallel()
	s := wordsOnly(t)
	if one, many := s.Templates.CountText("da", "console.upgrade.links.look", 1), s.Templates.CountText("da", "console.upgrade.links.look", 7); one != "Se jeres ene eget link" || many != "Se på 7 af jeres egne links" {
		t.Errorf("links are counted as %q and %q", one, many)
	}
	at := time.Date(2026, 11, 25, 23, 21, 3, 0, time.UTC)
	if da, en := templates.Clock("da", at), templates.Clock("en", at); da != "23.21" || en != "23:21" {
		t.Errorf("a time is written %q in Danish and %q in English", da, en)
	}
}
