package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// s3Sizes are those of the budget: "0.8 of the slower for 16 MiB up".
func s3Sizes() []int { return []int{4 << 10, 256 << 10, 16 << 20, 256 << 20} }

// s3Bench is a place on the first server that the environment names.
type s3Bench struct {
	driver *s3cas.Driver
	name   string
	raw    *s3.Client
	bucket string
	prefix string
}

func openS3Bench(b *testing.B) *s3Bench {
	b.Helper()
	server := testenv.S3Servers(b)[0]
	return newS3Bench(server, "bench/"+strings.ToLower(rand.Text()), b.Cleanup)
}

func newS3Bench(server testenv.S3Server, prefix string, cleanup func(func())) *s3Bench {
	keys := credentials.NewStaticCredentialsProvider(server.Key, server.Secret, "")
	loc := s3cas.Location{Bucket: server.Bucket, Prefix: prefix, Endpoint: server.Endpoint, Region: server.Region}
	t := &s3Bench{bucket: server.Bucket, prefix: prefix, name: loc.String()}
	t.driver = must(s3cas.Open(context.Background(), loc, s3cas.Options{Credentials: keys}))
	t.raw = s3.New(s3.Options{
		BaseEndpoint: aws.String(server.Endpoint), Region: server.Region, Credentials: keys, UsePathStyle: true,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
	cleanup(func() {
		check(t.empty())
		check(t.driver.Close())
	})
	return t
}

// empty removes all that was stored.
func (t *s3Bench) empty() error {
	ctx := context.Background()
	for {
		infos, err := t.driver.List(ctx, "", "", cas.MaxDeleteKeys)
		if err != nil || len(infos) == 0 {
			return err
		}
		keys := make([]string, len(infos))
		for i, info := range infos {
			keys[i] = info.Key
		}
		if err := t.driver.Delete(ctx, keys); err != nil {
			return err
		}
	}
}

func (t *s3Bench) key() *string { return aws.String(t.prefix + "/raw") }

// put makes one request with the client, whatever the size.
func (t *s3Bench) put(content []byte) {
	must(t.raw.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: &t.bucket, Key: t.key(), Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))),
	}))
}

func (t *s3Bench) get() {
	out := must(t.raw.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &t.bucket, Key: t.key()}))
	must(io.Copy(io.Discard, out.Body))
	check(out.Body.Close())
}

// eachS3 runs a benchmark for each size, of content that compresses and of noise.
func eachS3(b *testing.B, run func(b *testing.B, t *s3Bench, store *local.Store, fill func(int) []byte, size int)) {
	b.Helper()
	t := openS3Bench(b)
	for _, size := range s3Sizes() {
		for _, content := range []string{"records", "noise"} {
			b.Run(fmt.Sprintf("size=%dKiB/content=%s", size>>10, content), func(b *testing.B) {
				b.SetBytes(int64(size))
				store := openStore(b, b.TempDir(), local.Options{Driver: t.driver, TierName: t.name})
				_, fill := testenv.Noise(uint64(size))
				if content == "records" {
					_, fill = testenv.Records(uint64(size))
				}
				run(b, t, store, fill, size)
				check(store.Close())
				check(t.empty())
			})
		}
	}
}

// BenchmarkS3Put stores new content. The baseline is the slower of two: one request
// of the plain client with the same content, and hashing and compressing it alone.
// Budget: 0.8 from 16 MiB on.
func BenchmarkS3Put(b *testing.B) {
	eachS3(b, func(b *testing.B, t *s3Bench, store *local.Store, fill func(int) []byte, size int) {
		b.Helper()
		encoder := must(cas.New(memcas.New(), cas.Options{}))
		var put, raw, encode latencies
		for b.Loop() {
			b.StopTimer()
			content := fill(size)
			raw.time(func() { t.put(content) })
			encode.time(func() { encodeOnly(encoder, content) })
			b.StartTimer()
			put.time(func() {
				must(store.PutBlob(context.Background(), bytes.NewReader(content), lashstore.PutBlobOptions{Descriptor: tool()}))
			})
		}
		reportS3(b, put, raw, encode)
	})
}

// BenchmarkS3Get reads content back. The baseline is the slower of two: one request
// of the plain client, and decompressing and hashing the content alone.
func BenchmarkS3Get(b *testing.B) {
	eachS3(b, func(b *testing.B, t *s3Bench, store *local.Store, fill func(int) []byte, size int) {
		b.Helper()
		content := fill(size)
		ref := must(store.PutBlob(b.Context(), bytes.NewReader(content), lashstore.PutBlobOptions{Descriptor: tool()}))
		t.put(content)
		packed := pack(content)
		var get, raw, decode latencies
		for b.Loop() {
			b.StopTimer()
			raw.time(t.get)
			decode.time(func() { unpack(packed) })
			b.StartTimer()
			get.time(func() { drain(must(store.OpenBlob(context.Background(), ref.Digest))) })
		}
		reportS3(b, get, raw, decode)
	})
}

func reportS3(b *testing.B, store, raw, processor latencies) {
	b.Helper()
	b.ReportMetric(share(max(raw.quantile(0.5), processor.quantile(0.5)), store.quantile(0.5)), "of-baseline-p50")
	b.ReportMetric(ms(store.quantile(0.5)), "p50-ms")
	b.ReportMetric(ms(raw.quantile(0.5)), "raw-p50-ms")
	b.ReportMetric(ms(processor.quantile(0.5)), "cpu-p50-ms")
}

// peakEnv makes the test program put so many bytes and report its memory.
const peakEnv = "LASHSTORE_BENCH_PEAK"

// BenchmarkS3PeakMemory puts 1 GiB from a stream, in a process of its own. Budget:
// peak-MiB, the most memory that the process ever had resident, below 150.
func BenchmarkS3PeakMemory(b *testing.B) {
	testenv.S3Servers(b)
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), peakEnv+"="+b.TempDir())
		cmd.Stderr = os.Stderr
		// The process says it itself: to its parent, the system counts the parent's
		// memory at its birth too.
		peak := must(strconv.ParseInt(strings.TrimSpace(string(must(cmd.Output()))), 10, 64))
		b.ReportMetric(float64(peak>>20), "peak-MiB")
	}
}

// putLarge puts 1 GiB of noise and prints the most memory that this took.
func putLarge(dir string) (err error) {
	var closers []func()
	defer func() {
		for _, c := range closers {
			c()
		}
	}()
	servers := testenv.S3Servers(mainTB{})
	t := newS3Bench(servers[0], "bench/"+strings.ToLower(rand.Text()), func(f func()) { closers = append(closers, f) })
	store, err := local.Open(context.Background(), dir, local.Options{Driver: t.driver, TierName: t.name})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	const size = 1 << 30
	_, fill := testenv.Noise(1)
	_, err = store.PutBlob(context.Background(), io.LimitReader(filler{fill}, size), lashstore.PutBlobOptions{Descriptor: tool()})
	if err != nil {
		return err
	}
	peak, err := statusBytes("VmHWM:")
	_, _ = fmt.Fprintln(os.Stdout, peak)
	return err
}

// filler is an endless reader.
type filler struct{ fill func(int) []byte }

func (f filler) Read(p []byte) (int, error) { return copy(p, f.fill(len(p))), nil }

// mainTB stands for a test where there is none.
type mainTB struct{ testing.TB }

func (mainTB) Helper() {}

func (mainTB) Skipf(format string, args ...any)  { panic(fmt.Sprintf(format, args...)) }
func (mainTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
