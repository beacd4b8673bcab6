package local_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// Times of the simulation: short against what its clock moves by.
const (
	simUploadTTL  = time.Hour
	simSessionTTL = 2 * time.Hour
	simLeaseTTL   = time.Hour
)

// simWorld is a data directory, a tier, a clock and processes that use them. Of all the
// calls that are under way exactly one runs at a time, until it stops at a gate, a step
// or a request to the tier; who goes on next is decided from outside. So a history is
// determined by those decisions.
type simWorld struct {
	dir   string
	tier  *simTier
	rand  *testenv.Rand
	procs []*simProcess
	gone  []*local.Store // of processes that crashed
	calls []*simCall     // all, also those that ended
	model *simModel
	check *simChecker
	tally *simTally

	// wall may jump, elapsed only goes on; latest is the latest that wall ever was.
	wall, latest time.Time
	elapsed      time.Duration

	current *simCall
	stopped chan struct{}       // the current call has stopped or ended
	locked  map[string]*simCall // databases of sessions, by path
	over    atomic.Bool         // nothing stops any more, all requests fail
	failure error
	trace   []string
}

// simProcess is a store that is open on the directory.
type simProcess struct {
	world *simWorld
	n     int
	store *local.Store
	dead  bool
	// settling is set while a call that settles is under way, which others would wait for.
	settling bool
	closing  bool // it takes no calls
}

// simCall is a call that a process has under way.
type simCall struct {
	proc   *simProcess
	name   string
	ctx    context.Context //nolint:containedctx // of the call that this is
	cancel context.CancelFunc
	resume chan struct{}
	done   bool
	err    error
	ended  func(*simCall) // judges the result

	at      string      // where it has stopped
	wants   string      // the database whose lock it waits for
	holds   string      // the database of a session whose lock it has
	sending []simEffect // what it is about to send to the tier
	staged  int         // how often a commit had all content in the tier
}

func (c *simCall) String() string { return fmt.Sprintf("p%d %s", c.proc.n, c.name) }

// note counts an event and remembers it for the history that is shown.
func (w *simWorld) note(event string) {
	w.tally.count(event)
	w.log(event)
}

func (w *simWorld) log(line string) {
	if w.current != nil {
		line = w.current.String() + ": " + line
	}
	w.trace = append(w.trace, line)
}

func (w *simWorld) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
	}
}

// options are those of a process.
func (w *simWorld) options(p *simProcess) local.Options {
	grace := time.Duration(0)
	return local.Options{
		Driver: simDriver{p}, TierName: "simulated", Profile: lashstore.ProfileCompact,
		Durability: lashstore.DurabilityNormal,
		Retention:  lashstore.Retention{Revisions: 1 + p.n%2},
		UploadTTL:  simUploadTTL, Grace: &grace, RecentBytes: -1,
		Now:     func() time.Time { return w.wall },
		Elapsed: func() time.Duration { return w.elapsed },
		Rand:    w.rand, Step: p.step,
	}.Gated(p)
}

// open makes a process live, with a store of its own.
func (w *simWorld) open(p *simProcess) {
	store, err := local.Open(context.Background(), w.dir, w.options(p))
	if err != nil {
		w.fail("open the store: %w", err)
		return
	}
	p.store = store
}

// start begins a call, which does not run before it is resumed.
func (w *simWorld) start(p *simProcess, name string, fn func(context.Context) error, ended func(*simCall)) *simCall {
	c := &simCall{proc: p, name: name, resume: make(chan struct{}), ended: ended, at: "begin"}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	w.calls = append(w.calls, c)
	w.log("start " + c.String())
	go func() {
		<-c.resume
		c.err = fn(c.ctx)
		c.done = true
		w.stopped <- struct{}{}
	}()
	return c
}

// runnable lists the calls that can go on.
func (w *simWorld) runnable() []*simCall {
	var list []*simCall
	for _, c := range w.calls {
		if !c.done && !c.proc.dead && w.locked[c.wants] == nil {
			list = append(list, c)
		}
	}
	return list
}

// goOn lets a call run until it stops or ends, and checks what must always hold.
func (w *simWorld) goOn(c *simCall) {
	if len(w.trace) < maxTrace {
		w.trace = append(w.trace, c.String()+" from "+c.at)
	}
	w.resumeCall(c)
	if c.done {
		w.finish(c)
	}
	w.check.always(w)
}

// maxTrace bounds the lines of a history, for the case that it never ends.
const maxTrace = 10_000

func (w *simWorld) resumeCall(c *simCall) {
	w.current = c
	c.resume <- struct{}{}
	<-w.stopped
	w.current = nil
}

