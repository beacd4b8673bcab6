package localstack

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultServer is the server that is meant when none is named.
const DefaultServer = "minio"

// What a server is given unless the caller wants otherwise.
const (
	DefaultBucket = "lashstore"
	DefaultRegion = "us-east-1"
)

// site is one server on one folder.
type site struct {
	dir      string // absolute
	endpoint string // http://127.0.0.1:port
	bucket   string
	region   string
	accounts accounts
}

// address is the endpoint's host and port.
func (s site) address() string { return strings.TrimPrefix(s.endpoint, "http://") }

// data is where the server keeps what it stores.
func (s site) data() string { return filepath.Join(s.dir, dataName) }

// command is how a server is started. Secrets go into env, never into args.
type command struct {
	path string
	args []string
	env  []string
}

// program knows one kind of server.
type program interface {
	// version is what is started, from versions.env.
	version() string
	// install returns the path of the program, which it builds if need be.
	install(ctx context.Context, t Tools) (string, error)
	// command prepares the folder and says how to start the program at path.
	command(path string, s site) (command, error)
	// healthPath answers 200 once the server can be used.
	healthPath() string
	// provision makes the bucket and the user. It may be called again.
	provision(ctx context.Context, s site) error
	// account makes the names and secrets that the server allows.
	account() Account
}

func programs() map[string]program {
	return map[string]program{
		"minio":      minio{},
		"versitygw":  versitygw{},
		"localstack": localStack{},
	}
}

// Servers returns the names of the servers that can be started, in order.
func Servers() []string { return slices.Sorted(maps.Keys(programs())) }

func lookup(server string) (program, error) {
	p, ok := programs()[server]
	if !ok {
		return nil, fmt.Errorf("%w %q: there are %s", ErrUnknownServer, server, strings.Join(Servers(), ", "))
	}
	return p, nil
}

// Install builds a server, if it is not there yet, and returns its version.
func Install(ctx context.Context, server string, t Tools) (version string, err error) {
	p, err := lookup(server)
	if err != nil {
		return "", err
	}
	if t, err = t.withDefaults(); err != nil {
		return "", err
	}
	if _, err := p.install(ctx, t); err != nil {
		return "", err
	}
	return p.version(), nil
}

// BucketURL is the bucket of a running server as lashstore takes it.
func (r Running) BucketURL() string {
	query := url.Values{"endpoint": {r.Endpoint}, "region": {r.Region}, "path_style": {"true"}}
	return "s3://" + r.Bucket + "?" + query.Encode()
}
