package main

import (
	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

func (a *app) exportCommand() *cobra.Command {
	var opts transcript.ExportOptions
	var revision uint64
	var leaf string
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Write the messages of a session as JSON Lines",
		Long: `Write the messages along the active path of a session to standard output, one
JSON object per line. What was imported comes out as it was; other messages are
written with "role" and "content".`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Revision, opts.Leaf = lashstore.Revision(revision), lashstore.NodeID(leaf)
			return a.withSession(cmd.Context(), args[0], func(s lashstore.Session) error {
				_, err := transcript.Export(cmd.Context(), s, a.stdout, opts)
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&revision, "revision", 0, "revision to export (default the newest)")
	cmd.Flags().StringVar(&leaf, "leaf", "", "node at which the path ends (default the revision's leaf)")
	return cmd
}
