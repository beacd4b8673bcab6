package integration_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// foreignChanges are what somebody may do to an object behind the store's back. What
// they return takes its place; nil removes it. other is another object of the store.
func foreignChanges() map[string]func(stored, other []byte) []byte {
	flipped := func(at int) func(stored, _ []byte) []byte {
		return func(stored, _ []byte) []byte {
			b := bytes.Clone(stored)
			b[(at+len(b))%len(b)] ^= 0x10
			return b
		}
	}
	return map[string]func(stored, other []byte) []byte{
		"removed":           func(_, _ []byte) []byte { return nil },
		"emptied":           func(_, _ []byte) []byte { return []byte{} },
		"cut in half":       func(stored, _ []byte) []byte { return stored[:len(stored)/2] },
		"last byte cut":     func(stored, _ []byte) []byte { return stored[:len(stored)-1] },
		"byte appended":     func(stored, _ []byte) []byte { return append(bytes.Clone(stored), 0) },
		"text":              func(_, _ []byte) []byte { return []byte("<html>not found</html>") },
		"another object":    func(_, other []byte) []byte { return other },
		"header flipped":    flipped(9),
		"payload flipped":   flipped(40),
		"last byte flipped": flipped(-1),
		"middle zeroed":     func(stored, _ []byte) []byte { return zeroed(stored) },
		"first half doubled": func(stored, _ []byte) []byte {
			return append(bytes.Clone(stored[:len(stored)/2]), stored[:len(stored)/2]...)
		},
	}
}

func zeroed(stored []byte) []byte {
	b := bytes.Clone(stored)
	clear(b[len(b)/3 : len(b)*2/3])
	return b
}

// An object that was changed or removed behind the store's back is damage: the read
// that needs it fails and says so, whatever it was changed to, and the same read works
// once the object is back.
func TestS3ObjectsChangedBehindTheStore(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		store := f.openStore(t.TempDir(), f.direct)
		e := newEvolving(testenv.Seed(t), 0)
		e.h, e.fence = leaseFor(t, store, e.load)
		for rev := lashstore.Revision(1); rev <= 3; rev++ {
			if _, err := e.commit(t.Context(), rev); err != nil {
				t.Fatal(err)
			}
		}
		infos, err := f.direct.List(t.Context(), local.DefaultTenant+"/b3/", "", cas.MaxDeleteKeys)
		if err != nil || len(infos) < 4 {
			t.Fatalf("%d objects, %v: too few for this test", len(infos), err)
		}
		damaged := 0
		for i, info := range infos {
			stored, other := f.raw(info.Key), f.raw(infos[(i+1)%len(infos)].Key)
			found := 0
			for name, change := range foreignChanges() {
				if b := change(stored, other); b != nil {
					f.put(info.Key, b)
				} else if err := f.direct.Delete(t.Context(), []string{info.Key}); err != nil {
					t.Fatal(err)
				}
				for rev := lashstore.Revision(1); rev <= 3; rev++ {
					err := e.check(t.Context(), rev)
					if err != nil && !errors.Is(err, lashstore.ErrCorruptBlob) {
						t.Errorf("%s %s, revision %d: %v, want ErrCorruptBlob", info.Key, name, rev, err)
					}
					if err != nil {
						found++
					}
				}
			}
			f.put(info.Key, stored)
			if found > 0 {
				damaged++
			}
		}
		if damaged < len(infos)-1 { // a manifest that a later one repeats may not be needed
			t.Errorf("damage of %d objects of %d was met", damaged, len(infos))
		}
		for rev := lashstore.Revision(1); rev <= 3; rev++ {
			if err := e.check(t.Context(), rev); err != nil {
				t.Errorf("revision %d, once all is back: %v", rev, err)
			}
		}
	})
}

// raw reads an object as it is stored.
func (f *faultyS3) raw(key string) []byte {
	f.t.Helper()
	r, err := f.direct.Get(f.t.Context(), key, 0, -1)
	if err != nil {
		f.t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		f.t.Fatal(err)
	}
	return raw
}

// wrongSetting is a mistake in what a store is opened with.
type wrongSetting struct {
	name string
	set  func(*testenv.S3Server)
	// reasons are what it may be taken for.
	reasons []s3cas.Reason
	// tolerated is whether some servers do not mind.
	tolerated bool
}

func wrongSettings(server testenv.S3Server) []wrongSetting {
	lax := !verifiesSecrets(server)
	return []wrongSetting{
		{"bucket", func(s *testenv.S3Server) { s.Bucket = "lashstore-no-such-bucket" }, []s3cas.Reason{s3cas.ReasonNoBucket, s3cas.ReasonDenied}, false},
		{"port", func(s *testenv.S3Server) { s.Endpoint = "http://127.0.0.1:1" }, []s3cas.Reason{s3cas.ReasonUnreachable}, false},
		{"host", func(s *testenv.S3Server) { s.Endpoint = "http://no-such-host.invalid" }, []s3cas.Reason{s3cas.ReasonUnknownHost}, false},
		{"scheme", func(s *testenv.S3Server) { s.Endpoint = strings.Replace(s.Endpoint, "http:", "https:", 1) }, []s3cas.Reason{s3cas.ReasonTLS}, false},
		{"secret", func(s *testenv.S3Server) { s.Secret += "x" }, []s3cas.Reason{s3cas.ReasonBadSecret, s3cas.ReasonDenied}, lax},
		{"key", func(s *testenv.S3Server) { s.Key += "x" }, []s3cas.Reason{s3cas.ReasonUnknownKey, s3cas.ReasonDenied}, lax},
		{"region", func(s *testenv.S3Server) { s.Region = "mars-north-1" }, []s3cas.Reason{s3cas.ReasonRegion, s3cas.ReasonBadSecret, s3cas.ReasonDenied, s3cas.ReasonOther}, true},
	}
}

