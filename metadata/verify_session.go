package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
)

var (
	errNoRevision  = errors.New("it is of a revision that is not there")
	errGap         = errors.New("the revision before it is missing")
	errNodeCount   = errors.New("the number of nodes is not what its revision says")
	errUserCount   = errors.New("the number of user messages is not what is recorded")
	errKeyNoBatch  = errors.New("its batch is missing")
	errItemNoBatch = errors.New("it belongs to no batch")
	errUses        = errors.New("its reference count is not the number of its uses")
)

// Check reads every record of the session and compares those that belong together, in
// one snapshot. Only an error keeps it from going on: damage is in the checkup.
//
// Errors: those of an open, such as [lashstore.ErrSessionDeleted] and
// [lashstore.ErrWrongSession], [lashstore.ErrBusy], and those of the context.
func (s *SessionDB) Check(ctx context.Context) (out Checkup, err error) {
	outer := ctx
	err = s.read(ctx, "check", func(ctx context.Context, c *conn) error {
		out = Checkup{}
		k := &sessionCheck{checker: checker{outer: outer, path: s.db.path, found: &out}, s: s}
		if err := k.integrity(c); err != nil {
			return err
		}
		return steps(ctx, c, k.description, k.revisions, k.settings, k.graph, k.components, k.receipts,
			k.queue, k.holdings, k.contents, k.counts)
	})
	return out, err
}

// sessionCheck is a look at one session.
type sessionCheck struct {
	checker
	s *SessionDB
	// oldest and head are the kept revisions, 0 and nil with nothing committed.
	oldest int64
	head   *revisionRow
}

// description checks the singletons.
func (k *sessionCheck) description(ctx context.Context, c *conn) error {
	k.found.Rows += 2
	_, err := k.s.readMeta(ctx, c)
	if err := k.note("meta", err); err != nil {
		return err
	}
	_, err = k.s.readLease(ctx, c)
	return k.note("lease", err)
}

func (k *sessionCheck) revisions(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "revision", revisionSelect+` ORDER BY revision`, nil, func(scan func(...any) error) error {
		r, err := k.s.scanRevision(scan)
		if err != nil {
			return err
		}
		n := counter(r.revision)
		if k.head == nil {
			k.oldest = n
		} else if counter(k.head.revision) != n-1 {
			k.flaw("revision", lashstore.Digest{}, corrupt(k.s.id, "revision", n, errGap))
		}
		k.head = r
		_, err = k.s.turnState(r)
		return err
	})
	if err != nil {
		return err
	}
	return k.none(ctx, c, k.s.id, "revision", `SELECT CAST(revision AS TEXT) FROM revision
		WHERE leaf_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM node WHERE seq=leaf_seq)`, fmt.Errorf("its leaf: %w", errMissing))
}

func (k *sessionCheck) headRevision() int64 {
	if k.head == nil {
		return 0
	}
	return counter(k.head.revision)
}

// settings checks configurations and frames.
func (k *sessionCheck) settings(ctx context.Context, c *conn) error {
	first := int64(lashstore.MaxCounter)
	err := k.walk(ctx, c, "config", `SELECT added_rev, body, sum FROM config`, nil, func(scan func(...any) error) error {
		var (
			added, sum int64
			body       string
			cfg        lashstore.SessionConfig
		)
		if err := scan(&added, &body, &sum); err != nil {
			return err
		}
		if sum != rowSum(added, body) {
			return corrupt(k.s.id, "config", added, errSum)
		}
		first = min(first, added)
		if err := lashstore.DecodeStrict([]byte(body), &cfg); err != nil {
			return corrupt(k.s.id, "config", added, err)
		}
		return nil
	})
	if err == nil && k.head != nil && first > k.oldest {
		err = k.note("config", corrupt(k.s.id, "config", k.oldest, errMissing))
	}
	if err != nil {
		return err
	}
	return k.walk(ctx, c, "frame", `SELECT frame_id, added_rev, body, state_digest, state_size, sum FROM frame`, nil, k.frame)
}

func (k *sessionCheck) frame(scan func(...any) error) error {
	var (
		id, raw    string
		added, sum int64
		digest     []byte
		size       sql.NullInt64
		body       frameBody
	)
	if err := scan(&id, &added, &raw, &digest, &size, &sum); err != nil {
		return err
	}
	switch {
	case sum != rowSum(id, added, raw, blobArg(digest), nullInt(size)):
		return corrupt(k.s.id, "frame", id, errSum)
	case added > k.headRevision():
		return corrupt(k.s.id, "frame", id, errNoRevision)
	}
	if err := lashstore.DecodeStrict([]byte(raw), &body); err != nil {
		return corrupt(k.s.id, "frame", id, err)
	}
	return nil
}

