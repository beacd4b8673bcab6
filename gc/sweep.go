package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/metadata"
)

const (
	// sweepRows is how many rows are read at a time.
	sweepRows = 1000
	// changeSlice is how many rows one transaction of a sweep changes.
	changeSlice = 250
	// findingSessions is how many sessions a finding names.
	findingSessions = 10
)

// sweep compares a shard of the catalog with what the tier has: a page of objects, and
// then the rows in the same range. In that order an object without a row is garbage
// for ever, since a row is made before its object.
func (s *shardRun) sweep(ctx context.Context) error {
	var after lashstore.Digest // rows up to here have been compared
	begin, end := s.keys()
	for cursor := begin; cursor != ""; {
		if err := s.tick(ctx); err != nil {
			return err
		}
		page, err := s.collector.opts.Tier.ListObjects(ctx, cursor, 0)
		s.count(func(rep *lashstore.CollectReport) { rep.ListRequests++ })
		if err != nil {
			if passing(err) {
				return err
			}
			return refuse(err, "the tier cannot be listed")
		}
		s.collector.step(StepListed)
		objects := within(page, end)
		s.countForeign(page, end)
		last := page.Next == "" || page.Next >= end
		var through *lashstore.Digest
		switch {
		case last:
		case len(objects) == 0: // nothing but foreign keys
			cursor = page.Next
			continue
		default:
			// Another object of this digest may be on the next page. Both are looked at again
			// before anything is done about them.
			through = &objects[len(objects)-1].Name.Digest
		}
		if err := s.merge(ctx, after, through, objects); err != nil || last {
			return err
		}
		after, cursor = *through, page.Next
	}
	return nil
}

// keys are where the shard's keys begin, and what is beyond them.
func (s *shardRun) keys() (begin, end string) {
	begin = fmt.Sprintf("b3/%02x/", s.shard.First)
	if s.shard.Last == 0xff {
		return begin, "b3/g"
	}
	return begin, fmt.Sprintf("b3/%02x/", s.shard.Last+1)
}

// within returns the objects of a page that are in the shard.
func within(page cas.Page, end string) []cas.Object {
	for i, o := range page.Objects {
		if o.Name.Key() >= end {
			return page.Objects[:i]
		}
	}
	return page.Objects
}

func (s *shardRun) countForeign(page cas.Page, end string) {
	s.count(func(rep *lashstore.CollectReport) {
		for _, o := range page.Foreign {
			if o.Key < end {
				rep.Sweep.Foreign++
			}
		}
	})
}

// merge compares objects with the rows after one digest and through another.
func (s *shardRun) merge(ctx context.Context, after lashstore.Digest, through *lashstore.Digest, objects []cas.Object) error {
	found := &sweepFindings{}
	for {
		if err := s.tick(ctx); err != nil {
			return err
		}
		rows, err := s.collector.opts.Catalog.Rows(ctx, s.shard, after, through, sweepRows)
		if err != nil {
			return refuse(err, "the catalog cannot be read")
		}
		for _, row := range rows {
			var here []cas.Object
			objects = found.before(objects, row.Digest)
			for len(objects) > 0 && objects[0].Name.Digest == row.Digest {
				here, objects = append(here, objects[0]), objects[1:]
			}
			found.judge(row, here)
		}
		s.count(func(rep *lashstore.CollectReport) { rep.Sweep.Rows += int64(len(rows)) })
		if len(rows) < sweepRows {
			break
		}
		after = rows[len(rows)-1].Digest
	}
	found.unknown = append(found.unknown, objects...)
	return s.apply(ctx, found)
}

// sweepFindings are the findings of a page.
type sweepFindings struct {
	objects, bytes int64
	unknown        []cas.Object // without a row
	unreferenced   []lashstore.Digest
	unsized        []metadata.Doomed
	missing        []metadata.SweptRow // stored once by the row, not listed
	wrongSize      []metadata.SweptRow
}

// before takes off the objects whose digests come before one: they have no row.
func (f *sweepFindings) before(objects []cas.Object, d lashstore.Digest) []cas.Object {
	n := 0
	for n < len(objects) && bytes.Compare(objects[n].Name.Digest.Bytes(), d.Bytes()) < 0 {
		n++
	}
	f.unknown = append(f.unknown, objects[:n]...)
	return objects[n:]
}

// judge compares a row with the objects of its digest.
func (f *sweepFindings) judge(row metadata.SweptRow, here []cas.Object) {
	var own *cas.Object
	for i, o := range here {
		if o.Name == objectName(row.Object) {
			own = &here[i]
		} else {
			f.unknown = append(f.unknown, o)
		}
	}
	if !row.Held && !row.Condemned {
		f.unreferenced = append(f.unreferenced, row.Digest)
	}
	switch {
	case own != nil:
		f.objects, f.bytes = f.objects+1, f.bytes+own.SizeBytes
		if row.Present && !row.Sized {
			f.unsized = append(f.unsized, metadata.Doomed{Object: row.Object, StoredBytes: own.SizeBytes})
		} else if row.Sized && row.StoredBytes != own.SizeBytes {
			f.wrongSize = append(f.wrongSize, row)
		}
	case row.Present, row.Wanted && row.Held:
		f.missing = append(f.missing, row)
	}
}

