package examples

import (
	"fmt"
	"strconv"
	"strings"
)

// oddity makes one contact awkward. before is the contact on the row above,
// for oddities that take two.
type oddity func(g *generator, p *person, before person)

// oddities says which of each 1,000 contacts, counted from 0, is odd, and how.
func oddities() map[int]oddity {
	at := make(map[int]oddity)
	row := 4
	// add spreads the oddities over the 1,000, keeping together those that
	// belong together.
	add := func(group ...oddity) {
		for i, odd := range group {
			at[row+i] = odd
		}
		row += 18
	}

	// Addresses that nobody can mail.
	add(email(func(p *person) string { return "" }))
	add(email(func(p *person) string { return strings.ReplaceAll(p.email, "@", ".") }))
	add(email(func(p *person) string { return strings.Replace(p.email, "@", "@@", 1) }))
	add(email(func(p *person) string { return p.local() + "@" + p.email }))
	add(email(func(p *person) string { return p.first + " " + ascii(p.last) + "@" + p.domain() }))
	add(email(func(p *person) string { return p.email + "." }))
	add(email(func(p *person) string { return p.local() + "@" }))
	add(email(func(p *person) string { return "@" + p.domain() }))
	add(email(func(p *person) string { return p.local() + "@firma..example" }))
	add(email(func(p *person) string { return strings.Repeat("a", 200) + "@" + p.domain() }))
	add(email(func(p *person) string { return p.email + "; " + p.local() + "@example.org" }))
	add(email(func(p *person) string { return "ingen mail" }))

	// Addresses that can be mailed, unusual as they are.
	add(email(func(p *person) string { return p.local() + "@rødgrød.example" }))
	add(email(func(p *person) string { return p.local() + "+nyhedsbrev@" + p.domain() }))
	add(email(func(p *person) string { return strings.ToUpper(p.email) }))
	add(email(func(p *person) string { return "o'" + p.local() + "@" + p.domain() }))
	add(email(func(p *person) string {
		return p.local() + "@post.afdeling-for-reception-og-omstilling." + p.domain()
	}))

	// Names that must be quoted, escaped, or done without.
	add(named("Hans \"Bassen\"", "Holm"))
	add(named("Bente", "Friis, cand.merc."))
	add(named("<b>Bo</b>", "& Sønner <script>alert(1)</script>"))
	add(named("{{ contact.email }}", "Krølle"))
	add(named("", ""))
	add(named("", "Ærøskøbing"))
	add(named("Ib", ""))
	add(named("Sofie 🌻", "Søe"))
	add(named("=1+1", "Regneark"))

	// Languages.
	add(reads(""))
	add(reads("xx"))
	add(reads("DA"))
	add(reads("da-DK"))
	add(reads("is"))

	// What was said, and what was mailed.
	add(mailed("sent", "opened").but(func(p *person) { p.noMailings = true }))
	add(mailed().but(func(p *person) { p.noMailings = true }))
	add(mailed("sent", "clicked").but(func(p *person) { p.left = true }))
	add(mailed("sent").but(func(p *person) { p.left, p.noMailings = true, true }))
	add(mailed())
	add(mailed("test", "draft", "duplicate", "blocked"))
	add(mailed("test"))
	add(mailed("blocked", "blocked", "blocked"))
	add(mailed("bounced"))
	add(mailed("bounced", "bounced", "bounced", "bounced", "bounced", "bounced"))
	add(mailed("test", "sent"))
	add(mailed("opened").but(func(p *person) { p.company = 7 })) // its company wants no mailings
	add(mailed().but(func(p *person) { p.company = 7 }))

	// The same address twice, in different case.
	twin := func(but func(p *person)) oddity {
		return func(g *generator, p *person, before person) {
			p.email = strings.ToUpper(before.email[:1]) + before.email[1:]
			if p.email == before.email {
				p.email = strings.ToUpper(before.email)
			}
			p.first, p.last, p.company, p.language = before.first, before.last, before.company, before.language
			p.noMailings, p.left = false, false
			but(p)
			p.fit(g)
		}
	}
	same := func(*person) {}
	add(mailed("sent"), twin(same))
	add(mailed("sent"), twin(func(p *person) { p.noMailings = true }))
	add(mailed("opened").but(func(p *person) { p.noMailings = true }), twin(same))
	add(mailed("sent").but(func(p *person) { p.company = 1 }), twin(func(p *person) { p.company = 2 }))
	add(mailed("sent").but(func(p *person) { p.company = 1 }), twin(func(p *person) { p.company = 7 }))
	add(mailed("sent"), twin(func(p *person) { p.left = true }))
	add(mailed("sent"), twin(same), twin(same))
	add(mailed(), twin(func(p *person) { p.mailings = nil }))

	// Ids that are not numbers.
	add(func(_ *generator, p *person, _ person) { p.id = "00" + p.id })
	add(func(_ *generator, p *person, _ person) { p.id = "A-17/" + strconv.Itoa(p.number) })
	return at
}

func (p *person) local() string {
	local, _, _ := strings.Cut(p.email, "@")
	return local
}

func (p *person) domain() string {
	_, domain, _ := strings.Cut(p.email, "@")
	return domain
}

// fit takes a contact out of a company that so small an export does not have.
func (p *person) fit(g *generator) {
	if p.company >= g.companies {
		p.company = -1
	}
}

func email(change func(p *person) string) oddity {
	return plain(func(p *person) { p.email = change(p) })
}

func named(first, last string) oddity {
	return plain(func(p *person) { p.first, p.last = first, last })
}

func reads(language string) oddity {
	return plain(func(p *person) { p.language = language })
}

// mailed replaces what the legacy system says it mailed: one row a month.
func mailed(statuses ...string) oddity {
	return plain(func(p *person) {
		p.mailings = nil
		for i, status := range statuses {
			month := fmt.Sprintf("2023-%02d", i+1)
			p.mailings = append(p.mailings, mailing{"Nyhedsbrev " + month, month + "-15 09:00:00", status})
		}
	})
}

// plain makes a contact awkward in one way alone: neither it nor its company
// has said no, and it has not left.
func plain(change func(p *person)) oddity {
	return func(g *generator, p *person, _ person) {
		p.noMailings, p.left = false, false
		for p.company >= 0 && g.company(p.company).noMailings {
			p.company--
		}
		change(p)
	}
}

// but adds to an oddity.
func (odd oddity) but(change func(p *person)) oddity {
	return func(g *generator, p *person, before person) {
		odd(g, p, before)
		change(p)
		p.fit(g)
	}
}
