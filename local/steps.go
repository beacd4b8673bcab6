package local

// Steps of the operations that take several, in their order: what is durable when
// the process ends right there is what the next one has to cope with.
const (
	StepReserved  = "reserved"  // commit, upload: edges added, nothing uploaded
	StepUploaded  = "uploaded"  // commit, upload: objects stored, not marked present
	StepStaged    = "staged"    // commit: all content is in the tier
	StepVerified  = "verified"  // commit: about to be made durable
	StepCommitted = "committed" // commit: durable, not yet acknowledged
	StepSettling  = "settling"  // settle: edges removed, outbox not yet emptied

	StepAdmitted     = "admitted"     // create: in the catalog, without a file
	StepMaterialised = "materialised" // create: the file exists, not marked live

	StepDeleting = "deleting" // delete: marked in the catalog
	StepMarked   = "marked"   // delete: marked in the session's own database too
	StepReleased = "released" // delete: references are gone, files are not
	StepRemoved  = "removed"  // delete: files are gone, the mark says deleting
)

// CommitSteps lists the steps of a commit and its settlement.
func CommitSteps() []string {
	return []string{StepReserved, StepUploaded, StepStaged, StepVerified, StepCommitted, StepSettling}
}

// LifecycleSteps lists the steps of creating and deleting a session.
func LifecycleSteps() []string {
	return []string{StepAdmitted, StepMaterialised, StepDeleting, StepMarked, StepReleased, StepRemoved}
}

func (s *Store) step(name string) {
	if s.opts.Step != nil {
		s.opts.Step(name)
	}
}
