package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/lashstore/lashstore"
)

// started is a worker that runs in this process.
type started struct {
	stop           context.CancelFunc
	stdout, stderr *bufio.Reader
	exit           chan int
}

func startWorker(t *testing.T, c *console, args ...string) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	s := &started{stop: cancel, stdout: bufio.NewReader(outR), stderr: bufio.NewReader(errR), exit: make(chan int, 1)}
	env := c.environment("", outW, errW)
	go func() {
		exit := execute(ctx, env, append([]string{"gc", "worker"}, args...))
		_ = errors.Join(outW.Close(), errW.Close())
		s.exit <- exit
	}()
	t.Cleanup(func() {
		cancel()
		_ = errors.Join(outR.Close(), errR.Close()) // what it still writes goes nowhere
	})
	return s
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	text, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// A worker collects what is there when it starts, then what appears; one tenant that
// cannot be opened does not end it; told to stop, it ends well.
func TestGCWorker(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.ok(t, "hello", "blob put --tenant aa")
	c.ok(t, "", "session create lost --tenant bb")
	if err := os.WriteFile(filepath.Join(c.dir, "tenants", "bb", "catalog.db"), []byte(strings.Repeat("no database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.clock = c.clock.Add(48 * time.Hour)
	w := startWorker(t, c, "--grace", "0", "--interval", "10ms", "--metrics-addr", "127.0.0.1:0", "-o", "json")
	address := strings.TrimPrefix(line(t, w.stderr), "lashstore: metrics at ")
	next := func() gcLine {
		t.Helper()
		var l gcLine
		if err := json.Unmarshal([]byte(line(t, w.stdout)), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := next(); l.Tenant != "aa" || l.Report.Mark == nil || l.Report.Deleted != 1 || l.Error != nil || l.Time.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := next(); l.Tenant != "bb" || l.Report.Outcome != lashstore.CollectFailed || l.Error == nil || l.Error.Code != "corrupt_database" {
		t.Errorf("%+v", l)
	}
	c.ok(t, "hello", "blob put --tenant cc") // which appears now
	for l := next(); l.Tenant != "cc"; l = next() {
		if l.Tenant != "bb" {
			t.Errorf("a collection without anything to do is shown: %+v", l)
		}
	}
	text := get(t, address, http.StatusOK)
	for _, want := range []string{`lashstore_gc_runs_total{kind="audit",outcome="swept"} 1`, `lashstore_gc_objects_total{step="deleted"} 1`, "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics without %s:\n%s", want, text)
		}
	}
	get(t, strings.TrimSuffix(address, metricsPath), http.StatusNotFound)
	w.stop()
	go func() { _, _ = io.Copy(io.Discard, w.stdout) }() // a line may be on its way
	rest, err := io.ReadAll(w.stderr)
	if exit := <-w.exit; exit != exitOK || err != nil || len(rest) > 0 {
		t.Errorf("exit %d, %q, %v", exit, rest, err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(address, "http://"), metricsPath)); err == nil {
		t.Error("metrics are still served")
	}
}

func get(t *testing.T, address string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != want {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return string(text)
}

// Where there is no tenant yet, a worker says so and waits for one.
func TestGCWorkerBeforeTheFirstTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	w := startWorker(t, c, "--interval", "10ms")
	if text := line(t, w.stderr); !strings.Contains(text, "no data") {
		t.Error(text)
	}
	c.ok(t, "", "session create first")
	if text := line(t, w.stdout); !strings.HasPrefix(text, "2026-01-02T") || !strings.HasSuffix(text, "found no fault") {
		t.Error(text)
	}
	w.stop()
	if exit := <-w.exit; exit != exitOK {
		t.Errorf("exit %d", exit)
	}
}

// What keeps a worker from starting is said at once.
func TestGCWorkerCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	c := newConsole(t)
	for args, want := range map[string]string{
		"--metrics-addr " + taken.Addr().String():       `"metrics_address"`,
		"--bucket gs://acme":                            "s3://BUCKET",
		"--bucket gs://acme --metrics-addr 127.0.0.1:0": "s3://BUCKET",
	} {
		if o := c.run(t, "", append([]string{"gc", "worker", "-o", "json"}, strings.Fields(args)...)...); o.exit == exitOK || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v", args, o)
		}
	}
}

// A server that fails must be noticed, and one that ends must leave nothing behind.
//
//nolint:paralleltest // it counts goroutines
func TestServeMetrics(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listen := func() net.Listener {
		t.Helper()
		l, err := listenForMetrics(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	broken := listen()
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	if err := serveMetrics(t.Context(), broken, prometheus.NewRegistry()); !errors.Is(err, errMetricsAddress) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := listen()
	ended := make(chan error, 1)
	go func() { ended <- serveMetrics(ctx, l, prometheus.NewRegistry()) }()
	get(t, "http://"+l.Addr().String()+metricsPath, http.StatusOK)
	// A client that never finishes its request does not hold up the end.
	slow, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Write([]byte("GET ")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	if err := slow.Close(); err != nil {
		t.Error(err)
	}
}

// Reports are read by machines line by line.
func TestShowCollected(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{environment: environment{stdout: &out, now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}}
	c := tenantCollected{Tenant: "aa", Report: lashstore.CollectReport{
		Outcome: lashstore.CollectIncomplete, Reason: "2 shards were held by other workers\x1b[2J\n", Deleted: 1234, DeletedBytes: 5 << 20, Condemned: 1, CondemnedBytes: 1,
		Mark:  &lashstore.MarkReport{Sessions: 3, LostSessions: 1},
		Sweep: &lashstore.SweepReport{Objects: 9, ObjectBytes: 9 << 30, Missing: 2},
	}}
	a.flags.output.value = outputTable
	if err := a.showCollected(c); err != nil {
		t.Fatal(err)
	}
	const want = "2026-01-02T03:04:05Z aa: incomplete: 2 shards were held by other workers [2J ; deleted 1,234 objects (5.0 MiB); " +
		"condemned 1 object (1 B); audit of 3 sessions and 9 objects (9.0 GiB) found 1 lost session, 2 missing objects\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	out.Reset()
	a.flags.output.value = outputJSON
	if err := a.showCollected(c); err != nil {
		t.Fatal(err)
	}
	if l := decode[gcLine](t, out.String()); strings.Count(out.String(), "\n") != 1 || l.Report.Sweep.Missing != 2 || l.Tenant != "aa" {
		t.Errorf("%s", out.String())
	}
}
