package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// findingSessions is how many sessions a finding names.
const findingSessions = 10

// catalog checks the catalog's own records, and repairs rows of blobs.
func (r *run) catalog(ctx context.Context) error {
	r.progress(lashstore.VerifyCatalog, 0, 0)
	var found metadata.Checkup
	err := patiently(func() (err error) {
		found, err = r.v.opts.Catalog.Check(ctx)
		return err
	})
	r.count(func(rep *lashstore.VerifyReport) {
		rep.Records += found.Rows
		rep.Damaged += found.More
	})
	for _, f := range found.Flaws {
		finding := flawFinding(f, lashstore.FindingCatalog, "")
		if err == nil && r.opts.Repair && f.Record == "session" && len(finding.Sessions) == 1 {
			finding.Repaired, err = r.repairSession(ctx, finding.Sessions[0])
		}
		r.find(finding)
	}
	if err != nil {
		return fmt.Errorf("check the catalog: %w", err)
	}
	return r.eachBlob(ctx, func(rows []metadata.CheckedBlob, bad []metadata.CorruptBlobRow) error {
		var done int64
		r.count(func(rep *lashstore.VerifyReport) {
			rep.Records += int64(len(rows) + len(bad))
			done = rep.Records
		})
		r.progress(lashstore.VerifyCatalog, done, 0)
		return r.blobRows(ctx, bad)
	})
}

// repairSession has a session's row written anew, if its database is sound enough to
// say what it must be.
func (r *run) repairSession(ctx context.Context, id lashstore.SessionID) (repaired bool, err error) {
	repaired, err = r.v.opts.Catalog.RepairSession(ctx, id, func(inc lashstore.Incarnation) (metadata.Identity, error) {
		return r.v.opts.Identify(ctx, id, inc)
	})
	if err != nil && (damaged(err) || errors.Is(err, fs.ErrNotExist)) {
		return false, nil // the finding about the row stays
	}
	return repaired, err
}

// flawFinding makes a finding of a record that cannot be trusted.
func flawFinding(f metadata.Flaw, kind lashstore.FindingKind, session lashstore.SessionID) lashstore.Finding {
	out := lashstore.Finding{Kind: kind, Digest: f.Digest, Key: f.Record, Detail: f.Err.Error()}
	if f.OfDatabase() {
		out.Kind = lashstore.FindingDatabase
	}
	record, ok := errors.AsType[*lashstore.CorruptRecordError](f.Err)
	if ok {
		out.Key = record.Record + " " + record.Key
		out.Detail = record.Err.Error()
	}
	if session == "" && ok {
		session = record.Session
	}
	if session != "" {
		out.Sessions = []lashstore.SessionID{session}
	}
	return out
}

// eachBlob calls fn with the rows of blobs, page by page.
func (r *run) eachBlob(ctx context.Context, fn func([]metadata.CheckedBlob, []metadata.CorruptBlobRow) error) error {
	for after := []byte(nil); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var (
			rows []metadata.CheckedBlob
			bad  []metadata.CorruptBlobRow
			next []byte
		)
		err := patiently(func() (err error) {
			rows, bad, next, err = r.v.opts.Catalog.CheckBlobs(ctx, after, pageRows)
			return err
		})
		if errors.Is(err, lashstore.ErrCorruptDatabase) {
			r.fail(fmt.Errorf("list objects: %w", err)) // the check of the catalog has found why
			return nil
		}
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		if err := fn(rows, bad); err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		after = next
	}
}

// blobRows reports rows of blobs that cannot be trusted, and repairs them.
func (r *run) blobRows(ctx context.Context, bad []metadata.CorruptBlobRow) error {
	if len(bad) == 0 {
		return nil
	}
	findings := make([]lashstore.Finding, len(bad))
	keys := make([][]byte, len(bad))
	for i, row := range bad {
		keys[i] = row.Key
		findings[i] = flawFinding(metadata.Flaw{Record: "blob", Err: row.Err}, lashstore.FindingCatalog, "")
		d, err := lashstore.DigestFromBytes(row.Key)
		if err != nil {
			continue
		}
		findings[i].Digest = d
		sessions, all, err := r.v.opts.Catalog.Holders(ctx, d, findingSessions)
		if err != nil {
			return fmt.Errorf("find who needs %s: %w", d, err)
		}
		findings[i].Sessions, findings[i].More = sessions, all-int64(len(sessions))
	}
	if r.opts.Repair {
		repaired, err := r.v.opts.Catalog.RepairBlobs(ctx, keys)
		if err != nil {
			return fmt.Errorf("repair the catalog: %w", err)
		}
		for i := range findings {
			for _, key := range repaired {
				if bytes.Equal(key, keys[i]) {
					findings[i].Repaired = true
					r.mended[findings[i].Digest] = true
				}
			}
		}
	}
	for _, f := range findings {
		r.find(f)
	}
	return nil
}
