package cas

import (
	"errors"
	"runtime"
	"time"

	"github.com/lashstore/lashstore"
)

// maxConcurrency bounds [Options.Concurrency]: encoding is bound by processors,
// and no machine has more of them to give to one upload.
const maxConcurrency = 1024

// Options are the optional parts of a [Store]. The zero value works.
type Options struct {
	// Profile chooses when content is compressed; empty means
	// [lashstore.ProfileBalanced].
	Profile lashstore.Profile
	// Prefix starts every key, for example "acme/" for that tenant. It is empty or
	// ends with a slash.
	Prefix string
	// Metrics counts what happens; nil counts nothing. Stores may share it.
	Metrics *Metrics
	// Concurrency bounds how many chunks one [Store.Split] encodes at a time; 0
	// means one for each processor that Go uses.
	Concurrency int
	// Now is the clock of the durations in Metrics; nil means the real one.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Profile == "" {
		o.Profile = lashstore.ProfileBalanced
	}
	if o.Concurrency == 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return o
}

// Validate reports all fields that are wrong, each as a [*lashstore.InvalidError].
func (o Options) Validate() error {
	var errs []error
	if err := o.Profile.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := validatePrefix(o.Prefix); err != nil {
		errs = append(errs, err)
	}
	if o.Concurrency < 0 || o.Concurrency > maxConcurrency {
		errs = append(errs, lashstore.Invalid("concurrency", o.Concurrency, "is not in 0 to %d", maxConcurrency))
	}
	return errors.Join(errs...)
}
