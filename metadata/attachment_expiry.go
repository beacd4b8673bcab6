package metadata

import (
	"context"
	"time"
)

// attachmentSlice bounds how many attachments one transaction removes.
const attachmentSlice = 100

// HasExpiredAttachments reports whether the session has attachments that were put at or
// before a time and that no commit has referred to.
func (s *SessionDB) HasExpiredAttachments(ctx context.Context, before time.Time) (found bool, err error) {
	err = s.read(ctx, "look for expired attachments", func(ctx context.Context, c *conn) error {
		found, err = c.one(ctx, `SELECT 1 FROM attachment WHERE committed_at_ms IS NULL AND intent_at_ms<=? LIMIT 1`,
			[]any{toMS(before)}, new(int64))
		return err
	})
	return found, err
}

// ExpireAttachments removes some of these attachments, with what they alone refer to,
// and reports whether there are more.
func (s *SessionDB) ExpireAttachments(ctx context.Context, before time.Time) (expired int64, more bool, err error) {
	err = s.write(ctx, "expire attachments", func(ctx context.Context, c *conn) error {
		var rows []*attachmentRow
		err := c.each(ctx, attachmentSelect+` WHERE committed_at_ms IS NULL AND intent_at_ms<=? LIMIT ?`,
			[]any{toMS(before), int64(attachmentSlice)}, func(scan func(...any) error) error {
				row, err := s.scanAttachment(scan)
				rows = append(rows, row)
				return err
			})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := s.removeAttachment(ctx, c, row); err != nil {
				return err
			}
		}
		expired, more = int64(len(rows)), len(rows) == attachmentSlice
		return nil
	})
	return expired, more, err
}
