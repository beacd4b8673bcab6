package testenv_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lashstore/lashstore/internal/testenv"
)

// getenv is an environment, with a file named by the list variable if list is not
// empty.
func getenv(t *testing.T, list string, variables map[string]string) func(string) string {
	t.Helper()
	path := ""
	if list != "" {
		path = filepath.Join(t.TempDir(), "servers.json")
		if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) string {
		if name == "LASHSTORE_TEST_S3_SERVERS" && path != "" {
			return path
		}
		return variables[strings.TrimPrefix(name, "LASHSTORE_TEST_S3_")]
	}
}

const oneServer = `{"name":"minio","endpoint":"http://127.0.0.1:1","bucket":"b","key":"k","secret":"s","region":"eu-1"}`

// A server that is overlooked would be one that nothing was tested on.
func TestS3Servers(t *testing.T) {
	t.Parallel()
	one := map[string]string{"ENDPOINT": "http://127.0.0.1:2", "BUCKET": "c", "KEY": "l", "SECRET": "u"}
	fromFile := testenv.S3Server{Name: "minio", Endpoint: "http://127.0.0.1:1", Bucket: "b", Key: "k", Secret: "s", Region: "eu-1"}
	fromVariables := testenv.S3Server{Name: "environment", Endpoint: "http://127.0.0.1:2", Bucket: "c", Key: "l", Secret: "u", Region: "us-east-1"}
	for name, test := range map[string]struct {
		list      string
		variables map[string]string
		want      []testenv.S3Server
	}{
		"file":      {list: "[" + oneServer + "]", want: []testenv.S3Server{fromFile}},
		"variables": {variables: one, want: []testenv.S3Server{fromVariables}},
		"both":      {list: "[" + oneServer + "]", variables: one, want: []testenv.S3Server{fromFile, fromVariables}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := testenv.ReadS3Servers(getenv(t, test.list, test.variables))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// Only "no server was named" may skip a test: a mistake in naming one must not.
func TestS3ServersRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list      string
		variables map[string]string
		none      bool
	}{
		"nothing":         {none: true},
		"an empty list":   {list: "[]", none: true},
		"not JSON":        {list: "minio"},
		"an unknown name": {list: `[{"nam":"minio"}]`},
		"no bucket":       {variables: map[string]string{"ENDPOINT": "http://127.0.0.1:2", "KEY": "l", "SECRET": "u"}},
		"no secret":       {list: `[{"name":"minio","endpoint":"http://127.0.0.1:1","bucket":"b","key":"k"}]`},
		"one name twice":  {list: "[" + oneServer + "," + oneServer + "]"},
		"a file that is absent": {
			variables: map[string]string{"SERVERS": filepath.Join(t.TempDir(), "absent")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := testenv.ReadS3Servers(getenv(t, test.list, test.variables))
			if err == nil || errors.Is(err, testenv.ErrNoS3Servers) != test.none {
				t.Errorf("got %v; want that no server was named: %t", err, test.none)
			}
		})
	}
}

// Servers are printed in failures.
func TestS3ServerHidesItsSecret(t *testing.T) {
	t.Parallel()
	s := testenv.S3Server{Name: "minio", Secret: "the-secret"}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, s); strings.Contains(text, "the-secret") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
