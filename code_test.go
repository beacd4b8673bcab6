package lashstore_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
)

// declaredSentinels parses errors.go: the names of all Err variables and their texts.
func declaredSentinels(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	sentinels := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Err") {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			t.Fatalf("%s is not made by errors.New", spec.Names[0].Name)
		}
		text, ok := call.Args[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s has no literal text", spec.Names[0].Name)
		}
		sentinels[spec.Names[0].Name] = strings.Trim(text.Value, `"`)
		return true
	})
	return sentinels
}

// An error without a name of its own would reach other languages and metrics as
// "internal"; a name that is used twice could not be mapped back.
func TestEverySentinelHasACode(t *testing.T) {
	t.Parallel()
	known := sentinels()
	codes := map[string]string{}
	for name, text := range declaredSentinels(t) {
		err, ok := known[name]
		if !ok {
			t.Errorf("%s is missing in the test's table", name)
			continue
		}
		if err.Error() != text {
			t.Errorf("%s says %q, declared %q", name, err, text)
		}
		code := lashstore.Code(err)
		if want := snake(strings.TrimPrefix(name, "Err")); code != want {
			t.Errorf("code of %s: %q, want %q", name, code, want)
		}
		if other, taken := codes[code]; taken {
			t.Errorf("%s and %s have the code %q", name, other, code)
		}
		codes[code] = name
		if got := lashstore.Code(fmt.Errorf("some operation: %w", err)); got != code {
			t.Errorf("code of a wrapped %s: %q, want %q", name, got, code)
		}
	}
	if len(known) != len(codes) {
		t.Errorf("%d sentinels in the test's table, %d declared", len(known), len(codes))
	}
}

// snake writes a Go name in snake case.
func snake(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))
}

func sentinels() map[string]error {
	return map[string]error{
		"ErrInvalid": lashstore.ErrInvalid, "ErrLimitExceeded": lashstore.ErrLimitExceeded,
		"ErrSessionNotFound": lashstore.ErrSessionNotFound, "ErrSessionDeleted": lashstore.ErrSessionDeleted,
		"ErrWrongSession": lashstore.ErrWrongSession, "ErrWrongTier": lashstore.ErrWrongTier, "ErrHeadMoved": lashstore.ErrHeadMoved,
		"ErrTurnConflict": lashstore.ErrTurnConflict, "ErrFenced": lashstore.ErrFenced,
		"ErrLeaseHeld": lashstore.ErrLeaseHeld, "ErrClaimLost": lashstore.ErrClaimLost,
		"ErrGraphInvalid": lashstore.ErrGraphInvalid, "ErrNodeNotFound": lashstore.ErrNodeNotFound,
		"ErrRevisionNotFound": lashstore.ErrRevisionNotFound, "ErrUnknownReference": lashstore.ErrUnknownReference,
		"ErrSourceKeyConflict": lashstore.ErrSourceKeyConflict, "ErrBatchNotFound": lashstore.ErrBatchNotFound,
		"ErrBatchHeld": lashstore.ErrBatchHeld, "ErrAttachmentNotFound": lashstore.ErrAttachmentNotFound,
		"ErrArtifactNotFound": lashstore.ErrArtifactNotFound, "ErrBlobNotFound": lashstore.ErrBlobNotFound, "ErrCollectionRefused": lashstore.ErrCollectionRefused,
		"ErrCorruptBlob": lashstore.ErrCorruptBlob, "ErrCorruptRecord": lashstore.ErrCorruptRecord,
		"ErrCorruptDatabase": lashstore.ErrCorruptDatabase, "ErrSchemaVersion": lashstore.ErrSchemaVersion,
		"ErrBusy": lashstore.ErrBusy, "ErrReadOnly": lashstore.ErrReadOnly, "ErrDiskFull": lashstore.ErrDiskFull,
		"ErrStorage": lashstore.ErrStorage, "ErrClosed": lashstore.ErrClosed,
	}
}

// Of a chain with several sentinels the one that says what to do must be named.
func TestCodeOfChains(t *testing.T) {
	t.Parallel()
	storage := func(kind, cause error) error {
		return &lashstore.StorageError{Op: "read", Path: "x", Kind: kind, Err: cause}
	}
	for _, c := range []struct {
		name string
		err  error
		code string
	}{
		{"nothing", nil, ""},
		{"unknown", errors.New("x"), "internal"},
		{"end of file", io.EOF, "internal"},
		{"cancelled", fmt.Errorf("load: %w", context.Canceled), "canceled"},
		{"too late", fmt.Errorf("load: %w", context.DeadlineExceeded), "deadline_exceeded"},
		{"cancelled on the way to the storage", storage(lashstore.ErrStorage, context.Canceled), "canceled"},
		{"busy", storage(lashstore.ErrBusy, errors.New("locked")), "busy"},
		{"disk full", storage(lashstore.ErrDiskFull, errors.New("no space")), "disk_full"},
		{"a record that does not validate", &lashstore.CorruptRecordError{Record: "node", Err: lashstore.Invalid("kind", "x", "is wrong")}, "corrupt_record"},
		{"a record with broken content", &lashstore.CorruptRecordError{Record: "node", Err: &lashstore.CorruptBlobError{}}, "corrupt_record"},
		{"a graph with an invalid node", errors.Join(&lashstore.GraphError{Node: "n"}, lashstore.ErrInvalid), "graph_invalid"},
	} {
		if got := lashstore.Code(c.err); got != c.code {
			t.Errorf("%s: code %q, want %q", c.name, got, c.code)
		}
	}
}

// A caller that repeats what cannot succeed loads the store for nothing; one that
// gives up on contention fails for nothing.
func TestRetryable(t *testing.T) {
	t.Parallel()
	for name, err := range sentinels() {
		want := name == "ErrBusy" || name == "ErrStorage"
		if got := lashstore.Retryable(fmt.Errorf("x: %w", err)); got != want {
			t.Errorf("retryable %s: %t, want %t", name, got, want)
		}
	}
	for _, err := range []error{
		nil, errors.New("x"), context.Canceled, context.DeadlineExceeded,
		&lashstore.StorageError{Kind: lashstore.ErrStorage, Err: context.Canceled},
	} {
		if lashstore.Retryable(err) {
			t.Errorf("%v is retryable", err)
		}
	}
}
