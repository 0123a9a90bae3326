package legacycsv_test

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/internal/legacycsv"
)

const (
	contactsHeader  = "id,email,first_name,last_name,company_id,language,no_mailings,left,interests\n"
	companiesHeader = "id,name,no_mailings\n"
	mailingsHeader  = "contact_id,mailing,sent_at,status\n"
	interestsHeader = "interest,subscription_type\n"
)

// export opens an export with the given files beside a contacts.csv without rows.
func export(t *testing.T, files map[string]string) *legacycsv.Export {
	t.Helper()
	e, err := legacycsv.Open(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if _, given := files["contacts.csv"]; !given {
		write(t, dir, "contacts.csv", contactsHeader)
	}
	for name, text := range files {
		write(t, dir, name, text)
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// collect parts good rows from refusals. A kept row is in both.
func collect[T any](t *testing.T, rows iter.Seq2[T, error]) (good []T, refused []legacycsv.Refusal) {
	t.Helper()
	for value, err := range rows {
		var refusal *legacycsv.Refusal
		switch {
		case errors.As(err, &refusal):
			refused = append(refused, *refusal)
			if refusal.Kept {
				good = append(good, value)
			}
		case err != nil:
			t.Fatal(err)
		default:
			good = append(good, value)
		}
	}
	return good, refused
}

func TestEveryColumnOfAContactIsRead(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{"contacts.csv": contactsHeader +
		"17,Søren@Ærø.example,Søren,\"Holm, \"\"Bassen\"\"\",4,da,1,0,News;Golf; News ;\n" +
		"18,,,,,,,,\n"})
	got, refused := collect(t, e.Contacts())
	want := []legacycsv.Contact{
		{ID: "17", Email: "Søren@Ærø.example", FirstName: "Søren", LastName: `Holm, "Bassen"`, CompanyID: "4",
			Language: "da", NoMailings: true, Interests: []string{"News", "Golf"}, Line: 2},
		{ID: "18", Line: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if refused != nil {
		t.Errorf("refused %v", refused)
	}
}

func TestAFileReadsTheSameHoweverItWasSaved(t *testing.T) {
	t.Parallel()
	plain := companiesHeader + "1,Ærø Færgefart,0\n2,\"Hansen, Jensen & \"\"Sønner\"\" ApS\",1\n"
	want := []legacycsv.Company{
		{ID: "1", Name: "Ærø Færgefart", Line: 2},
		{ID: "2", Name: `Hansen, Jensen & "Sønner" ApS`, NoMailings: true, Line: 3},
	}
	for name, text := range map[string]string{
		"as it is":               plain,
		"with a BOM":             "\ufeff" + plain,
		"with CRLF":              strings.ReplaceAll(plain, "\n", "\r\n"),
		"with both":              "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"without the last break": strings.TrimSuffix(plain, "\n"),
		"with every field in quotes": "\"ID\",\"Name\",\"No_Mailings\"\n\"1\",\"Ærø Færgefart\",\"0\"\n" +
			"\"2\",\"Hansen, Jensen & \"\"Sønner\"\" ApS\",\"1\"",
		"with columns in another order": "no_mailings, NAME ,id\n,Ærø Færgefart,1\n1,\"Hansen, Jensen & \"\"Sønner\"\" ApS\",2\n",
		"with more columns":             "id,phone,name,no_mailings\n1,,Ærø Færgefart,0\n2,\"1,2\",\"Hansen, Jensen & \"\"Sønner\"\" ApS\",1",
		"with blanks around values":     "id,name,no_mailings\n 1 ,  Ærø Færgefart, 0 \n2\t,\"  Hansen, Jensen & \"\"Sønner\"\" ApS \",1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, refused := collect(t, export(t, map[string]string{"companies.csv": text}).Companies())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if refused != nil {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

func TestALineBreakInsideAQuotedFieldBecomesASpace(t *testing.T) {
	t.Parallel()
	got, refused := collect(t, export(t, map[string]string{
		"companies.csv": companiesHeader + "1,\"Bager Bo\r\nved Havnen\",0\r\n\r\n2,Næste,0\r\n",
	}).Companies())
	want := []legacycsv.Company{{ID: "1", Name: "Bager Bo ved Havnen", Line: 2}, {ID: "2", Name: "Næste", Line: 5}}
	if diff := cmp.Diff(want, got); diff != "" || refused != nil {
		t.Error(diff, refused)
	}
}

func TestOnlyRealMailingsCountAsReal(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(mailingsHeader)
	statuses := []string{"sent", "opened", "clicked", "bounced", "test", "draft", "duplicate", "blocked", "Sent"}
	for _, status := range statuses {
		text.WriteString("7,News,2024-01-02 03:04:05," + status + "\n")
	}
	text.WriteString("7,News,,draft\n")
	got, refused := collect(t, export(t, map[string]string{"mailings.csv": text.String()}).Mailings())
	if refused != nil {
		t.Fatal(refused)
	}
	var real []bool
	for _, m := range got {
		real = append(real, m.Real())
	}
	if diff := cmp.Diff([]bool{true, true, true, true, false, false, false, false, true, false}, real); diff != "" {
		t.Error(diff)
	}
}

func TestATimeWithoutAZoneIsUTC(t *testing.T) {
	t.Parallel()
	got, _ := collect(t, export(t, map[string]string{"mailings.csv": mailingsHeader +
		"7,News,2024-01-02 03:04:05,sent\n7,News,2024-01-02T03:04:05+01:00,sent\n7,News,2024-01-02,sent\n"}).Mailings())
	var at []time.Time
	for _, m := range got {
		at = append(at, m.SentAt)
	}
	want := []time.Time{
		time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
		time.Date(2024, 1, 2, 2, 4, 5, 0, time.UTC),
		time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Error(diff)
	}
}

// Each case is one row, refused, between two good ones.
func TestARowThatIsRefusedSaysWhyAndCostsNoOtherRow(t *testing.T) {
	t.Parallel()
	const good = "%d,g%d@a.example,Bo,Lund,,da,0,0,\n"
	long := func(n int) string { return strings.Repeat("æ", n) }
	cases := map[string]struct{ row, column, reason string }{
		"too few columns":       {"7,a@a.example,Bo", "", "3 columns and the header has 9"},
		"too many columns":      {"7,a@a.example,Bo,Lund,jr.,,da,0,0,", "", "10 columns and the header has 9"},
		"only commas":           {",,,,,,,,", "id", "is blank"},
		"only a blank":          {" ", "", "1 columns"},
		"blank id":              {" ,a@a.example,Bo,Lund,,da,0,0,", "id", "is blank"},
		"the same id":           {"1,a@a.example,Bo,Lund,,da,0,0,", "id", "same id"},
		"a flag in words":       {"7,a@a.example,Bo,Lund,,da,ja,0,", "no_mailings", `"ja". Write 0 for no or 1 for yes`},
		"a flag beyond 1":       {"7,a@a.example,Bo,Lund,,da,0,2,", "left", `"2". Write 0`},
		"not UTF-8":             {"7,a@a.example,S\xf8ren,Lund,,da,0,0,", "", "not UTF-8"},
		"a NUL":                 {"7,a@a.example,B\x00o,Lund,,da,0,0,", "first_name", "U+0000"},
		"an escape":             {"7,a@a.example,Bo,\x1b[31mLund,,da,0,0,", "last_name", "U+001B"},
		"a CR alone":            {"7,a@a.example,B\ro,Lund,,da,0,0,", "first_name", "U+000D"},
		"a control in the mail": {"7,a@a.exa\x07mple,Bo,Lund,,da,0,0,", "email", "U+0007"},
		"an over-long id":       {long(101) + ",a@a.example,Bo,Lund,,da,0,0,", "id", "longer than 100"},
		"an over-long name":     {"7,a@a.example," + long(201) + ",Lund,,da,0,0,", "first_name", "longer than 200"},
		"an over-long language": {"7,a@a.example,Bo,Lund,," + long(36) + ",0,0,", "language", "longer than 35"},
		"an over-long interest": {"7,a@a.example,Bo,Lund,,da,0,0,News;" + long(201), "interests", "longer than 200"},
		"over-long interests":   {"7,a@a.example,Bo,Lund,,da,0,0," + strings.Repeat("x;", 2001), "interests", "longer than 4000"},
		"text after a quote":    {`7,a@a.example,"Hans "Bassen" Holm",Lund,,da,0,0,`, "first_name", "Text follows the quote"},
		"a quote never closed":  {`7,a@a.example,"Bo,Lund,,da,0,0,`, "first_name", "never closed"},
		"a quote at the end":    {`7,a@a.example,Bo,Lund,,da,0,0,"`, "interests", "never closed"},
		"a line beyond 1 MiB":   {"7,a@a.example," + strings.Repeat("x", 1<<20), "", "longer than 1048576 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := export(t, map[string]string{"contacts.csv": contactsHeader +
				strings.ReplaceAll(good, "%d", "1") + c.row + "\n" + strings.ReplaceAll(good, "%d", "3")})
			got, refused := collect(t, e.Contacts())
			if len(got) != 2 || got[0].ID != "1" || got[1].ID != "3" || got[1].Line != 4 {
				t.Errorf("good rows: %v", got)
			}
			if len(refused) != 1 {
				t.Fatalf("refused %v", refused)
			}
			r := refused[0]
			if r.File != "contacts.csv" || r.Line != 3 || r.Column != c.column || !strings.Contains(r.Reason, c.reason) || r.Kept {
				t.Errorf("refused with %#v", r)
			}
			if n := len([]rune(r.Row)); n != min(len([]rune(c.row)), 1<<20+2) {
				t.Errorf("the row is kept with %d characters", n)
			}
		})
	}
}

func TestRowsOfTheOtherFilesAreRefusedToo(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{
		"companies.csv": companiesHeader + "1,A,\n1,B,\n,C,\n2,D,nej\n",
		"mailings.csv":  mailingsHeader + ",News,2024-01-02,sent\n7,News,,sent\n7,News,2.1.2024,sent\n7,News,2024-01-02,delivered\n7,News,2024-02-30,test\n",
		"interests.csv": interestsHeader + ",News\nGolf,\nGolf,\nGolf,News\n",
	})
	companies, refusedCompanies := collect(t, e.Companies())
	mailings, refusedMailings := collect(t, e.Mailings())
	interests, refusedInterests := collect(t, e.Interests())
	if len(companies) != 1 || len(mailings) != 0 || len(interests) != 2 {
		t.Errorf("good rows: %v %v %v", companies, mailings, interests)
	}
	var got []string
	for _, list := range [][]legacycsv.Refusal{refusedCompanies, refusedMailings, refusedInterests} {
		for _, r := range list {
			got = append(got, r.Error())
		}
	}
	want := []string{
		`companies.csv line 3, column id: An earlier row has the same id. Keep one of them.`,
		`companies.csv line 4, column id: The id is blank. Fill it in.`,
		`companies.csv line 5, column no_mailings: The value is "nej". Write 0 for no or 1 for yes.`,
		`mailings.csv line 2, column contact_id: The contact_id is blank. Fill it in.`,
		`mailings.csv line 3, column sent_at: The value is "". Write the time as 2006-01-02 15:04:05 (UTC), 2006-01-02T15:04:05+01:00 or 2006-01-02.`,
		`mailings.csv line 4, column sent_at: The value is "2.1.2024". Write the time as 2006-01-02 15:04:05 (UTC), 2006-01-02T15:04:05+01:00 or 2006-01-02.`,
		`mailings.csv line 5, column status: The value is "delivered". Write sent, opened, clicked, bounced, test, draft, duplicate or blocked.`,
		`mailings.csv line 6, column sent_at: The value is "2024-02-30". Write the time as 2006-01-02 15:04:05 (UTC), 2006-01-02T15:04:05+01:00 or 2006-01-02.`,
		`interests.csv line 2, column interest: The interest is blank. Fill it in.`,
		`interests.csv line 4, column interest: An earlier row has the same interest. Keep one of them.`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneBrokenQuoteDoesNotSwallowTheRowsAfterIt(t *testing.T) {
	t.Parallel()
	row := func(id, name string) string { return id + "," + id + "@a.example," + name + ",Lund,,da,0,0,\n" }
	for name, next := range map[string]string{
		"to the end of the file":            row("8", "Ole"),
		"before a row with a quoted field":  row("8", `"Ole, jr."`),
		"before a row with a stray quote":   row("8", "Ole") + `9,9@a.example,Pia",Lund,,da,0,0,` + "\n",
		"before a quote that pairs with it": row("8", "Ole") + strings.Repeat("\n", 3) + `9,9@a.example,Pia",Lund,,da,0,0,` + "\n",
		"before a row that evens the count": row("8", "Ole") + `9,9@a.example,Pia,Lund"` + "\n",
		"before a quoted line break":        row("8", "\"Ole\nJensen\""),
		"before two hundred rows":           row("8", "Ole") + strings.Repeat(",,,,,,,,\n", 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := export(t, map[string]string{"contacts.csv": contactsHeader + row("7", `"Bo`) + next})
			got, refused := collect(t, e.Contacts())
			if len(got) == 0 || got[0].ID != "8" {
				t.Errorf("good rows: %v", got)
			}
			if refused[0].Line != 2 {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

func TestAQuoteWithinAFieldIsTakenAsItStands(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{"contacts.csv": contactsHeader + "7,a@a.example,Hans \"Bassen\" Holm,Lund,,da,0,0,\n"})
	if got, refused := collect(t, e.Contacts()); len(got) != 1 || got[0].FirstName != `Hans "Bassen" Holm` {
		t.Errorf("taken %+v, refused %v", got, refused)
	}
}

func TestAnAddressThatCannotBeMailedDoesNotCostTheContact(t *testing.T) {
	t.Parallel()
	for email, reason := range map[string]string{
		"bo.a.example":                          "no @",
		"bo@@a.example":                         "",
		"bo lund@a.exampl":                      "",
		"bo@a.example.":                         "",
		"bo@":                                   "",
		strings.Repeat("b", 200) + "@a.example": "",
		strings.Repeat("b", 321) + "@a.example": "longer than 320",
		"b@" + strings.Repeat("a.", 500) + "dk": "longer than 320",
	} {
		e := export(t, map[string]string{"contacts.csv": contactsHeader + "7," + email + ",Bo,Lund,,da,0,0,\n"})
		got, refused := collect(t, e.Contacts())
		if len(got) != 1 || got[0].ID != "7" || got[0].LastName != "Lund" {
			t.Fatalf("%s: good rows: %v", email, got)
		}
		if len(refused) != 1 || !refused[0].Kept || refused[0].Column != "email" ||
			!strings.Contains(refused[0].Reason, reason) || !strings.Contains(refused[0].Reason, "kept") {
			t.Errorf("%s: noted as %v", email, refused)
		}
		if n := len([]rune(got[0].Email)); n > 322 {
			t.Errorf("an address of %d characters was passed on", n)
		}
		if len(email) <= 320 && got[0].Email != email {
			t.Errorf("%s was passed on as %s", email, got[0].Email)
		}
	}
}

func TestAMendedCopyOfARefusedRowIsTaken(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{"companies.csv": companiesHeader + "1,A,ja\n1,A,1\n"})
	got, refused := collect(t, e.Companies())
	if len(got) != 1 || !got[0].NoMailings || len(refused) != 1 {
		t.Errorf("%v %v", got, refused)
	}
}

func TestAnExportIsReadAnewByEachIterationAndMayBeLeftEarly(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{"companies.csv": companiesHeader + "1,A,0\n2,B,0\n"})
	for range e.Companies() {
		break
	}
	for range 2 {
		if got, refused := collect(t, e.Companies()); len(got) != 2 || refused != nil {
			t.Errorf("%v %v", got, refused)
		}
	}
}

func TestAnExportThatCannotBeReadSaysHowToMendIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		says       []string
	}{
		"empty":               {"contacts.csv", "", []string{"contacts.csv", "empty", "id,email"}},
		"only a BOM":          {"contacts.csv", "\ufeff\n", []string{"contacts.csv", "empty"}},
		"no header":           {"contacts.csv", "1,a@a.example,Bo\n", []string{"contacts.csv", "id, email", "missing"}},
		"no no_mailings":      {"companies.csv", "id,name\n1,A\n", []string{"companies.csv", "no_mailings is missing"}},
		"semicolons":          {"contacts.csv", strings.ReplaceAll(contactsHeader, ",", ";"), []string{"semicolons"}},
		"tabs":                {"contacts.csv", strings.ReplaceAll(contactsHeader, ",", "\t"), []string{"tabs"}},
		"CR alone":            {"contacts.csv", strings.ReplaceAll(contactsHeader+"1,,,,,,,,\n", "\n", "\r"), []string{"CR alone"}},
		"UTF-16, little end":  {"mailings.csv", "\xff\xfec\x00o\x00", []string{"mailings.csv", "UTF-16", "UTF-8"}},
		"UTF-16, big end":     {"mailings.csv", "\xfe\xff\x00c\x00o", []string{"mailings.csv", "UTF-16"}},
		"UTF-16 without mark": {"mailings.csv", "c\x00o\x00,\x00", []string{"mailings.csv", "UTF-16"}},
		"Latin-1":             {"companies.csv", "id,name,no_mailings,bel\xf8b\n", []string{"companies.csv", "not UTF-8"}},
		"a column twice":      {"companies.csv", "id,name,no_mailings,ID\n", []string{"companies.csv", `"id" twice`}},
		"a broken quote":      {"interests.csv", "interest,\"subscription_type\n", []string{"interests.csv", "never closed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := legacycsv.Open(folder(t, map[string]string{c.file: c.text}))
			if err == nil {
				t.Fatal("opened")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
		})
	}
}

func TestOnlyContactsCSVMustBeThere(t *testing.T) {
	t.Parallel()
	if _, err := legacycsv.Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "contacts.csv") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := legacycsv.Open(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("no folder: %v", err)
	}
	e := export(t, nil)
	companies, _ := collect(t, e.Companies())
	mailings, _ := collect(t, e.Mailings())
	interests, _ := collect(t, e.Interests())
	if companies != nil || mailings != nil || interests != nil {
		t.Errorf("%v %v %v", companies, mailings, interests)
	}
	want := []string{
		"companies.csv is not there: no companies, and no company's No mailings flag, are known",
		"mailings.csv is not there: every contact counts as never mailed",
		"interests.csv is not there: no interest becomes a subscription type",
	}
	if diff := cmp.Diff(want, e.Notes()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsIgnoredIsNoted(t *testing.T) {
	t.Parallel()
	e := export(t, map[string]string{
		"contacts.csv":  "id,email,company_id,no_mailings,left,phone,first_name,last_name,interests\n",
		"companies.csv": companiesHeader, "mailings.csv": mailingsHeader, "interests.csv": interestsHeader,
	})
	want := []string{
		`contacts.csv: the column "phone" is not known and is ignored`,
		`contacts.csv: the column "language" is not there and reads as blank`,
	}
	if diff := cmp.Diff(want, e.Notes()); diff != "" {
		t.Error(diff)
	}
}

func TestTheExampleExportIsTakenWholeWithNotesOnItsBrokenAddresses(t *testing.T) {
	t.Parallel()
	e, err := legacycsv.Open(filepath.Join("..", "..", "examples", "legacy-crm"))
	if err != nil {
		t.Fatal(err)
	}
	contacts, notes := collect(t, e.Contacts())
	companies, refusedCompanies := collect(t, e.Companies())
	mailings, refusedMailings := collect(t, e.Mailings())
	interests, refusedInterests := collect(t, e.Interests())
	if len(contacts) != 1000 || len(companies) != 120 || len(mailings) < 2000 || len(interests) != 7 {
		t.Errorf("%d contacts, %d companies, %d mailings, %d interests", len(contacts), len(companies), len(mailings), len(interests))
	}
	if refusedCompanies != nil || refusedMailings != nil || refusedInterests != nil || len(e.Notes()) != 0 {
		t.Error(refusedCompanies, refusedMailings, refusedInterests, e.Notes())
	}
	for _, note := range notes {
		t.Log(note.Error())
		if !note.Kept {
			t.Error("refused")
		}
	}
	if len(notes) != 11 {
		t.Errorf("%d addresses noted as broken", len(notes))
	}
}
