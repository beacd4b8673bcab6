package cas_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// Split, Join and Seek agree with plain bytes, whatever the size, the predecessor and
// the order of reads.
func TestSplitJoinAgreesWithBytes(t *testing.T) {
	t.Parallel()
	largest := append(noise(3<<20, 3), prose(3<<20, 1)...)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(
			rapid.IntRange(0, 100),
			rapid.IntRange(cas.SingleBytes-2, cas.SingleBytes+2),
			rapid.IntRange(cas.WindowBytes-2, 3*cas.WindowBytes),
		).Draw(rt, "size")
		want := largest[len(largest)-size:]
		c := newCatalog(memStore(t, cas.Options{Profile: profile().Draw(rt, "profile")}))
		opts := cas.SplitOptions{Descriptor: lashstore.Descriptor{
			Hints: lashstore.Hints{Compressible: rapid.Bool().Draw(rt, "compressible")},
		}}
		if rapid.Bool().Draw(rt, "predecessor") {
			before := edit().Draw(rt, "edit")(slices.Clone(want))
			res := c.splitWith(t, before, opts)
			opts.Predecessor = &cas.Predecessor{Manifest: res.Manifest, Content: before}
		}
		res := c.splitWith(t, want, opts)
		if res.Manifest.Digest != lashstore.DigestOf(want) || res.Manifest.SizeBytes != int64(size) {
			rt.Fatalf("manifest %+v, want the digest and size of the content", res.Manifest.Ref())
		}
		r, err := c.store.Join(t.Context(), c.open(t, res), c.generation)
		if err != nil {
			rt.Fatalf("Join: %v", err)
		}
		readAgrees(rt, r, want)
		if err := r.Close(); err != nil {
			rt.Fatalf("Close: %v", err)
		}
	})
}

// readAgrees reads and seeks at random, in content and in plain bytes, which must
// agree at every step.
func readAgrees(rt *rapid.T, r io.ReadSeeker, want []byte) {
	model, size := bytes.NewReader(want), len(want)
	for range rapid.IntRange(1, 10).Draw(rt, "operations") {
		if rapid.Bool().Draw(rt, "seek") {
			offset := rapid.Int64Range(-10, int64(size)+10).Draw(rt, "offset")
			whence := rapid.IntRange(0, 2).Draw(rt, "whence")
			at, modelErr := model.Seek(offset, whence)
			got, err := r.Seek(offset, whence)
			if (err == nil) != (modelErr == nil) || err == nil && got != at {
				rt.Fatalf("Seek(%d, %d): got %d, %v, want %d, %v", offset, whence, got, err, at, modelErr)
			}
			continue
		}
		n := rapid.SampledFrom([]int{0, 1, 1000, 300_000, 3 << 20}).Draw(rt, "bytes")
		gotBytes, wantBytes := make([]byte, n), make([]byte, n)
		got, gotErr := io.ReadFull(r, gotBytes)
		exp, expErr := io.ReadFull(model, wantBytes)
		if got != exp || !errors.Is(gotErr, expErr) || !bytes.Equal(gotBytes, wantBytes) {
			rt.Fatalf("read %d bytes: got %d, %v, want %d, %v", n, got, gotErr, exp, expErr)
		}
	}
}

// edit draws a change of content: part of it replaced, inserted, added, removed,
// moved, doubled or set to zero.
func edit() *rapid.Generator[func([]byte) []byte] {
	return rapid.Custom(func(t *rapid.T) func([]byte) []byte {
		kind := rapid.SampledFrom([]string{"replace", "insert", "append", "delete", "shuffle", "repeat", "zero", "none"}).Draw(t, "kind")
		at, length := rapid.Float64Range(0, 1).Draw(t, "at"), rapid.SampledFrom([]int{1, 100, 1 << 10, 20 << 10, 100 << 10}).Draw(t, "length")
		seed := rapid.Byte().Draw(t, "seed")
		return func(b []byte) []byte {
			from := int(at * float64(len(b)))
			to := min(from+length, len(b))
			switch kind {
			case "replace":
				copy(b[from:to], noise(to-from, seed))
			case "insert":
				b = slices.Insert(b, from, prose(length, uint64(seed))...)
			case "append":
				b = append(b, noise(length, seed)...)
			case "delete":
				b = slices.Delete(b, from, to)
			case "shuffle": // what lies behind comes first
				b = slices.Concat(b[to:], b[:to])
			case "repeat":
				b = slices.Insert(b, from, bytes.Clone(b[from:to])...)
			case "zero":
				clear(b[from:to])
			}
			return b
		}
	})
}

// revision is content as it once was.
type revision struct {
	content []byte
	res     cas.SplitResult
}

// However a state is edited, each of its revisions reads back for as long as its
// objects are there: also those that later ones were made against, and with segments
// given up on the way.
func TestChainOfEditsKeepsEveryRevision(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := newCatalog(memStore(t, cas.Options{Profile: profile().Draw(rt, "profile")}))
		aged := rapid.Bool().Draw(rt, "aged")
		content := append(prose(rapid.IntRange(0, 300<<10).Draw(rt, "prose"), 1), noise(rapid.IntRange(0, 100<<10).Draw(rt, "noise"), 1)...)
		var all []revision
		opts := cas.SplitOptions{Descriptor: compressible()}
		for range rapid.IntRange(1, 40).Draw(rt, "turns") {
			res := c.splitWith(t, content, opts)
			if err := res.Manifest.Validate(); err != nil {
				rt.Fatalf("Validate: %v", err)
			}
			if sum := res.ReusedBytes + res.DeltaBytes + res.WholeBytes; sum != int64(len(content)) {
				rt.Fatalf("%d bytes reused, %d as deltas, %d whole: not the %d of the content",
					res.ReusedBytes, res.DeltaBytes, res.WholeBytes, len(content))
			}
			all = append(all, revision{content: content, res: res})
			opts.Predecessor = &cas.Predecessor{Manifest: c.open(t, res)}
			if rapid.Float64Range(0, 1).Draw(rt, "content") < 0.9 {
				opts.Predecessor.Content = content
			}
			if aged {
				opts.Predecessor.Aged = func(lashstore.Digest) bool { return true }
			}
			content = edit().Draw(rt, "edit")(bytes.Clone(content))
		}
		for i, rev := range all {
			c.wantContent(t, "revision", rev.res, rev.content)
			if t.Failed() {
				rt.Fatalf("revision %d of %d", i, len(all))
			}
		}
	})
}
