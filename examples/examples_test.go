package examples_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/examples"
)

var update = flag.Bool("update", false, "write the committed export anew")

func exportNames() []string {
	return []string{"contacts.csv", "companies.csv", "mailings.csv", "interests.csv"}
}

func TestTheCommittedExportIsWhatTheGeneratorWrites(t *testing.T) {
	if *update {
		if err := examples.Generate("legacy-crm", 1000, examples.Seed); err != nil {
			t.Fatal(err)
		}
	}
	generated, extracted := t.TempDir(), filepath.Join(t.TempDir(), "new")
	if err := examples.Generate(generated, 1000, examples.Seed); err != nil {
		t.Fatal(err)
	}
	if err := examples.Extract(extracted); err != nil {
		t.Fatal(err)
	}
	for _, name := range exportNames() {
		if !bytes.Equal(read(t, generated, name), read(t, extracted, name)) {
			t.Errorf("%s differs; run go test ./examples -update if that is meant", name)
		}
	}
}

func TestAnExportHasTheSizeAskedFor(t *testing.T) {
	t.Parallel()
	for _, contacts := range []int{1, 7, 60, 1000, 2500} {
		dir := t.TempDir()
		if err := examples.Generate(dir, contacts, 7); err != nil {
			t.Fatal(err)
		}
		rows := table(t, dir, "contacts.csv")
		companies := table(t, dir, "companies.csv")
		if len(rows) != contacts || len(companies) != contacts*12/100 {
			t.Errorf("%d contacts in %d companies", len(rows), len(companies))
		}
		known := map[string]bool{"": true}
		for _, c := range companies {
			known[c["id"]] = true
		}
		ids := map[string]bool{}
		for _, r := range rows {
			if !known[r["company_id"]] {
				t.Errorf("contact %s is of company %s, which is not there", r["id"], r["company_id"])
			}
			if ids[r["id"]] {
				t.Errorf("the id %s comes twice", r["id"])
			}
			ids[r["id"]] = true
		}
		for _, m := range table(t, dir, "mailings.csv") {
			if !ids[m["contact_id"]] {
				t.Errorf("a mailing to contact %s, who is not there", m["contact_id"])
			}
		}
	}
	if err := examples.Generate(t.TempDir(), 0, 1); err == nil || !strings.Contains(err.Error(), "1 or more") {
		t.Errorf("an export of nobody: %v", err)
	}
}

func TestTheSameSeedGivesTheSameExport(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for i, seed := range []uint64{5, 5, 6} {
		if err := examples.Generate(dirs[i], 300, seed); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, dirs[0], "contacts.csv"), read(t, dirs[1], "contacts.csv")) {
		t.Error("one seed gave two exports")
	}
	if bytes.Equal(read(t, dirs[0], "contacts.csv"), read(t, dirs[2], "contacts.csv")) {
		t.Error("two seeds gave one export")
	}
}

// Only the twins made on purpose share an address, in any size: 8 groups with
// 9 second and third rows in each 1,000 contacts.
func TestNobodySharesAnAddressByAccident(t *testing.T) {
	t.Parallel()
	const thousands = 20
	dir := t.TempDir()
	if err := examples.Generate(dir, thousands*1000, examples.Seed); err != nil {
		t.Fatal(err)
	}
	seen, again := map[string]bool{}, 0
	for _, r := range table(t, dir, "contacts.csv") {
		address := strings.ToLower(r["email"])
		if strings.Count(address, "@") != 1 || strings.HasPrefix(address, "@") || strings.HasPrefix(address, "aaaa") {
			continue
		}
		if seen[address] {
			again++
		}
		seen[address] = true
	}
	if again != 9*thousands {
		t.Errorf("%d rows repeat an address, want %d", again, 9*thousands)
	}
	names := map[string]bool{}
	for i, c := range table(t, dir, "companies.csv") {
		if odd := i % 120; odd != 3 && odd != 31 && odd != 64 && names[c["name"]] {
			t.Errorf("the company name %s comes twice", c["name"])
		}
		names[c["name"]] = true
	}
}

