package local_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// simStep is a decision of a history. What its numbers choose among depends on what
// there is at the time, so that a history stays one if steps are left out.
type simStep struct {
	verb    simVerb
	a, b, c int
}

type simVerb string

// The verbs. The first is what a history shrinks to.
const (
	verbRun       simVerb = "run"    // a call goes on, for some stops or to its end
	verbCommit    simVerb = "commit" // of bytes
	verbReference simVerb = "reference"
	verbTrim      simVerb = "trim" // by a commit that lets go of all
	verbPut       simVerb = "put"
	verbSettle    simVerb = "settle"
	verbCollect   simVerb = "collect"
	verbAudit     simVerb = "audit"
	verbDelete    simVerb = "delete"
	verbCreate    simVerb = "create"
	verbUndelete  simVerb = "undelete"
	verbLoad      simVerb = "load"
	verbRestart   simVerb = "restart"
	verbFault     simVerb = "fault" // the next request of a kind goes wrong
	verbLand      simVerb = "land"  // what was sent to the tier lands
	verbCrash     simVerb = "crash"
	verbAdvance   simVerb = "advance" // time passes
	verbJump      simVerb = "jump"    // the clock is set
)

// simVerbs are the verbs as often as they are to be drawn.
var simVerbs = weighted(
	weight{verbRun, 34}, weight{verbCommit, 12}, weight{verbReference, 3}, weight{verbTrim, 6}, weight{verbPut, 4},
	weight{verbSettle, 7}, weight{verbCollect, 8}, weight{verbAudit, 5}, weight{verbDelete, 2}, weight{verbCreate, 3},
	weight{verbUndelete, 1}, weight{verbLoad, 1}, weight{verbRestart, 1}, weight{verbFault, 8}, weight{verbLand, 6}, weight{verbCrash, 8},
	weight{verbAdvance, 3}, weight{verbJump, 1},
)

type weight struct {
	verb simVerb
	n    int
}

func weighted(weights ...weight) (verbs []simVerb) {
	for _, w := range weights {
		for range w.n {
			verbs = append(verbs, w.verb)
		}
	}
	return verbs
}

// numbers is 0 to n-1, all alike: the ranges of rapid prefer small ones.
func numbers(n int) *rapid.Generator[int] {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return rapid.SampledFrom(list)
}

const (
	simMinSteps = 15
	simMaxSteps = 60
	// toEnd as a number of stops means to the end of the call.
	toEnd = 1000
)

// How far calls go at first, and later on, by a number of the step: often not far, so
// that many are under way at a time, and often to the end, so that much comes about.
var (
	startStops = [13]int{0, 1, 2, 3, 4, 1, 3, 6, 9, toEnd, toEnd, toEnd, toEnd}
	runStops   = [12]int{1, 2, 3, 4, 1, 2, 3, 5, 8, toEnd, toEnd, toEnd}
)

var simHistories = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) simStep {
	return simStep{verb: verbs.Draw(t, "verb"), a: simA.Draw(t, "a"), b: simB.Draw(t, "b"), c: simC.Draw(t, "c")}
}), simMinSteps, simMaxSteps)

var (
	verbs = rapid.SampledFrom(simVerbs)
	simA  = numbers(6)
	simB  = numbers(12)
	simC  = numbers(13)
)

// do carries out one step.
func (w *simWorld) do(s simStep) {
	p := w.procs[s.a%len(w.procs)]
	id := simIDs[[]int{0, 0, 0, 1, 1, 2}[s.b%6]] // most meet in one session
	content := simContents[s.b/6%len(simContents)]
	var c *simCall
	switch s.verb {
	case verbFault, verbLand, verbCrash, verbAdvance, verbJump, verbRun:
	default:
		if p.closing {
			return
		}
	}
	switch s.verb {
	case verbRun:
		if list := w.runnable(); len(list) > 0 {
			w.run(list[s.a%len(list)], runStops[s.b])
		}
		return
	case verbFault:
		w.tier.faults[s.a%2 == 1] = simFault(s.b % int(simFaults))
		return
	case verbLand:
		if n := len(w.tier.pending); n > 0 {
			w.note("late " + strings.Fields(w.tier.land(s.a%n, w.wall).String())[0])
			w.check.always(w)
		}
		return
	case verbCrash:
		if list := w.runnable(); len(list) > 0 {
			c = list[s.a%len(list)]
			p = w.procs[c.proc.n]
			if rare := rareStops[strings.Fields(c.name)[0]]; len(rare) > 0 && s.c > 5 {
				if !w.runTo(c, rare[s.b%len(rare)]) {
					return
				}
			} else {
				w.run(c, s.b%8)
			}
		}
		w.crash(p, s.c%2 == 1)
		return
	case verbAdvance:
		w.advance([]time.Duration{time.Minute, 20 * time.Minute, 70 * time.Minute, 3 * time.Hour}[s.b%4])
		return
	case verbJump:
		w.jump([]time.Duration{30 * time.Second, -2 * time.Hour, 3 * time.Hour, 50 * 24 * time.Hour}[s.b%4])
		return
	case verbCommit:
		c = w.commit(p, id, content, false)
	case verbReference:
		c = w.commit(p, id, content, true)
	case verbTrim:
		c = w.commit(p, id, simPlain, false)
	case verbPut:
		c = w.put(p, content)
	case verbSettle:
		if p.settling {
			return // a second one would wait for the first where no gate sees it
		}
		c = w.settle(p)
	case verbRestart:
		if w.busy(p) {
			return // closing waits for calls where no gate sees it
		}
		c = w.restart(p)
	case verbCollect:
		c = w.collect(p, false, []time.Duration{0, 0, 0, 30 * time.Minute}[s.b%4])
	case verbAudit:
		c = w.collect(p, true, []time.Duration{0, 0, 0, 30 * time.Minute}[s.b%4])
	case verbDelete:
		c = w.remove(p, id)
	case verbCreate:
		c = w.create(p, id)
	case verbUndelete:
		if s.b%2 == 0 {
			content = nil
		}
		c = w.undelete(p, content)
	case verbLoad:
		c = w.load(p, id)
	}
	w.run(c, startStops[s.c])
}

