package lashstore

import "errors"

// Sentinels: what callers branch on with [errors.Is]. Where a caller needs data
// there is a struct of the same name that unwraps to its sentinel.
var (
	// ErrInvalid: the caller's input is wrong; repeating the call is useless.
	// Struct: [*InvalidError].
	ErrInvalid = errors.New("invalid input")
	// ErrLimitExceeded: the input is larger than a limit allows. Struct: [*LimitError].
	ErrLimitExceeded = errors.New("limit exceeded")

	// ErrSessionNotFound: no session has that id.
	ErrSessionNotFound = errors.New("session not found")
	// ErrSessionDeleted: the session was deleted. Its id is remembered.
	ErrSessionDeleted = errors.New("session deleted")
	// ErrWrongSession: the database or the record belongs to another session or to
	// another incarnation of it. Struct: [*WrongSessionError].
	ErrWrongSession = errors.New("wrong session")
	// ErrWrongTier: the blob tier is not the one that the data directory belongs to,
	// or belongs to another data directory. Struct: [*WrongTierError].
	ErrWrongTier = errors.New("wrong blob tier")

	// ErrHeadMoved: the expected revision is not the head's. Struct: [*HeadMovedError].
	ErrHeadMoved = errors.New("head moved")
	// ErrTurnConflict: the turn id was used for another commit. Struct: [*TurnConflictError].
	ErrTurnConflict = errors.New("turn already committed with other content")
	// ErrFenced: the lease is missing, expired or was taken over. Struct: [*FencedError].
	ErrFenced = errors.New("execution lease not held")
	// ErrLeaseHeld: another holder has the lease. Struct: [*LeaseHeldError].
	ErrLeaseHeld = errors.New("execution lease held by another")
	// ErrClaimLost: a claim on queued work is no longer held. Struct: [*ClaimLostError].
	ErrClaimLost = errors.New("queue claim not held")

	// ErrGraphInvalid: nodes that cannot be appended. Struct: [*GraphError].
	ErrGraphInvalid = errors.New("invalid graph change")
	// ErrNodeNotFound: no visible node has that id.
	ErrNodeNotFound = errors.New("node not found")
	// ErrRevisionNotFound: the revision was never made or is no longer kept.
	// Struct: [*RevisionNotFoundError].
	ErrRevisionNotFound = errors.New("revision not found")
	// ErrUnknownReference: a commit refers to content that neither the session nor
	// an upload holds. Struct: [*UnknownReferenceError].
	ErrUnknownReference = errors.New("reference to content that is not held")

	// ErrSourceKeyConflict: the source key was used for another payload.
	// Struct: [*SourceKeyConflictError].
	ErrSourceKeyConflict = errors.New("source key used with another payload")
	// ErrBatchNotFound: no queued batch has that id.
	ErrBatchNotFound = errors.New("queued batch not found")
	// ErrBatchHeld: the batch is in a live claim. Struct: [*BatchHeldError].
	ErrBatchHeld = errors.New("queued batch held by a claim")

	// ErrAttachmentNotFound: the session has no such attachment.
	ErrAttachmentNotFound = errors.New("attachment not found")
	// ErrArtifactNotFound: the session has no artifact of that name.
	ErrArtifactNotFound = errors.New("artifact not found")
	// ErrBlobNotFound: the content is not stored, or not for this caller.
	ErrBlobNotFound = errors.New("blob not found")

	// ErrCorruptBlob: stored bytes do not match their digest or format.
	// Struct: [*CorruptBlobError].
	ErrCorruptBlob = errors.New("corrupt blob")
	// ErrCorruptRecord: a stored record is present but cannot be trusted or decoded.
	// Struct: [*CorruptRecordError].
	ErrCorruptRecord = errors.New("corrupt record")
	// ErrCorruptDatabase: a database file is damaged, truncated or not a database.
	// Struct: [*StorageError].
	ErrCorruptDatabase = errors.New("corrupt database")
	// ErrSchemaVersion: the database was written by a newer or foreign program.
	// Struct: [*SchemaVersionError].
	ErrSchemaVersion = errors.New("unsupported database version")

	// ErrCollectionRefused: a collection deleted nothing because something that it
	// must know could not be read or trusted. Struct: [*CollectionRefusedError].
	ErrCollectionRefused = errors.New("collection refused")

	// ErrBusy: another writer held the database for too long. Repeat the identical call.
	ErrBusy = errors.New("database busy")
	// ErrReadOnly: a write on a read-only handle, file or directory.
	ErrReadOnly = errors.New("read-only")
	// ErrDiskFull: no space is left where the store writes.
	ErrDiskFull = errors.New("no space left")
	// ErrStorage: the file system or the object store failed. Struct: [*StorageError].
	ErrStorage = errors.New("storage failure")
	// ErrClosed: the store or the handle was closed.
	ErrClosed = errors.New("closed")
)
