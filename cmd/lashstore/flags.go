package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/diskcache"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// globalFlags are those that every command has.
type globalFlags struct {
	dir         string
	tenant      string
	bucket      string
	s3Endpoint  string
	s3Region    string
	s3PathStyle choice
	cacheDir    string
	cacheSize   byteSize
	durability  choice
	profile     choice
	output      choice
	noProgress  bool
}

// Values of choices.
const (
	outputTable      = "table"
	outputJSON       = "json"
	durabilityFull   = "full"
	durabilityNormal = "normal"
	pathStyleAuto    = "auto"
)

// Names of flags that are looked up by name.
const (
	flagBucket      = "bucket"
	flagS3Endpoint  = "s3-endpoint"
	flagS3Region    = "s3-region"
	flagS3PathStyle = "s3-path-style"
	flagCacheDir    = "cache-dir"
	flagCacheSize   = "cache-size"
)

func newGlobalFlags() globalFlags {
	return globalFlags{
		s3PathStyle: choice{value: pathStyleAuto, allowed: []string{pathStyleAuto, string(s3cas.PathStyleOn), string(s3cas.PathStyleOff)}},
		cacheSize:   diskcache.DefaultMaxBytes,
		durability:  choice{value: durabilityFull, allowed: []string{durabilityFull, durabilityNormal}},
		profile: choice{value: string(lashstore.ProfileBalanced), allowed: []string{
			string(lashstore.ProfileLowLatency), string(lashstore.ProfileBalanced), string(lashstore.ProfileCompact),
		}},
		output: choice{value: outputTable, allowed: []string{outputTable, outputJSON}},
	}
}

func (g *globalFlags) register(f *pflag.FlagSet) {
	f.StringVar(&g.dir, "dir", defaultDir, "data directory")
	f.StringVar(&g.tenant, "tenant", "", "tenant whose data is meant (default \"default\")")
	f.StringVar(&g.bucket, flagBucket, "", "`URL` of where large content goes: s3://BUCKET[/PREFIX][?endpoint=…&region=…&path_style=…] "+
		"or file:///FOLDER (default a folder in the data directory)")
	f.StringVar(&g.s3Endpoint, flagS3Endpoint, "", "`URL` of the S3 server (default AWS, or what the AWS configuration says)")
	f.StringVar(&g.s3Region, flagS3Region, "", "`NAME` of the bucket's region (default what the AWS configuration says)")
	f.Var(&g.s3PathStyle, flagS3PathStyle, "name the bucket in the path of requests; auto: for servers other than AWS")
	f.StringVar(&g.cacheDir, flagCacheDir, "", "`FOLDER` that keeps parts of the bucket that were read (default none)")
	f.Var(&g.cacheSize, flagCacheSize, "how much the cache may hold, such as 500MB or 2GiB; 0 turns it off")
	f.Var(&g.durability, "durability", "what an acknowledged write survives: full (power loss) or normal (the process)")
	f.Var(&g.profile, "profile", "low_latency, balanced or compact")
	f.VarP(&g.output, "output", "o", "table or json")
	f.BoolVar(&g.noProgress, "no-progress", false, "show no progress on a terminal")
}

// environmentKey is the variable that stands for a flag.
func environmentKey(flag string) string {
	return "LASHSTORE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnvironment sets the global flags that the command line did not, from the
// environment. A configuration file will come after it, for what is still unset.
func (a *app) applyEnvironment(flags *pflag.FlagSet) error {
	for _, name := range []string{
		"dir", "tenant", flagBucket, flagS3Endpoint, flagS3Region, flagS3PathStyle, flagCacheDir, flagCacheSize,
		"durability", "profile", "output", "no-progress",
	} {
		f := flags.Lookup(name)
		key := environmentKey(name)
		value, ok := a.lookupEnv(key)
		if f == nil || f.Changed || !ok || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("environment variable %s=%q %w", key, value, err)
		}
	}
	return nil
}

// checkCombination refuses flags on the command line that would do nothing. In the
// environment they may stand for commands that need them.
func (g *globalFlags) checkCombination(flags *pflag.FlagSet) error {
	for _, rule := range []struct {
		flag  string
		holds bool
		needs string
	}{
		{flagS3Endpoint, hasScheme(g.bucket, schemeS3), "--bucket s3://…"},
		{flagS3Region, hasScheme(g.bucket, schemeS3), "--bucket s3://…"},
		{flagS3PathStyle, hasScheme(g.bucket, schemeS3), "--bucket s3://…"},
		{flagCacheDir, g.bucket != "", "--bucket"},
		{flagCacheSize, g.cacheDir != "", "--cache-dir"},
	} {
		if f := flags.Lookup(rule.flag); f != nil && f.Changed && f.Value.String() != "" && !rule.holds {
			return fmt.Errorf("--%s goes with %s", rule.flag, rule.needs)
		}
	}
	return nil
}

// arguments are the flags, but for those about output, as a command line that means
// the same in any environment.
func (g *globalFlags) arguments() []string {
	args := []string{
		"--dir", g.dir, "--tenant", g.tenant, "--durability", g.durability.value, "--profile", g.profile.value,
		"--" + flagBucket, g.bucket, "--" + flagCacheDir, g.cacheDir,
	}
	if g.cacheDir != "" {
		args = append(args, "--"+flagCacheSize, strconv.FormatInt(int64(g.cacheSize), 10))
	}
	if hasScheme(g.bucket, schemeS3) {
		args = append(args, "--"+flagS3Endpoint, g.s3Endpoint, "--"+flagS3Region, g.s3Region, "--"+flagS3PathStyle, g.s3PathStyle.value)
	}
	return args
}

// choice is a flag with a fixed set of values.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }

// Type is what help shows as the flag's value.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// Set accepts one of the allowed values.
func (c *choice) Set(s string) error {
	if slices.Contains(c.allowed, s) {
		c.value = s
		return nil
	}
	return errors.New("must be " + strings.Join(c.allowed[:len(c.allowed)-1], ", ") + " or " + c.allowed[len(c.allowed)-1])
}

// byteSize is a flag for a number of bytes, with or without a unit.
type byteSize int64

func (b *byteSize) String() string { return size(int64(*b)) }

// Type is what help shows as the flag's value.
func (b *byteSize) Type() string { return "size" }

// Set accepts what people write: 1048576, 500MB (powers of 1000), 2GiB (of 1024).
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return errors.New("must be a size such as 500MB, 2GiB or 0")
	}
	*b = byteSize(n)
	return nil
}
