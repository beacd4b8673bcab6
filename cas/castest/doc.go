// Package castest is the suite that every driver of package cas passes, its
// benchmarks, and a driver that fails on request.
//
// A driver's test file is only its harness:
//
//	func TestDriver(t *testing.T) {
//		castest.Run(t, func(tb testing.TB) castest.Harness {
//			return castest.Harness{Driver: memcas.New()}
//		})
//	}
//
// [Faulty] wraps a driver and fails as its script says: before the operation,
// after it, with a short or damaged body, or not at all until it is released.
package castest
