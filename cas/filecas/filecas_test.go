package filecas_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/filecas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHarness opens a new folder. Flushes are left out: what they are for needs a
// machine that crashes, and their calls are tested in TestPutFlushes.
func newHarness(tb testing.TB) castest.Harness {
	tb.Helper()
	root := tb.TempDir()
	open := func(tb testing.TB) cas.Driver {
		tb.Helper()
		return openDriver(tb, root, filecas.Options{NoSync: true})
	}
	return castest.Harness{Driver: open(tb), Another: open}
}

func openDriver(tb testing.TB, root string, opts filecas.Options) *filecas.Driver {
	tb.Helper()
	d, err := filecas.Open(root, opts)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestDriver(t *testing.T) {
	t.Parallel()
	castest.Run(t, newHarness)
}

func BenchmarkDriver(b *testing.B) {
	castest.Bench(b, func(tb testing.TB) castest.Harness {
		tb.Helper()
		return castest.Harness{Driver: openDriver(tb, tb.TempDir(), filecas.Options{})}
	})
}
