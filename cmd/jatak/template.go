package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/linkrewrite"
)

type templateCommand struct {
	List    templateListCommand    `cmd:"" help:"The mails that come with Jatak."`
	New     templateNewCommand     `cmd:"" help:"Write one of them to a folder, to make your own of."`
	Preview templatePreviewCommand `cmd:"" help:"Print a mail as somebody would get it, with links that lead nowhere."`
	Lint    templateLintCommand    `cmd:"" help:"Check the HTML, Markdown and text files of mails: links, tags of other tools, merge fields, sizes."`
}

type templateListCommand struct{}

// Run lists the names, with what each is.
func (templateListCommand) Run(c *console) error {
	for _, name := range examples.Campaigns() {
		folder, err := examples.Campaign(name)
		if err != nil {
			return err
		}
		content, err := campaign.Load(folder)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%-16s %s mail in %s: %s\n", name, content.Class, strings.Join(content.Languages(), ", "), content.Variants[content.DefaultLanguage].Subject)
		if err != nil {
			return err
		}
	}
	return nil
}

type templateNewCommand struct {
	Name   string `arg:"" help:"As jatak template list names it, for example letter."`
	Folder string `arg:"" help:"A folder that is not there yet."`
}

// Run writes the files.
func (t *templateNewCommand) Run(c *console) error {
	folder, err := examples.Campaign(t.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.Folder), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(t.Folder, 0o755); err != nil {
		return err // also when it is there: nothing of the author's is replaced
	}
	if err := os.CopyFS(t.Folder, folder); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "Change the words, the sender and the address, then: jatak template lint %[1]s && jatak campaign create %[1]s\n", t.Folder)
	return err
}

type templatePreviewCommand struct {
	Folder    string `arg:"" help:"A campaign folder."`
	Language  string `help:"The language (default: the campaign's)." placeholder:"LANG"`
	FirstName string `help:"The reader's first name." default:"Anna"`
	LastName  string `help:"The last name." default:"Holm"`
	Company   string `help:"The company." default:"Nordlys ApS"`
	Text      bool   `help:"The text part in place of the HTML."`
}

// Run prints one copy.
func (t *templatePreviewCommand) Run(c *console) error {
	content, err := campaign.Load(os.DirFS(t.Folder))
	if err != nil {
		return err
	}
	compiled, err := campaign.Compile(content)
	if err != nil {
		return err
	}
	v := compiled.For(strings.ToLower(t.Language))
	part := v.HTML
	if t.Text {
		part = v.Text
	}
	values := v.Values(nil, campaign.Recipient{FirstName: t.FirstName, LastName: t.LastName, Email: "anna@example.org", Company: t.Company,
		ManageURL: "https://jatak.example/m/preview"})
	for _, s := range part {
		text := s.Static
		if s.Slot >= 0 {
			text = values[s.Slot]
		}
		if _, err := io.WriteString(c.out, text); err != nil {
			return err
		}
	}
	return nil
}

type templateLintCommand struct {
	Files      []string `arg:"" help:"Files ending in .html, .htm, .md or .txt, or campaign folders."`
	Fix        bool     `help:"Apply the proposals: the unsubscribe links, your own too, become Manage subscriptions, and merge fields that are misspelt or another tool's become Jatak's."`
	Format     string   `help:"How the findings are printed: ${enum}." enum:"text,json,sarif" default:"text"`
	Postal     string   `help:"The sender's postal address, which must stand in every mail; {{ sender.address }} does as well." placeholder:"TEXT"`
	Language   string   `help:"The language of the words that --fix writes (default: of the file's name, such as da.html)." placeholder:"LANG"`
	LegacyURLs []string `help:"Addresses of another system's unsubscribe pages." name:"legacy-url" placeholder:"URL"`
}

// lintFinding is a line of the report.
type lintFinding struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Level    string `json:"level"` // error: keeps a campaign from being launched; warning; note
	Code     string `json:"code"`
	Message  string `json:"message"`
	Proposal string `json:"proposal,omitempty"`
}

func (f lintFinding) String() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	text := fmt.Sprintf("%s: %s: %s (%s)", place, f.Level, f.Message, f.Code)
	if f.Proposal != "" {
		text += "\n\twrite " + f.Proposal
	}
	return text
}

var errLint = errors.New("there are errors; a campaign with them is not launched")

// Run checks the files and returns an error when any has one.
func (l *templateLintCommand) Run(_ context.Context, c *console) error {
	findings := []lintFinding{}
	for _, name := range l.Files {
		files, err := templateFiles(name)
		if err != nil {
			return err
		}
		for _, file := range files {
			found, err := l.lint(file)
			if err != nil {
				return err
			}
			findings = append(findings, found...)
		}
	}
	failed := false
	for _, f := range findings {
		failed = failed || f.Level == "error"
	}
	var err error
	switch l.Format {
	case "json":
		err = writeJSON(c.out, findings)
	case "sarif":
		err = writeJSON(c.out, sarif(findings))
	default:
		for _, f := range findings {
			_, _ = fmt.Fprintln(c.out, f)
		}
	}
	if err == nil && failed {
		err = errLint
	}
	return err
}