// graph checks the nodes: each by itself, each with its parent, and their counts.
func (k *sessionCheck) graph(ctx context.Context, c *conn) error {
	var nodes, messages int64
	err := k.walk(ctx, c, "node", nodeSelect+` ORDER BY seq`, nil, func(scan func(...any) error) error {
		r, err := k.s.scanNode(scan)
		if err != nil {
			return err
		}
		if r.addedRev > k.headRevision() {
			return corrupt(k.s.id, "node", r.node.NodeID, errNoRevision)
		}
		if !r.removedRev.Valid && r.hidden == nodeVisible {
			nodes++
			if r.userMessage {
				messages++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = k.none(ctx, c, k.s.id, "node", `SELECT n.node_id FROM node n LEFT JOIN node p ON p.seq=n.parent_seq
		WHERE n.parent_seq IS NULL AND n.depth<>0
		OR n.parent_seq IS NOT NULL AND (p.seq IS NULL OR p.seq>=n.seq OR p.depth<>n.depth-1)`, fmt.Errorf("its parent: %w or at another depth", errMissing))
	if err != nil {
		return err
	}
	if k.head != nil && k.head.nodeCount != nodes {
		k.flaw("graph", lashstore.Digest{}, corrupt(k.s.id, "graph", "head", fmt.Errorf("%w: %d found, %d recorded", errNodeCount, nodes, k.head.nodeCount)))
	}
	p, err := k.s.readPicker(ctx, c)
	if err == nil && p.userMessages != messages {
		err = corrupt(k.s.id, "picker", "row", fmt.Errorf("%w: %d found, %d recorded", errUserCount, messages, p.userMessages))
	}
	return k.note("picker", err)
}

// components checks the components, and that each revision has as many as it says.
func (k *sessionCheck) components(ctx context.Context, c *conn) error {
	change := make(map[int64]int64) // of the number of components, by revision
	err := k.walk(ctx, c, "component", componentSelect, nil, func(scan func(...any) error) error {
		r, err := k.s.scanComponent(scan)
		if err != nil {
			return err
		}
		if r.addedRev > k.headRevision() {
			return corrupt(k.s.id, "component", r.key, errNoRevision)
		}
		_, err = k.s.component(r)
		return err
	})
	if err != nil {
		return err
	}
	err = k.note("component", c.each(ctx, `SELECT added_rev, removed_rev FROM component`, nil, func(scan func(...any) error) error {
		var (
			added   int64
			removed sql.NullInt64
		)
		if err := scan(&added, &removed); err != nil {
			return err
		}
		change[max(added, k.oldest)]++
		if removed.Valid {
			change[max(removed.Int64, k.oldest)]--
		}
		return nil
	}))
	if err != nil {
		return err
	}
	var now int64
	next := k.oldest
	return k.note("checkpoint", c.each(ctx, `SELECT revision, component_count FROM revision ORDER BY revision`, nil, func(scan func(...any) error) error {
		var rev, recorded int64
		if err := scan(&rev, &recorded); err != nil {
			return err
		}
		for ; next <= rev; next++ {
			now += change[next]
		}
		if now != recorded {
			k.flaw("checkpoint", lashstore.Digest{}, corrupt(k.s.id, "checkpoint", rev, fmt.Errorf("%d components found, %d recorded", now, recorded)))
		}
		return nil
	}))
}

// receipts checks the records of turns and usage.
func (k *sessionCheck) receipts(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "turn commit", `SELECT turn_id, hash, revision, result, sum FROM turn_commit`, nil, func(scan func(...any) error) error {
		var (
			turn, raw string
			hash      []byte
			rev, sum  int64
			res       lashstore.CommitResult
		)
		if err := scan(&turn, &hash, &rev, &raw, &sum); err != nil {
			return err
		}
		if sum != rowSum(turn, hash, rev, raw) {
			return corrupt(k.s.id, "turn commit", turn, errSum)
		}
		if err := lashstore.DecodeStrict([]byte(raw), &res); err != nil {
			return corrupt(k.s.id, "turn commit", turn, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.walk(ctx, c, "usage", usageSelect, nil, func(scan func(...any) error) error {
		_, _, err := k.s.scanUsage(scan)
		return err
	})
}

func (k *sessionCheck) queue(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "batch", batchSelect, nil, func(scan func(...any) error) error {
		r, err := k.s.scanBatch(scan)
		if err == nil {
			err = k.s.loadItems(ctx, c, &r.batch)
			k.found.Rows += int64(len(r.batch.Items))
		}
		return err
	})
	if err == nil {
		err = k.none(ctx, c, k.s.id, "item", `SELECT DISTINCT CAST(batch_seq AS TEXT) FROM item
			WHERE NOT EXISTS (SELECT 1 FROM batch WHERE seq=batch_seq)`, errItemNoBatch)
	}
	if err != nil {
		return err
	}
	err = k.walk(ctx, c, "source key", `SELECT source_key, batch_id, payload_hash, state, ended_at_ms, sum FROM source_key`, nil,
		func(scan func(...any) error) error {
			var (
				key, batch string
				hash       []byte
				state, sum int64
				ended      sql.NullInt64
			)
			if err := scan(&key, &batch, &hash, &state, &ended, &sum); err != nil {
				return err
			}
			if sum != rowSum(key, batch, hash, state, nullInt(ended)) {
				return corrupt(k.s.id, "source key", key, errSum)
			}
			return nil
		})
	if err != nil {
		return err
	}
	return k.none(ctx, c, k.s.id, "source key", `SELECT source_key FROM source_key
		WHERE state=? AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.batch_id=source_key.batch_id)`, errKeyNoBatch, int64(keyQueued))
}

// holdings checks attachments and artifacts.
func (k *sessionCheck) holdings(ctx context.Context, c *conn) error {
	err := k.walk(ctx, c, "attachment", attachmentSelect, nil, func(scan func(...any) error) error {
		_, err := k.s.scanAttachment(scan)
		return err
	})
	if err != nil {
		return err
	}
	return k.walk(ctx, c, "artifact", artifactSelect, nil, func(scan func(...any) error) error {
		_, err := k.s.scanArtifact(scan)
		return err
	})
}
