// Package filecas keeps objects as files below one folder: the driver of a single
// machine, and of several processes on it.
//
//	<root>/.tmp/<random>                 an object that is being written
//	<root>/<prefix>b3/<hh>/<name>        an object: the key is the path
//
// # Guarantees
//
//	G1  An object is whole or absent, also after a crash: it is written to a file of
//	    its own in .tmp, flushed, renamed into place, and the folder is flushed.
//	    Folders on the way that this process has not seen before are flushed too,
//	    since another process may have made them and died.
//	G2  Two writers never share a file before it is whole (spec 01, W28): names in
//	    .tmp are random and created exclusively.
//	G3  What a dead writer left in .tmp blocks nobody and is removed by a later
//	    Open, once it is older than [Options.StaleAfter].
//	G4  No key and no symbolic link leads out of the root: keys are checked and all
//	    access goes through [os.Root].
//	G5  A full disk is [lashstore.ErrDiskFull], a write that is not permitted
//	    [lashstore.ErrReadOnly], anything else [lashstore.ErrStorage], each in a
//	    [lashstore.StorageError] with operation and path.
//
// Folders are never removed: another process may be about to rename a file into
// them. Whoever deletes a whole tenant removes its folder when nobody writes there.
//
// A List reads whole folders, so a page costs what its largest folder costs.
package filecas
