package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// sessionShown is what "session show" prints.
type sessionShown struct {
	Meta        lashstore.SessionMeta          `json:"meta"`
	Incarnation lashstore.Incarnation          `json:"incarnation"`
	Picker      lashstore.SessionPickerInfo    `json:"picker"`
	Head        lashstore.Head                 `json:"head"`
	ExpiresAt   time.Time                      `json:"expires_at,omitzero"`
	Frames      []lashstore.AgentFrame         `json:"agent_frames"`
	Lease       lashstore.LeaseStatus          `json:"lease"`
	Queue       queueLength                    `json:"queue"`
	Revisions   []lashstore.RevisionInfo       `json:"revisions"`
	Components  map[string]lashstore.Component `json:"components"`
	Usage       []lashstore.UsageEntry         `json:"usage"`
	Attachments []lashstore.AttachmentEntry    `json:"attachments"`
}

// queueLength counts queued batches.
type queueLength struct {
	Batches int `json:"batches"`
	Claimed int `json:"claimed"` // of them in a live claim
}

func (a *app) sessionShowCommand() *cobra.Command {
	var revisions int
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show the state of a session",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list := lashstore.ListRevisions{Limit: revisions}
			if err := list.Validate(); err != nil {
				return err
			}
			return a.withSession(cmd.Context(), args[0], func(s lashstore.Session) error {
				doc, err := readSession(cmd.Context(), s, list)
				if err != nil {
					return err
				}
				return a.print(doc, func(w *tableWriter) { showSession(w, doc) })
			})
		},
	}
	const few = 10
	cmd.Flags().IntVar(&revisions, "revisions", few, "how many revisions to list, newest first")
	return cmd
}

func readSession(ctx context.Context, s lashstore.Session, list lashstore.ListRevisions) (*sessionShown, error) {
	doc := &sessionShown{Incarnation: s.Incarnation(), Components: map[string]lashstore.Component{}}
	var err error
	if doc.Meta, err = s.Meta(ctx); err != nil {
		return nil, err
	}
	if doc.Picker, err = s.PickerInfo(ctx); err != nil {
		return nil, err
	}
	snap, err := s.Load(ctx, lashstore.LoadOptions{Scope: lashstore.ScopeNoGraph, HydrateLimit: -1})
	if err != nil {
		return nil, err
	}
	doc.Head, doc.Frames, doc.Usage = snap.Head, notNil(snap.Frames), notNil(snap.Usage)
	doc.ExpiresAt = doc.Meta.ExpiresAt(doc.Meta.CreatedAt)
	if doc.Head.Revision > 0 {
		doc.ExpiresAt = doc.Meta.ExpiresAt(doc.Head.CommittedAt)
	}
	if snap.Checkpoint != nil && snap.Checkpoint.Components != nil {
		doc.Components = snap.Checkpoint.Components
	}
	if doc.Lease, err = s.LeaseStatus(ctx); err != nil {
		return nil, err
	}
	if doc.Queue, err = countQueue(ctx, s); err != nil {
		return nil, err
	}
	if doc.Revisions, err = s.Revisions(ctx, list); err != nil {
		return nil, err
	}
	doc.Attachments, err = s.ListAttachments(ctx, lashstore.ListAttachments{Limit: lashstore.MaxListLimit})
	doc.Revisions, doc.Attachments = notNil(doc.Revisions), notNil(doc.Attachments)
	return doc, err
}

// notNil makes an empty list a list in JSON, not null.
func notNil[E any](s []E) []E {
	if s == nil {
		return []E{}
	}
	return s
}

func countQueue(ctx context.Context, q lashstore.Queue) (queueLength, error) {
	var n queueLength
	list := lashstore.ListQueue{Limit: lashstore.MaxListLimit}
	for {
		page, err := q.ListQueue(ctx, list)
		if err != nil {
			return n, err
		}
		for _, b := range page {
			n.Batches++
			if b.Claim != nil {
				n.Claimed++
			}
			list.AfterSeq = b.EnqueueSeq
		}
		if len(page) < list.Limit {
			return n, nil
		}
	}
}

func showSession(w *tableWriter, d *sessionShown) {
	w.row("session", d.Meta.SessionID)
	w.row("name", d.Meta.SessionName)
	w.row("incarnation", d.Incarnation)
	w.row("created", timestamp(d.Meta.CreatedAt))
	if d.Meta.TTL > 0 {
		w.row("expires", timestamp(d.ExpiresAt), "time to live "+d.Meta.TTL.String())
	}
	if d.Meta.Relation.Kind == lashstore.RelationChild {
		w.row("child of", d.Meta.Relation.ParentSessionID)
	}
	w.row("first message", dash(shorten(d.Picker.FirstUserMessage)))
	w.row("user messages", count(d.Picker.UserMessageCount))
	w.row("revision", d.Head.Revision, "committed "+timestamp(d.Head.CommittedAt))
	w.row("nodes", count(d.Head.NodeCount), "leaf "+dash(string(d.Head.LeafNodeID)))
	w.row("config", "provider "+dash(d.Head.Config.ProviderID), "model "+dash(d.Head.Config.Model.ID))
	if h := d.Lease.Holder; h != nil {
		w.row("lease", "held by "+h.Owner.OwnerID, "until "+timestamp(h.ExpiresAt), "fencing token "+count(h.FencingToken))
	} else {
		w.row("lease", "free", "fencing token "+count(d.Lease.FencingToken))
	}
	w.row("queue", "batches "+count(d.Queue.Batches), count(d.Queue.Claimed)+" claimed")
	showLists(w, d)
}

func showLists(w *tableWriter, d *sessionShown) {
	if len(d.Frames) > 0 {
		w.line("\nFRAME\tSTATUS\tREASON\tCREATED")
		for _, f := range d.Frames {
			w.row(f.FrameID, f.Status, f.Reason, timestamp(f.CreatedAt))
		}
	}
	if len(d.Components) > 0 {
		w.line("\nCOMPONENT\tBYTES\tDIGEST")
		for _, key := range slices.Sorted(maps.Keys(d.Components)) {
			w.row(key, count(d.Components[key].Ref.SizeBytes), d.Components[key].Ref.Digest)
		}
	}
	if len(d.Revisions) > 0 {
		w.line("\nREVISION\tTURN\tNODES\tCOMMITTED\tCOMPONENTS")
		for _, r := range d.Revisions {
			w.row(r.Revision, dash(string(r.TurnID)), count(r.NodeCount), timestamp(r.CommittedAt),
				strings.Join(slices.Sorted(maps.Keys(r.Components)), " "))
		}
	}
	if len(d.Usage) > 0 {
		w.line("\nSOURCE\tMODEL\tINPUT\tCACHED\tOUTPUT\tREASONING")
		for _, u := range d.Usage {
			w.row(u.Source, u.Model, count(u.Usage.InputTokens), count(u.Usage.CachedInputTokens),
				count(u.Usage.OutputTokens), count(u.Usage.ReasoningTokens))
		}
	}
	if len(d.Attachments) > 0 {
		w.line("\nATTACHMENT\tTYPE\tBYTES\tCOMMITTED\tLABEL")
		for _, at := range d.Attachments {
			w.row(at.ID, at.MediaType, count(at.ByteLen), timestamp(at.CommittedAt), shorten(at.Label))
		}
	}
}
