package gc

import (
	"context"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

// intentsBefore is up to when an attachment must have been put to have expired, if no
// commit has referred to it.
func (r *run) intentsBefore() time.Time { return r.now().Add(-r.collector.opts.IntentTTL) }

// expireAttachments removes attachments that no commit referred to in time. Only an
// audit does: an inspection deletes nothing.
func (m *marker) expireAttachments(ctx context.Context, db *metadata.SessionDB) error {
	for more := m.auditID != ""; more; {
		if err := m.tick(ctx); err != nil {
			return err
		}
		n, left, err := db.ExpireAttachments(ctx, m.intentsBefore())
		if err != nil {
			return err
		}
		m.count(func(rep *lashstore.CollectReport) { rep.Mark.AttachmentsExpired += n })
		more = left
	}
	return nil
}
