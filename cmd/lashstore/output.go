package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// print writes a result: as a JSON document, or by table for people.
func (a *app) print(doc any, table func(w *tableWriter)) error {
	if a.flags.output.value == outputJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	w := newTableWriter(a.stdout)
	table(w)
	return w.flush()
}

// tableWriter aligns cells and keeps the first error.
type tableWriter struct {
	w   *tabwriter.Writer
	err error
}

func newTableWriter(w io.Writer) *tableWriter {
	const gap = 2
	return &tableWriter{w: tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)}
}

// row writes one line. Cells come from stored data, so nothing in them may move
// the terminal's cursor.
func (t *tableWriter) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = printable(fmt.Sprint(c))
	}
	t.line(strings.TrimRight(strings.Join(texts, "\t"), "\t"))
}

// line writes text as it is; a tab ends a cell.
func (t *tableWriter) line(s string) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, s)
	}
}

func (t *tableWriter) flush() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}

// printable replaces what does not print: control characters, which could drive
// a terminal, and what changes the direction of text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// maxCell is how much of a long text a table shows, in characters.
const maxCell = 60

// shorten cuts a text to one line of a table.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= maxCell {
		return s
	}
	return string([]rune(s)[:maxCell-1]) + "…"
}

func size(n int64) string {
	return humanize.IBytes(uint64(max(n, 0)))
}

// percent is a part of a whole, cut to whole percent.
func percent(part, whole int64) string {
	const hundred = 100
	return fmt.Sprintf("%d %%", int64(float64(part)*hundred/float64(max(whole, 1))))
}

func count[N ~int | ~int64 | ~uint64](n N) string {
	if uint64(n) > math.MaxInt64 {
		return fmt.Sprint(n)
	}
	return humanize.Comma(int64(n))
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// dash stands for a value that is not there.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}
