package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	inlineCode = regexp.MustCompile("`((?:jatak|make) [^`]+)`")
	markLink   = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)|src="([^"]+)"`)
	// What is wrong with a command that a sentence mentions by name only, or
	// whose folder is the reader's.
	mentioned  = regexp.MustCompile(`expected (one of|"<)|no such file or directory`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z-]+):`)
)

func documents(t *testing.T) map[string]string {
	t.Helper()
	names := []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md"}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("docs: %v, %v", docs, err)
	}
	texts := map[string]string{}
	for _, name := range append(names, docs...) {
		name = strings.TrimPrefix(name, "../../")
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// words splits a line as a shell does, as far as the documents need it, and
// leaves comments and redirections out.
func words(line string) (list []string) {
	var word strings.Builder
	var quote rune
	started, quoted := false, false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started, quoted = r, true, true
		case r == ' ' || r == '\n':
			if !started {
				continue
			}
			if w := word.String(); !quoted && (strings.HasPrefix(w, "#") || w == ">") {
				return list
			}
			list = append(list, word.String())
			word.Reset()
			started, quoted = false, false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	return list
}

// Every command that a document shows is one that the program takes.
func TestDocumentedCommands(t *testing.T) {
	for name, value := range map[string]string{
		"JATAK_DATABASE_URL": "postgres://u:p@db/jatak", "JATAK_REDIS_URL": "redis://redis", "JATAK_SMTP_URLS": "smtp://relay",
		"JATAK_PUBLIC_URL": "https://jatak.example", "JATAK_SECRET_KEYS": "k:4be1ab23c8f05d7796e34f1a0c52d8e7",
	} {
		t.Setenv(name, value)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range makeTarget.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	shown := 0
	for name, text := range documents(t) {
		var lines []string
		for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n")...)
		}
		for _, m := range inlineCode.FindAllStringSubmatch(text, -1) {
			if strings.ContainsAny(m[1], "<") || strings.ToUpper(m[1]) != m[1] && regexp.MustCompile(` [A-Z]{3,}`).MatchString(m[1]) {
				continue // with a place for something
			}
			lines = append(lines, m[1])
		}
		for _, line := range lines {
			w := words(strings.TrimPrefix(strings.TrimSpace(line), "bin/"))
			switch {
			case len(w) > 1 && w[0] == "make":
				shown++
				if !targets[w[1]] {
					t.Errorf("%s shows %q, and the Makefile has no %s", name, line, w[1])
				}
			case len(w) > 1 && w[0] == "jatak":
				shown++
				if len(w) == 2 && strings.HasPrefix(w[1], "-") {
					continue
				}
				helped := false
				parser, err := newParser(&cli{}, kong.Exit(func(int) { helped = true }), kong.Writers(io.Discard, io.Discard))
				if err != nil {
					t.Fatal(err)
				}
				_, err = parser.Parse(w[1:])
				if err != nil && !helped && !mentioned.MatchString(err.Error()) {
					t.Errorf("%s shows %q: %v", name, line, err)
				}
			}
		}
	}
	if shown < 30 {
		t.Errorf("only %d commands were found", shown)
	}
}

// Links within the documents lead somewhere.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	for name, text := range documents(t) {
		for _, m := range markLink.FindAllStringSubmatch(text, -1) {
			target := m[1] + m[2]
			if strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	}
}

// Every setting of a process is described.
func TestDocumentedSettings(t *testing.T) {
	t.Parallel()
	operating := documents(t)["docs/operating.md"]
	parser, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Leaves(false) {
		for _, flags := range node.AllFlags(false) {
			for _, f := range flags {
				for _, variable := range f.Envs {
					if !strings.Contains(operating, "`"+variable+"`") {
						t.Errorf("docs/operating.md does not describe %s", variable)
					}
				}
			}
		}
	}
}
