package main

import (
	"github.com/spf13/cobra"
)

func (a *app) blobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blob",
		Short: "Put, get and describe blobs",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(a.blobPutCommand(), a.blobGetCommand(), a.blobStatCommand())
	return cmd
}
