package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// DefaultReadyTimeout is far more than the slowest server takes on 2 idle cores
// (LocalStack, 5 s).
const DefaultReadyTimeout = 90 * time.Second

// host is the loopback address, not a name that may mean two.
const host = "127.0.0.1"

// StartOptions say how to start a server. Only Dir is required.
type StartOptions struct {
	// Server is one of [Servers]; empty means [DefaultServer].
	Server string
	// Dir is the server's folder, which is made if need be.
	Dir string
	// Port is where it listens; 0 means one that is free.
	Port int
	// Bucket and Region of the store; empty means the defaults.
	Bucket, Region string
	// ReadyTimeout bounds the time from start to readiness; 0 means
	// [DefaultReadyTimeout]. The build is not counted.
	ReadyTimeout time.Duration
	// Tied ends the server, on Linux, when the thread that called Start ends, so that
	// a killed test run leaves none: call from a locked main thread.
	Tied bool
	// Tools are what the server is built with.
	Tools Tools
}

// Start starts a server, waits until it is ready, and makes its bucket and user.
// If the folder's server runs already, that one is returned and started is false.
//
// Errors: [ErrUnknownServer], [ErrBusy], [ErrMissingProgram], [ErrPortInUse],
// [ErrNotReady], [ErrDamagedState], and what the context says. After an error no
// server is left running.
func Start(ctx context.Context, o StartOptions) (r Running, started bool, err error) {
	if o.Server == "" {
		o.Server = DefaultServer
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start %s in %s: %w", o.Server, o.Dir, err)
		}
	}()
	p, err := lookup(o.Server)
	if err != nil {
		return Running{}, false, err
	}
	if o.Tools, err = o.Tools.withDefaults(); err != nil {
		return Running{}, false, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return Running{}, false, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return Running{}, false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if r, err := running(dir); !errors.Is(err, ErrNotRunning) {
		return r, false, err
	}
	if err := removeState(dir); err != nil {
		return Running{}, false, err
	}
	path, err := p.install(ctx, o.Tools)
	if err != nil {
		return Running{}, false, err
	}
	s, err := newSite(dir, p, o)
	if err != nil {
		return Running{}, false, err
	}
	r, err = launch(ctx, p, path, s, o)
	return r, err == nil, err
}

// newSite decides on the port and reads or makes the accounts.
func newSite(dir string, p program, o StartOptions) (site, error) {
	port, err := pickPort(o.Port)
	if err != nil {
		return site{}, err
	}
	s := site{
		dir: dir, bucket: DefaultBucket, region: DefaultRegion,
		endpoint: "http://" + net.JoinHostPort(host, strconv.Itoa(port)),
	}
	if o.Bucket != "" {
		s.bucket = o.Bucket
	}
	if o.Region != "" {
		s.region = o.Region
	}
	err = readState(dir, credentialsName, &s.accounts)
	if errors.Is(err, fs.ErrNotExist) {
		s.accounts = accounts{Root: p.account(), User: p.account()}
		err = writeState(dir, credentialsName, s.accounts)
	}
	return s, err
}

// pickPort checks that nothing listens on the port, or with 0 finds one.
func pickPort(port int) (int, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // it does not wait
	if errors.Is(err, syscall.EADDRINUSE) {
		return 0, fmt.Errorf("%w: %d: stop what listens there, or choose another (make s3 S3_PORT=…)", ErrPortInUse, port)
	}
	if err != nil {
		return 0, fmt.Errorf("listen on port %d: %w", port, err)
	}
	picked := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // that of a tcp4 listener
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("release port %d: %w", picked, err)
	}
	return picked, nil
}

// launch starts the process and stops it again if it does not get ready.
func launch(ctx context.Context, p program, path string, s site, o StartOptions) (r Running, err error) {
	c, err := p.command(path, s)
	if err != nil {
		return Running{}, err
	}
	process, err := c.start(s, o.Tied)
	if err != nil {
		return Running{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, process.end(ctx, termTimeout, killTimeout), removeState(s.dir))
		}
	}()
	r = Running{
		Server: o.Server, Version: p.version(), Endpoint: s.endpoint, Bucket: s.bucket, Region: s.region,
		User: s.accounts.User, Process: process,
	}
	// Before it is ready, so that Stop finds it if this process is killed.
	if err := writeState(s.dir, stateName, r); err != nil {
		return Running{}, err
	}
	if o.ReadyTimeout <= 0 {
		o.ReadyTimeout = DefaultReadyTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.ReadyTimeout)
	defer cancel()
	if err := waitReady(ctx, process, s.endpoint+p.healthPath()); err != nil {
		return Running{}, fmt.Errorf("%w; the end of its log:\n%s", err, logTail(s.dir))
	}
	if err := p.provision(ctx, s); err != nil {
		return Running{}, err
	}
	return r, nil
}

// start starts the process in a session of its own, so that what is typed into this
// terminal does not end it. Its environment is not this process's: a MINIO_ variable
// that happens to be set must not change the server.
func (c command) start(s site, tied bool) (Process, error) {
	output, err := os.OpenFile(filepath.Join(s.dir, logName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return Process{}, err
	}
	cmd := exec.Command(c.path, c.args...) //nolint:gosec,noctx // it outlives this call
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, output, output
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + os.TempDir()}, c.env...) //nolint:forbidigo // programs are looked for as here
	cmd.SysProcAttr = attributes(tied)
	if err := errors.Join(cmd.Start(), output.Close()); err != nil {
		return Process{}, err
	}
	process, exists, err := identify(cmd.Process.Pid)
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill()) // nobody else could
	} else if !exists {
		err = fmt.Errorf("%w: it ended at once; the end of its log:\n%s", ErrNotReady, logTail(s.dir))
	}
	return process, err
}

// waitReady asks for url until it is answered with 200, the process has ended, or
// ctx is done.
func waitReady(ctx context.Context, p Process, url string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := probe(ctx, url)
		if err == nil {
			return nil
		}
		if alive, lookErr := p.alive(); !alive {
			return errors.Join(fmt.Errorf("%w: it ended", ErrNotReady), lookErr)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w; last answer: %w", ErrNotReady, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxStateBytes)); err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode == http.StatusOK {
		return err
	}
	return errors.New(resp.Status)
}

// logTailBytes is about 20 lines.
const logTailBytes = 2 << 10

// logTail is the end of a server's log, for an error.
func logTail(dir string) []byte {
	text, err := os.ReadFile(filepath.Join(dir, logName)) //nolint:gosec // the folder is the caller's
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-logTailBytes):]
}
