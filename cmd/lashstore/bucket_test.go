package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/lashstore/lashstore/cas/s3cas"
)

// What the URL leaves open is taken from flags; what differs is refused.
func TestParseBucket(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		flags globalFlags
		want  bucket
		fault string // part of the error
	}{
		"none": {},
		"url alone": {
			flags: globalFlags{bucket: "s3://acme/a/b?endpoint=http://h:9000&region=r&path_style=false"},
			want: bucket{scheme: schemeS3, s3: s3cas.Location{
				Bucket: "acme", Prefix: "a/b", Endpoint: "http://h:9000", Region: "r", PathStyle: s3cas.PathStyleOff,
			}},
		},
		"flags fill": {
			flags: globalFlags{
				bucket: "S3://acme", s3Endpoint: "http://h:9000", s3Region: "r", s3PathStyle: choice{value: "true"},
			},
			want: bucket{scheme: schemeS3, s3: s3cas.Location{
				Bucket: "acme", Endpoint: "http://h:9000", Region: "r", PathStyle: s3cas.PathStyleOn,
			}},
		},
		"both say the same": {
			flags: globalFlags{bucket: "s3://acme?endpoint=http://h", s3Endpoint: "http://H:80/"},
			want:  bucket{scheme: schemeS3, s3: s3cas.Location{Bucket: "acme", Endpoint: "http://h"}},
		},
		"folder": {
			flags: globalFlags{bucket: "file:///mnt/a%20b/../c/"},
			want:  bucket{scheme: schemeFile, folder: filepath.FromSlash("/mnt/c")},
		},
		"other endpoint":   {flags: globalFlags{bucket: "s3://acme?endpoint=http://h", s3Endpoint: "https://h"}, fault: "--s3-endpoint"},
		"other region":     {flags: globalFlags{bucket: "s3://acme?region=a", s3Region: "b"}, fault: "LASHSTORE_S3_REGION"},
		"other style":      {flags: globalFlags{bucket: "s3://acme?path_style=1", s3PathStyle: choice{value: "false"}}, fault: "--s3-path-style"},
		"bad endpoint":     {flags: globalFlags{bucket: "s3://acme", s3Endpoint: "h:9000"}, fault: "endpoint"},
		"no scheme":        {flags: globalFlags{bucket: "acme"}, fault: "s3://BUCKET"},
		"other scheme":     {flags: globalFlags{bucket: "gs://acme"}, fault: "s3://BUCKET"},
		"one slash":        {flags: globalFlags{bucket: "file:/mnt"}, fault: "s3://BUCKET"},
		"relative folder":  {flags: globalFlags{bucket: "file://mnt/a"}, fault: "file:///FOLDER"},
		"no folder":        {flags: globalFlags{bucket: "file://"}, fault: "file:///FOLDER"},
		"folder and query": {flags: globalFlags{bucket: "file:///mnt?region=a"}, fault: "file:///FOLDER"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.flags.s3PathStyle.value == "" {
				tt.flags.s3PathStyle.value = pathStyleAuto
			}
			got, err := tt.flags.parseBucket()
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("%+v, %v", got, err)
				}
				if _, exit := classify(err); exit != exitUsage {
					t.Errorf("%v: exit %d", err, exit)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(bucket{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := (&globalFlags{bucket: got.String(), s3PathStyle: tt.flags.s3PathStyle}).parseBucket()
			if err != nil || again != got {
				t.Errorf("%s reads back as %+v, %v", got, again, err)
			}
		})
	}
}

// A URL that is refused may hold a secret.
func TestParseBucketKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"s3://AKIAKEY:hush@acme/p", "s3:/hush", "hush", "s3://acme?secret=hush", "file://hush@/mnt", "file:///mnt?hush",
		"s3://acme?endpoint=http://u:hush@h",
	} {
		flags := newGlobalFlags()
		flags.bucket = text
		if _, err := flags.parseBucket(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", text, err)
		}
	}
	flags := newGlobalFlags()
	flags.bucket, flags.s3Endpoint = "s3://acme", "http://u:hush@h"
	if _, err := flags.parseBucket(); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("an endpoint with credentials: %v", err)
	}
}

// The data directory refuses a tier of another name, so one place must have one name.
func TestTierName(t *testing.T) {
	t.Parallel()
	const want = "s3://acme/p?endpoint=https%3A%2F%2Fh"
	for _, loc := range []s3cas.Location{
		{Bucket: "acme", Prefix: "p", Endpoint: "https://h"},
		{Bucket: "acme", Prefix: "p", Endpoint: "https://H:443/", Region: "r", PathStyle: s3cas.PathStyleOn},
	} {
		if got := tierName(loc); got != want {
			t.Errorf("%+v: %s, want %s", loc, got, want)
		}
	}
	for _, endpoint := range []string{"http://u:hush@h", "u:hush@h", "http://h?hush", "hush"} {
		if got := tierName(s3cas.Location{Bucket: "acme", Endpoint: endpoint}); strings.Contains(got, "hush") || got == "s3://acme" {
			t.Errorf("%s is named %s", endpoint, got)
		}
	}
	seen := make(map[string]bool)
	for _, loc := range []s3cas.Location{
		{Bucket: "acme"},
		{Bucket: "other"},
		{Bucket: "acme", Prefix: "p"},
		{Bucket: "acme", Endpoint: "http://h"},
		{Bucket: "acme", Endpoint: "https://h"},
		{Bucket: "acme", Endpoint: "http://h:8080"},
		{Bucket: "acme", Endpoint: "http://h/sub"},
		{Bucket: "acme", Endpoint: "http://[::1]"},
		{Bucket: "acme", Endpoint: "http://[::1]:8080"},
	} {
		name := tierName(loc)
		if again, err := s3cas.ParseURL(name); err != nil || seen[name] || tierName(again) != name {
			t.Errorf("%+v: %s reads back as %+v, %v", loc, name, again, err)
		}
		seen[name] = true
	}
}

