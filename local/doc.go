// Package local is the embedded store: it implements the contract of package
// lashstore on a data directory, with large content in that directory or behind any
// [cas.Driver].
//
//	store, err := local.Open(ctx, "lashstore-data", local.Options{})
//
// # Layout
//
//	<dir>/tenants/<tenant>/catalog.db             sessions, blobs, references
//	<dir>/tenants/<tenant>/sessions/<hh>/….db     one file per session
//	<dir>/blobs/<tenant>/b3/<hh>/<digest>.<gen>   large content, unless a Driver is given
//
// # Life of a commit
//
// Components above the profile's inline limit are cut into chunks; the chunks'
// digests are reserved in the catalog, what is not there yet is uploaded, and the
// session's transaction then re-reads the reservations and applies the commit. What
// the session no longer needs is let go of afterwards, in the background. So the
// catalog's references always cover what sessions hold, whatever crashes when.
//
// # Concurrency
//
// A store and its handles may be used by several goroutines, and a directory by
// several processes. Each call on a session opens its database if it is not among
// the recently used ones that are kept open. A store has one background goroutine,
// which Close ends.
package local
