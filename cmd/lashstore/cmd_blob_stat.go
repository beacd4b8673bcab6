package main

import (
	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

func (a *app) blobStatCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stat DIGEST",
		Short: "Describe a blob",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			digest, err := lashstore.ParseDigest(args[0])
			if err != nil {
				return err
			}
			return a.withStore(cmd.Context(), true, func(store lashstore.Store) error {
				info, err := store.StatBlob(cmd.Context(), digest)
				if err != nil {
					return err
				}
				return a.print(info, func(w *tableWriter) { showBlob(w, info) })
			})
		},
	}
}

func showBlob(w *tableWriter, b lashstore.BlobInfo) {
	w.row("digest", b.Digest)
	w.row("bytes", count(b.SizeBytes))
	share := "" // of small content, the envelope is most
	if b.StoredBytes < b.SizeBytes {
		share = percent(b.StoredBytes, b.SizeBytes)
	}
	w.row("stored", count(b.StoredBytes), plural(b.Objects, "object"), share)
	w.row("holders", count(b.Holders))
	if b.Upload != nil {
		w.row("uploaded", timestamp(b.Upload.UploadedAt), "protected until "+timestamp(b.Upload.ExpiresAt))
	}
}