// finish judges a call that ended by itself.
func (w *simWorld) finish(c *simCall) {
	c.cancel()
	w.calls = slices.DeleteFunc(w.calls, func(other *simCall) bool { return other == c })
	w.trace = append(w.trace, fmt.Sprintf("%s ends: %v", c, c.err))
	w.tally.count("end of " + strings.Fields(c.name)[0] + ": " + outcome(c.err))
	if outcome(c.err) == "" {
		w.fail("%s: %w", c, c.err)
	}
	c.ended(c)
}

// crash ends a process: its calls never go on. One that is in a transaction of a session
// is unwound, so that the transaction is rolled back; requests that were about to be sent
// may have been.
func (w *simWorld) crash(p *simProcess, sent bool) {
	p.dead = true
	w.log(fmt.Sprintf("crash of p%d", p.n))
	for _, c := range w.calls {
		if c.proc != p || c.done {
			continue
		}
		w.note("crash at " + c.at)
		if sent {
			w.tier.pending = append(w.tier.pending, c.sending...)
			if len(c.sending) > 0 {
				w.note("crash with a request on its way")
			}
		}
		if c.holds != "" {
			c.cancel()
			w.resumeCall(c)
		}
	}
	w.gone = append(w.gone, p.store)
	w.procs[p.n] = &simProcess{world: w, n: p.n}
	w.open(w.procs[p.n])
	w.check.always(w)
}

// end lets every call that is left run into errors, and closes everything.
func (w *simWorld) end() {
	w.over.Store(true)
	left := 0
	for _, c := range w.calls {
		c.cancel()
		if !c.done {
			left++
			close(c.resume)
		}
	}
	for range left {
		<-w.stopped
	}
	for _, p := range w.procs {
		if p.store != nil {
			w.gone = append(w.gone, p.store)
		}
	}
	for _, s := range w.gone {
		if err := s.Abandon(); err != nil {
			w.fail("close a store: %w", err)
		}
	}
	w.check.close()
}

// stop is where a call of the process waits for its turn.
func (p *simProcess) stop(at string) {
	w := p.world
	c := w.current
	if w.over.Load() || c == nil {
		return
	}
	if p.dead && c.holds != "" {
		return // on its way out of a transaction
	}
	if at == "step: "+local.StepStaged {
		if c.staged++; c.staged > 1 && !strings.HasPrefix(c.name, "commit reference") {
			w.note("commit begun again after a lost reservation")
		}
	}
	c.at = at
	if p.dead {
		c.at = "dead"
	}
	w.stopped <- struct{}{}
	<-c.resume
}

// send is a stop before a request is sent to the tier.
func (p *simProcess) send(at string, effects []simEffect) {
	if c := p.world.current; c != nil && !p.world.over.Load() {
		c.sending = effects
		p.stop(at)
		c.sending = nil
		return
	}
}

func (p *simProcess) step(name string) { p.stop("step: " + name) }

// Enter stops a write before it waits for its lock.
func (p *simProcess) Enter(path string) {
	w := p.world
	c := w.current
	if w.over.Load() || c == nil {
		return
	}
	session := isSession(path)
	if session {
		c.wants = path
	}
	p.stop("before a transaction of " + databaseName(path))
	c.wants = ""
	if session && !w.over.Load() {
		w.locked[path] = c
		c.holds = path
	}
}

// Leave notes that a write has let go of its lock.
func (p *simProcess) Leave(path string) {
	w := p.world
	c := w.current
	if w.over.Load() {
		return
	}
	w.check.changed(path)
	if c != nil && isSession(path) {
		delete(w.locked, path)
		c.holds = ""
	}
}

func isSession(path string) bool { return strings.Contains(path, "/sessions/") }

// databaseName is a path as a history shows it.
func databaseName(path string) string {
	switch {
	case isSession(path):
		return "session"
	case strings.HasSuffix(path, "catalog.db"):
		return "the catalog"
	default:
		return "a new session"
	}
}

// simTally counts what happened in all histories.
type simTally struct {
	mu     sync.Mutex
	events map[string]int // guarded by mu
}

func (t *simTally) count(event string) { t.add(event, 1) }

func (t *simTally) add(event string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events[event] += n
}

// String lists the counts.
func (t *simTally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, event := range slices.Sorted(func(yield func(string) bool) {
		for e := range t.events {
			if !yield(e) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%8d  %s\n", t.events[event], event)
	}
	return b.String()
}

// tenantDir is the folder of the tenant.
func (w *simWorld) tenantDir() string { return filepath.Join(w.dir, "tenants", local.DefaultTenant) }
