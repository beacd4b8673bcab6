package transcript

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/lashstore/lashstore"
)

// ExportOptions select what is exported. The zero value is the active path of the
// head.
type ExportOptions struct {
	Revision lashstore.Revision // 0 means the head
	Leaf     lashstore.NodeID   // empty means the revision's leaf
}

// ExportResult says what an export wrote.
type ExportResult struct {
	Revision lashstore.Revision
	Messages int
	// Skipped is how many nodes of the path are not messages.
	Skipped int
}

// Export writes the messages of the active path as JSON Lines, oldest first.
//
// Errors: those of Load; [lashstore.ErrCorruptRecord] for a message that cannot be
// restored, in which case lines before it may have been written; what w returns.
func Export(ctx context.Context, s lashstore.SessionReader, w io.Writer, opts ExportOptions) (ExportResult, error) {
	snap, err := s.Load(ctx, lashstore.LoadOptions{
		Scope: lashstore.ScopeActivePath, Revision: opts.Revision, Leaf: opts.Leaf, HydrateLimit: -1,
	})
	if err != nil {
		return ExportResult{}, err
	}
	res := ExportResult{Revision: snap.Revision}
	out := bufio.NewWriterSize(w, 64<<10)
	for i := range snap.Graph.Nodes {
		line, err := Restore(&snap.Graph.Nodes[i])
		if err != nil {
			return res, fmt.Errorf("export session %q: %w", snap.SessionID, err)
		}
		if line == nil {
			res.Skipped++
			continue
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return res, fmt.Errorf("write transcript: %w", err)
		}
		res.Messages++
	}
	if err := out.Flush(); err != nil {
		return res, fmt.Errorf("write transcript: %w", err)
	}
	return res, nil
}
