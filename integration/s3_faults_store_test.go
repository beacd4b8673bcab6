package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// storeOptions are those of a store whose large content is behind a driver.
func (f *faultyS3) storeOptions(d cas.Driver) local.Options {
	return local.Options{
		Driver: d, TierName: f.loc.Prefix,
		Durability: lashstore.DurabilityNormal, // what survives power loss is not tested here
	}
}

// openStore opens a store on a driver, and closes it when the test ends.
func (f *faultyS3) openStore(dir string, d cas.Driver) *local.Store {
	f.t.Helper()
	return open(f.t, dir, f.storeOptions(d))
}

// noise is content that does not compress; other labels have other bytes.
func noise(label string, size int) []byte {
	b := make([]byte, size)
	if _, err := io.ReadFull(testenv.NoiseReader(binary.BigEndian.Uint64(lashstore.DigestOf([]byte(label)).Bytes()), int64(size)), b); err != nil {
		panic(err) // it has so many
	}
	return b
}

// typed checks that an error of the store is one of the given ones.
func typed(err error, want ...error) error {
	for _, w := range want {
		if errors.Is(err, w) {
			return nil
		}
	}
	return fmt.Errorf("is none of %v: %w", want, err)
}

// auditS3 compares catalog, session databases and objects of a store that is closed.
func (f *faultyS3) auditS3(ctx context.Context, dir string) (*findings, error) {
	found := &findings{surplus: make(map[lashstore.SessionID][]lashstore.Digest), parts: make(map[lashstore.Digest]bool)}
	tenant := filepath.Join(dir, "tenants", local.DefaultTenant)
	var catalog *rawCatalog
	err := withDatabase(ctx, filepath.Join(tenant, "catalog.db"), func(db *sql.DB) (err error) {
		catalog, err = readCatalog(ctx, db)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := f.auditObjects(ctx, catalog, found); err != nil {
		return nil, err
	}
	for inc, s := range catalog.sessions {
		path := filepath.Join(tenant, metadata.SessionPath(s.id, lashstore.Incarnation(inc)))
		if err := found.auditSession(ctx, catalog, s, inc, path); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// auditObjects checks that all objects that the catalog says are there are, and that
// it knows all objects that are there: what it does not know is never collected.
func (f *faultyS3) auditObjects(ctx context.Context, catalog *rawCatalog, found *findings) error {
	folder := local.DefaultTenant + "/b3/"
	known := make(map[string]bool)
	for d, b := range catalog.blobs {
		name := fmt.Sprintf("%x.%016x", d.Bytes(), b.generation)
		key := folder + name[:2] + "/" + name
		known[key] = true
		found.parts[d] = b.role != roleContent
		if _, err := f.direct.Stat(ctx, key); b.present && err != nil {
			found.fault("blob %s is marked present: %w", d, err)
		}
	}
	for after := ""; ; {
		page, err := f.direct.List(ctx, folder, after, cas.MaxDeleteKeys)
		if err != nil {
			return err
		}
		for _, info := range page {
			if after = info.Key; !known[info.Key] {
				found.fault("object %s is not in the catalog", info.Key)
			}
		}
		if len(page) < cas.MaxDeleteKeys {
			return nil
		}
	}
}

// whole requires that a closed store and its objects agree, with nothing left over.
func (f *faultyS3) whole(dir string) {
	f.t.Helper()
	found, err := f.auditS3(context.WithoutCancel(f.t.Context()), dir)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(found.missing...); err != nil || len(found.surplus) > 0 || found.unsettled > 0 {
		f.t.Errorf("%v, surplus edges %v, %d unsettled", err, found.surplus, found.unsettled)
	}
}

// holds counts the uploads that protect something.
func holds(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := withDatabase(context.WithoutCancel(t.Context()), catalogPath(dir), func(db *sql.DB) error {
		return db.QueryRowContext(t.Context(), `SELECT count(*) FROM holder WHERE kind=2`).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An answer that is wrong and looks right is found by the digest: other bytes are
// never handed out, whatever the server or the way to it does.
func TestS3LiesAreFound(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		dir := t.TempDir()
		store := f.openStore(dir, f.open(s3cas.Options{}))
		var contents [][]byte
		for _, size := range []int{20 << 10, 3 << 20} { // one object, and one that is cut
			contents = append(contents, noise("lies", size))
		}
		var refs []lashstore.BlobRef
		for _, content := range contents {
			ref, err := store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		faults := []faultproxy.Fault{
			faultproxy.CutDeclared(1), faultproxy.CutDeclared(1 << 10), faultproxy.CutDeclared(1 << 30), faultproxy.WrongLength(-1), faultproxy.WrongLength(9),
		}
		for _, bit := range []int64{0, 33, 41, 60, 8 * 12, 8 * 16, 8*20 + 3, 8 * 4000, 8 * 20000} {
			faults = append(faults, faultproxy.FlipAnswer(bit))
		}
		for _, fault := range faults {
			for n := range 4 { // always, or the first to third request
				for i, ref := range refs {
					f.proxy.Follow(faultproxy.Nth(n, fault, faultproxy.OpGet))
					got, err := readBlob(t.Context(), store, ref.Digest)
					if !bytes.HasPrefix(contents[i], got) || err == nil && len(got) != len(contents[i]) {
						t.Errorf("%s, request %d: other bytes were handed out", fault, n)
					}
					if err == nil {
						continue
					}
					if err := typed(err, lashstore.ErrCorruptBlob, lashstore.ErrStorage); err != nil {
						t.Errorf("%s, request %d: %v", fault, n, err)
					}
				}
			}
		}
		f.proxy.Heal()
		for i, ref := range refs {
			if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, contents[i]) {
				t.Errorf("afterwards: %v", err)
			}
		}
	})
}

// readBlob reads a blob of a store, as far as it goes.
func readBlob(ctx context.Context, store *local.Store, d lashstore.Digest) ([]byte, error) {
	r, err := store.OpenBlob(ctx, d)
	return readContent(r, err)
}

// A bit that flips on the way into the store: the server refuses it, or it is found
// when it is read. It is never served.
func TestS3FlippedOnTheWayIn(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		for name, opts := range map[string]s3cas.Options{"whole": {}, "in parts": {SinglePutBytes: 1}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFaultyS3(t, server)
				dir := t.TempDir()
				store := f.openStore(dir, f.open(opts))
				for i, bit := range []int64{3, 8 * 14, 8 * 1000} {
					content := noise(fmt.Sprint("flipped", i), 30<<10)
					f.proxy.Follow(faultproxy.Always(faultproxy.FlipRequest(bit), faultproxy.OpPut, faultproxy.OpPart))
					ref, err := store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
					f.proxy.Heal()
					switch {
					case err != nil:
						if err := typedS3(err); err != nil {
							t.Error(err)
						}
					case f.verifiesBody(faultproxy.OpPut):
						t.Errorf("bit %d: the server took other bytes than were signed", bit)
					default:
						if got, err := readBlob(t.Context(), store, ref.Digest); !errors.Is(err, lashstore.ErrCorruptBlob) {
							t.Errorf("bit %d: read %d bytes, %v, want ErrCorruptBlob", bit, len(got), err)
						}
						continue
					}
					ref, err = store.PutBlob(t.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{})
					if err != nil {
						t.Fatal(err)
					}
					if got, err := readBlob(t.Context(), store, ref.Digest); err != nil || !bytes.Equal(got, content) {
						t.Errorf("bit %d, put again: %v", bit, err)
					}
				}
				f.noUploads(noStrays)
				if err := store.Close(); err != nil {
					t.Error(err)
				}
				f.whole(dir)
			})
		}
	})
}

// leaseFor makes a session and takes its lease.
func leaseFor(t *testing.T, store *local.Store, load workload) (lashstore.Session, lashstore.Fence) {
	t.Helper()
	h := create(t, store, load)
	lease, err := h.ClaimLease(t.Context(), lashstore.Owner{OwnerID: "worker", IncarnationID: "1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return h, lease.Fence()
}
