package integration_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
)

// triggerReader calls trigger once, when so many bytes have been read.
type triggerReader struct {
	r       io.Reader
	after   int64
	trigger func() error
}

func (t *triggerReader) Read(p []byte) (int, error) {
	if t.after <= 0 && t.trigger != nil {
		err := t.trigger()
		if t.trigger = nil; err != nil {
			return 0, err
		}
	}
	n, err := t.r.Read(p)
	t.after -= int64(n)
	return n, err
}

// A server that dies in the middle of a large upload fails it by a typed error, and
// what was reserved for it is let go of. When the server is back, the store works.
func TestS3DiesDuringPutBlob(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{}))
		seed := testenv.Seed(t)
		_, err := store.PutBlob(t.Context(), &triggerReader{testenv.NoiseReader(seed, size), size / 3, f.proxy.Down}, lashstore.PutBlobOptions{})
		if err == nil || typedS3(err) != nil {
			t.Errorf("got %v, want a typed error", err)
		}
		if n := holds(t, dir); n != 0 {
			t.Errorf("%d uploads are protected, want none", n)
		}
		if err := f.proxy.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		ref, err := store.PutBlob(t.Context(), testenv.NoiseReader(seed, size), lashstore.PutBlobOptions{})
		if err != nil {
			t.Fatalf("once the server is back: %v", err)
		}
		r, err := store.OpenBlob(t.Context(), ref.Digest)
		if err != nil {
			t.Fatal(err)
		}
		err = testenv.EqualReaders(r, testenv.NoiseReader(seed, size))
		if err := errors.Join(err, r.Close(), store.Close()); err != nil {
			t.Error(err)
		}
		f.noUploads(noStrays)
		f.whole(dir)
	})
}

// Connections that are all cut at once are no reason to fail, or to leave uploads in
// parts behind: the server is there again for the next attempt.
func TestS3BlinksDuringPutBlob(t *testing.T) {
	t.Parallel()
	const size = 24 << 20
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{SinglePutBytes: 64 << 10, MaxAttempts: 10}))
		seed := testenv.Seed(t)
		blink := func() error { return errors.Join(f.proxy.Down(), f.proxy.Up(t.Context())) }
		ref, err := store.PutBlob(t.Context(), &triggerReader{testenv.NoiseReader(seed, size), size / 3, blink}, lashstore.PutBlobOptions{})
		if err != nil { // nobody listened for a moment, and attempts follow each other at once
			if err := typedS3(err); err != nil {
				t.Error(err)
			}
			if ref, err = store.PutBlob(t.Context(), testenv.NoiseReader(seed, size), lashstore.PutBlobOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		r, err := store.OpenBlob(t.Context(), ref.Digest)
		if err != nil {
			t.Fatal(err)
		}
		err = testenv.EqualReaders(r, testenv.NoiseReader(seed, size))
		if err := errors.Join(err, r.Close(), store.Close()); err != nil {
			t.Error(err)
		}
		f.noUploads(racing)
		f.whole(dir)
	})
}

// A server that dies under a reader fails the reading by a typed error, never by an
// early end; what was read is right.
func TestS3DiesDuringReads(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{}))
		content := noise("read", 24<<20)
		ref, err := store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.OpenBlob(t.Context(), ref.Digest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(&triggerReader{r, 1 << 20, f.proxy.Down})
		if err == nil || typedS3(err) != nil || !bytes.HasPrefix(content, got) || len(got) == len(content) {
			t.Errorf("read %d bytes, %v, want a part and a typed error", len(got), err)
		}
		if err := r.Close(); err != nil && typedS3(err) != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := readBlob(t.Context(), store, ref.Digest); err == nil || typedS3(err) != nil {
			t.Errorf("while it is down: %v, want a typed error", err)
		}
		if err := f.proxy.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, content) {
			t.Errorf("once the server is back: %d bytes, %v", len(got), err)
		}
	})
}

// A server that dies while a session is loaded fails the load by a typed error that
// names the component; commits fail too, and all of it works once the server is back.
func TestS3DiesDuringLoad(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{}))
		e := newEvolving(testenv.Seed(t), 0)
		e.h, e.fence = leaseFor(t, store, e.load)
		if _, err := e.commit(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		gate := faultproxy.NewGate()
		f.proxy.Follow(faultproxy.Always(faultproxy.Hold(gate), faultproxy.OpGet))
		done := make(chan error, 1)
		go func() {
			_, err := e.h.Load(t.Context(), lashstore.LoadOptions{})
			done <- err
		}()
		await(t, "a request of the load", gate.Arrived())
		if err := f.proxy.Down(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil || typedS3(err) != nil {
			t.Errorf("load: %v, want a typed error", err)
		}
		if _, err := e.commit(t.Context(), 2); err == nil || typedS3(err) != nil {
			t.Errorf("commit: %v, want a typed error", err)
		}
		if head, err := e.h.Head(t.Context()); err != nil || head.Revision != 1 {
			t.Errorf("the head is at %d, %v, want 1, without the server", head.Revision, err)
		}
		f.proxy.Heal()
		if err := f.proxy.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := e.check(t.Context(), 1); err != nil {
			t.Errorf("once the server is back: %v", err)
		}
		if _, err := e.commit(t.Context(), 2); err != nil {
			t.Errorf("commit once the server is back: %v", err)
		}
		if err := errors.Join(e.check(t.Context(), 2), store.Close()); err != nil {
			t.Error(err)
		}
		f.whole(dir)
	})
}
