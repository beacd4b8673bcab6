package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/gc"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

// BenchmarkCollect collects a catalog of 1 million objects of 100,000 sessions, a tenth
// of them dead (LASHSTORE_BENCH_FULL=1: 10 million), in a process of its own. Meanwhile
// this process commits to the same catalog, 200 times a second, as a writer would: it
// reserves an object, marks it present and lets go of an older one, three durable
// transactions. The tier is computed, so that its requests take no time: they are
// counted.
//
//	collect-s, again-s, sweep-s    a run that deletes a tenth; the next, which finds
//	                               nothing; an audit's comparison with the tier, which
//	                               also deletes the 1 % that the catalog does not know
//	collect-p99-ms, …-max-ms       of the writer's transactions meanwhile
//	alone-p50-ms, …                of the writer alone
//	peak-MiB                       the most memory that the collector ever had
//
// Budgets: peak-MiB below 256 for any number of objects; no lock of the catalog is held
// for over 50 ms, so that the writer's longest wait is 50 ms and its own work.
func BenchmarkCollect(b *testing.B) {
	n := gcBlobs(1_000_000)
	if full {
		n = 10_000_000
	}
	b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
		template := gcCatalogOf(n)
		for b.Loop() {
			b.StopTimer()
			dir := filepath.Join(b.TempDir(), "store")
			check(copyTree(template, dir))
			w := newGCWriter(catalogPath(dir))
			c := startCollector(b, dir, n)
			b.StartTimer()
			w.report(b, "alone", func() { time.Sleep(3 * time.Second) }) //nolint:forbidigo // it is measured for so long
			for _, phase := range gcPhases() {
				var got gcResult
				w.report(b, phase, func() { got = c.run() })
				got.check(phase, n)
				b.ReportMetric(got.Took.Seconds(), phase+"-s")
				b.ReportMetric(float64(got.Report.ListRequests), phase+"-lists")
				b.ReportMetric(float64(got.Report.DeleteRequests), phase+"-deletes")
				b.ReportMetric(float64(got.Peak>>20), "peak-MiB")
			}
			c.end()
			check(w.catalog.Close())
		}
		b.ReportMetric(0, "ns/op")
	})
}

// gcPhases are what a collecting process runs, in this order.
func gcPhases() []string { return []string{"collect", "again", "sweep"} }

// gcResult is what one run came to.
type gcResult struct {
	Took   time.Duration
	Report lashstore.CollectReport
	Peak   int64 // bytes resident, up to now
	Gone   [2]int64
	Error  string
}

// check makes sure that the run did what is measured.
func (r *gcResult) check(phase string, n gcBlobs) {
	want := map[string]lashstore.CollectReport{
		"collect": {Outcome: lashstore.CollectSwept, Deleted: int64(n.count(10, 3))},
		"again":   {Outcome: lashstore.CollectNothing},
		"sweep":   {Outcome: lashstore.CollectSwept, Deleted: int64(n.count(100, 7))},
	}[phase]
	if r.Error != "" || r.Report.Outcome != want.Outcome || r.Report.Deleted != want.Deleted {
		panic(fmt.Sprintf("%s: %s, want %+v, got %+v", phase, r.Error, want, r.Report))
	}
	if s := r.Report.Sweep; s != nil && (s.Missing+s.WrongSize+s.Unreferenced > 0 || s.Rows < int64(int(n)-n.count(10, 3))) {
		panic(fmt.Sprintf("%s: %+v", phase, s))
	}
}

// gcEnv gives the task of a collecting process: its folder and its number of objects.
const gcEnv = "LASHSTORE_BENCH_GC"

type gcTask struct {
	Dir     string
	Objects gcBlobs
}

// gcProcess is a process that collects when it is told to.
type gcProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startCollector(b *testing.B, dir string, n gcBlobs) *gcProcess {
	b.Helper()
	p := &gcProcess{cmd: exec.CommandContext(b.Context(), os.Args[0])}
	p.cmd.Env = append(os.Environ(), gcEnv+"="+string(must(json.Marshal(gcTask{dir, n}))))
	p.cmd.Stderr = os.Stderr
	p.in = must(p.cmd.StdinPipe())
	p.out = json.NewDecoder(must(p.cmd.StdoutPipe()))
	check(p.cmd.Start())
	return p
}

// run makes the process run its next phase.
func (p *gcProcess) run() (r gcResult) {
	must(p.in.Write([]byte("\n")))
	check(p.out.Decode(&r))
	return r
}

func (p *gcProcess) end() {
	check(p.in.Close())
	check(p.cmd.Wait())
}

// collectWhenTold is the collecting process.
func collectWhenTold(text string) (err error) {
	ctx := context.Background()
	var task gcTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	catalog, err := metadata.OpenCatalog(ctx, catalogPath(task.Dir), gcCatalogOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	tier := newGCTier(task.Objects, local.DefaultTenant+"/")
	store, err := cas.New(tier, cas.Options{Prefix: tier.prefix})
	if err != nil {
		return err
	}
	none := errors.New("the sessions of this catalog have no databases")
	began := time.Now()
	collector, err := gc.New(gc.Options{
		Catalog: catalog, Tier: store, Now: time.Now, Elapsed: func() time.Duration { return time.Since(began) },
		Worker: "bench", Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		Delete:      func(context.Context, metadata.SessionRow) error { return none },
		OpenSession: func(context.Context, metadata.SessionRow, bool) (*metadata.SessionDB, error) { return nil, none },
		Identify:    func(context.Context, string) (metadata.Identity, error) { return metadata.Identity{}, none },
	})
	if err != nil {
		return err
	}
	told := bufio.NewScanner(os.Stdin)
	for _, phase := range gcPhases() {
		if !told.Scan() {
			return told.Err()
		}
		if err := json.NewEncoder(os.Stdout).Encode(runPhase(ctx, phase, catalog, collector)); err != nil {
			return err
		}
	}
	return nil
}

func runPhase(ctx context.Context, phase string, catalog *metadata.Catalog, collector *gc.Collector) (r gcResult) {
	opts := lashstore.CollectOptions{Audit: phase == "sweep"}
	var err error
	if opts.Audit { // as if it had been marked: BenchmarkMark measures that
		err = catalog.UpdateCollection(ctx, func(s *metadata.CollectionState) error {
			s.Audit, s.AuditAt, s.Phase = "marked", time.Now(), metadata.AuditSweep
			return nil
		})
	}
	began := time.Now()
	if err == nil {
		r.Report, err = collector.Run(ctx, opts)
	}
	r.Took = time.Since(began)
	var peakErr error
	r.Peak, peakErr = statusBytes("VmHWM:")
	if err = errors.Join(err, peakErr); err != nil {
		r.Error = err.Error()
	}
	return r
}
