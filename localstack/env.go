package localstack

import (
	"fmt"
	"io"
	"strings"
)

// Names of what the store's tests read from the environment: one server, and the
// path of a file with more (package internal/testenv of the store).
const (
	TestEndpoint = "LASHSTORE_TEST_S3_ENDPOINT"
	TestBucket   = "LASHSTORE_TEST_S3_BUCKET"
	TestKey      = "LASHSTORE_TEST_S3_KEY"
	TestSecret   = "LASHSTORE_TEST_S3_SECRET"
	TestRegion   = "LASHSTORE_TEST_S3_REGION"
	TestServers  = "LASHSTORE_TEST_S3_SERVERS"
)

// WriteEnv writes shell commands that make programs and tests use the server.
func (r Running) WriteEnv(w io.Writer) error {
	for _, v := range [][2]string{
		{"AWS_ACCESS_KEY_ID", r.User.Key},
		{"AWS_SECRET_ACCESS_KEY", r.User.Secret},
		{"AWS_REGION", r.Region},
		{"AWS_ENDPOINT_URL_S3", r.Endpoint},
		{"LASHSTORE_BUCKET", r.BucketURL()},
		{TestEndpoint, r.Endpoint},
		{TestBucket, r.Bucket},
		{TestKey, r.User.Key},
		{TestSecret, r.User.Secret},
		{TestRegion, r.Region},
	} {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", v[0], quote(v[1])); err != nil {
			return fmt.Errorf("write the environment: %w", err)
		}
	}
	return nil
}

// quote makes one shell word of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// testServer is a server as the tests read it.
type testServer struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Bucket   string `json:"bucket"`
	Key      string `json:"key"`
	Secret   string `json:"secret"`
	Region   string `json:"region"`
}

// WriteServers writes the file that [TestServers] names, readable by the user only.
func WriteServers(dir, name string, servers []Running) error {
	list := make([]testServer, 0, len(servers))
	for _, r := range servers {
		list = append(list, testServer{
			Name: r.Server, Endpoint: r.Endpoint, Bucket: r.Bucket,
			Key: r.User.Key, Secret: r.User.Secret, Region: r.Region,
		})
	}
	return writeState(dir, name, list)
}
