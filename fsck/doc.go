// Package fsck verifies a tenant end to end: that its databases are sound, that
// references and sessions agree, that every object that something needs is there, and
// that its bytes are what was stored. It says what is lost and to whom it belongs.
//
// What it looks at, in this order:
//
//   - the catalog: SQLite's own check, and the checksum of every row;
//   - references: what the mark and sweep of an audit would find ([gc.Collector.Inspect]);
//   - sessions: SQLite's own check, every row, and the counts that must add up;
//   - objects: each that is referred to is read once and verified, or a sample;
//   - contents: that each manifest is that of its content and names what the session
//     holds; and, if asked to, that the content can be put together.
//
// Without repair nothing is changed. Repair restores references and rows of the
// catalog from the sessions, which know them better, and marks lost objects as
// wanted: whoever stores equal bytes next puts them back. It deletes no object.
//
// Writers and collectors may be at work beside it. What looks wrong is looked at
// again, so that a commit on its way is not taken for damage.
package fsck