// verifiesSecrets reports whether the server is known to.
func verifiesSecrets(server testenv.S3Server) bool {
	return server.Name == "minio" || server.Name == "versitygw"
}

// A setting that is wrong shows at the first use and in the diagnosis, by an error
// that says what to do; a store cannot be opened with it for the first time, and can
// with the right one afterwards.
func TestS3WrongSettings(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		for _, wrong := range wrongSettings(server) {
			t.Run(wrong.name, func(t *testing.T) {
				t.Parallel()
				f := newFaultyS3(t, server)
				f.server = server
				wrong.set(&f.server)
				d := f.openWrong()
				dir := t.TempDir()
				ctx, key := t.Context(), "test-wrong-setting"
				_, getErr := d.Get(ctx, key, 0, -1)
				_, statErr := d.Stat(ctx, key)
				_, listErr := d.List(ctx, "", "", 1)
				_, storeErr := local.Open(ctx, dir, f.storeOptions(d))
				for call, err := range map[string]error{
					"put": d.Put(ctx, key, []byte("x")), "get": getErr, "stat": statErr, "list": listErr,
					"delete": d.Delete(ctx, []string{key}), "open a store": storeErr,
				} {
					wrong.judge(t, call, err)
				}
				hints := 0
				for _, check := range d.Diagnose(ctx) {
					if check.Status == s3cas.StatusFailed && check.Hint != "" {
						hints++
					}
					if len(server.Secret) > 8 && strings.Contains(check.Detail+check.Hint, server.Secret) {
						t.Errorf("the check %s shows the secret", check.Name)
					}
				}
				if hints == 0 && !wrong.tolerated {
					t.Error("the diagnosis has no failure with a hint")
				}
				if storeErr == nil {
					return
				}
				store := f.openStore(dir, f.direct)
				if _, err := store.PutBlob(ctx, bytes.NewReader(noise("first", 20<<10)), lashstore.PutBlobOptions{}); err != nil {
					t.Errorf("with the right settings: %v", err)
				}
			})
		}
	})
}

// openWrong opens a driver with the server's settings as they are now.
func (f *faultyS3) openWrong() *s3cas.Driver {
	f.t.Helper()
	loc := f.loc
	loc.Bucket, loc.Endpoint, loc.Region = f.server.Bucket, f.server.Endpoint, f.server.Region
	d, err := s3cas.Open(f.t.Context(), loc, s3cas.Options{
		MaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(f.server.Key, f.server.Secret, ""),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return d
}

// judge checks what a call says of a wrong setting.
func (w *wrongSetting) judge(t *testing.T, call string, err error) {
	t.Helper()
	if w.tolerated && (err == nil || errors.Is(err, cas.ErrObjectNotFound)) {
		return
	}
	failed, ok := errors.AsType[*s3cas.Error](err)
	if !ok || typed(err, lashstore.ErrStorage, lashstore.ErrReadOnly) != nil {
		t.Errorf("%s: %v, want a typed error", call, err)
		return
	}
	for _, reason := range w.reasons {
		if failed.Reason == reason && (failed.Hint != "" || reason == s3cas.ReasonOther) {
			return
		}
	}
	t.Errorf("%s: reason %s, hint %q, want one of %v with a hint: %v", call, failed.Reason, failed.Hint, w.reasons, err)
}

// A store that was opened before cannot reach its objects any more: what needs none of
// them works, and the rest says by a typed error why not.
func TestS3UnreachableAfterOpen(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f, dir := newFaultyS3(t, server), t.TempDir()
		e := newEvolving(testenv.Seed(t), 0)
		store := f.openStore(dir, f.direct)
		e.h, e.fence = leaseFor(t, store, e.load)
		if _, err := e.commit(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		gone := f.behind(t)
		gone.server.Endpoint = "http://127.0.0.1:1"
		store = f.reopen(dir, f.storeOptions(gone.openWrong()), []*evolving{e})
		if _, err := e.h.Load(t.Context(), lashstore.LoadOptions{HydrateLimit: inlineSize}); err != nil {
			t.Errorf("load without the large component: %v", err)
		}
		_, putErr := store.PutBlob(t.Context(), bytes.NewReader(noise("gone", 20<<10)), lashstore.PutBlobOptions{})
		_, commitErr := e.commit(t.Context(), 2)
		for call, err := range map[string]error{"load": e.check(t.Context(), 1), "commit": commitErr, "put blob": putErr} {
			failed, ok := errors.AsType[*s3cas.Error](err)
			if !ok || failed.Reason != s3cas.ReasonUnreachable || failed.Hint == "" || !errors.Is(err, lashstore.ErrStorage) {
				t.Errorf("%s: %v, want that the server is unreachable, with a hint", call, err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		f.whole(dir)
	})
}
