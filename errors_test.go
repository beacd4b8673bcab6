package lashstore_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// structErrors has one of each error that carries data, with its sentinel and what
// its text must say.
func structErrors() []struct {
	err      error
	sentinel error
	says     []string
} {
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return []struct {
		err      error
		sentinel error
		says     []string
	}{
		{lashstore.Invalid("field", "value", "is %s", "wrong"), lashstore.ErrInvalid, []string{"field", `"value"`, "is wrong"}},
		{&lashstore.LimitError{Limit: "rows", Max: 3, Got: 4}, lashstore.ErrLimitExceeded, []string{"rows", "3", "4"}},
		{&lashstore.WrongSessionError{Bound: "a", Attempted: "b"}, lashstore.ErrWrongSession, []string{`"a"`, `"b"`}},
		{&lashstore.WrongSessionError{Bound: "a", Attempted: "a", BoundIncarnation: "i", AttemptedIncarnation: "j"}, lashstore.ErrWrongSession, []string{`"a"`, "i", "j"}},
		{&lashstore.HeadMovedError{Session: "s", Expected: 1, Actual: 2}, lashstore.ErrHeadMoved, []string{`"s"`, "1", "2"}},
		{&lashstore.TurnConflictError{Session: "s", Turn: "t", Revision: 3}, lashstore.ErrTurnConflict, []string{`"s"`, `"t"`, "3"}},
		{&lashstore.FencedError{Session: "s", Reason: lashstore.FenceExpired, Given: 4, Current: 5, Holder: "w"}, lashstore.ErrFenced, []string{`"s"`, "expired", "4", "5", `"w"`}},
		{&lashstore.LeaseHeldError{Session: "s", Holder: lashstore.LeaseHolder{Owner: lashstore.Owner{OwnerID: "w"}, ExpiresAt: until, FencingToken: 6}}, lashstore.ErrLeaseHeld, []string{`"s"`, `"w"`, "2026-03-01T12:00:00Z", "6"}},
		{&lashstore.ClaimLostError{Session: "s", Claim: "c", Batch: "b", Successor: "d", Reason: "taken"}, lashstore.ErrClaimLost, []string{`"s"`, "c", "b", "d", "taken"}},
		{&lashstore.GraphError{Node: "n", Reason: "is bad"}, lashstore.ErrGraphInvalid, []string{`"n"`, "is bad"}},
		{&lashstore.RevisionNotFoundError{Session: "s", Revision: 7, Oldest: 8, Newest: 9}, lashstore.ErrRevisionNotFound, []string{`"s"`, "7", "8", "9"}},
		{&lashstore.UnknownReferenceError{Session: "s", Digest: lashstore.DigestOf(nil), Use: "component k"}, lashstore.ErrUnknownReference, []string{`"s"`, "blake3:af1349b9", "component k"}},
		{&lashstore.SourceKeyConflictError{Session: "s", SourceKey: "k", Batch: "b"}, lashstore.ErrSourceKeyConflict, []string{`"s"`, `"k"`, "b"}},
		{&lashstore.BatchHeldError{Session: "s", Batch: "b", Claim: "c", Until: until}, lashstore.ErrBatchHeld, []string{`"s"`, "b", "c", "2026-03-01"}},
		{&lashstore.CorruptBlobError{Digest: lashstore.DigestOf(nil), Key: "inline", Reason: "is short"}, lashstore.ErrCorruptBlob, []string{"blake3:af1349b9", "inline", "is short"}},
		{&lashstore.CorruptRecordError{Session: "s", Record: "node", Key: "n", Err: io.ErrUnexpectedEOF}, lashstore.ErrCorruptRecord, []string{`"s"`, "node", "n", "unexpected EOF"}},
		{&lashstore.SchemaVersionError{Database: "x.db", Kind: "session", Found: 99, Supported: 1, Reason: "newer"}, lashstore.ErrSchemaVersion, []string{"x.db", "session", "99", "1", "newer"}},
		{&lashstore.StorageError{Op: "write", Path: "x", Kind: lashstore.ErrDiskFull, Err: io.ErrShortWrite}, lashstore.ErrDiskFull, []string{"write", "x", "no space left", "short write"}},
	}
}

