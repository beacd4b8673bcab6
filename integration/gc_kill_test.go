package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// killTimeVariable says, as a duration, for how long processes are killed.
const killTimeVariable = "LASHSTORE_GC_KILL_TIME"

// killTime is for how long processes are killed beside collectors.
func killTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv(killTimeVariable); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", killTimeVariable, err)
		}
		return d
	}
	if testenv.InCI() && !testing.Short() {
		return 2 * time.Minute
	}
	return 20 * time.Second
}

// With no grace period, a collector that took an object for dead which a commit has
// just come to need would destroy it at once. Writers, a deleter and two collectors
// work on one directory and are killed at any moment; all that was acknowledged must
// be there, and a last audit must leave a tier that holds what the catalog says and
// nothing else.
func TestKilledBesideCollectors(t *testing.T) {
	t.Parallel()
	newCollected(t, gcPlace{Dir: t.TempDir()}).run()
}

// The same with the objects in a bucket.
func TestS3KilledBesideCollectors(t *testing.T) {
	t.Parallel()
	server := testenv.S3Servers(t)[0] // of each it would take the processors from the other tests
	newCollected(t, gcPlace{Dir: t.TempDir(), Server: server, Location: s3Location(t, server)}).run()
}

// gcActor is one of the processes, started again whenever it was killed.
type gcActor struct {
	name    string
	begin   func(a *gcActor) *process
	read    func(a *gcActor, p *process) error // until the process ends
	p       *process
	done    chan error // of read
	started int
}

// collected is a directory on which processes write, delete and collect.
type collected struct {
	t       *testing.T
	place   gcPlace
	command *commandLine // the collectors are the real program
	rand    *rand.Rand
	actors  []*gcActor
	kills   int // all
	steps   int // of these, by the process itself at a step

	mu       sync.Mutex
	ledger   *ledger // guarded by mu, as all that follows
	late     []ack   // deletions of sessions that another process acknowledges
	commits  int
	outcomes map[string]int // of collections
	deleted  int64          // objects, by collectors that lived to report it
	audits   int
}

func newCollected(t *testing.T, place gcPlace) *collected {
	t.Helper()
	seed := testenv.Seed(t)
	c := &collected{
		t: t, place: place, rand: rand.New(rand.NewPCG(seed, 2)), ledger: newLedger(seed), outcomes: make(map[string]int),
		command: newCommandLine(t, buildCommand(t), place.Server, place.Location),
	}
	c.command.dir = place.Dir
	if !place.inBucket() {
		c.command.env = append(c.command.env, "LASHSTORE_BUCKET=")
	}
	for _, name := range []string{"a", "b"} {
		c.actors = append(c.actors, &gcActor{name: name, begin: c.beginWriter, read: c.readAcks})
	}
	c.actors = append(c.actors, &gcActor{name: "d", begin: c.beginWriter, read: c.readAcks})
	for _, name := range []string{"gc1", "gc2"} {
		c.actors = append(c.actors, &gcActor{name: name, begin: c.beginCollector, read: c.readCollections})
	}
	return c
}

// run lets the processes work, kills one after the other, and checks what is left.
func (c *collected) run() {
	c.t.Helper()
	for _, a := range c.actors {
		c.start(a)
	}
	const (
		betweenKills = 900 // ms, at most
		// collectorKills is how many kills hit collectors, one in so many: each blocks a
		// shard for as long as a lease lasts.
		collectorKills = 10
	)
	writers, collectors := c.actors[:3], c.actors[3:]
	for until := time.Now().Add(killTime(c.t)); time.Now().Before(until); {
		<-time.After(time.Duration(100+c.rand.IntN(betweenKills)) * time.Millisecond)
		c.restartDead(writers)
		among := writers
		if c.kills%collectorKills == 0 {
			among = collectors
		}
		a := among[c.rand.IntN(len(among))]
		c.kill(a)
		c.start(a)
	}
	c.end()
	for _, a := range c.late {
		if err := c.ledger.note(a); err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Logf("%d kills, %d of them at a step, %d commits, %d objects deleted by collections: %v, %d of them audits",
		c.kills, c.steps, c.commits, c.deleted, c.outcomes, c.audits)
	c.check()
}

func (c *collected) start(a *gcActor) {
	c.t.Helper()
	a.started++
	a.p, a.done = a.begin(a), make(chan error, 1)
	go func(p *process, done chan<- error) { done <- a.read(a, p) }(a.p, a.done)
}

// kill kills a process, which must not have ended before, and reads what it said.
func (c *collected) kill(a *gcActor) {
	c.t.Helper()
	a.p.kill()
	c.kills++
	err := c.wait(a)
	if err := errors.Join(err, a.p.killed()); err != nil {
		c.t.Fatalf("process %s, started %d times: %v", a.name, a.started, err)
	}
}

// restartDead restarts the writers that have killed themselves.
func (c *collected) restartDead(writers []*gcActor) {
	c.t.Helper()
	for _, a := range writers {
		select {
		case err := <-a.done:
			if err := errors.Join(err, a.p.killed()); err != nil {
				c.t.Fatalf("process %s, started %d times: %v", a.name, a.started, err)
			}
			c.kills++
			c.steps++
			c.start(a)
		default:
		}
	}
}

// wait returns when a process has closed its output.
func (c *collected) wait(a *gcActor) error {
	select {
	case err := <-a.done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("it is not dead after %s", patience)
	}
}

// end tells the collectors to stop, which they must do by themselves, and kills the
// others.
func (c *collected) end() {
	c.t.Helper()
	for _, a := range c.actors {
		if !strings.HasPrefix(a.name, "gc") {
			c.kill(a)
			continue
		}
		if err := a.p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			c.t.Fatal(err)
		}
		if err := c.wait(a); err != nil {
			c.t.Fatalf("process %s: %v", a.name, err)
		}
		a.p.finish()
	}
}

