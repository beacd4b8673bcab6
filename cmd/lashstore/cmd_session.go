package main

import (
	"github.com/spf13/cobra"
)

func (a *app) sessionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "session",
		Short: "Create, list, show and remove sessions",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(a.sessionCreateCommand(), a.sessionListCommand(), a.sessionShowCommand(), a.sessionRemoveCommand())
	return cmd
}

// needsCommand is what a command does that only groups others.
func needsCommand(cmd *cobra.Command, _ []string) error {
	return usagef("%s needs a command; see '%s --help'", cmd.CommandPath(), cmd.CommandPath())
}
