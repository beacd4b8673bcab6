package localstack

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed versions.env
var versionsFile string

// Names in versions.env.
const (
	minioModule       = "MINIO_MODULE"
	minioVersion      = "MINIO_VERSION"
	versitygwModule   = "VERSITYGW_MODULE"
	versitygwVersion  = "VERSITYGW_VERSION"
	localstackVersion = "LOCALSTACK_VERSION"
)

// pinned returns a value of versions.env. It panics if there is none: the file is
// part of the program.
func pinned(name string) string {
	for line := range strings.Lines(versionsFile) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	panic(fmt.Sprintf("versions.env has no %s", name))
}