// beginWriter starts a writing or the deleting process, which first completes the
// deletions that the one before it had begun.
func (c *collected) beginWriter(a *gcActor) *process {
	task := gcTask{
		writerTask: writerTask{Dir: c.place.Dir, Seed: c.ledger.seed, Name: fmt.Sprintf("%s%d", a.name, a.started)},
		Place:      c.place, Deletes: a.name == "d",
	}
	if !task.Deletes {
		task.Sessions = []lashstore.SessionID{lashstore.SessionID(a.name + "/one"), lashstore.SessionID(a.name + "/two")}
	}
	if c.rand.IntN(2) == 0 {
		steps := append(local.CommitSteps(), local.LifecycleSteps()...)
		task.KillStep, task.KillCount = steps[c.rand.IntN(len(steps))], 1+c.rand.Int64N(40)
	}
	c.mu.Lock()
	for _, id := range c.ledger.unfinished() {
		if strings.HasPrefix(string(id), a.name) { // no other would know whether it has been made anew
			task.Unfinished = append(task.Unfinished, id)
		}
	}
	c.mu.Unlock()
	return start(c.t, "gc-writer", task)
}

// readAcks notes what a process acknowledges.
func (c *collected) readAcks(_ *gcActor, p *process) error {
	seen := make(map[lashstore.SessionID]bool)
	for {
		var line ack
		err := p.lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.note(line, seen)
		}
		if err != nil {
			return err
		}
	}
}

func (c *collected) note(line ack, seen map[lashstore.SessionID]bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(string(line.Session), victimPrefix) && (line.Op == ackDeleting || line.Op == ackDeleted) {
		c.late = append(c.late, line)
		return nil
	}
	if line.Op == ackCommit {
		c.commits++
		e := c.ledger.entries[line.Session]
		if !seen[line.Session] && line.Revision == e.acked+2 {
			// The process before it committed and died before it said so.
			e.acked++
			c.ledger.entries[line.Session] = e
		}
		seen[line.Session] = true
	}
	return c.ledger.note(line)
}

// beginCollector starts the real program.
func (c *collected) beginCollector(*gcActor) *process {
	cmd := exec.Command(c.command.path, "--dir", c.command.dir, "-o", "json", //nolint:noctx // launch sees to its end
		"gc", "worker", "--grace", "0", "--interval", "50ms", "--audit-interval", "300ms", "--workers", "1")
	cmd.Env = c.command.env
	return launch(c.t, cmd)
}

// readCollections checks what collectors report.
func (c *collected) readCollections(_ *gcActor, p *process) error {
	for {
		var line struct {
			Report lashstore.CollectReport
			Error  json.RawMessage
		}
		err := p.lines.Decode(&line)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // killed while it wrote
			return nil
		}
		if err == nil {
			err = c.judge(&line.Report)
		}
		if err != nil {
			return fmt.Errorf("%w: %+v %s", err, line.Report, line.Error)
		}
	}
}

// judge fails for what a collection must never find or do, whatever was killed.
func (c *collected) judge(r *lashstore.CollectReport) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[string(r.Outcome)]++
	c.deleted += r.Deleted
	if m := r.Mark; m != nil {
		c.audits++
		if m.MissingEdges+m.MissingRows+m.OtherObjects+m.LostSessions+m.FoundSessions > 0 {
			return errors.New("an audit found references missing")
		}
	}
	if s := r.Sweep; s != nil && s.Missing+s.WrongSize+s.Foreign > 0 {
		return fmt.Errorf("an audit found objects missing: %+v", *s)
	}
	switch {
	case r.Outcome == lashstore.CollectFailed, len(r.Errors) > 0:
		return errors.New("a collection failed")
	case r.Outcome == lashstore.CollectRefused && !strings.Contains(r.Reason, "by another worker"):
		return errors.New("a collection was refused")
	}
	return nil
}
