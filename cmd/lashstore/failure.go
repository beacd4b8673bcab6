package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
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
	exitRefused  = 6 // of a collection, on purpose
	exitUndone   = 7 // of a collection, which the next one goes on with
	exitRepaired = 8 // by a verification
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
	// errUnhealthy: a check of the doctor failed.
	errUnhealthy = errors.New("something is wrong")
)

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// failure is how an error is shown with -o json.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"` // malformed input: where
	Line    int    `json:"line,omitempty"`
	Path    string `json:"path,omitempty"`
	Reason  string `json:"reason,omitempty"` // S3: why, as far as somebody can do something about it
	Hint    string `json:"hint,omitempty"`   // S3: what to do
}

// kind is what the command line makes of an error.
type kind struct {
	err  error
	code string // empty: that of [lashstore.Code]
	exit int
}

// kinds lists the exit codes of errors, the more telling ones first, and the names
// of those that are not the contract's. All others are plain failures.
func kinds() []kind {
	return []kind{
		{lashstore.ErrCollectionRefused, "", exitRefused},
		{errUncollected, "uncollected", exitUndone},
		{errDamaged, "damaged", exitCorrupt},
		{errUnverified, "unverified", exitFailure},
		{errRepaired, "repaired", exitRepaired},
		{lashstore.ErrCorruptBlob, "", exitCorrupt},
		{lashstore.ErrCorruptRecord, "", exitCorrupt},
		{lashstore.ErrCorruptDatabase, "", exitCorrupt},
		{lashstore.ErrSessionDeleted, "", exitNotFound},
		{lashstore.ErrSessionNotFound, "", exitNotFound},
		{lashstore.ErrNodeNotFound, "", exitNotFound},
		{lashstore.ErrRevisionNotFound, "", exitNotFound},
		{lashstore.ErrBatchNotFound, "", exitNotFound},
		{lashstore.ErrAttachmentNotFound, "", exitNotFound},
		{lashstore.ErrArtifactNotFound, "", exitNotFound},
		{lashstore.ErrBlobNotFound, "", exitNotFound},
		{errNoData, "no_data", exitNotFound},
		{errInputFile, "input_file", exitUsage},
		{transcript.ErrNotEmpty, "session_not_empty", exitConflict},
		{lashstore.ErrHeadMoved, "", exitConflict},
		{lashstore.ErrTurnConflict, "", exitConflict},
		{lashstore.ErrFenced, "", exitConflict},
		{lashstore.ErrLeaseHeld, "", exitConflict},
		{lashstore.ErrClaimLost, "", exitConflict},
		{lashstore.ErrSourceKeyConflict, "", exitConflict},
		{lashstore.ErrBatchHeld, "", exitConflict},
		{lashstore.ErrWrongSession, "", exitConflict},
		{lashstore.ErrBusy, "", exitConflict},
		{lashstore.ErrWrongTier, "", exitConflict},
		{errUnhealthy, "unhealthy", exitFailure},
		{errMetricsAddress, "metrics_address", exitFailure},
		{lashstore.ErrLimitExceeded, "", exitUsage},
		{lashstore.ErrGraphInvalid, "", exitUsage},
		{lashstore.ErrUnknownReference, "", exitUsage},
		{lashstore.ErrInvalid, "", exitUsage},
	}
}

// classify names an error and its exit code.
func classify(err error) (code string, exit int) {
	if _, ok := errors.AsType[*usageError](err); ok {
		return "usage", exitUsage
	}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			if k.code == "" {
				return lashstore.Code(err), k.exit
			}
			return k.code, k.exit
		}
	}
	return lashstore.Code(err), exitFailure
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
	f := newFailure(err)
	enc := json.NewEncoder(a.stderr)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(f) // there is nowhere left to report to
	return exit
}

// newFailure describes an error.
func newFailure(err error) failure {
	code, _ := classify(err)
	f := failure{Code: code, Message: err.Error()}
	if in, ok := errors.AsType[*transcript.InputError](err); ok {
		f.File, f.Line, f.Path = in.File, in.Line, in.Path
	}
	if s3, ok := errors.AsType[*s3cas.Error](err); ok {
		f.Reason, f.Hint = string(s3.Reason), s3.Hint
	}
	return f
}