func TestEveryAddressIsInAReservedDomain(t *testing.T) {
	t.Parallel()
	for _, r := range committed(t, "contacts.csv") {
		email := strings.ToLower(strings.TrimSuffix(r["email"], "."))
		_, domain, _ := strings.Cut(email, "@")
		reserved := domain == "" || strings.HasSuffix(email, ".example") || strings.HasSuffix(email, "example.org") ||
			strings.HasSuffix(email, "example.net") || strings.HasSuffix(email, "example.com")
		if !reserved {
			t.Errorf("%s is not in a reserved domain", r["email"])
		}
	}
}

func TestTheCommittedExportHoldsEveryAwkwardCase(t *testing.T) {
	t.Parallel()
	companyNo := map[string]bool{}
	companyNames := ""
	for _, c := range committed(t, "companies.csv") {
		companyNo[c["id"]] = c["no_mailings"] == "1"
		companyNames += c["name"] + "\n"
	}
	rows, unreal := map[string]int{}, map[string]int{}
	for _, m := range committed(t, "mailings.csv") {
		rows[m["contact_id"]]++
		switch m["status"] {
		case "test", "draft", "duplicate", "blocked":
			unreal[m["contact_id"]]++
		case "sent", "opened", "clicked", "bounced":
		default:
			t.Errorf("unknown status %q", m["status"])
		}
	}
	mapped := map[string]bool{}
	for _, i := range committed(t, "interests.csv") {
		mapped[i["interest"]] = true
	}
	found := map[string]int{}
	byAddress := map[string]map[string]string{}
	for _, c := range committed(t, "contacts.csv") {
		id, email := c["id"], c["email"]
		note := func(what string, is bool) {
			if is {
				found[what]++
			}
		}
		mailed := rows[id] > unreal[id]
		local, domain, _ := strings.Cut(email, "@")
		note("never mailed", rows[id] == 0)
		note("only rows that are not real", rows[id] > 0 && !mailed)
		note("no mailings", c["no_mailings"] == "1" && !mailed)
		note("no mailings and really mailed", c["no_mailings"] == "1" && mailed)
		note("company no mailings", companyNo[c["company_id"]] && c["no_mailings"] == "0")
		note("no company", c["company_id"] == "")
		note("left", c["left"] == "1")
		note("no address", email == "")
		note("no @", email != "" && !strings.Contains(email, "@"))
		note("two @", strings.Contains(email, "@@"))
		note("blank inside", strings.Contains(local, " "))
		note("trailing dot", strings.HasSuffix(email, "."))
		note("no domain", strings.HasSuffix(email, "@"))
		note("no local part", strings.HasPrefix(email, "@"))
		note("long local part", len(local) == 200)
		note("domain with ø", strings.Contains(domain, "ø"))
		note("plus", strings.Contains(local, "+"))
		note("Danish letters", strings.ContainsAny(c["first_name"]+c["last_name"], "æøåÆØÅ"))
		note("comma", strings.Contains(c["last_name"], ","))
		note("quote", strings.Contains(c["first_name"], `"`))
		note("markup", strings.Contains(c["first_name"], "<b>"))
		note("no first name", c["first_name"] == "")
		note("language blank", c["language"] == "")
		note("language xx", c["language"] == "xx")
		note("unmapped interest", strings.Contains(c["interests"], "Golf") && !mapped["Golf"])
		note("several interests", strings.Contains(c["interests"], ";"))
		for _, language := range strings.Fields("da en nb sv de nl fr fi pl") {
			note("language "+language, c["language"] == language)
		}
		if twin, ok := byAddress[strings.ToLower(email)]; ok && strings.Contains(domain, ".") {
			note("twin in another case", twin["email"] != email)
			note("one twin has no mailings", twin["no_mailings"] != c["no_mailings"])
			note("twins in two companies", twin["company_id"] != c["company_id"])
			note("one twin's company has no mailings", companyNo[twin["company_id"]] != companyNo[c["company_id"]])
			note("one twin left", twin["left"] != c["left"])
		}
		byAddress[strings.ToLower(email)] = c
	}
	for _, what := range []string{
		"never mailed", "only rows that are not real", "no mailings", "no mailings and really mailed", "company no mailings",
		"no company", "left", "no address", "no @", "two @", "blank inside", "trailing dot", "no domain", "no local part",
		"long local part", "domain with ø", "plus", "Danish letters", "comma", "quote", "markup", "no first name",
		"language blank", "language xx", "unmapped interest", "several interests", "twin in another case",
		"one twin has no mailings", "twins in two companies", "one twin's company has no mailings", "one twin left",
		"language da", "language en", "language nb", "language sv", "language de", "language nl", "language fr", "language fi", "language pl",
	} {
		if found[what] == 0 {
			t.Errorf("no contact is an example of: %s", what)
		}
	}
	if found["language da"] < 600 {
		t.Errorf("only %d read Danish", found["language da"])
	}
	t.Log(found)
	if !strings.Contains(companyNames, `Hansen, Jensen & "Sønner" ApS`) {
		t.Error("no company has commas and quotes in its name")
	}
	raw := t.TempDir()
	if err := examples.Extract(raw); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(read(t, raw, "contacts.csv"), []byte("\ufeff")) || !bytes.Contains(read(t, raw, "companies.csv"), []byte("\r\n")) {
		t.Error("contacts.csv has no BOM, or companies.csv no CRLF")
	}
}

