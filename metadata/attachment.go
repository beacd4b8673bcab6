package metadata

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lashstore/lashstore"
)

// attachmentRow is a row of the attachment table.
type attachmentRow struct {
	lashstore.AttachmentEntry
	held bool // the row counts as a reference to its content
}

const attachmentSelect = `SELECT digest, size, media_type, width, height, label, intent_at_ms, committed_at_ms, held, sum FROM attachment`

func (r *attachmentRow) columns() []any {
	var committed any
	if !r.CommittedAt.IsZero() {
		committed = toMS(r.CommittedAt)
	}
	return []any{
		r.ID.Bytes(), r.ByteLen, r.MediaType, int64(r.Width), int64(r.Height), r.Label,
		toMS(r.IntentAt), committed, boolInt(r.held),
	}
}

func (s *SessionDB) writeAttachment(ctx context.Context, c *conn, r *attachmentRow) error {
	cols := r.columns()
	return c.exec(ctx, `INSERT OR REPLACE INTO attachment
		(digest, size, media_type, width, height, label, intent_at_ms, committed_at_ms, held, sum)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(cols, rowSum(cols...))...)
}

func (s *SessionDB) scanAttachment(scan func(...any) error) (*attachmentRow, error) {
	var (
		r                 attachmentRow
		raw               []byte
		intent, held, sum int64
		committed         sql.NullInt64
	)
	err := scan(&raw, &r.ByteLen, &r.MediaType, &r.Width, &r.Height, &r.Label, &intent, &committed, &held, &sum)
	if err != nil {
		return nil, err
	}
	if r.ID, err = lashstore.DigestFromBytes(raw); err != nil {
		return nil, corrupt(s.id, "attachment", fmt.Sprintf("%x", raw), err)
	}
	r.IntentAt, r.held = fromMS(intent), held != 0
	if committed.Valid {
		r.CommittedAt = fromMS(committed.Int64)
	}
	if sum != rowSum(r.columns()...) {
		return nil, corrupt(s.id, "attachment", r.ID, errSum)
	}
	return &r, nil
}

func (s *SessionDB) readAttachment(ctx context.Context, c *conn, id lashstore.Digest) (row *attachmentRow, err error) {
	err = c.each(ctx, attachmentSelect+` WHERE digest=?`, []any{id.Bytes()}, func(scan func(...any) error) error {
		row, err = s.scanAttachment(scan)
		return err
	})
	return row, err
}

// RecordAttachment records that an attachment was put, or put again. Content that
// is small enough to live here comes along; other content is protected by an upload
// until the attachment is committed.
func (s *SessionDB) RecordAttachment(ctx context.Context, ref lashstore.AttachmentRef, inline *Content) error {
	return s.write(ctx, "record an attachment", func(ctx context.Context, c *conn) error {
		old, err := s.readAttachment(ctx, c, ref.ID)
		if err != nil {
			return err
		}
		row := &attachmentRow{}
		if old != nil {
			row = old
		}
		row.AttachmentRef, row.IntentAt = ref, s.opts.Now()
		if !row.held && inline != nil {
			if _, row.held, err = s.holdContent(ctx, c, ref.ID, inline); err != nil {
				return err
			}
		}
		return s.writeAttachment(ctx, c, row)
	})
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// commitAttachments marks attachments as committed and takes their content over
// from the uploads that protected it.
func (t *commitTx) commitAttachments(ctx context.Context, c *conn, ids []lashstore.Digest) error {
	for _, id := range ids {
		row, err := t.s.readAttachment(ctx, c, id)
		if err != nil {
			return err
		}
		if row == nil {
			return &lashstore.UnknownReferenceError{Session: t.s.id, Digest: id, Use: "attachment"}
		}
		if !row.CommittedAt.IsZero() {
			continue
		}
		if !row.held {
			if _, err := t.hold(ctx, c, id, "attachment"); err != nil {
				return err
			}
		}
		row.CommittedAt, row.held = t.now, true
		if err := t.s.writeAttachment(ctx, c, row); err != nil {
			return err
		}
	}
	return nil
}

// CommitAttachments marks attachments as committed outside a commit. Fresh and
// verify are those of a [CommitInput].
func (s *SessionDB) CommitAttachments(ctx context.Context, ids []lashstore.Digest, fresh map[lashstore.Digest]*Content, verify func(context.Context) error) error {
	return s.write(ctx, "commit attachments", func(ctx context.Context, c *conn) error {
		t := &commitTx{s: s, in: &CommitInput{Fresh: fresh}, now: s.opts.Now()}
		if err := s.mendAll(ctx, c, fresh); err != nil {
			return err
		}
		if err := t.commitAttachments(ctx, c, ids); err != nil {
			return err
		}
		if verify != nil {
			return verify(ctx)
		}
		return nil
	})
}

// Attachment returns one attachment and whether its content is the session's own;
// otherwise an upload protects it.
func (s *SessionDB) Attachment(ctx context.Context, id lashstore.Digest) (e lashstore.AttachmentEntry, held bool, err error) {
	err = s.read(ctx, "find an attachment", func(ctx context.Context, c *conn) error {
		row, err := s.readAttachment(ctx, c, id)
		if err != nil {
			return err
		}
		if row == nil {
			if err := s.checkAttachments(ctx, c); err != nil {
				return err
			}
			return fmt.Errorf("session %q: attachment %s: %w", s.id, id, lashstore.ErrAttachmentNotFound)
		}
		e, held = row.AttachmentEntry, row.held
		return nil
	})
	return e, held, err
}

// ListAttachments lists attachments, oldest intent first.
func (s *SessionDB) ListAttachments(ctx context.Context, list lashstore.ListAttachments) (entries []lashstore.AttachmentEntry, err error) {
	if err := list.Validate(); err != nil {
		return nil, err
	}
	query, args := attachmentSelect, []any{}
	if !list.UncommittedUntil.IsZero() {
		query, args = query+` WHERE committed_at_ms IS NULL AND intent_at_ms<=?`, append(args, toMS(list.UncommittedUntil))
	}
	err = s.read(ctx, "list attachments", func(ctx context.Context, c *conn) error {
		return c.each(ctx, query+` ORDER BY intent_at_ms, digest LIMIT ?`, append(args, limitOf(list.Limit)), func(scan func(...any) error) error {
			row, err := s.scanAttachment(scan)
			if err == nil {
				entries = append(entries, row.AttachmentEntry)
			}
			return err
		})
	})
	return entries, err
}

// ForgetAttachment removes an attachment. It is idempotent.
func (s *SessionDB) ForgetAttachment(ctx context.Context, id lashstore.Digest) error {
	return s.write(ctx, "forget an attachment", func(ctx context.Context, c *conn) error {
		row, err := s.readAttachment(ctx, c, id)
		if err != nil || row == nil {
			return err
		}
		return s.removeAttachment(ctx, c, row)
	})
}

// removeAttachment removes a row and the reference to its content that it counts as.
func (s *SessionDB) removeAttachment(ctx context.Context, c *conn, row *attachmentRow) error {
	if err := c.exec(ctx, `DELETE FROM attachment WHERE digest=?`, row.ID.Bytes()); err != nil {
		return err
	}
	if !row.held {
		return nil
	}
	return s.dropContent(ctx, c, row.ID)
}
