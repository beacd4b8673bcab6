package fsck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/metadata"
)

const (
	// maxUses bounds how many uses of damaged objects are read of one session.
	maxUses = 1000
	// namedUses is how many uses the text of a finding names.
	namedUses = 3
)

// blame finds out what the damaged objects were needed for.
func (r *run) blame(ctx context.Context) error {
	asked := make(map[lashstore.SessionID]map[lashstore.Digest]bool)
	for _, f := range r.report.Findings {
		if !losesContent(f.Kind) || f.Digest.IsZero() {
			continue
		}
		for _, id := range f.Sessions {
			if asked[id] == nil {
				asked[id] = make(map[lashstore.Digest]bool)
			}
			asked[id][f.Digest] = true
		}
	}
	uses := make(map[lashstore.Digest][]lashstore.LostContent)
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		if err := r.blameSession(ctx, id, asked[id], uses); err != nil {
			return err
		}
	}
	for i := range r.report.Findings {
		if f := &r.report.Findings[i]; losesContent(f.Kind) {
			f.Detail = describe(f, uses[f.Digest], r.opts.Repair)
		}
	}
	return nil
}

// losesContent reports kinds of findings because of which content cannot be read.
func losesContent(kind lashstore.FindingKind) bool {
	switch kind {
	case lashstore.FindingMissing, lashstore.FindingWrongSize, lashstore.FindingCorrupt, lashstore.FindingCorruptValue:
		return true
	default:
		return false
	}
}

// blameSession adds what a session needed digests for.
func (r *run) blameSession(ctx context.Context, id lashstore.SessionID, digests map[lashstore.Digest]bool, uses map[lashstore.Digest][]lashstore.LostContent) error {
	row, found, err := r.v.opts.Catalog.Session(ctx, id)
	if err != nil || !found {
		if err != nil && !damaged(err) {
			return fmt.Errorf("find session %q: %w", id, err)
		}
		return nil
	}
	var list []metadata.ObjectUse
	_, err = r.withSession(ctx, row, func(db *metadata.SessionDB) (err error) {
		list, err = db.Uses(ctx, digests, maxUses)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !damaged(err): // else the check of the session has found it
		r.fail(fmt.Errorf("find out what session %q has lost: %w", id, err))
	}
	lost := make(map[lashstore.LostContent]bool)
	for _, u := range list {
		uses[u.Object] = append(uses[u.Object], u.LostContent)
		if !lost[u.LostContent] { // it may need several of the damaged objects
			lost[u.LostContent] = true
			r.report.AddLost(u.LostContent)
		}
	}
	return nil
}

// describe says what a finding means, after why.
func describe(f *lashstore.Finding, uses []lashstore.LostContent, repair bool) string {
	var parts []string
	if f.Detail != "" {
		parts = append(parts, f.Detail)
	}
	var names []string
	for i, u := range uses {
		if i == namedUses {
			names = append(names, fmt.Sprintf("%d more", len(uses)-i))
			break
		}
		names = append(names, useText(u))
	}
	switch {
	case len(names) > 0:
		parts = append(parts, "needed by "+strings.Join(names, ", "))
	case len(f.Sessions) > 0:
		parts = append(parts, "nothing that was committed needs it")
	case f.More > 0:
		parts = append(parts, "needed by uploads")
	}
	if repair && f.Kind != lashstore.FindingCorruptValue {
		parts = append(parts, "wanted: the next commit or upload of equal content stores it again")
	}
	return strings.Join(parts, "; ")
}

// useText names a use in words.
func useText(u lashstore.LostContent) string {
	text := fmt.Sprintf("%s %q of session %q", u.Use, u.Name, u.SessionID)
	switch {
	case u.LastRevision == 0:
	case u.FirstRevision == u.LastRevision:
		text += fmt.Sprintf(", revision %d", u.LastRevision)
	default:
		text += fmt.Sprintf(", revisions %d to %d", u.FirstRevision, u.LastRevision)
	}
	return text
}