// apply acts on what a page showed.
func (s *shardRun) apply(ctx context.Context, f *sweepFindings) error {
	if err := s.unknown(ctx, f.unknown); err != nil {
		return err
	}
	var swept int64
	s.count(func(rep *lashstore.CollectReport) {
		rep.Sweep.Objects += f.objects
		rep.Sweep.ObjectBytes += f.bytes
		rep.Sweep.Unreferenced += int64(len(f.unreferenced))
		swept = rep.Sweep.Objects
	})
	s.progress(lashstore.PhaseSweep, swept, 0)
	if !s.opts.DryRun {
		for part := range slices.Chunk(f.unreferenced, changeSlice) {
			err := s.pacer.run(ctx, func() error {
				_, err := s.collector.opts.Catalog.Condemn(ctx, part)
				return err
			})
			if err != nil {
				return err
			}
		}
		for part := range slices.Chunk(f.unsized, changeSlice) {
			err := s.pacer.run(ctx, func() error { return s.collector.opts.Catalog.Learn(ctx, part) })
			if err != nil {
				return err
			}
		}
	}
	for _, row := range f.missing {
		if err := s.missing(ctx, row); err != nil {
			return err
		}
	}
	for _, row := range f.wrongSize {
		if err := s.wrongSize(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// unknown dooms objects that have no row and are older than the grace period.
func (s *shardRun) unknown(ctx context.Context, objects []cas.Object) error {
	var old []metadata.Doomed
	var bytes, young int64
	for _, o := range objects {
		if s.grace > 0 && o.ModTime.After(s.before()) {
			young++
			continue
		}
		bytes += o.SizeBytes
		old = append(old, metadata.Doomed{
			Object: metadata.Object{Digest: o.Name.Digest, Generation: uint64(o.Name.Generation)}, StoredBytes: o.SizeBytes,
		})
	}
	s.count(func(rep *lashstore.CollectReport) {
		rep.Sweep.Objects += int64(len(objects))
		rep.Sweep.UnknownYoung += young
		rep.Sweep.Unknown += int64(len(old))
		rep.Sweep.UnknownBytes += bytes
	})
	if s.opts.DryRun {
		return nil
	}
	for part := range slices.Chunk(old, changeSlice) {
		var doomed []metadata.Doomed
		err := s.pacer.run(ctx, func() (err error) {
			doomed, err = s.collector.opts.Catalog.DoomUnknown(ctx, part)
			return err
		})
		if err != nil {
			return err
		}
		s.countDoomed(doomed)
	}
	return nil
}

// missing looks again for an object that was not listed: its row may be younger than
// the page, and its object may be by now.
func (s *shardRun) missing(ctx context.Context, row metadata.SweptRow) error {
	there, err := s.exists(ctx, row.Object)
	if err != nil {
		return refuse(err, "the tier cannot be read")
	}
	now, found, err := s.collector.opts.Catalog.Blob(ctx, row.Digest)
	if err != nil {
		return refuse(err, "the catalog cannot be read")
	}
	if there || !found || now.Object != row.Object || !now.Present && !row.Wanted {
		return nil
	}
	if err := s.want(ctx, row); err != nil {
		return err
	}
	if now.Holders == 0 {
		return nil
	}
	return s.damage(ctx, row, lashstore.FindingMissing)
}

// wrongSize looks into an object that has another size than its row says. Two writers
// that store equal content at once may encode it differently, and whichever came last
// need not be the one whose size was recorded last: then the row learns the size.
func (s *shardRun) wrongSize(ctx context.Context, row metadata.SweptRow) error {
	tier := s.collector.opts.Tier
	_, err := tier.GetObject(ctx, objectName(row.Object))
	switch {
	case errors.Is(err, lashstore.ErrBlobNotFound):
		return s.missing(ctx, row)
	case errors.Is(err, lashstore.ErrCorruptBlob):
		if err := s.want(ctx, row); err != nil {
			return err
		}
		return s.damage(ctx, row, lashstore.FindingWrongSize)
	case err != nil:
		return refuse(err, "the tier cannot be read")
	case s.opts.DryRun:
		return nil
	}
	info, err := tier.StatObject(ctx, objectName(row.Object))
	if errors.Is(err, lashstore.ErrBlobNotFound) { // deleted meanwhile, or lost
		return s.missing(ctx, row)
	}
	if err != nil {
		return refuse(err, "the tier cannot be read")
	}
	return s.collector.opts.Catalog.Resize(ctx, metadata.Doomed{Object: row.Object, StoredBytes: info.SizeBytes})
}

// want makes whoever stores equal bytes next put them back.
func (s *shardRun) want(ctx context.Context, row metadata.SweptRow) error {
	if !row.Present || s.opts.DryRun {
		return nil
	}
	return s.collector.opts.Catalog.Want(ctx, []metadata.Doomed{{Object: row.Object}})
}

// damage reports an object that is not what was stored, and who needs it.
func (s *shardRun) damage(ctx context.Context, row metadata.SweptRow, kind lashstore.FindingKind) error {
	sessions, all, err := s.collector.opts.Catalog.Holders(ctx, row.Digest, findingSessions)
	if err != nil {
		return refuse(err, "the catalog cannot be read")
	}
	f := lashstore.Finding{
		Kind: kind, Digest: row.Digest, Key: objectName(row.Object).Key(), Sessions: sessions, More: all - int64(len(sessions)),
	}
	s.count(func(rep *lashstore.CollectReport) {
		if kind == lashstore.FindingMissing {
			rep.Sweep.Missing++
		} else {
			rep.Sweep.WrongSize++
		}
		rep.Sweep.Damage = lashstore.AddFinding(rep.Sweep.Damage, f)
	})
	return nil
}