func TestASampleCampaignHasAllThatASenderOwes(t *testing.T) {
	t.Parallel()
	if got := strings.Join(examples.Campaigns(), " "); got != "letter newsletter renewal service-notice" {
		t.Fatalf("campaigns: %s", got)
	}
	for _, name := range examples.Campaigns() {
		folder, err := examples.Campaign(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := fs.ReadFile(folder, "campaign.json")
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Name             string            `json:"name"`
			Class            string            `json:"class"`
			SubscriptionType string            `json:"subscription_type"`
			FromName         string            `json:"from_name"`
			FromAddress      string            `json:"from_address"`
			PostalAddress    string            `json:"postal_address"`
			DefaultLanguage  string            `json:"default_language"`
			Audience         map[string]string `json:"audience"`
			Variants         map[string]struct {
				Subject   string `json:"subject"`
				HTML      string `json:"html"`
				Markdown  string `json:"markdown"`
				Text      string `json:"text"`
				Preheader string `json:"preheader"`
			} `json:"variants"`
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			t.Fatal(err)
		}
		if c.Name == "" || c.FromName == "" || c.FromAddress != "news@jatak.example" || c.PostalAddress == "" || len(c.Variants) != 2 {
			t.Errorf("%s: %+v", name, c)
		}
		if _, ok := c.Variants[c.DefaultLanguage]; !ok {
			t.Errorf("%s: no variant in the default language %q", name, c.DefaultLanguage)
		}
		for language, v := range c.Variants {
			parts, address := []string{v.HTML, v.Text}, c.PostalAddress
			if v.Markdown != "" {
				parts, address = []string{v.Markdown}, "" // its layout brings the address
			}
			for _, part := range parts {
				text, err := fs.ReadFile(folder, part)
				if err != nil {
					t.Fatal(err)
				}
				links := bytes.Count(text, []byte("[[link.subscription]]")) + bytes.Count(text, []byte("{{ manage_url }}"))
				if v.Subject == "" || links != 1 || !bytes.Contains(text, []byte(address)) ||
					!bytes.Contains(text, []byte("{{ contact.first_name | default: ")) {
					t.Errorf("%s in %s: %s lacks a subject, the link, the postal address or a merge field", name, language, part)
				}
			}
		}
	}
	if _, err := examples.Campaign("../legacy-crm"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "letter, newsletter, renewal, service-notice") {
		t.Errorf("an unknown campaign: %v", err)
	}
}

func committed(t *testing.T, name string) []map[string]string {
	t.Helper()
	return table(t, "legacy-crm", name)
}

func table(t *testing.T, dir, name string) []map[string]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(read(t, dir, name), []byte("\ufeff"))))
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		row := make(map[string]string)
		for i, column := range header {
			row[column] = fields[i]
		}
		rows = append(rows, row)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		if err := examples.Generate(b.TempDir(), 100_000, 1); err != nil {
			b.Fatal(err)
		}
	}
}