func TestBucketBelow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"s3://acme":    "s3://acme/x",
		"s3://acme/p/": "s3://acme/p/x",
		"file:///mnt":  "file:///mnt/x",
		"":             "",
	} {
		flags := newGlobalFlags()
		flags.bucket = text
		b, err := flags.parseBucket()
		if got := b.below("x").String(); err != nil || got != want {
			t.Errorf("below %q: %q, %v", text, got, err)
		}
	}
}

// The workers of the demonstration must mean what their parent means, whatever the
// environment says.
func TestArgumentsRepeatTheFlags(t *testing.T) {
	t.Parallel()
	other := map[string]string{
		"LASHSTORE_DIR": "d", "LASHSTORE_TENANT": "other", "LASHSTORE_BUCKET": "s3://other", "LASHSTORE_S3_ENDPOINT": "http://other",
		"LASHSTORE_S3_REGION": "other", "LASHSTORE_S3_PATH_STYLE": "false", "LASHSTORE_CACHE_DIR": "other", "LASHSTORE_CACHE_SIZE": "1GB",
		"LASHSTORE_DURABILITY": "normal", "LASHSTORE_PROFILE": "compact",
	}
	type meaning struct {
		Bucket, Dir, Tenant, CacheDir, Durability, Profile string
		CacheSize                                          int64
	}
	parse := func(args []string, env map[string]string) (globalFlags, meaning) {
		a := &app{environment: environment{lookupEnv: func(key string) (string, bool) { v, ok := env[key]; return v, ok }}}
		flags := a.rootCommand().PersistentFlags()
		err := errors.Join(flags.Parse(args), a.applyEnvironment(flags), a.flags.checkCombination(flags))
		bucket, perr := a.flags.parseBucket()
		if err = errors.Join(err, perr); err != nil {
			t.Fatal(err)
		}
		g := a.flags
		m := meaning{bucket.String(), g.dir, g.tenant, g.cacheDir, g.durability.value, g.profile.value, int64(g.cacheSize)}
		if g.cacheDir == "" {
			m.CacheSize = 0
		}
		return g, m
	}
	for _, args := range [][]string{
		nil,
		{"--bucket", "file:///mnt", "--cache-dir", "c"},
		{
			"--dir", "x", "--tenant", "acme", "--bucket", "s3://acme?region=r", "--s3-endpoint", "http://h", "--s3-path-style", "true",
			"--cache-dir", "c", "--cache-size", "512MiB", "--durability", "normal", "--profile", "low_latency",
		},
	} {
		flags, want := parse(args, nil)
		_, got := parse(flags.arguments(), other)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", args, diff)
		}
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"0": 0, "500MB": 500_000_000, "2GiB": 2 << 30, "1.5 kb": 1500, "1048576": 1 << 20} {
		var b byteSize
		if err := b.Set(in); err != nil || int64(b) != want {
			t.Errorf("%q: %d, %v", in, b, err)
		}
	}
	for _, in := range []string{"", "-1", "much", "1XB", "9EiB", "99999999999GB"} {
		b := byteSize(7)
		if err := b.Set(in); err == nil || b != 7 {
			t.Errorf("%q: %d", in, b)
		}
	}
}

// A flag that would do nothing is a mistake; a variable may be there for other commands.
func TestFlagsThatNeedOthers(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"version --s3-endpoint http://h",
		"version --s3-region r --bucket file:///mnt",
		"version --s3-path-style true",
		"version --cache-dir c",
		"version --cache-size 1GB --bucket s3://acme",
		"version --cache-size much",
	} {
		if o := newConsole(t).run(t, "", strings.Fields(line)...); o.exit != exitUsage || !strings.Contains(o.stderr, "--") {
			t.Errorf("%s: %+v", line, o)
		}
	}
	c := newConsole(t)
	c.env = map[string]string{"LASHSTORE_S3_ENDPOINT": "http://h", "LASHSTORE_CACHE_DIR": "c", "LASHSTORE_CACHE_SIZE": "1GB"}
	if o := c.run(t, "", "version"); o.exit != exitOK {
		t.Errorf("variables alone: %+v", o)
	}
	c.env["LASHSTORE_CACHE_SIZE"] = "much"
	if o := c.run(t, "", "version"); o.exit != exitUsage || !strings.Contains(o.stderr, "LASHSTORE_CACHE_SIZE") {
		t.Errorf("LASHSTORE_CACHE_SIZE=much: %+v", o)
	}
}

// Every setting has a variable: the table of docs/cli.md and the code go together.
func TestEveryFlagHasAVariable(t *testing.T) {
	t.Parallel()
	a := &app{}
	flags := a.rootCommand().PersistentFlags()
	asked := make([]string, 0, 16)
	a.lookupEnv = func(key string) (string, bool) { asked = append(asked, key); return "", false }
	if err := a.applyEnvironment(flags); err != nil {
		t.Fatal(err)
	}
	docs := readText(t, filepath.Join("..", "..", "docs", "cli.md"))
	flags.VisitAll(func(f *pflag.Flag) {
		if key := environmentKey(f.Name); !slices.Contains(asked, key) || !strings.Contains(docs, "`"+key+"`") {
			t.Errorf("%s: asked for: %t, in docs/cli.md: %t", key, slices.Contains(asked, key), strings.Contains(docs, key))
		}
	})
}
