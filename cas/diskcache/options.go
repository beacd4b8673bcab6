package diskcache

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lashstore/lashstore"
)

const (
	// DefaultMaxBytes is [Options.MaxBytes] if it is 0: 1 GiB.
	DefaultMaxBytes = 1 << 30
	// DefaultBlockBytes is [Options.BlockBytes] if it is 0: on a far tier a request of
	// 256 KiB takes little longer than one of 8 KiB, and to read and check a block
	// from the page cache takes less than 0.1 ms.
	DefaultBlockBytes = 256 << 10
	// MinBlockBytes is the unit and the least of [Options.BlockBytes]: a page, which
	// every file takes anyway.
	MinBlockBytes = 4 << 10
	// MaxBlockBytes is the most: each reader holds a block in memory.
	MaxBlockBytes = 4 << 20
	// MinBlocks is how many blocks there must be room for: with fewer, two large
	// reads would evict each other's blocks before they are used.
	MinBlocks = 64
	// maxNamespaceBytes bounds [Options.Namespace]: an address and a bucket fit.
	maxNamespaceBytes = 1024
)

// Options are the optional parts of a [Cache]. The zero value works.
type Options struct {
	// MaxBytes limits what the files take on disk, in bytes; 0 means
	// [DefaultMaxBytes]. It must have room for [MinBlocks] blocks.
	MaxBytes int64
	// BlockBytes is the unit of caching, a multiple of [MinBlockBytes] up to
	// [MaxBlockBytes]; 0 means [DefaultBlockBytes]. Caches that share a folder share
	// blocks only if they agree on it.
	BlockBytes int64
	// Namespace names the tier, for example endpoint and bucket. Caches of different
	// tiers may share a folder only if it differs. It is hashed, not stored.
	Namespace string
	// Metrics receives the collectors; nil registers none. Caches may share it.
	Metrics prometheus.Registerer
	// Logger receives failures of the cache disk, which no caller is told; nil
	// discards them.
	Logger *slog.Logger
	// Now is the clock of file times, pauses and logging; nil means the real one.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = DefaultBlockBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	return o
}

// Validate reports all fields that are wrong, each as a [*lashstore.InvalidError].
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.BlockBytes < MinBlockBytes || o.BlockBytes > MaxBlockBytes || o.BlockBytes%MinBlockBytes != 0 {
		errs = append(errs, lashstore.Invalid("block_bytes", o.BlockBytes, "is not a multiple of %d up to %d",
			MinBlockBytes, MaxBlockBytes))
	} else if least := MinBlocks * costOf(headerBytes+o.BlockBytes); o.MaxBytes < least {
		errs = append(errs, lashstore.Invalid("max_bytes", o.MaxBytes, "is less than %d, the room for %d blocks",
			least, MinBlocks))
	}
	if len(o.Namespace) > maxNamespaceBytes {
		errs = append(errs, lashstore.Invalid("namespace", o.Namespace, "has %d bytes, not up to %d",
			len(o.Namespace), maxNamespaceBytes))
	}
	return errors.Join(errs...)
}
