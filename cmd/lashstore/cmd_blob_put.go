package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// stdio is how a command line names standard input or output.
const stdio = "-"

func (a *app) blobPutCommand() *cobra.Command {
	var opts lashstore.PutBlobOptions
	var artifactKind, expect string
	cmd := &cobra.Command{
		Use:   "put [FILE|-]",
		Short: "Store a file or standard input and print its digest",
		Long: `Store a file or standard input and print its digest.

What no commit refers to is protected for a day and may be collected then.
Putting it again renews the protection.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			opts.Descriptor = lashstore.StandardDescriptor(lashstore.ArtifactKind(artifactKind))
			if !opts.Descriptor.Kind.Valid() || string(opts.Descriptor.Kind) != artifactKind {
				return lashstore.Descriptor{Kind: lashstore.ArtifactKind(artifactKind)}.Validate()
			}
			opts.Descriptor.Hints.Compressible = true
			if expect != "" {
				if opts.Expect, err = lashstore.ParseDigest(expect); err != nil {
					return err
				}
			}
			name := stdio
			if len(args) == 1 {
				name = args[0]
			}
			return a.blobPut(cmd.Context(), name, opts)
		},
	}
	cmd.Flags().StringVar(&artifactKind, "kind", string(lashstore.KindGeneric), "what the content is")
	cmd.Flags().StringVar(&expect, "expect", "", "refuse content that has not this digest")
	return cmd
}

func (a *app) blobPut(ctx context.Context, name string, opts lashstore.PutBlobOptions) (err error) {
	r, total, label := io.Reader(nil), int64(unknownBytes), "standard input"
	if name != stdio {
		f, err := openRegular(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		r, label = f, name
		if total, err = contentBytes(f); err != nil {
			return err
		}
	} else {
		r = a.interruptible(ctx)
	}
	r, done := a.watched(r, total, label)
	return a.withStore(ctx, false, func(store lashstore.Store) error {
		ref, err := store.PutBlob(ctx, r, opts)
		done()
		if err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		return a.print(ref, func(w *tableWriter) { w.row(ref.Digest) })
	})
}

// openRegular opens a file for reading, and says so if it is none.
func openRegular(name string) (*os.File, error) {
	f, err := os.Open(name) //nolint:gosec // the caller names the file
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errInputFile, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%w: %s is a directory", errInputFile, name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// contentBytes is the size of a file, or unknownBytes for what has none.
func contentBytes(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return unknownBytes, nil
	}
	return info.Size(), nil
}
