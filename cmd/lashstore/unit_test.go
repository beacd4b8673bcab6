package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/transcript"
)

// Scripts branch on exit codes and codes; none may change by accident.
func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		code string
		exit int
	}{
		{errors.New("x"), "internal", exitFailure},
		{usagef("x"), "usage", exitUsage},
		{lashstore.Invalid("f", "v", "is bad"), "invalid", exitUsage},
		{&lashstore.LimitError{}, "limit_exceeded", exitUsage},
		{&transcript.InputError{}, "invalid", exitUsage},
		{&transcript.InputError{Err: &lashstore.LimitError{}}, "limit_exceeded", exitUsage},
		{fmt.Errorf("x: %w", lashstore.ErrSessionNotFound), "session_not_found", exitNotFound},
		{lashstore.ErrSessionDeleted, "session_deleted", exitNotFound},
		{lashstore.ErrBlobNotFound, "blob_not_found", exitNotFound},
		{&lashstore.RevisionNotFoundError{}, "revision_not_found", exitNotFound},
		{&lashstore.LeaseHeldError{}, "lease_held", exitConflict},
		{&lashstore.HeadMovedError{}, "head_moved", exitConflict},
		{transcript.ErrNotEmpty, "session_not_empty", exitConflict},
		{&lashstore.StorageError{Kind: lashstore.ErrBusy, Err: errors.New("x")}, "busy", exitConflict},
		{&lashstore.StorageError{Kind: lashstore.ErrCorruptDatabase, Err: errors.New("x")}, "corrupt_database", exitCorrupt},
		{&lashstore.CorruptBlobError{}, "corrupt_blob", exitCorrupt},
		{&lashstore.CorruptRecordError{Err: lashstore.ErrInvalid}, "corrupt_record", exitCorrupt},
		{lashstore.ErrReadOnly, "read_only", exitFailure},
		{&lashstore.WrongTierError{}, "wrong_tier", exitConflict},
		{fmt.Errorf("%w: x", errUnhealthy), "unhealthy", exitFailure},
		{&lashstore.CollectionRefusedError{Reason: "x", Err: lashstore.ErrCorruptDatabase}, "collection_refused", exitRefused},
		{fmt.Errorf("%w: x", errUncollected), "uncollected", exitUndone},
		{fmt.Errorf("%w: x", errMetricsAddress), "metrics_address", exitFailure},
		{&s3cas.Error{Kind: lashstore.ErrStorage}, "storage", exitFailure},
		{context.Canceled, "canceled", exitFailure},
	}
	for _, tt := range tests {
		if code, exit := classify(tt.err); code != tt.code || exit != tt.exit {
			t.Errorf("%v (%T): %s, exit %d; want %s, exit %d", tt.err, tt.err, code, exit, tt.code, tt.exit)
		}
	}
}

func TestKindsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, k := range kinds() {
		code, exit := classify(k.err)
		if seen[code] || exit == exitOK || code == lashstore.Code(errors.New("unknown")) {
			t.Errorf("%v: code %s, exit %d, given twice: %t", k.err, code, exit, seen[code])
		}
		seen[code] = true
	}
}

// Stored text must not drive the terminal of whoever lists it.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain é 😀":          "plain é 😀",
		"a\x1b[31mb\r\n\tc":  "a [31mb   c",
		"a\u202eb\u0085c":    "a b c",
		"bad \xff\xfe bytes": "bad \ufffd bytes",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := shorten(strings.Repeat("é ", 100)); len([]rune(got)) != maxCell || !strings.HasSuffix(got, "…") {
		t.Errorf("shorten: %q", got)
	}
}

func TestIsBinary(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"":                 false,
		"text\n\ttext\r\n": false,
		"cut off \xc3":     false,
		"\x00":             true,
		"\x1b[2J":          true,
		"\xff\xd8\xff":     true,
	} {
		if got := isBinary([]byte(in)); got != want {
			t.Errorf("isBinary(%q) = %t", in, got)
		}
	}
}

func TestImportID(t *testing.T) {
	t.Parallel()
	tests := []struct{ file, session, want string }{
		{"a/b/chat.jsonl", "", "chat"},
		{"run.2.traj", "", "run.2"},
		{"plain", "", "plain"},
		{"chat.jsonl", "mine", "mine"},
		{stdio, "mine", "mine"},
	}
	for _, tt := range tests {
		if got, err := importID(tt.file, tt.session); err != nil || string(got) != tt.want {
			t.Errorf("importID(%q, %q) = %q, %v", tt.file, tt.session, got, err)
		}
	}
	for _, file := range []string{stdio, ".jsonl", "a\x00b.traj", strings.Repeat("x", 300) + ".traj"} {
		if got, err := importID(file, ""); err == nil {
			t.Errorf("importID(%q) = %q", file, got)
		} else if _, exit := classify(err); exit != exitUsage {
			t.Errorf("importID(%q): exit %d", file, exit)
		}
	}
}

// The demonstration compares digests of what two processes computed.
func TestDemoStateIsRepeatable(t *testing.T) {
	t.Parallel()
	var a, b []byte
	for turn := 1; turn <= demoTurns; turn++ {
		before := a
		a, b = demoState(a, turn), demoState(b, turn)
		if !bytes.Equal(a, b) || len(a) != demoStateBytes+(turn-1)*demoGrowBytes {
			t.Fatalf("turn %d: %d and %d bytes, equal: %t", turn, len(a), len(b), bytes.Equal(a, b))
		}
		if turn > 1 && bytes.Equal(a[:len(before)], before) {
			t.Errorf("turn %d changed nothing", turn)
		}
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	c := choice{value: "a", allowed: []string{"a", "b", "c"}}
	err := c.Set("d")
	if err == nil || c.value != "a" {
		t.Fatalf("%v, value %s", err, c.value)
	}
	if diff := cmp.Diff("must be a, b or c", err.Error()); diff != "" {
		t.Error(diff)
	}
	if c.Set("b") != nil || c.String() != "b" {
		t.Errorf("value %s", c.value)
	}
}
