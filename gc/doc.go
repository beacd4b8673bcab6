// Package gc is the collector's side of the reference protocol (design section 6):
// it deletes what no session and no upload refers to, beside live writers.
//
// # The protocol
//
// The catalog has an edge from every holder, a session or an upload, to every object
// it needs. A writer adds its edges before it uploads and commits, and removes those
// it no longer needs after the commit that drops them is durable, under its session's
// write lock. So the edges always contain the truth, and a crash leaves too many.
//
//   - Condemned is a row whose last edge went. A reservation clears it.
//   - Doomed is an object whose row was condemned for the grace period and then
//     removed, in a transaction that looked at the edges again. Its name, which has a
//     random generation, is never used again.
//   - Deleted is an object that the tier has confirmed to be gone. A late or repeated
//     delete hits only a name that nobody has.
//
// No step rests on a clock: times only say when something may be forgotten, never
// that nothing refers to it. Leases of shards save work and are not what makes
// deleting safe.
//
// An audit repairs what crashes, restored backups and faults leave behind. Mark
// compares every session with its edges, under the session's write lock where they
// differ. Sweep, after a complete mark, compares the catalog with the tier.
//
// Where something cannot be read or trusted, nothing of the tenant is deleted.
package gc
