package integration_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/testenv"
)

// emptyTimeout bounds the removal of what one test left on a server.
const emptyTimeout = time.Minute

// s3Location is a place on a server that nothing else uses. It is emptied when the
// test ends.
func s3Location(tb testing.TB, server testenv.S3Server) s3cas.Location {
	tb.Helper()
	loc := s3cas.Location{
		Bucket: server.Bucket, Prefix: "test/" + strings.ToLower(rand.Text()),
		Endpoint: server.Endpoint, Region: server.Region,
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), emptyTimeout)
		defer cancel()
		if err := empty(ctx, openS3(tb, server, loc)); err != nil {
			tb.Errorf("empty %s on %s: %v", loc.Prefix, server, err)
		}
	})
	return loc
}

// openS3 opens the objects of a location. The driver is closed when the test ends.
func openS3(tb testing.TB, server testenv.S3Server, loc s3cas.Location) cas.Driver {
	tb.Helper()
	d, err := s3cas.Open(context.WithoutCancel(tb.Context()), loc, s3cas.Options{
		Credentials: credentials.NewStaticCredentialsProvider(server.Key, server.Secret, ""),
	})
	if err != nil {
		tb.Fatalf("open %s on %s: %v", loc.Prefix, server, err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Errorf("close %s on %s: %v", loc.Prefix, server, err)
		}
	})
	return d
}

// empty removes all objects of a driver.
func empty(ctx context.Context, d cas.Driver) error {
	for {
		infos, err := d.List(ctx, "", "", cas.MaxDeleteKeys)
		if err != nil || len(infos) == 0 {
			return err
		}
		keys := make([]string, 0, len(infos))
		for _, info := range infos {
			keys = append(keys, info.Key)
		}
		if err := d.Delete(ctx, keys); err != nil {
			return err
		}
	}
}

// eachS3 runs a test against every server that the environment names.
func eachS3(t *testing.T, test func(t *testing.T, server testenv.S3Server)) {
	t.Helper()
	for _, server := range testenv.S3Servers(t) {
		t.Run(server.Name, func(t *testing.T) {
			t.Parallel()
			test(t, server)
		})
	}
}

// Servers differ where their manuals agree: the driver is tested on each.
func TestS3Driver(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		castest.Run(t, func(tb testing.TB) castest.Harness {
			tb.Helper()
			loc := s3Location(tb, server)
			another := func(tb testing.TB) cas.Driver {
				tb.Helper()
				return openS3(tb, server, loc)
			}
			return castest.Harness{Driver: another(tb), Another: another}
		})
	})
}