// busy reports whether a process has calls under way.
func (w *simWorld) busy(p *simProcess) bool {
	return slices.ContainsFunc(w.calls, func(c *simCall) bool { return c.proc == p && !c.done })
}

// run lets a call go on for some stops, while it can.
func (w *simWorld) run(c *simCall, stops int) {
	for n := 0; w.failure == nil && !c.done && w.locked[c.wants] == nil && (n < stops || stops >= toEnd); n++ {
		w.goOn(c)
	}
}

// rareStops are where calls are seldom, by what they do: a process that is to crash
// often goes on to there first.
var rareStops = map[string][]string{
	"settle":  {"step: " + local.StepSettling},
	"close":   {"step: " + local.StepSettling},
	"collect": {"tier: delete", "tier: after delete", "step: " + gc.StepDeleted, "step: " + gc.StepReleasing, "step: " + gc.StepDoomed},
	"audit":   {"tier: delete", "step: " + gc.StepReconciled, "step: " + gc.StepSurplus, "step: " + gc.StepReleasing, "step: " + gc.StepListed},
	"create":  {"step: " + local.StepAdmitted, "step: " + local.StepMaterialised},
	"delete":  {"step: " + local.StepDeleting, "step: " + local.StepMarked, "step: " + local.StepReleased, "step: " + local.StepRemoved},
}

// runTo lets a call go on until it has come somewhere, and reports whether it did.
func (w *simWorld) runTo(c *simCall, at string) bool {
	for w.failure == nil && !c.done && c.at != at && w.locked[c.wants] == nil {
		w.goOn(c)
	}
	return !c.done && c.at == at
}

func (w *simWorld) advance(d time.Duration) {
	w.elapsed += d
	w.jump(d)
}

func (w *simWorld) jump(d time.Duration) {
	w.log(fmt.Sprintf("the clock goes by %s", d))
	w.wall = w.wall.Add(d)
	if w.wall.After(w.latest) {
		w.latest = w.wall
	}
	clear(w.model.fences) // some have expired
}

// quiesce lets everything that is under way end, and what was sent land.
func (w *simWorld) quiesce() {
	clear(w.tier.faults)
	for w.failure == nil {
		list := w.runnable()
		if len(list) == 0 {
			break
		}
		for _, c := range list {
			w.run(c, 1)
		}
	}
	for w.failure == nil && len(w.tier.pending) > 0 {
		w.tier.land(0, w.wall)
		w.check.always(w)
	}
}

// settleAll lets a process that knows of nothing bring everything in order, and checks
// that nothing is lost and nothing left.
func (w *simWorld) settleAll() {
	for _, p := range w.procs {
		w.gone = append(w.gone, p.store)
		p.store = nil
	}
	if w.open(w.procs[0]); w.failure != nil {
		return
	}
	ctx, store := context.Background(), w.procs[0].store
	w.jump(w.latest.Sub(w.wall) + time.Hour)
	left := "everything"
	for round := 0; round < maxRounds && left != "" && w.failure == nil; round++ {
		w.advance(3 * time.Hour)
		if err := w.settleOnce(ctx, store); err != nil {
			w.fail("at rest: %w", err)
			return
		}
		w.check.always(w)
		left = w.check.left(w)
		if left == "" {
			w.tally.count(fmt.Sprintf("in order after %d audits", round+1))
		}
	}
	if left != "" {
		w.fail("at rest there is something left: %s", left)
	}
	w.checkAcknowledged(ctx, store)
}

