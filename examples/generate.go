package examples

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Seed is the seed of the committed export.
const Seed = 1

// Generate writes a legacy export of so many contacts to dir, which is made if
// it is not there, with 120 companies for each 1,000 contacts. The same numbers
// give the same bytes: 1,000 contacts with Seed are the committed files. Each
// 1,000 contacts hold every awkward case once. Memory does not grow with contacts.
func Generate(dir string, contacts int, seed uint64) error {
	if contacts < 1 {
		return fmt.Errorf("generate legacy export: %d contacts; ask for 1 or more", contacts)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("generate legacy export: %w", err)
	}
	g := &generator{
		seed:       seed,
		companies:  contacts * 12 / 100,
		nations:    nations(),
		oddities:   oddities(),
		interests:  interests(),
		prefixes:   prefixes(),
		businesses: businesses(),
	}
	g.named = make([]int, len(g.nations))
	for _, file := range []struct {
		names []string
		write func([]*csvFile)
	}{
		{[]string{"companies.csv"}, g.writeCompanies},
		{[]string{"interests.csv"}, g.writeInterests},
		{[]string{"contacts.csv", "mailings.csv"}, func(f []*csvFile) { g.writeContacts(f[0], f[1], contacts) }},
	} {
		if err := writeFiles(dir, file.names, file.write); err != nil {
			return fmt.Errorf("generate legacy export: %w", err)
		}
	}
	return nil
}

type generator struct {
	seed       uint64
	companies  int
	nations    []people
	named      []int // how many of each nation have their name
	oddities   map[int]oddity
	interests  []interest
	prefixes   []string
	businesses map[string]business // by country
}

type company struct {
	name, domain, country string
	noMailings            bool
}

type person struct {
	number           int // from 0
	id               string
	email            string
	first, last      string
	company          int // -1: none
	language         string
	noMailings, left bool
	interests        []string
	mailings         []mailing
}

type mailing struct {
	name, sentAt, status string
}

func (g *generator) writeCompanies(files []*csvFile) {
	f := files[0]
	f.eol = "\r\n" // as the legacy system's company list has it
	f.row("id", "name", "no_mailings")
	for i := range g.companies {
		c := g.company(i)
		f.row(companyID(i), c.name, flag(c.noMailings))
	}
}

func companyID(i int) string {
	if i < 0 {
		return ""
	}
	return strconv.Itoa(501 + i)
}

func (g *generator) company(i int) company {
	d := roll(g.seed, 1, i)
	country := []string{"da", "nb", "sv", "de", "en"}[weighted(d, 84, 4, 4, 5, 3)]
	trade, form := g.businesses[country].trades, g.businesses[country].form
	if country == "da" && d.below(4) == 0 {
		form = "A/S"
	}
	name := g.prefixes[i%len(g.prefixes)] + " " + trade[(i/len(g.prefixes)+7*i)%len(trade)]
	if again := i / (len(g.prefixes) * len(trade)); again > 0 {
		name += " " + strconv.Itoa(again+1)
	}
	c := company{
		name:       name + " " + form,
		domain:     strings.ReplaceAll(ascii(name), " ", "-") + ".example",
		country:    country,
		noMailings: i%20 == 7,
	}
	switch i % 120 {
	case 3:
		c.name = `Hansen, Jensen & "Sønner" ApS`
	case 31:
		c.name = ""
	case 64:
		c.name = `"Det Røde Hus"`
	}
	return c
}

type interest struct {
	name, subscriptionType string
}

// interests has one, Golf, which becomes no subscription type: it is not in
// interests.csv.
func interests() []interest {
	return []interest{
		{"Messer og arrangementer", "Invitations"},
		{"Webinarer", "Invitations"},
		{"Åbent hus", "Invitations"},
		{"Lagersalg", "Promotions"},
		{"Tilbud", "Promotions"},
		{"Kampagner, sæsonudsalg", "Promotions"},
		{"Driftsmeddelelser", "Urgent messages"},
		{"Golf", ""},
	}
}

