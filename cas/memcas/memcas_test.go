package memcas_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/lashstore/lashstore/cas/castest"
	"github.com/lashstore/lashstore/cas/memcas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHarness(testing.TB) castest.Harness { return castest.Harness{Driver: memcas.New()} }

func TestDriver(t *testing.T) {
	t.Parallel()
	castest.Run(t, newHarness)
}

func BenchmarkDriver(b *testing.B) { castest.Bench(b, newHarness) }