// maxRounds is how many audits bring everything in order: one may refuse to run after a
// long time, one may complete another that was interrupted, one removes sessions, and
// another finds what they held.
const maxRounds = 5

func (w *simWorld) settleOnce(ctx context.Context, store *local.Store) error {
	page, err := store.ListSessions(ctx, lashstore.ListSessions{})
	if err != nil {
		return err
	}
	for _, s := range page.Sessions {
		_, err := store.OpenSession(ctx, s.SessionID, lashstore.OpenOptions{})
		if err != nil && !errors.Is(err, lashstore.ErrSessionDeleted) {
			return err
		}
	}
	if _, err := store.ListSessions(ctx, lashstore.ListSessions{}); err != nil {
		return err
	}
	none := time.Duration(0)
	c := &simCall{proc: w.procs[0], name: "last audit"}
	report, err := store.Collect(ctx, lashstore.CollectOptions{Audit: true, Grace: &none, Workers: 1})
	if errors.Is(err, lashstore.ErrCollectionRefused) {
		w.tally.count("last audits refused")
		err = nil
	}
	if err == nil {
		w.judge(c, report)
		if len(report.Errors) > 0 {
			err = errors.New(report.Errors[0])
		}
	}
	return err
}

// checkAcknowledged checks that every session loads and what was acknowledged is there.
func (w *simWorld) checkAcknowledged(ctx context.Context, store *local.Store) {
	page, err := store.ListSessions(ctx, lashstore.ListSessions{})
	if err != nil {
		w.fail("at rest: %w", err)
		return
	}
	loaded := make(map[lashstore.SessionID]*lashstore.Snapshot)
	for _, s := range page.Sessions {
		h, err := store.OpenSession(ctx, s.SessionID, lashstore.OpenOptions{})
		if err == nil {
			loaded[s.SessionID], err = h.Load(ctx, lashstore.LoadOptions{})
		}
		if err != nil {
			w.fail("at rest: load %s: %w", s.SessionID, err)
		}
	}
	for id, want := range w.model.commits {
		if w.model.lost[id] || id == simIDs[len(simIDs)-1] {
			continue
		}
		snap := loaded[id]
		if snap == nil || snap.Revision < want.revision ||
			snap.Revision == want.revision && lashstore.DigestOf(snap.Checkpoint.Components["state"].Bytes) != want.digest {
			w.fail("the acknowledged revision %d of %s is lost", want.revision, id)
		}
	}
}

// simTemplate is a data directory with the sessions, and a tier that belongs to it,
// which every history begins with.
type simTemplate struct {
	files map[string][]byte // by path
	tier  map[string]simObject
}

func newSimTemplate(tb testing.TB) *simTemplate {
	tb.Helper()
	w := newSimWorld(tb.TempDir(), &simTally{events: make(map[string]int)})
	p := &simProcess{world: w}
	w.open(p)
	for _, id := range simIDs {
		if w.failure == nil {
			_, _, err := p.store.CreateSession(context.Background(), lashstore.CreateSession{Meta: simMeta(id)})
			if err != nil {
				w.fail("create: %w", err)
			}
		}
	}
	if w.failure == nil {
		if err := p.store.Close(); err != nil {
			w.fail("close: %w", err)
		}
	}
	if w.failure != nil {
		tb.Fatal(w.failure)
	}
	tmpl := &simTemplate{files: make(map[string][]byte), tier: w.tier.objects}
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(w.dir, path)
		if err != nil {
			return err
		}
		tmpl.files[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return tmpl
}

// copyTo makes dir a copy of the template.
func (m *simTemplate) copyTo(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for rel, content := range m.files {
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func newSimWorld(dir string, tally *simTally) *simWorld {
	return &simWorld{
		dir: dir, tally: tally, tier: newSimTier(), rand: testenv.NewSeededRand(1),
		model: newSimModel(), check: newSimChecker(), wall: testenv.Start(), latest: testenv.Start(),
		stopped: make(chan struct{}), locked: make(map[string]*simCall),
	}
}

// runHistory carries out a history and returns what went wrong, with what happened.
func (m *simTemplate) runHistory(dir string, tally *simTally, steps []simStep) ([]string, error) {
	if err := m.copyTo(dir); err != nil {
		return nil, err
	}
	w := newSimWorld(dir, tally)
	w.rand = testenv.NewSeededRand(2)
	maps.Copy(w.tier.objects, m.tier)
	for n := range simProcesses {
		p := &simProcess{world: w, n: n}
		w.procs = append(w.procs, p)
		w.open(p)
	}
	for _, s := range steps {
		if w.failure != nil {
			break
		}
		w.do(s)
	}
	w.quiesce()
	if w.failure == nil {
		w.settleAll()
	}
	w.end()
	return w.trace, w.failure
}

// simProcesses is how many processes a history has.
const simProcesses = 2
