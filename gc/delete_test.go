package gc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/gc"
)

// refusing is a driver that does not delete some keys and deletes the others.
type refusing struct {
	cas.Driver
	keys map[string]error
}

func (d refusing) Delete(ctx context.Context, keys []string) error {
	failed := &cas.DeleteError{Failed: map[string]error{}}
	keep := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		if err := d.keys[key]; err != nil {
			failed.Failed[key] = err
			return true
		}
		return false
	})
	if len(keep) > 0 {
		if err := d.Driver.Delete(ctx, keep); err != nil {
			return err
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

// An object that the tier does not delete is tried again by each run, and keeps no
// other from being deleted.
func TestDeleteFailsForSome(t *testing.T) {
	t.Parallel()
	x := setup(t)
	driver := refusing{Driver: x.driver, keys: map[string]error{}}
	x.opts.Driver = driver
	x.reopen()
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprint("content ", i)
	}
	x.commit("s", names...)
	locked := errors.New("object is locked")
	for _, n := range names[:3] {
		driver.keys[x.key(n)] = locked
	}
	x.commit("s", "new")
	for range 2 {
		report := x.collect(now())
		equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
		equal(t, "pending", report.Pending, 3)
		equal(t, "errors", len(report.Errors), 3)
		st := x.status()
		equal(t, "doomed", st.Doomed, 3)
		equal(t, "condemned", st.Condemned, 0)
		for _, n := range names[:3] {
			x.key(n)
		}
		equal(t, "objects left", len(x.objects()), 4)
	}
	equal(t, "deleted in all", x.status().Totals.Deleted, 37)

	// The same content is stored anew meanwhile, under a name of its own.
	x.commit("s", names[0])
	equal(t, "objects of the content", len(x.keys(names[0])), 2)
	clear(driver.keys)
	report := x.collect(now())
	equal(t, "deleted in the end", report.Deleted, 4) // three and "new"
	equal(t, "outcome in the end", report.Outcome, lashstore.CollectSwept)
	x.has("s", names[0])
	x.exact()
}

// A tier that fails as a whole has deleted some, all or nothing: what is doomed stays
// so, and is tried again.
func TestDeleteFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]castest.Fault{
		"before": castest.FailBefore(nil), "after it acted": castest.FailAfter(nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.commit("s", "old")
			x.commit("s", "new")
			x.driver.Script(castest.Delete, fault)
			report := x.collect(now())
			equal(t, "outcome", report.Outcome, lashstore.CollectIncomplete)
			equal(t, "reason", report.Reason, "1 errors, 1 objects are still to be deleted")
			if len(report.Errors) != 1 || !strings.Contains(report.Errors[0], castest.ErrInjected.Error()) {
				t.Errorf("errors %q", report.Errors)
			}
			equal(t, "deleted", report.Deleted, 0)
			equal(t, "pending", report.Pending, 1)
			equal(t, "doomed", report.Doomed, 1)
			equal(t, "doomed, by the status", x.status().Doomed, 1)
			x.commit("s", "old") // under another name: a late delete cannot hit it
			report = x.collect(now())
			equal(t, "deleted by the next", report.Deleted, 2)
			x.has("s", "old")
			x.exact()
		})
	}
}

// A delete that takes effect long after it was asked for, or twice, must hit nothing
// that has come to be since.
func TestLateDelete(t *testing.T) {
	t.Parallel()
	x := setup(t)
	x.commit("s", "content")
	key := x.key("content")
	x.commit("s", "other")
	x.collect(now())
	x.commit("s", "content")
	must(t, x.tier.Delete(t.Context(), []string{key}))
	x.has("s", "content")
	x.collect(audit())
	x.has("s", "content")
	x.exact()
}

// More than one batch, and a process that dies between any two steps of it.
func TestManyDeletions(t *testing.T) {
	t.Parallel()
	x := setup(t)
	const contents = 1200 // more than the transactions that doom take in a shard, and a batch
	x.inlineFree(contents)
	x.commit("s", "new")
	steps := map[string]int{}
	for _, step := range []string{gc.StepDooming, gc.StepDoomed, gc.StepDeleted} {
		ctx, cancel := context.WithCancel(t.Context())
		x.at(step, func() {
			if steps[step]++; steps[step] == 2 {
				cancel()
			}
		})
		if _, err := x.store.Collect(ctx, now()); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", step, err)
		}
		cancel()
		x.has("s", "new")
	}
	x.at("", nil)
	x.collect(now())
	x.exact()
	equal(t, "deleted in all, as the totals of runs that ended say", x.status().Totals.Deleted <= contents, true)
}

// inlineFree commits many contents to the session and drops them.
func (x *tenant) inlineFree(n int) {
	x.Helper()
	for from := 0; from < n; from += 400 {
		contents := make(map[string][]byte)
		for i := from; i < min(from+400, n); i++ {
			contents[fmt.Sprint("component ", i)] = noise(fmt.Sprint("small ", i), 9<<10)
		}
		x.commitAll("s", contents)
	}
	x.settle()
}

// What cannot be listed is not swept: nothing may be taken for missing or for garbage.
func TestListFails(t *testing.T) {
	t.Parallel()
	for nth := range 4 {
		x := setup(t)
		x.commit("s", "old")
		x.commit("s", "new")
		lists := 0
		x.driver.Always(castest.List, func(keys []string) castest.Fault {
			if !strings.HasSuffix(keys[0], "owner/") {
				if lists++; lists == nth*5+1 {
					return castest.FailBefore(nil)
				}
			}
			return castest.Pass()
		})
		report, err := x.store.Collect(t.Context(), audit())
		if !errors.Is(err, lashstore.ErrCollectionRefused) || !errors.Is(err, castest.ErrInjected) {
			t.Fatalf("got %v", err)
		}
		equal(t, "outcome", report.Outcome, lashstore.CollectRefused)
		equal(t, "missing", report.Sweep.Missing, 0)
		x.driver.Heal()
		report = x.collect(audit())
		equal(t, "sessions compared once more", report.Mark.Sessions, 0)
		x.exact()
	}
}
