package localstack

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

//go:embed serve.py
var serveScript []byte

// localStack is LocalStack with no service but S3. It keeps its data in memory.
type localStack struct{}

func (localStack) version() string { return pinned(localstackVersion) }

func (l localStack) install(ctx context.Context, t Tools) (string, error) {
	return t.pythonEnv(ctx, "localstack", l.version())
}

func (localStack) command(path string, s site) (command, error) {
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		return command{}, fmt.Errorf("prepare LocalStack: %w", err)
	}
	script := filepath.Join(s.dir, "serve.py")
	if err := os.WriteFile(script, serveScript, 0o600); err != nil {
		return command{}, fmt.Errorf("prepare LocalStack: %w", err)
	}
	_, port, err := net.SplitHostPort(s.address())
	if err != nil {
		return command{}, fmt.Errorf("prepare LocalStack: %w", err)
	}
	return command{
		path: path,
		args: []string{script},
		env: []string{
			"SERVICES=s3", "STRICT_SERVICE_LOADING=1", "EAGER_SERVICE_LOADING=1",
			"GATEWAY_LISTEN=127.0.0.1:" + port,
			"LOCALSTACK_HOST=127.0.0.1:" + port,
			"FILESYSTEM_ROOT=" + s.data(),
			"XDG_CACHE_HOME=" + filepath.Join(s.dir, "cache"),
			// Nothing is fetched and nothing is reported.
			"SKIP_SSL_CERT_DOWNLOAD=1", "DISABLE_EVENTS=1", "DNS_ADDRESS=0",
			"PYTHONUNBUFFERED=1",
		},
	}, nil
}

func (localStack) healthPath() string { return "/_localstack/health" }

func (localStack) provision(ctx context.Context, s site) error { return createBucket(ctx, s) }

// account is the one that LocalStack's manual uses. It checks no secret, and reads
// other names as those of accounts with buckets of their own.
func (localStack) account() Account { return Account{Key: "test", Secret: "test"} }
