package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// The variables that name S3 servers: one server, and a file with more, as "make
// integration" writes it. The file is an array of objects with the members of
// [S3Server] in lower case; only region may be left out.
const (
	s3EndpointVariable = "LASHSTORE_TEST_S3_ENDPOINT"
	s3BucketVariable   = "LASHSTORE_TEST_S3_BUCKET"
	s3KeyVariable      = "LASHSTORE_TEST_S3_KEY"
	s3SecretVariable   = "LASHSTORE_TEST_S3_SECRET"
	s3RegionVariable   = "LASHSTORE_TEST_S3_REGION"
	s3ServersVariable  = "LASHSTORE_TEST_S3_SERVERS"
)

const (
	// defaultS3Region is what servers of one's own are in unless they say otherwise.
	defaultS3Region = "us-east-1"
	// maxS3ServersBytes is far more than any list of servers has.
	maxS3ServersBytes = 1 << 20
)

// errNoS3Servers says how to get some.
var errNoS3Servers = errors.New("neither " + s3EndpointVariable + " nor " + s3ServersVariable +
	` is set; run "make integration", or "make s3" and eval "$(make -s s3-env)"`)

// S3Server is a server that tests may use, with a bucket that exists.
type S3Server struct {
	Name     string // of the kind of server; "environment" for that of the variables
	Endpoint string // its URL
	Bucket   string
	Key      string // of a user who may do everything with the objects of the bucket
	Secret   string
	Region   string
}

// String leaves the secret out.
func (s S3Server) String() string { return s.Name + " at " + s.Endpoint }

// GoString leaves the secret out.
func (s S3Server) GoString() string { return s.String() }

// S3Servers returns the servers that the environment names. Without one the test is
// skipped, and in CI it fails ([Unavailable]); what cannot be understood fails it.
func S3Servers(tb testing.TB) []S3Server {
	tb.Helper()
	servers, err := readS3Servers(os.Getenv)
	if errors.Is(err, errNoS3Servers) {
		Unavailable(tb, "an S3 server", err)
	}
	if err != nil {
		tb.Fatalf("S3 servers of the environment: %v", err)
	}
	return servers
}

func readS3Servers(getenv func(string) string) ([]S3Server, error) {
	var servers []S3Server
	if path := getenv(s3ServersVariable); path != "" {
		var err error
		if servers, err = readS3ServersFile(path); err != nil {
			return nil, fmt.Errorf("%s: %w", s3ServersVariable, err)
		}
	}
	if endpoint := getenv(s3EndpointVariable); endpoint != "" {
		servers = append(servers, S3Server{
			Name: "environment", Endpoint: endpoint, Bucket: getenv(s3BucketVariable),
			Key: getenv(s3KeyVariable), Secret: getenv(s3SecretVariable), Region: getenv(s3RegionVariable),
		})
	}
	if len(servers) == 0 {
		return nil, errNoS3Servers
	}
	names := make(map[string]bool, len(servers))
	for i := range servers {
		s := &servers[i]
		if err := s.check(); err != nil {
			return nil, err
		}
		if names[s.Name] {
			return nil, fmt.Errorf("two servers are named %q", s.Name)
		}
		names[s.Name] = true
		if s.Region == "" {
			s.Region = defaultS3Region
		}
	}
	return servers, nil
}

func readS3ServersFile(path string) (servers []S3Server, err error) {
	f, err := os.Open(path) //nolint:gosec // whoever runs the tests names it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	d := json.NewDecoder(io.LimitReader(f, maxS3ServersBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&servers); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return servers, nil
}

// check names what is missing. Names become those of subtests.
func (s *S3Server) check() error {
	var missing []string
	for _, field := range [][2]string{
		{"name", s.Name}, {"endpoint", s.Endpoint}, {"bucket", s.Bucket}, {"key", s.Key}, {"secret", s.Secret},
	} {
		if field[1] == "" {
			missing = append(missing, field[0])
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("server %q at %q has no %s", s.Name, s.Endpoint, strings.Join(missing, ", "))
	}
	if strings.Contains(s.Name, "/") {
		return fmt.Errorf("the name of server %q has a slash", s.Name)
	}
	return nil
}