func (g *generator) writeInterests(files []*csvFile) {
	f := files[0]
	f.row("interest", "subscription_type")
	for _, i := range g.interests {
		if i.subscriptionType != "" {
			f.row(i.name, i.subscriptionType)
		}
	}
}

func (g *generator) writeContacts(f, mailings *csvFile, contacts int) {
	f.raw("\ufeff")
	f.row("id", "email", "first_name", "last_name", "company_id", "language", "no_mailings", "left", "interests")
	mailings.row("contact_id", "mailing", "sent_at", "status")
	var before person
	for i := range contacts {
		p := g.person(i)
		if odd := g.oddities[i%1000]; odd != nil {
			odd(g, &p, before)
		}
		f.row(p.id, p.email, p.first, p.last, companyID(p.company), p.language,
			flag(p.noMailings), flag(p.left), strings.Join(p.interests, ";"))
		for _, m := range p.mailings {
			mailings.row(p.id, m.name, m.sentAt, m.status)
		}
		before = p
	}
}

func (g *generator) person(i int) person {
	d := roll(g.seed, 2, i)
	p := person{number: i, id: strconv.Itoa(10001 + i), company: -1}
	domain := []string{"post.example", "mail.example.org", "example.net", "example.com", "indbakke.example"}[d.below(5)]
	home := nation(d)
	if g.companies > 0 && d.below(100) < 88 {
		p.company = d.below(g.companies)
		c := g.company(p.company)
		domain = c.domain
		for n, people := range g.nations {
			if c.country != "da" && people.country == c.country && d.below(4) > 0 {
				home = n
			}
		}
	}
	var again int
	p.first, p.last, again = g.name(home)
	p.email = p.address(d, domain, again)
	p.language = language(d, g.nations[home].country)
	p.noMailings = d.below(100) < 5
	p.left = d.below(100) < 3
	for range d.below(4) {
		p.interests = append(p.interests, g.interests[d.below(len(g.interests))].name)
	}
	p.interests = distinct(p.interests)
	p.mailings = history(d)
	return p
}

// name gives the nation's people all pairs of names before any pair comes again.
func (g *generator) name(nation int) (first, last string, again int) {
	n := g.nations[nation]
	pairs := len(n.first) * len(n.last)
	// 1009 is prime and divides no number of pairs: every pair has its turn.
	at := (g.named[nation]%pairs*1009 + int(g.seed%uint64(pairs))) % pairs
	again = g.named[nation] / pairs
	g.named[nation]++
	return n.first[at%len(n.first)], n.last[at/len(n.first)], again
}

func (p person) address(d *dice, domain string, again int) string {
	local := ascii(p.first) + []string{".", ".", ".", "_", "-"}[d.below(5)] + ascii(p.last)
	if again > 0 {
		local += strconv.Itoa(again + 1)
	}
	if d.below(40) == 0 {
		return strings.ToUpper(local[:1]) + local[1:] + "@" + strings.ToUpper(domain[:1]) + domain[1:]
	}
	return local + "@" + domain
}

func language(d *dice, country string) string {
	switch at := d.below(100); {
	case at < 3:
		return "" // the tenant's default
	case country == "da" && at < 6:
		return "en"
	case country != "da" && at < 35:
		return "en"
	case country != "da" && at < 45:
		return "da"
	}
	return country
}

// history is what the legacy system says it mailed: to a fifth nothing, to a
// few only tests, drafts and the like, to the others several real mails.
func history(d *dice) []mailing {
	rows, real := 1+d.below(6), true
	switch at := d.below(100); {
	case at < 21:
		return nil
	case at < 25:
		rows, real = 1+d.below(2), false
	}
	history := make([]mailing, 0, rows)
	day := d.below(300)
	for range rows {
		status := []string{"sent", "opened", "clicked", "bounced", "test", "draft", "duplicate", "blocked"}[weighted(d, 46, 30, 12, 3, 2, 2, 2, 3)]
		if !real {
			status = []string{"test", "draft", "duplicate", "blocked"}[d.below(4)]
		}
		at := time.Date(2021, 1, 4, 8+d.below(8), d.below(60), d.below(60), 0, time.UTC).AddDate(0, 0, day)
		history = append(history, mailing{mailingName(d, at), moment(d, at), status})
		day += 1 + d.below(230)
	}
	return history
}

