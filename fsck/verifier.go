package fsck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/metadata"
)

const (
	// defaultWorkers is how much is read at a time: requests to an object store take
	// milliseconds, and one core verifies what a few of them bring.
	defaultWorkers = 4
	// pageRows is how many rows are read at a time.
	pageRows = 500
	// maxErrors bounds how many errors a report has.
	maxErrors = 100
)

// Options are the parts that a verifier needs. All are required.
type Options struct {
	Catalog   *metadata.Catalog
	Tier      *cas.Store
	Collector *gc.Collector // of the same tenant
	// OpenSession opens a session's database for reading; the verifier closes it.
	OpenSession func(ctx context.Context, row metadata.SessionRow) (*metadata.SessionDB, error)
	// Identify reads whose database the file of a session is.
	Identify func(ctx context.Context, id lashstore.SessionID, inc lashstore.Incarnation) (metadata.Identity, error)
	// Now is the wall clock. Elapsed is a clock that only goes on.
	Now     func() time.Time
	Elapsed func() time.Duration
	Rand    io.Reader
}

// Verifier verifies one tenant. It holds nothing between runs.
type Verifier struct {
	opts Options
}

// New returns a verifier.
func New(opts Options) (*Verifier, error) {
	for name, missing := range map[string]bool{
		"catalog": opts.Catalog == nil, "tier": opts.Tier == nil, "collector": opts.Collector == nil,
		"open_session": opts.OpenSession == nil, "identify": opts.Identify == nil, "now": opts.Now == nil, "elapsed": opts.Elapsed == nil, "rand": opts.Rand == nil,
	} {
		if missing {
			return nil, fmt.Errorf("new verifier: %w", lashstore.Invalid(name, "", "is missing"))
		}
	}
	return &Verifier{opts: opts}, nil
}

// Run runs one verification: see [lashstore.Verifier].
func (v *Verifier) Run(ctx context.Context, opts lashstore.VerifyOptions) (lashstore.VerifyReport, error) {
	if err := opts.Validate(); err != nil {
		return lashstore.VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	opts, err := v.complete(opts)
	if err != nil {
		return lashstore.VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	r := newRun(v, opts)
	for _, phase := range []func(context.Context) error{
		r.catalog, r.references, r.sessions, r.objects, r.contents, r.blame,
	} {
		if err = phase(ctx); err != nil {
			break
		}
	}
	report := r.finish(err)
	if err != nil {
		return report, fmt.Errorf("verify: %w", err)
	}
	return report, nil
}

// complete fills in what options mean that are left out.
func (v *Verifier) complete(opts lashstore.VerifyOptions) (lashstore.VerifyOptions, error) {
	if opts.Workers == 0 {
		opts.Workers = defaultWorkers
	}
	if opts.Sample == 0 || opts.Sample == 1 {
		opts.Sample, opts.Seed = 1, 0
		return opts, nil
	}
	for opts.Seed == 0 {
		var b [8]byte
		if _, err := io.ReadFull(v.opts.Rand, b[:]); err != nil {
			return opts, fmt.Errorf("draw a seed: %w", err)
		}
		// A whole number of a JSON document is exact up to 2^53.
		opts.Seed = binary.BigEndian.Uint64(b[:]) >> 11
	}
	return opts, nil
}

// patiently runs what a writer may disturb: a database that is read without any lock,
// because nobody had it open, and is then written to.
func patiently(fn func() error) error {
	const looks = 5
	err := fn()
	for n := 1; n < looks && errors.Is(err, lashstore.ErrBusy); n++ {
		err = fn()
	}
	return err
}

// damaged reports an error that is damage, and not what may pass.
func damaged(err error) bool {
	for _, known := range []error{
		lashstore.ErrCorruptDatabase, lashstore.ErrCorruptRecord, lashstore.ErrCorruptBlob,
		lashstore.ErrSchemaVersion, lashstore.ErrWrongSession,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
