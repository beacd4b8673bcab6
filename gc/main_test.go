package gc_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// database/sql ends this goroutine after Close has returned.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}
