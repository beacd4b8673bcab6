package metadata

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lashstore/lashstore"
)

// frameBody is what the body column keeps of a frame: what no revision changes.
type frameBody struct {
	lashstore.AgentFrame
	// Descriptor and Counter belong to the frame's execution state.
	Descriptor lashstore.Descriptor `json:"state_descriptor,omitzero"`
	Counter    uint64               `json:"state_revision,omitempty"`
}

// appendFrames adds frames and returns the id of the current one.
func (t *commitTx) appendFrames(ctx context.Context, c *conn, current lashstore.FrameID) (lashstore.FrameID, error) {
	for i := range t.in.Commit.Frames {
		f := t.in.Commit.Frames[i]
		f.SessionID, f.PreviousFrameID, f.Status = t.s.id, current, ""
		if f.Reason == "" {
			f.Reason = lashstore.FrameReasonInitial
		}
		if f.CreatedAt.IsZero() {
			f.CreatedAt = t.now
		}
		f.CreatedAt = fromMS(toMS(f.CreatedAt))
		if err := t.insertFrame(ctx, c, f); err != nil {
			return "", err
		}
		current = f.FrameID
	}
	want := t.in.Commit.CurrentFrameID
	if want == "" || want == current {
		return current, nil
	}
	found, err := c.one(ctx, `SELECT 1 FROM frame WHERE frame_id=?`, []any{string(want)}, new(int64))
	if err != nil {
		return "", err
	}
	if !found {
		return "", lashstore.Invalid("current_agent_frame_id", string(want), "is not a frame of the session")
	}
	return want, nil
}

func (t *commitTx) insertFrame(ctx context.Context, c *conn, f lashstore.AgentFrame) error {
	body := frameBody{AgentFrame: f}
	var digest, size any
	if st := f.ExecutionState; st != nil {
		d := st.Ref.Digest
		n, err := t.hold(ctx, c, d, fmt.Sprintf("execution state of frame %q", f.FrameID))
		if err != nil {
			return err
		}
		digest, size = d.Bytes(), n
		body.Descriptor, body.Counter = lashstore.ComponentDescriptor(lashstore.ComponentExecutionState, st), st.Revision
		body.ExecutionState = nil
	}
	raw, err := encode("frame", body)
	if err != nil {
		return err
	}
	id, rev := string(f.FrameID), counter(t.rev)
	n, err := c.execCount(ctx, `INSERT INTO frame (frame_id, seq, added_rev, body, state_digest, state_size, sum)
		VALUES (?, (SELECT count(*) FROM frame), ?, ?, ?, ?, ?) ON CONFLICT(frame_id) DO NOTHING`, id, rev, raw, digest, size, rowSum(id, rev, raw, digest, size))
	if err == nil && n == 0 {
		return lashstore.Invalid("frame_id", id, "is taken")
	}
	return err
}

// readFrames returns the frames of a revision in order. The current one is active,
// all others are superseded.
func (s *SessionDB) readFrames(ctx context.Context, c *conn, rev *revisionRow) (frames []lashstore.AgentFrame, err error) {
	err = c.each(ctx, `SELECT frame_id, added_rev, body, state_digest, state_size, sum FROM frame WHERE added_rev<=? ORDER BY seq`,
		[]any{counter(rev.revision)}, func(scan func(...any) error) error {
			var (
				id, raw    string
				added, sum int64
				digest     []byte
				size       sql.NullInt64
			)
			if err := scan(&id, &added, &raw, &digest, &size, &sum); err != nil {
				return err
			}
			if sum != rowSum(id, added, raw, blobArg(digest), nullInt(size)) {
				return corrupt(s.id, "frame", id, errSum)
			}
			var body frameBody
			if err := lashstore.DecodeStrict([]byte(raw), &body); err != nil {
				return corrupt(s.id, "frame", id, err)
			}
			f := body.AgentFrame
			f.Status = lashstore.FrameSuperseded
			if f.FrameID == rev.frameID {
				f.Status = lashstore.FrameActive
			}
			if digest != nil {
				d, err := lashstore.DigestFromBytes(digest)
				if err != nil {
					return corrupt(s.id, "frame", id, err)
				}
				f.ExecutionState = &lashstore.Component{
					Ref:        lashstore.BlobRef{Digest: d, SizeBytes: size.Int64},
					Descriptor: body.Descriptor, Revision: body.Counter,
				}
			}
			frames = append(frames, f)
			return nil
		})
	return frames, err
}
