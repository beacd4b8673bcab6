package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// sessionRemoved is what "session rm" prints.
type sessionRemoved struct {
	SessionID lashstore.SessionID `json:"session_id"`
	// WasDeleted reports that the session had been deleted before; what may have been
	// left of it is gone now.
	WasDeleted bool `json:"was_deleted"`
}

func (a *app) sessionRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "rm ID",
		Aliases: []string{"remove", "delete"},
		Short:   "Delete a session and all that belongs to it",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := lashstore.SessionID(args[0])
			if err := id.Validate(); err != nil {
				return err
			}
			return a.sessionRemove(cmd.Context(), id, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) sessionRemove(ctx context.Context, id lashstore.SessionID, yes bool) error {
	return a.withStore(ctx, false, func(store lashstore.Store) error {
		doc := sessionRemoved{SessionID: id}
		s, err := store.OpenSession(ctx, id, lashstore.OpenOptions{ReadOnly: true})
		switch {
		case errors.Is(err, lashstore.ErrSessionNotFound):
			return err
		case errors.Is(err, lashstore.ErrSessionDeleted):
			doc.WasDeleted, yes = true, true
		case err == nil:
			if err := s.Close(); err != nil {
				return err
			}
		default: // damaged, perhaps: deleting says what can be done about it
		}
		if !yes {
			if err := a.confirm(fmt.Sprintf("Delete session %s for good? [y/N] ", printable(string(id)))); err != nil {
				return err
			}
		}
		if derr := store.DeleteSession(ctx, id); derr != nil {
			return derr
		}
		return a.print(doc, func(w *tableWriter) {
			if doc.WasDeleted {
				w.row("session " + string(id) + " was deleted before")
			} else {
				w.row("deleted session " + string(id))
			}
		})
	})
}

// confirm asks on a terminal. Where nobody can be asked, the answer is no.
func (a *app) confirm(question string) error {
	if !a.terminal(a.stdin) {
		return usagef("this deletes for good; say --yes where nobody can be asked")
	}
	if _, err := fmt.Fprint(a.stderr, question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil {
		return usagef("no answer: nothing was deleted")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return errors.New("nothing was deleted")
	}
}
