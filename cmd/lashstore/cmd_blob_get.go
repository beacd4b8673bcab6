package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// blobGot is what "blob get" prints when it wrote a file.
type blobGot struct {
	lashstore.BlobRef
	File string `json:"file"`
}

func (a *app) blobGetCommand() *cobra.Command {
	var file, session string
	cmd := &cobra.Command{
		Use:   "get DIGEST",
		Short: "Write a blob to a file or to standard output",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			digest, err := lashstore.ParseDigest(args[0])
			if err != nil {
				return err
			}
			get := func(r lashstore.BlobReader) error { return a.blobGet(r, file) }
			if session != "" {
				return a.withSession(cmd.Context(), session, func(s lashstore.Session) error {
					return readBlob(cmd.Context(), s.OpenContent, digest, get)
				})
			}
			return a.withStore(cmd.Context(), true, func(store lashstore.Store) error {
				return readBlob(cmd.Context(), store.OpenBlob, digest, get)
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", stdio, "file to write")
	cmd.Flags().StringVar(&session, "session", "", "read content that only this session refers to")
	return cmd
}

type openBlob = func(context.Context, lashstore.Digest) (lashstore.BlobReader, error)

func readBlob(ctx context.Context, open openBlob, d lashstore.Digest, use func(lashstore.BlobReader) error) (err error) {
	r, err := open(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return use(r)
}

func (a *app) blobGet(r lashstore.BlobReader, file string) error {
	if file == stdio {
		return a.blobToStdout(r)
	}
	in, done := a.watched(r, r.Ref().SizeBytes, file)
	err := writeFile(file, in)
	done()
	if err != nil {
		return err
	}
	return a.print(blobGot{BlobRef: r.Ref(), File: file}, func(w *tableWriter) {
		w.row("wrote " + size(r.Ref().SizeBytes) + " to " + file)
	})
}

// sampleBytes is how much of a blob is looked at to tell text from binary.
const sampleBytes = 8 << 10

func (a *app) blobToStdout(r lashstore.BlobReader) error {
	if !a.terminal(a.stdout) {
		in, done := a.watched(r, r.Ref().SizeBytes, "standard output")
		defer done()
		_, err := io.Copy(a.stdout, in)
		return err
	}
	in := bufio.NewReaderSize(r, sampleBytes)
	sample, err := in.Peek(sampleBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if isBinary(sample) {
		return usagef("the blob is binary and standard output is a terminal; name a file with -f")
	}
	_, err = io.Copy(a.stdout, in)
	return err
}

// isBinary reports whether a terminal should not see the bytes.
func isBinary(sample []byte) bool {
	for len(sample) > 0 {
		r, n := utf8.DecodeRune(sample)
		if r == utf8.RuneError && n == 1 {
			return utf8.FullRune(sample) // what is cut off at the end is not a fault
		}
		if unicode.IsControl(r) && !bytes.ContainsRune([]byte("\t\n\r\f"), r) {
			return true
		}
		sample = sample[n:]
	}
	return false
}

// writeFile writes a file that appears only when it is complete.
func writeFile(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".lashstore-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(f.Name()))
	}
	return nil
}
