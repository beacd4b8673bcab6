package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// sessionCreated is what "session create" prints.
type sessionCreated struct {
	SessionID   lashstore.SessionID   `json:"session_id"`
	Incarnation lashstore.Incarnation `json:"incarnation"`
	Created     bool                  `json:"created"`
}

func (a *app) sessionCreateCommand() *cobra.Command {
	var req lashstore.CreateSession
	var parent string
	cmd := &cobra.Command{
		Use:   "create ID",
		Short: "Create a session, unless it exists",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Meta.SessionID = lashstore.SessionID(args[0])
			if parent != "" {
				req.Meta.Relation = lashstore.SessionRelation{
					Kind: lashstore.RelationChild, ParentSessionID: lashstore.SessionID(parent),
				}
			}
			return a.sessionCreate(cmd.Context(), req)
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Meta.SessionName, "name", "", "display name (default the id)")
	f.StringVar(&req.Meta.Model, "model", "", "model id, for display")
	f.StringVar(&parent, "parent", "", "session that this one is a child of")
	f.DurationVar(&req.Meta.TTL, "ttl", 0,
		"`DURATION`, such as 24h, after the last commit when the session may be deleted (default never)")
	f.BoolVar(&req.Recreate, "recreate", false, "allow the id of a deleted session")
	return cmd
}

func (a *app) sessionCreate(ctx context.Context, req lashstore.CreateSession) error {
	if err := req.Meta.Validate(); err != nil {
		return err
	}
	return a.withStore(ctx, false, func(store lashstore.Store) (err error) {
		s, created, err := store.CreateSession(ctx, req)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		doc := sessionCreated{SessionID: s.ID(), Incarnation: s.Incarnation(), Created: created}
		return a.print(doc, func(w *tableWriter) {
			if created {
				w.row("created session " + string(doc.SessionID))
			} else {
				w.row("session " + string(doc.SessionID) + " exists")
			}
		})
	})
}
