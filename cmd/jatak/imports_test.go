package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"os"
)

const module = "github.com/jatak-mail/jatak/"

// arrows says what each package may import of ours. The table is the one in
// ARCHITECTURE.md.
var arrows = map[string][]string{
	"gating":      {},
	"linkrewrite": {},
	"examples":    {},
	"templates":   {"gating", "internal/brand"},
	"worker":      {"gating", "linkrewrite", "templates", "internal/managelink", "internal/contact", "internal/campaign", "internal/queue", "internal/mailer", "internal/pace"},

	"internal/brand":                 {},
	"internal/managelink":            {},
	"internal/pace":                  {},
	"internal/settings":              {},
	"internal/mailer":                {},
	"internal/mailer/mailertest":     {},
	"internal/embedded":              {},
	"internal/logtest":               {},
	"internal/browsertest":           {},
	"internal/records":               {},
	"internal/legacycsv":             {"internal/contact", "internal/records"},
	"internal/contact":               {"gating"},
	"internal/campaign":              {"gating", "linkrewrite", "internal/contact"},
	"internal/contactlist":           {"internal/contact", "internal/records"},
	"internal/web":                   {"templates"},
	"internal/queue":                 {"internal/campaign"},
	"internal/queue/queuetest":       {"internal/queue", "internal/embedded"},
	"internal/postgres":              {"gating", "internal/brand", "internal/contact", "internal/campaign", "internal/staff"},
	"internal/postgres/postgrestest": {"internal/postgres", "internal/embedded"},
	"internal/staff":                 {},
	"internal/senderdomain":          {},
	"internal/console":               {"gating", "linkrewrite", "templates", "internal/brand", "internal/managelink", "internal/legacycsv", "internal/contact", "internal/campaign", "internal/contactlist", "internal/senderdomain", "internal/staff", "internal/web"},
	"internal/preferences":           {"gating", "templates", "internal/contact", "internal/managelink", "internal/pace", "internal/web"},
	"internal/upgrade":               {"gating", "linkrewrite", "internal/contact", "internal/campaign", "internal/legacycsv"},
	"cmd/jatak":                      nil, // all
}

// rooms says which foreign module may be imported where, for those that bring
// a way to the outside world.
var rooms = map[string][]string{
	"github.com/jackc/pgx":      {"internal/postgres", "internal/embedded"},
	"github.com/hibiken/asynq":  {"internal/queue", "worker"},
	"github.com/wneessen":       {"internal/mailer"},
	"github.com/emersion":       {"internal/embedded", "internal/mailer"},
	"net/http":                  {"internal/web", "internal/preferences", "internal/console", "internal/embedded", "cmd/jatak"},
	"net/smtp":                  {},
	"database/sql":              {"internal/postgres"},
	"github.com/alecthomas":     {"cmd/jatak"},
	"github.com/PuerkitoBio":    {"linkrewrite"},
	"github.com/pressly/goose":  {"internal/postgres"},
	"github.com/osteele":        {"internal/campaign"},
	"github.com/vanng822":       {"internal/campaign"},
	"github.com/redis/go-redis": {"internal/pace", "internal/queue", "worker", "cmd/jatak"},
}

// pure packages know no clock, no network and no files but their own.
var pure = []string{"gating", "linkrewrite", "internal/brand", "internal/campaign", "internal/contact", "internal/managelink"}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	seen := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		room := path.Dir(name)
		seen[room] = true
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s is a new room: give it a line here and in ARCHITECTURE.md", room)
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imported := range file.Imports {
			target, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return err
			}
			checkImport(t, name, room, target, allowed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range arrows {
		if !seen[room] {
			t.Errorf("there is no room %s any more: take its line away", room)
		}
	}
}

func checkImport(t *testing.T, file, room, target string, allowed []string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(target, module); ok {
		if room != "cmd/jatak" && !slices.Contains(allowed, ours) {
			t.Errorf("%s: %s may not import %s", file, room, ours)
		}
		return
	}
	for prefix, where := range rooms {
		if (target == prefix || strings.HasPrefix(target, prefix+"/")) && !slices.Contains(where, room) && !strings.HasSuffix(room, "test") {
			t.Errorf("%s: %s is not imported in %s", file, target, room)
		}
	}
	if slices.Contains(pure, room) && slices.Contains([]string{"os", "net", "context", "log", "log/slog", "os/exec"}, target) {
		t.Errorf("%s: %s is pure and imports %s", file, room, target)
	}
}

// The pure packages are told the time.
func TestPurePackagesHaveNoClock(t *testing.T) {
	t.Parallel()
	for _, room := range pure {
		files, err := fs.Glob(os.DirFS("../.."), room+"/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			source, err := os.ReadFile("../../" + name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name, "_test.go") && strings.Contains(string(source), "time.Now(") {
				t.Errorf("%s asks for the time", name)
			}
		}
	}
}
