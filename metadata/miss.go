package metadata

import (
	"context"
	"errors"

	"github.com/lashstore/lashstore"
)

// A flipped bit in a key makes a lookup miss, and "not found" is an answer that
// callers act on. So before a session's record is said not to be there, the table
// is read once: the checksums of its rows cover their keys. Misses are rare, and
// the tables of one session small.

var errIndex = errors.New("it is in the table and not in its index")

// checkAttachments is for an attachment that was not found.
func (s *SessionDB) checkAttachments(ctx context.Context, c *conn) error {
	return c.each(ctx, attachmentSelect, nil, func(scan func(...any) error) error {
		_, err := s.scanAttachment(scan)
		return err
	})
}

// checkArtifacts is for an artifact that was not found.
func (s *SessionDB) checkArtifacts(ctx context.Context, c *conn) error {
	return c.each(ctx, artifactSelect, nil, func(scan func(...any) error) error {
		_, err := s.scanArtifact(scan)
		return err
	})
}

// checkContents is for content that was not found. It does not read the bytes.
func (s *SessionDB) checkContents(ctx context.Context, c *conn) error {
	return c.each(ctx, `SELECT digest, size, refs, refs_sum FROM content`, nil, func(scan func(...any) error) error {
		var (
			digest          []byte
			size, refs, sum int64
		)
		if err := scan(&digest, &size, &refs, &sum); err != nil {
			return err
		}
		if sum != rowSum(digest, size, refs) {
			return corrupt(s.id, "content", "row", errSum)
		}
		return nil
	})
}

// checkNodeIndex is for a node that was not found: the index of ids has no
// checksum, so the table is asked without it.
func (s *SessionDB) checkNodeIndex(ctx context.Context, c *conn, id lashstore.NodeID) error {
	found, err := c.one(ctx, `SELECT 1 FROM node WHERE +node_id=? AND +removed_rev IS NULL LIMIT 1`, []any{string(id)}, new(int64))
	if err == nil && found {
		err = corrupt(s.id, "node", id, errIndex)
	}
	return err
}