// templateFiles returns the files that a name stands for.
func templateFiles(name string) (files []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !isHTML(name) && !isMarkdown(name) && filepath.Ext(name) != ".txt" {
			return nil, fmt.Errorf("%s ends in none of .html, .md and .txt", name)
		}
		return []string{name}, nil
	}
	for _, pattern := range []string{"*.html", "*.htm", "*.md", "*.txt"} {
		found, err := filepath.Glob(filepath.Join(name, pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no .html, .md or .txt file", name)
	}
	return files, nil
}

func isHTML(name string) bool { return filepath.Ext(name) == ".html" || filepath.Ext(name) == ".htm" }

func isMarkdown(name string) bool { return filepath.Ext(name) == ".md" }

// mostTemplate is the largest file that is read, in bytes.
const mostTemplate = 2 << 20

func (l *templateLintCommand) lint(name string) ([]lintFinding, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(raw) > mostTemplate || !utf8.Valid(raw) {
		return nil, fmt.Errorf("%s is larger than %d MB or not UTF-8", name, mostTemplate>>20)
	}
	source := string(raw)
	o := linkrewrite.Options{Language: l.Language, LegacyURLs: l.LegacyURLs, Custom: l.Fix}
	if o.Language == "" {
		o.Language = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	rewrite, lint := linkrewrite.Text, linkrewrite.LintText
	if isHTML(name) {
		rewrite, lint = linkrewrite.HTML, linkrewrite.LintHTML
	}
	rewritten, links := rewrite(source, o)
	var findings []lintFinding
	if l.Fix {
		var mends []linkrewrite.Problem
		rewritten, mends = campaign.MendFields(rewritten, isHTML(name))
		for _, p := range mends {
			findings = append(findings, lintFinding{name, p.Line, p.Column, "note", "fixed", "was " + p.Original + ", is " + p.Proposal, ""})
		}
	}
	if l.Fix && rewritten != source {
		if err := replaceFile(name, rewritten); err != nil {
			return nil, err
		}
		source = rewritten
	}
	for _, f := range links {
		switch {
		case l.Fix:
			findings = append(findings, lintFinding{name, f.Line, f.Column, "note", "fixed", "was " + f.Original, ""})
		case f.Kind == linkrewrite.Standard:
			findings = append(findings, lintFinding{name, f.Line, f.Column, "note", "standard_link", "becomes Manage subscriptions at launch: " + f.Original, f.Proposal})
		default:
			findings = append(findings, lintFinding{name, f.Line, f.Column, "warning", "custom_link",
				"an unsubscribe link of your own, which is left as it is: " + f.Original, f.Proposal})
		}
	}
	add := func(level string, problems []linkrewrite.Problem) {
		for _, p := range problems {
			findings = append(findings, lintFinding{name, p.Line, p.Column, level, p.Code, p.Mend, p.Proposal})
		}
	}
	problems := lint(campaign.WithoutLiquid(rewritten), linkrewrite.LintOptions{PostalAddress: l.Postal})
	if isMarkdown(name) {
		// The layout that Markdown gets has both.
		problems = slices.DeleteFunc(problems, func(p linkrewrite.Problem) bool {
			return p.Code == linkrewrite.CodeNoManageLink || p.Code == linkrewrite.CodeNoPostal
		})
	}
	add("error", problems)
	add("error", campaign.CheckFields(source))
	if isHTML(name) {
		add("warning", campaign.Advice(source))
	}
	return findings, nil
}

// replaceFile gives a file another text.
func replaceFile(name, text string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return writeFile(name, text, info.Mode().Perm())
}

// writeFile writes a file whole or not at all.
func writeFile(name, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".jatak-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// sarif is the report in the Static Analysis Results Interchange Format, OASIS
// SARIF 2.1.0, which code hosts show beside the lines.
func sarif(findings []lintFinding) any {
	type object = map[string]any
	results := []object{}
	for _, f := range findings {
		results = append(results, object{
			"ruleId": f.Code, "level": f.Level, "message": object{"text": f.Message},
			"locations": []object{{"physicalLocation": object{
				"artifactLocation": object{"uri": filepath.ToSlash(f.File)},
				"region":           object{"startLine": max(1, f.Line), "startColumn": max(1, f.Column)},
			}}},
		})
	}
	return object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{"tool": object{"driver": object{"name": "jatak", "informationUri": "https://github.com/jatak-mail/jatak"}}, "results": results}},
	}
}
