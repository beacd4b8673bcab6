package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// The operator's page argues with the names of functions and tests, and explains what
// reports say. What it names must be there, and what reports say must be on it.
func TestGCPageAndCodeGoTogether(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	page := readText(t, filepath.Join(root, "docs", "operations", "gc.md"))
	named := regexp.MustCompile("`([a-z_/]+\\.go)`\\s+`(\\w+)`").FindAllStringSubmatch(page, -1)
	if len(named) < 10 {
		t.Errorf("%d functions are named", len(named))
	}
	for _, m := range named {
		text := readText(t, filepath.Join(root, filepath.FromSlash(m[1])))
		if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + m[2] + `\(`).MatchString(text) {
			t.Errorf("%s has no function %s", m[1], m[2])
		}
	}
	tests := testNames(t, root)
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(page, -1) {
		if !tests[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	bugs := readText(t, filepath.Join(root, "gc", "model", "bug.go"))
	for _, m := range regexp.MustCompile("[Bb]ugs?\\s((?:`\\w+`(?:,\\s)?)+)").FindAllStringSubmatch(page, -1) {
		for name := range strings.FieldsFuncSeq(m[1], func(r rune) bool { return strings.ContainsRune("`, \n", r) }) {
			if !regexp.MustCompile(`(?m)^\t` + name + `\b`).MatchString(bugs) {
				t.Errorf("there is no bug %s", name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`"(lashstore_gc_\w+)"`).FindAllStringSubmatch(readText(t, filepath.Join(root, "gc", "metrics.go")), -1) {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("metric %s is not explained", m[1])
		}
	}
	words := []string{
		string(lashstore.CollectSwept), string(lashstore.CollectIncomplete), string(lashstore.CollectNothing),
		string(lashstore.CollectRefused), string(lashstore.CollectFailed),
	}
	for _, kind := range []lashstore.FindingKind{
		lashstore.FindingMissingEdge, lashstore.FindingMissingRow, lashstore.FindingOtherObject, lashstore.FindingLostSession,
		lashstore.FindingFoundSession, lashstore.FindingUnreadable, lashstore.FindingMissing, lashstore.FindingWrongSize,
		lashstore.FindingUnknown,
	} {
		words = append(words, string(kind))
	}
	for _, word := range words {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("%s is not explained", word)
		}
	}
}

// testNames are the names of all tests below a folder.
func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root:
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range declared.FindAllStringSubmatch(readText(t, path), -1) {
				names[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What the page tells operators to type is understood.
func TestGCPageCommands(t *testing.T) {
	t.Parallel()
	page := readText(t, filepath.Join("..", "..", "docs", "operations", "gc.md"))
	lines := regexp.MustCompile("(?m)`lashstore (gc [^`]*)`|lashstore (gc .*?)(?: >>.*)?$").FindAllStringSubmatch(page, -1)
	if len(lines) < 8 {
		t.Errorf("%d commands", len(lines))
	}
	for _, m := range lines {
		text := m[1] + m[2]
		a := &app{environment: environment{lookupEnv: func(string) (string, bool) { return "", false }}}
		cmd, rest, err := a.rootCommand().Find(strings.Fields(text))
		if err != nil || !cmd.Runnable() {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