func mailingName(d *dice, at time.Time) string {
	year := at.Format(" 2006")
	switch d.below(12) {
	case 0:
		return "Invitation: åbent hus" + year
	case 1:
		return `Tilbud, "sidste chance"` + year
	}
	return at.Format("Nyhedsbrev 2006-01")
}

// moment is written as the legacy system mostly does it, or as it sometimes does.
func moment(d *dice, at time.Time) string {
	switch d.below(50) {
	case 0:
		return at.In(time.FixedZone("", 3600)).Format(time.RFC3339)
	case 1:
		return at.Format(time.DateOnly)
	}
	return at.Format(time.DateTime)
}

// dice are splitmix64: the same numbers on every machine, in every version of Go.
type dice struct{ state uint64 }

// roll gives dice of their own to each thing of each kind.
func roll(seed, kind uint64, number int) *dice {
	d := &dice{seed}
	d.state = d.next() + kind
	d.state = d.next() + uint64(number)
	return d
}

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *dice) below(n int) int { return int(d.next() % uint64(n)) }

// weighted returns an index of weights, each as often as its weight says.
func weighted(d *dice, weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	at := d.below(sum)
	for i, w := range weights {
		if at -= w; at < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// ascii spells a name as people do in addresses: Jørgen Ågård is joergen aagaard.
func ascii(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case c == ' ', c < utf8.RuneSelf && unicode.IsLetter(c), c < utf8.RuneSelf && unicode.IsDigit(c):
			b.WriteRune(c)
		default:
			b.WriteString(spelling(c))
		}
	}
	return b.String()
}

func spelling(c rune) string {
	switch c {
	case 'æ', 'ä':
		return "ae"
	case 'ø', 'ö':
		return "oe"
	case 'å':
		return "aa"
	case 'ü':
		return "ue"
	case 'ß':
		return "ss"
	case 'é', 'è', 'ê', 'ę':
		return "e"
	case 'á', 'ą':
		return "a"
	case 'î', 'ï':
		return "i"
	case 'ô', 'ó':
		return "o"
	case 'ç', 'ć':
		return "c"
	case 'ł':
		return "l"
	case 'ń':
		return "n"
	case 'ś':
		return "s"
	case 'ż', 'ź':
		return "z"
	}
	return "" // an apostrophe
}

func words(s string) []string { return strings.Fields(s) }

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func distinct(list []string) []string {
	var kept []string
next:
	for _, s := range list {
		for _, k := range kept {
			if s == k {
				continue next
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// csvFile writes one file of the export, quoting only where it must.
type csvFile struct {
	file *os.File
	w    *bufio.Writer
	eol  string
}

func writeFiles(dir string, names []string, write func([]*csvFile)) error {
	files := make([]*csvFile, 0, len(names))
	for _, name := range names {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer file.Close() // closed below when all went well
		files = append(files, &csvFile{file, bufio.NewWriterSize(file, 1<<20), "\n"})
	}
	write(files)
	for _, f := range files {
		// A bufio.Writer keeps its first error for Flush.
		if err := f.w.Flush(); err != nil {
			return err
		}
		if err := f.file.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (f *csvFile) raw(s string) { _, _ = f.w.WriteString(s) }

func (f *csvFile) row(fields ...string) {
	for i, field := range fields {
		if i > 0 {
			f.raw(",")
		}
		if strings.ContainsAny(field, ",\"\r\n") {
			field = `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
		}
		f.raw(field)
	}
	f.raw(f.eol)
}
