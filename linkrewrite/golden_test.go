package linkrewrite

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the rewrite changes into testdata")

var anyHref = regexp.MustCompile(`(?i)href\s*=\s*["']?(https?://[^"'\s>]+)`)

// Newsletters in the dialects of many tools: a .diff beside each shows the
// lines that the rewrite changes, and every finding.
func TestNewsletters(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/newsletters/*.html")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d newsletters, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			before := string(raw)
			name := strings.TrimSuffix(filepath.Base(file), ".html")
			o := Options{Language: name[strings.LastIndexByte(name, '-')+1:]}
			after, findings := HTML(before, o)

			if again, more := HTML(after, o); again != after || countStandard(more) > 0 {
				t.Errorf("a second rewrite changes something: %v\n%s", more, cmp.Diff(after, again))
			}
			// Links to anywhere else are as they were.
			for _, m := range anyHref.FindAllStringSubmatch(before, -1) {
				if !strings.Contains(m[1], "unsubscribe_from_list") && strings.Count(after, m[1]) < strings.Count(before, m[1]) && !strings.Contains(m[1], "|*") {
					t.Errorf("the link to %s is gone", m[1])
				}
			}
			got := changed(before, after)
			for _, f := range findings {
				got += fmt.Sprintf("%s %d:%d %s %q\n", f.Kind, f.Line, f.Column, f.Tool, f.Words)
			}
			golden := strings.TrimSuffix(file, ".html") + ".diff"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; go test ./linkrewrite -update writes it", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func countStandard(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Kind == Standard {
			n++
		}
	}
	return n
}

// changed shows the lines that differ. Rewriting keeps the lines of a document.
func changed(before, after string) string {
	var b strings.Builder
	a, z := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	for len(a) > 0 && len(z) > 0 && a[0] == z[0] {
		a, z = a[1:], z[1:]
	}
	for len(a) > 0 && len(z) > 0 && a[len(a)-1] == z[len(z)-1] {
		a, z = a[:len(a)-1], z[:len(z)-1]
	}
	if len(a) != len(z) {
		return fmt.Sprintf("- %s\n+ %s\n", strings.Join(a, "- "), strings.Join(z, "+ "))
	}
	for i := range a {
		if a[i] != z[i] {
			fmt.Fprintf(&b, "-%s+%s", a[i], z[i])
		}
	}
	return b.String()
}
