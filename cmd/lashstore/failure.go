package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

// Exit codes, as the help says.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitConflict = 4
	exitCorrupt  = 5
)

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

var (
	// errInputFile: a file that the command line names is not there or not a file.
	errInputFile = errors.New("input file")
	// errNoData: the data directory, or the tenant in it, does not exist.
	errNoData = errors.New("no data")
)

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// failure is how an error is shown with -o json.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"` // malformed input: where
	Line    int    `json:"line,omitempty"`
	Path    string `json:"path,omitempty"`
}

// kind is what the command line makes of an error.
type kind struct {
	err  error
	code string
	exit int
}

// kinds lists what errors are, the more telling ones first.
func kinds() []kind {
	return []kind{
		{lashstore.ErrCorruptBlob, "corrupt_blob", exitCorrupt},
		{lashstore.ErrCorruptRecord, "corrupt_record", exitCorrupt},
		{lashstore.ErrCorruptDatabase, "corrupt_database", exitCorrupt},
		{lashstore.ErrSchemaVersion, "schema_version", exitFailure},
		{lashstore.ErrSessionDeleted, "session_deleted", exitNotFound},
		{lashstore.ErrSessionNotFound, "session_not_found", exitNotFound},
		{lashstore.ErrNodeNotFound, "node_not_found", exitNotFound},
		{lashstore.ErrRevisionNotFound, "revision_not_found", exitNotFound},
		{lashstore.ErrBatchNotFound, "batch_not_found", exitNotFound},
		{lashstore.ErrAttachmentNotFound, "attachment_not_found", exitNotFound},
		{lashstore.ErrArtifactNotFound, "artifact_not_found", exitNotFound},
		{lashstore.ErrBlobNotFound, "blob_not_found", exitNotFound},
		{errNoData, "no_data", exitNotFound},
		{errInputFile, "input_file", exitUsage},
		{transcript.ErrNotEmpty, "session_not_empty", exitConflict},
		{lashstore.ErrHeadMoved, "head_moved", exitConflict},
		{lashstore.ErrTurnConflict, "turn_conflict", exitConflict},
		{lashstore.ErrFenced, "fenced", exitConflict},
		{lashstore.ErrLeaseHeld, "lease_held", exitConflict},
		{lashstore.ErrClaimLost, "claim_lost", exitConflict},
		{lashstore.ErrSourceKeyConflict, "source_key_conflict", exitConflict},
		{lashstore.ErrBatchHeld, "batch_held", exitConflict},
		{lashstore.ErrWrongSession, "wrong_session", exitConflict},
		{lashstore.ErrBusy, "busy", exitConflict},
		{lashstore.ErrLimitExceeded, "limit_exceeded", exitUsage},
		{lashstore.ErrGraphInvalid, "graph_invalid", exitUsage},
		{lashstore.ErrUnknownReference, "unknown_reference", exitUsage},
		{lashstore.ErrInvalid, "invalid", exitUsage},
		{lashstore.ErrReadOnly, "read_only", exitFailure},
		{lashstore.ErrDiskFull, "disk_full", exitFailure},
		{lashstore.ErrClosed, "closed", exitFailure},
		{lashstore.ErrStorage, "storage", exitFailure},
		{context.Canceled, "cancelled", exitFailure},
		{context.DeadlineExceeded, "timeout", exitFailure},
	}
}

// classify names an error and its exit code.
func classify(err error) (code string, exit int) {
	if _, ok := errors.AsType[*usageError](err); ok {
		return "usage", exitUsage
	}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			return k.code, k.exit
		}
	}
	return "failure", exitFailure
}

// report shows an error on standard error and returns its exit code.
func (a *app) report(err error) int {
	code, exit := classify(err)
	if a.flags.output.value != outputJSON {
		msg := "lashstore: " + printable(err.Error()) + "\n"
		if code == "usage" {
			msg += "Run 'lashstore --help' for usage.\n"
		}
		_, _ = fmt.Fprint(a.stderr, msg) // there is nowhere left to report to
		return exit
	}
	f := failure{Code: code, Message: err.Error()}
	if in, ok := errors.AsType[*transcript.InputError](err); ok {
		f.File, f.Line, f.Path = in.File, in.Line, in.Path
	}
	enc := json.NewEncoder(a.stderr)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(f) // there is nowhere left to report to
	return exit
}
