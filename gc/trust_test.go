package gc_test

import (
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// A clock that was set back makes all that waits look younger than it is, and what
// expires live longer: no harm, but nothing to decide by either.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.collect(lashstore.CollectOptions{})
	x.jump(-time.Minute) // clocks of two machines may differ by so much
	x.collect(lashstore.CollectOptions{})
	x.jump(-time.Millisecond)
	x.refused(now(), "set back")
	x.refused(audit(), "set back")
	dry := now()
	dry.DryRun = true
	x.refused(dry, "set back")
	x.jump(time.Millisecond)
	equal(t, "deleted", x.collect(now()).Deleted, 0) // the store's own clock never steps back
	x.jump(time.Minute)
	equal(t, "deleted with the clock put right", x.collect(now()).Deleted, 1)
	x.exact()
}

// A clock that is set during a run must not end anybody's grace period.
func TestClockJumpsDuringRun(t *testing.T) {
	t.Parallel()
	for _, step := range []string{gc.StepCollecting, gc.StepMarking, gc.StepListed} {
		for _, jump := range []time.Duration{time.Minute + time.Millisecond, -time.Minute - time.Millisecond, 30 * 24 * time.Hour} {
			x := setup(t)
			x.commit("s", "old")
			x.commit("s", "new")
			x.once(step, func() { x.jump(jump) })
			x.refused(lashstore.CollectOptions{Audit: true, Workers: 1}, "jumped by "+jump.Round(time.Second).String())
			x.at("", nil)
			x.jump(-jump)
			if report := x.collect(lashstore.CollectOptions{Audit: true, Workers: 1}); report.Condemned+report.Doomed != 1 {
				t.Errorf("%s: %d condemned", step, report.Condemned)
			}
			x.has("s", "new")
		}
	}
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.once(gc.StepDooming, func() { x.jump(time.Minute) }) // as a clock that is adjusted
	equal(t, "deleted", x.collect(now()).Deleted, 1)
}

// A run that takes long goes by the time that passes, not by the time at its beginning
// only: what comes due meanwhile may go, and nothing before.
func TestTimePassesDuringRun(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	grace := time.Hour
	opts := lashstore.CollectOptions{Grace: &grace, Audit: true, Workers: 1}
	x.once(gc.StepMarking, func() { x.clock.Advance(grace - time.Millisecond) })
	report := x.collect(opts)
	equal(t, "deleted", report.Deleted, 0)
	equal(t, "condemned", report.Condemned, 1)
	equal(t, "duration", report.Duration, grace-time.Millisecond)
	x.once(gc.StepMarking, func() { x.clock.Advance(time.Millisecond) })
	equal(t, "deleted when it came due during the run", x.collect(opts).Deleted, 1)
}

// After a long pause nobody knows whether the clock is right. The first run says so and
// notes the time; a dry run notes nothing.
func TestLongPause(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.collect(lashstore.CollectOptions{})
	x.jump(gc.MaxIdle)
	dry := now()
	dry.DryRun = true
	equal(t, "doomed by a dry run after the longest pause", x.collect(dry).Doomed, 1)
	x.jump(time.Millisecond)
	x.refused(dry, "the next one will delete")
	x.refused(dry, "the next one will delete")
	x.refused(now(), "the next one will delete")
	equal(t, "deleted by the second run", x.collect(now()).Deleted, 1)

	// A refusal counts for the clock: setting it back is noticed.
	x.jump(2 * gc.MaxIdle)
	x.refused(audit(), "the next one will delete")
	x.jump(-gc.MaxIdle)
	x.refused(now(), "set back")
	x.jump(gc.MaxIdle)
	x.collect(audit())
	x.exact()
}

// What stopped the tenant's deletions goes on stopping them until an audit has passed.
func TestStopped(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.catalog(func(k *metadata.Catalog) { must(t, k.Stop(t.Context(), "the moon is full")) })
	equal(t, "status", x.status().Stopped, "the moon is full")
	for range 2 {
		x.refused(now(), "the moon is full")
	}
	x.reopen()
	x.refused(now(), "the moon is full")
	equal(t, "deleted by an audit", x.collect(audit()).Deleted, 1)
	equal(t, "status after an audit", x.status().Stopped, "")
	x.commit("s", "newer")
	equal(t, "deleted after an audit", x.collect(now()).Deleted, 1)
	x.exact()
}

// An audit that was under way when something stopped it must not be what lets go on:
// it looked before.
func TestStoppedDuringAudit(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	x.once(gc.StepMarking, func() {
		x.catalog(func(k *metadata.Catalog) { must(t, k.Stop(t.Context(), "the moon is full")) })
	})
	x.refused(audit(), "the moon is full")
	x.refused(now(), "the moon is full")
	equal(t, "deleted by the next audit", x.collect(audit()).Deleted, 1)
	x.exact()
}

// Of two data directories on one prefix, each would take the other's objects for
// garbage.
func TestForeignTier(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "old")
	x.commit("s", "new")
	const other = local.DefaultTenant + "/owner/0123456789abcdef"
	must(t, x.tier.Put(t.Context(), other, nil))
	x.refused(now(), "belong to this data directory alone")
	x.refused(audit(), "belong to this data directory alone")
	dry := audit()
	dry.DryRun = true
	x.refused(dry, "belong to this data directory alone")
	must(t, x.tier.Delete(t.Context(), []string{other}))
	equal(t, "deleted when it is alone", x.collect(now()).Deleted, 1)

	// Its own mark lost, as on a bucket that was copied in part.
	infos, err := x.tier.List(t.Context(), local.DefaultTenant+"/owner/", "", 10)
	must(t, err)
	equal(t, "owners", len(infos), 1)
	must(t, x.tier.Delete(t.Context(), []string{infos[0].Key}))
	x.commit("s", "newer")
	x.refused(now(), "belong to this data directory alone")
}

// A tier in the directory's own folder belongs to nobody else, and is not asked.
func TestOwnFolder(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.close()
	x.dir, x.opts.Driver = t.TempDir(), nil
	x.open()
	x.commit("s", "old")
	x.commit("s", "new")
	equal(t, "deleted", x.collect(audit()).Deleted, 1)
	x.has("s", "new")
	files, err := filecas.Open(x.dir+"/blobs", filecas.Options{NoSync: true})
	must(t, err)
	defer func() { must(t, files.Close()) }()
	infos, err := files.List(t.Context(), objectRoot, "", 10)
	must(t, err)
	equal(t, "files", len(infos), 1)
}
