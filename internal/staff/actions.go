package staff

// What is done to a contact's data by looking at it. Lines of before the two were
// told apart are exports without a detail.
const (
	ContactView   = "contact view"
	ContactExport = "contact export"
)

// Actions lists all that the audit log tells of.
func Actions() []string {
	return []string{
		"campaign create", "campaign copy", "campaign save", "campaign restore", "campaign test", "campaign link", "campaign link keep", "campaign link ask", "campaign upgrade",
		"campaign schedule", "campaign unschedule", "campaign launch", "campaign override", "campaign pause", "campaign resume", "campaign cancel",
		"campaign resend", "campaign pace", "campaign priority", "campaign speed", "campaign export",
		"template create", "template copy", "template save", "template restore", "template test", "template link", "template link keep", "template link ask", "template upgrade", "template delete",
		ContactView, ContactExport, "contact erase", "contact complaint", "contact emarketing", "contact type", "contact import", "consent change", "consent rebuild", "preference set",
		"audience save", "audience delete", "import", "import check", "import cancel",
		"settings set", "wording set", "term create", "term rename", "term retire", "type create", "type rename", "type retire", "type move", "brand",
		"user invite", "user uninvite", "user enter", "user password", "user role", "user disable", "user enable", "user sessions",
		"account preferences", "account sessions", "relay test", "limit set", "limit remove", "upgrade try", "upgrade run", "upgrade links",
	}
}
