package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker when a release is built.
var version = ""

// buildVersion is the version of this program: the linker's, or what the module
// system knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// versionDocument is what "version" prints.
type versionDocument struct {
	Version   string `json:"version"`
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := versionDocument{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.print(doc, func(w *tableWriter) {
				w.row("lashstore " + doc.Version + " (" + doc.GoVersion + ", " + doc.Platform + ")")
			})
		},
	}
}
