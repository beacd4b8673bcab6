package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

func (a *app) sessionListCommand() *cobra.Command {
	var list lashstore.ListSessions
	order := choice{
		value:   string(lashstore.OrderUpdated),
		allowed: []string{string(lashstore.OrderUpdated), string(lashstore.OrderID)},
	}
	var parent string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List sessions",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list.Order, list.Parent = lashstore.SessionOrder(order.value), lashstore.SessionID(parent)
			return a.sessionList(cmd.Context(), list)
		},
	}
	f := cmd.Flags()
	f.Var(&order, "order", "updated (newest first) or id")
	f.IntVar(&list.Limit, "limit", lashstore.DefaultListLimit, fmt.Sprintf("sessions on a page, 1 to %d", lashstore.MaxListLimit))
	f.StringVar(&list.Cursor, "cursor", "", "continue after the page that returned it")
	f.StringVar(&parent, "parent", "", "only children of this session")
	return cmd
}

func (a *app) sessionList(ctx context.Context, list lashstore.ListSessions) error {
	if err := list.Validate(); err != nil {
		return err
	}
	return a.withStore(ctx, true, func(store lashstore.Store) error {
		page, err := store.ListSessions(ctx, list)
		if err != nil {
			return err
		}
		if page.Sessions == nil {
			page.Sessions = []lashstore.SessionSummary{} // a list in JSON, not null
		}
		return a.print(page, func(w *tableWriter) {
			w.row("SESSION", "REVISION", "NODES", "USER MESSAGES", "UPDATED", "EXPIRES", "FIRST MESSAGE")
			for _, s := range page.Sessions {
				w.row(s.SessionID, s.HeadRevision, count(s.NodeCount), count(s.UserMessageCount),
					timestamp(s.UpdatedAt), timestamp(s.ExpiresAt), shorten(s.FirstUserMessage))
			}
			if page.NextCursor != "" {
				w.row("more: --cursor " + page.NextCursor)
			}
		})
	})
}