// Callers branch on sentinels and read the data from the struct; the text is for
// people.
func TestStructErrorsUnwrap(t *testing.T) {
	t.Parallel()
	for _, c := range structErrors() {
		wrapped := errors.Join(errors.New("first"), c.err)
		for name, sentinel := range sentinels() {
			if got, want := errors.Is(wrapped, sentinel), sentinel == c.sentinel; got != want { //nolint:errorlint // identity is what is asked
				t.Errorf("errors.Is(%T, %s) is %t, want %t", c.err, name, got, want)
			}
		}
		for _, text := range c.says {
			if !strings.Contains(c.err.Error(), text) {
				t.Errorf("%T says %q, without %q", c.err, c.err, text)
			}
		}
	}
}

func checkAs[E error](t *testing.T, err error) {
	t.Helper()
	if target, ok := errors.AsType[E](errors.Join(err)); !ok {
		t.Errorf("errors.AsType finds no %T", target)
	}
}

// A struct that errors.As does not find keeps its data to itself.
func TestErrorsAs(t *testing.T) {
	t.Parallel()
	checkAs[*lashstore.InvalidError](t, lashstore.Invalid("f", "v", "r"))
	checkAs[*lashstore.LimitError](t, &lashstore.LimitError{})
	checkAs[*lashstore.WrongSessionError](t, &lashstore.WrongSessionError{})
	checkAs[*lashstore.HeadMovedError](t, &lashstore.HeadMovedError{})
	checkAs[*lashstore.TurnConflictError](t, &lashstore.TurnConflictError{})
	checkAs[*lashstore.FencedError](t, &lashstore.FencedError{})
	checkAs[*lashstore.LeaseHeldError](t, &lashstore.LeaseHeldError{})
	checkAs[*lashstore.ClaimLostError](t, &lashstore.ClaimLostError{})
	checkAs[*lashstore.GraphError](t, &lashstore.GraphError{})
	checkAs[*lashstore.RevisionNotFoundError](t, &lashstore.RevisionNotFoundError{})
	checkAs[*lashstore.UnknownReferenceError](t, &lashstore.UnknownReferenceError{})
	checkAs[*lashstore.SourceKeyConflictError](t, &lashstore.SourceKeyConflictError{})
	checkAs[*lashstore.BatchHeldError](t, &lashstore.BatchHeldError{})
	checkAs[*lashstore.CorruptBlobError](t, &lashstore.CorruptBlobError{})
	checkAs[*lashstore.CorruptRecordError](t, &lashstore.CorruptRecordError{})
	checkAs[*lashstore.SchemaVersionError](t, &lashstore.SchemaVersionError{})
	checkAs[*lashstore.StorageError](t, &lashstore.StorageError{Kind: lashstore.ErrStorage})
}

// The cause of damage must be found behind it, and a missing one must not be nil in
// the chain.
func TestErrorCauses(t *testing.T) {
	t.Parallel()
	if err := (&lashstore.CorruptRecordError{Err: io.ErrUnexpectedEOF}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cause of %v is lost", err)
	}
	if err := (&lashstore.CorruptRecordError{Record: "node"}); !errors.Is(err, lashstore.ErrCorruptRecord) {
		t.Errorf("%v without a cause is no corrupt record", err)
	}
	if err := (&lashstore.StorageError{Kind: lashstore.ErrStorage, Err: io.ErrShortWrite}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the cause of %v is lost", err)
	}
}

// An error that repeats megabytes of input, or bytes that are no text, ends up in
// logs and responses.
func TestInvalidShortensTheValue(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{
		"long":       strings.Repeat("x", 10<<20),
		"cut inside": strings.Repeat("é", 1000),
		"binary":     "\x00\xff\n",
	} {
		err := lashstore.Invalid("field", value, "is wrong")
		if len(err.Error()) > 400 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
		if text := err.Error(); strings.ContainsAny(text, "\x00\n") || strings.ToValidUTF8(text, "") != text {
			t.Errorf("%s: the error %q is not printable", name, text)
		}
	}
}
