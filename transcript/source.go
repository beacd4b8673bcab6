package transcript

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lashstore/lashstore"
)

// Limits on input.
const (
	// MaxLineBytes bounds one line and one message: a message becomes a node, whose
	// payload the contract bounds.
	MaxLineBytes = lashstore.MaxPayloadBytes
	// MaxStateBytes bounds one entry of a trajectory: it becomes components, which
	// travel in a commit together with the step's messages.
	MaxStateBytes = lashstore.MaxCommitBytes / 2
	// MaxStepMessages and MaxStepBytes bound how many messages, and how much of their
	// text, one commit takes. One message of MaxLineBytes more still fits.
	MaxStepMessages = 4096
	MaxStepBytes    = lashstore.MaxCommitBytes / 4
)

// Format is what input looks like.
type Format string

// The formats.
const (
	FormatMessages   Format = "messages"
	FormatTrajectory Format = "trajectory"
)

// Source is recorded input. It is read more than once, so it must not change
// meanwhile.
type Source struct {
	Name   string // for messages
	Reader io.ReaderAt
	Size   int64 // in bytes
}

func (s Source) section(offset int64) *io.SectionReader {
	return io.NewSectionReader(s.Reader, offset, s.Size-offset)
}

// byteOrderMark at the start of a file is ignored, as RFC 8259 allows.
const byteOrderMark = "\xef\xbb\xbf"

// start is the offset of the first byte behind a byte order mark.
func (s Source) start() int64 {
	head := make([]byte, len(byteOrderMark))
	n, _ := s.Reader.ReadAt(head, 0) // what cannot be read is found when it is parsed
	if string(head[:n]) == byteOrderMark {
		return int64(n)
	}
	return 0
}

// detect finds the format by the members of the first JSON value, and by the name
// where these do not tell.
func (s Source) detect() Format {
	guess := FormatMessages
	if path.Ext(s.Name) == ".traj" {
		guess = FormatTrajectory
	}
	limited := &budgetReader{r: s.section(s.start()), left: MaxStateBytes}
	dec := jsontext.NewDecoder(limited)
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return guess
	}
	for {
		tok, err := dec.ReadToken()
		if err != nil || tok.Kind() != '"' {
			return guess
		}
		switch tok.String() {
		case "role":
			return FormatMessages
		case "history", "trajectory":
			return FormatTrajectory
		}
		limited.left = MaxStateBytes
		if err := dec.SkipValue(); err != nil {
			return guess
		}
	}
}

// digest identifies the bytes of the source.
func (s Source) digest(ctx context.Context) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, contextReader{ctx: ctx, r: s.section(0)}); err != nil {
		return "", fmt.Errorf("read %s: %w", s.Name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// contextReader stops reading when its context is done.
type contextReader struct {
	ctx context.Context //nolint:containedctx // an io.Reader has no other way to be told
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// errBudget is what a budgetReader answers when it has given out its bytes.
var errBudget = errors.New("too large")

// budgetReader bounds what a JSON reader may take in for one value.
type budgetReader struct {
	r    io.Reader
	left int64
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBudget
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
