package cas

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers fastcdcName

	"github.com/lashstore/lashstore"
)

// Where content is cut. The sizes come from the sweep in ADR 8.
const (
	// SingleBytes is how large content without a predecessor may be to be one object.
	SingleBytes = 256 << 10
	// minCutBytes is how large content with a predecessor must be to be cut.
	minCutBytes = chunkAverage / 2
	// chunkAverage is the average chunk, chunkMin and chunkMax times it are its
	// bounds.
	chunkAverage = 8 << 10
	// Content has coarser chunks from coarseFrom on, so that a manifest of 1 GiB
	// stays at 2 MB: a state as large as that is rare.
	coarseFrom    = 64 << 20
	coarseAverage = 32 << 10
	// maxChunkBytes bounds a chunk.
	maxChunkBytes = 4 * coarseAverage
)

// fastcdcName is FastCDC with normalised chunking (level 2) and masks that fit the
// average; the library's plain "fastcdc" keeps those of 8 KiB for any average.
const fastcdcName = "fastcdc-v1.0.0"

// cutter cuts what a reader yields into chunks, by content.
type cutter struct {
	r        *contentReader
	buf      []byte
	chunker  *chunkers.Chunker
	coarse   bool
	ended    bool
	cutBytes int64 // what has been cut
}

func newCutter(r *contentReader, memory *splitMemory) (*cutter, error) {
	if memory.cutting == nil {
		memory.cutting = make([]byte, 2*4*coarseAverage)
	}
	c := &cutter{r: r, buf: memory.cutting}
	return c, c.begin(io.LimitReader(r, coarseFrom), chunkAverage)
}

func (c *cutter) begin(r io.Reader, average int) (err error) {
	c.chunker, err = chunkers.NewChunkerBuffer(fastcdcName, r, &chunkers.ChunkerOpts{
		MinSize: average / 4, NormalSize: average, MaxSize: 4 * average,
	}, c.buf)
	if err != nil {
		return fmt.Errorf("make a chunker: %w", err)
	}
	return nil
}

// next returns the next chunk, valid until the call after it, and io.EOF after the
// last.
func (c *cutter) next() ([]byte, error) {
	for !c.ended {
		chunk, err := c.chunker.Next()
		if c.r.err != nil { // the chunker may have taken it for the end
			return nil, c.r.err
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("cut content: %w", err)
		}
		if err != nil {
			if err := c.turnCoarse(int64(len(chunk))); err != nil {
				return nil, err
			}
		}
		if len(chunk) > 0 {
			c.cutBytes += int64(len(chunk))
			return chunk, nil
		}
	}
	return nil, io.EOF
}

// turnCoarse goes on with larger chunks after coarseFrom, or ends. last is the
// length of the chunk that came with the end, which stays valid until the next
// chunker reads.
func (c *cutter) turnCoarse(last int64) error {
	if c.coarse || c.cutBytes+last < coarseFrom {
		c.ended = true
		return nil
	}
	c.coarse = true
	c.buf = make([]byte, len(c.buf))
	return c.begin(c.r, coarseAverage)
}

// contentReader is the caller's reader with the checks that a chunker does not
// make. It remembers its first error other than the end.
type contentReader struct {
	r     io.Reader
	done  func() error // the context's error
	limit int64
	total int64
	err   error
	ended bool
}

// maxEmptyReads is how many reads in a row may bring nothing, as in package bufio.
const maxEmptyReads = 100

// Read implements [io.Reader].
func (c *contentReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	for range maxEmptyReads {
		if c.ended {
			return 0, io.EOF
		}
		if c.err = c.done(); c.err != nil {
			return 0, c.err
		}
		n, err := c.r.Read(p)
		if n < 0 || n > len(p) {
			c.err = fmt.Errorf("read content: the reader returned %d for %d bytes", n, len(p))
			return 0, c.err
		}
		c.total += int64(n)
		if c.total > c.limit {
			c.err = &lashstore.LimitError{Limit: "blob_bytes", Max: c.limit, Got: c.total}
			return 0, c.err
		}
		if err == io.EOF { // not errors.Is: a wrapped EOF is a transfer that broke
			c.ended = true
		} else if err != nil {
			c.err = fmt.Errorf("read content at byte %d: %w", c.total, err)
			return 0, c.err
		}
		if n > 0 {
			return n, nil
		}
	}
	if c.ended { // with the last of them
		return 0, io.EOF
	}
	c.err = fmt.Errorf("read content at byte %d: %w", c.total, io.ErrNoProgress)
	return 0, c.err
}

// head reads up to limit bytes and reports whether the content ends with them; if
// not, one byte more has been read.
func (c *contentReader) head(limit int) (head []byte, ended bool, err error) {
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(c, int64(limit)+1))
	if c.err != nil {
		return nil, false, c.err
	}
	if err != nil {
		return nil, false, errors.Join(errors.New("read content"), err)
	}
	return buf.Bytes(), n <= int64(limit), nil
}

// unread puts back what head returned.
func (c *contentReader) unread(head []byte) {
	c.r, c.total, c.ended = io.MultiReader(bytes.NewReader(head), c.r), c.total-int64(len(head)), false
}
