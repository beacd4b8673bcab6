package integration_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
)

// How far ahead of the real time audits are.
const (
	leasesOver  = 10 * time.Minute                           // no lease of a collector that was killed holds
	uploadsOver = lashstore.DefaultUploadTTL + 2*time.Minute // no upload is protected, attachments neither
)

// check checks the directory that the dead processes left: first what was
// acknowledged, then that audits come to an end, then all of it again.
func (c *collected) check() {
	c.t.Helper()
	heads := c.checkLedger()
	c.audit(leasesOver) // or ends what a dead collector began, and marked in part
	last := c.audit(leasesOver)
	if last.Outcome != lashstore.CollectSwept && last.Outcome != lashstore.CollectNothing || last.Mark.Sessions < int64(len(heads)) {
		c.t.Errorf("the last audit: %+v %+v %+v", last, last.Mark, last.Sweep)
	}
	c.idle(leasesOver)
	c.verify()
	if again := c.checkLedger(); !maps.Equal(heads, again) {
		c.t.Errorf("heads %v became %v by auditing", heads, again)
	}
	c.agree()
	if end := c.audit(uploadsOver); end.UploadsExpired == 0 {
		c.t.Errorf("no upload was left: %+v", end)
	}
	c.idle(uploadsOver)
	c.verify()
	c.agree()
	if n := holds(c.t, c.place.Dir); n > 0 {
		c.t.Errorf("%d uploads are still protected", n)
	}
}

// idle requires that an audit finds nothing to do.
func (c *collected) idle(ahead time.Duration) {
	c.t.Helper()
	r := c.audit(ahead)
	if r.Outcome != lashstore.CollectNothing || r.DeleteRequests > 0 || r.Condemned > 0 || r.Mark.SurplusEdges > 0 {
		c.t.Errorf("the audit after the last: %+v %+v %+v", r, r.Mark, r.Sweep)
	}
	c.t.Logf("left: %d sessions, %d objects", r.Mark.Sessions, r.Retained)
}

// verify has the store itself look for damage.
func (c *collected) verify() {
	c.t.Helper()
	store, closeStore, err := c.place.open(c.t.Context(), local.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	report, err := store.Verify(c.t.Context(), lashstore.VerifyOptions{Content: true})
	if err := errors.Join(err, closeStore()); err != nil || report.Outcome != lashstore.VerifyClean || report.ContentsRead == 0 {
		c.t.Errorf("%v: %+v", err, report)
	}
}

// checkLedger checks all sessions and returns their heads.
func (c *collected) checkLedger() map[lashstore.SessionID]lashstore.Revision {
	c.t.Helper()
	ctx := c.t.Context()
	store, closeStore, err := c.place.open(ctx, local.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	heads := make(map[lashstore.SessionID]lashstore.Revision)
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(c.ledger.entries)) {
		head, there, err := c.ledger.checkEntry(ctx, store, id)
		if err != nil {
			errs = append(errs, fmt.Errorf("session %s: %w", id, err))
		}
		if there {
			heads[id] = head
		}
	}
	errs = append(errs, c.ledger.checkList(ctx, store, heads), closeStore())
	if err := errors.Join(errs...); err != nil {
		c.t.Fatal(err)
	}
	return heads
}

// audit collects, some time ahead, and requires that nothing is found that must not
// be.
func (c *collected) audit(ahead time.Duration) lashstore.CollectReport {
	c.t.Helper()
	ctx := c.t.Context()
	store, closeStore, err := c.place.open(ctx, local.Options{Now: func() time.Time { return time.Now().Add(ahead) }})
	if err != nil {
		c.t.Fatal(err)
	}
	report, err := store.Collect(ctx, lashstore.CollectOptions{Audit: true, Grace: new(time.Duration)})
	if err == nil {
		err = c.judge(&report)
	}
	c.t.Logf("an audit removed %d surplus references and deleted %d objects, %d of them unknown: %s",
		report.Mark.SurplusEdges, report.Deleted, report.Sweep.Unknown, report.Outcome)
	if err := errors.Join(err, closeStore()); err != nil {
		c.t.Fatalf("%v: %+v", err, report)
	}
	return report
}

// agree requires that databases and tier agree, with nothing left over, by plain SQL
// and a listing.
func (c *collected) agree() {
	c.t.Helper()
	driver, closeDriver, err := c.place.driver(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		if err := closeDriver(); err != nil {
			c.t.Error(err)
		}
	}()
	(&faultyS3{t: c.t, direct: driver}).whole(c.place.Dir)
}
