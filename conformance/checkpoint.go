package conformance

import (
	"bytes"
	"io"
	"maps"
	"slices"

	"github.com/lashstore/lashstore"
)

func checkpointScenarios() []scenario {
	return []scenario{
		{name: "X_Checkpoint_Keys", run: xCheckpointKeys},
		{name: "X_Checkpoint_UnknownReference", run: xCheckpointUnknownReference},
		{name: "X_Checkpoint_EmptyContent", run: xCheckpointEmptyContent},
		{name: "X_Checkpoint_HydrateLimit", run: xCheckpointHydrateLimit},
		{name: "X_Checkpoint_LargeComponent", run: xCheckpointLargeComponent},
		{name: "X_Checkpoint_SmallEdits", run: xCheckpointSmallEdits},
		{name: "X_Checkpoint_AnyBytes", run: xCheckpointAnyBytes},
		{name: "X_Checkpoint_UploadedReference", run: xCheckpointUploadedReference},
	}
}

// keys are the component keys of a checkpoint.
func keys(c *lashstore.Checkpoint) []string {
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Components))
}

// Section 13, Checkpoint: each key is changed, unchanged or absent. A key that
// stayed by itself would bring back state that was dropped; a checkpoint that went
// by itself would erase it.
func xCheckpointKeys(e *env) {
	s := e.create("root")
	first := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(1, map[string][]byte{"a": []byte("a1"), "b": []byte("b1"), "c": []byte("c1")})})
	e.commit(s, lashstore.Commit{})
	snap := e.load(s, lashstore.LoadOptions{})
	equal(e, "keys after a commit without checkpoint", keys(snap.Checkpoint), []string{"a", "b", "c"})
	equal(e, "turn index after a commit without checkpoint", snap.Checkpoint.TurnState.TurnIndex, 1)

	e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
		TurnState: lashstore.TurnState{TurnIndex: 2},
		Components: map[string]lashstore.Component{
			"a": lashstore.Unchanged(first.Components["a"]), "b": lashstore.Changed([]byte("b2")), "d": lashstore.Changed([]byte("d1")),
		},
	}})
	snap = e.load(s, lashstore.LoadOptions{})
	equal(e, "keys", keys(snap.Checkpoint), []string{"a", "b", "d"})
	for key, want := range map[string]string{"a": "a1", "b": "b2", "d": "d1"} {
		equal(e, "component "+key, e.hydrated(snap, key), want)
	}
	equal(e, "turn index", snap.Checkpoint.TurnState.TurnIndex, 2)

	e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{}})
	equal(e, "keys of an empty checkpoint", keys(e.load(s, lashstore.LoadOptions{}).Checkpoint), []string(nil))

	// What a kept revision holds may be referred to again.
	e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		"renamed": lashstore.Unchanged(first.Components["c"]),
	}}})
	equal(e, "a component that came back", e.hydrated(e.load(s, lashstore.LoadOptions{}), "renamed"), "c1")
}

// A reference to what the session does not hold stores emptiness, or another
// session's content.
func xCheckpointUnknownReference(e *env) {
	for _, size := range []int{50, tierSize} {
		theirs := e.random("theirs", size)
		other := e.create(sized("other", size))
		e.commit(other, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"k": theirs})})
		s := e.create(sized("mine", size))
		for name, ref := range map[string]lashstore.BlobRef{
			"never stored":            refOf([]byte("never stored")),
			"held by another session": refOf(theirs),
		} {
			c := e.prepare(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
				Components: map[string]lashstore.Component{"good": lashstore.Changed([]byte("x")), "bad": lashstore.Unchanged(ref)},
			}})
			unknown := as[*lashstore.UnknownReferenceError](e, e.refusal(s, c, lashstore.ErrUnknownReference))
			equal(e, "digest that is "+name, unknown.Digest, ref.Digest)
		}
		_, err := s.OpenContent(e.Context(), lashstore.DigestOf(theirs))
		e.is(err, lashstore.ErrBlobNotFound)
	}

	// A reference with a wrong size must not make a component of that size.
	s := e.create("sizes")
	ref := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"k": []byte("four")})}).Components["k"]
	ref.SizeBytes = 5
	c := e.prepare(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{"k": lashstore.Unchanged(ref)}}})
	res, err := s.Commit(e.Context(), c)
	if err != nil {
		e.oneOf(err, lashstore.ErrInvalid, lashstore.ErrUnknownReference)
		return
	}
	equal(e, "size", res.Components["k"].SizeBytes, 4)
}

// Content of length 0 is content; nothing is not.
func xCheckpointEmptyContent(e *env) {
	s := e.create("root")
	res := e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
		"empty": {Bytes: []byte{}}, "nil": lashstore.Changed(nil), "full": lashstore.Changed([]byte("x")),
	}}})
	equal(e, "reference to nothing", res.Components["empty"], refOf(nil))
	for range 2 {
		snap := e.load(s, lashstore.LoadOptions{})
		equal(e, "keys", keys(snap.Checkpoint), []string{"empty", "full", "nil"})
		equal(e, "empty", e.hydrated(snap, "empty"), "")
		equal(e, "nil", e.hydrated(snap, "nil"), "")
		equal(e, "content", string(e.content(s, lashstore.DigestOf(nil))), "")
		e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{Components: map[string]lashstore.Component{
			"empty": lashstore.Unchanged(res.Components["empty"]), "nil": lashstore.Unchanged(res.Components["nil"]),
			"full": lashstore.Unchanged(res.Components["full"]),
		}}})
	}
}

// A load that reads gigabytes nobody asked for, or that takes an unread component
// for an empty one, breaks its caller.
func xCheckpointHydrateLimit(e *env) {
	s := e.create("root")
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{
		"ten": make([]byte, 10), "eleven": make([]byte, 11), "large": e.random("large", tierSize),
	})})
	for limit, want := range map[int64][]string{
		-1: nil, 10: {"ten"}, 11: {"eleven", "ten"}, 0: {"eleven", "large", "ten"}, tierSize: {"eleven", "large", "ten"},
	} {
		var got []string
		snap := e.load(s, lashstore.LoadOptions{HydrateLimit: limit})
		equal(e, "keys", keys(snap.Checkpoint), []string{"eleven", "large", "ten"})
		for _, key := range keys(snap.Checkpoint) {
			c := snap.Checkpoint.Components[key]
			if c.Ref.Digest.IsZero() {
				e.Errorf("limit %d: component %s has no reference", limit, key)
			}
			if c.Hydrated {
				got = append(got, key)
			} else if c.Bytes != nil {
				e.Errorf("limit %d: component %s is not hydrated and has %d bytes", limit, key, len(c.Bytes))
			}
		}
		equal(e, "hydrated components", got, want)
	}
}

// Content that is stored in pieces must come back whole, from any position.
func xCheckpointLargeComponent(e *env) {
	s := e.create("root")
	const size = 3<<20 + 17
	content := e.random("large", size)
	res := e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, map[string][]byte{"large": content})})
	equal(e, "reference", res.Components["large"], refOf(content))
	e.reopen(Settings{})
	s = e.session("root")
	if got := e.hydrated(e.load(s, lashstore.LoadOptions{}), "large"); got != string(content) {
		e.Error("the component that was loaded differs")
	}
	e.positions(content, func() (lashstore.BlobReader, error) {
		return s.OpenContent(e.Context(), lashstore.DigestOf(content))
	})
}

// positions reads content in several ways: whole, from positions, across its end.
func (e *env) positions(content []byte, open func() (lashstore.BlobReader, error)) {
	e.Helper()
	if got := e.read(open()); !bytes.Equal(got, content) {
		e.Errorf("read %d bytes that differ from the %d given", len(got), len(content))
	}
	r, err := open()
	e.must(err)
	equal(e, "reference of the reader", r.Ref(), refOf(content))
	size := int64(len(content))
	for _, step := range []struct {
		offset int64
		whence int
		at     int64
	}{
		{size / 2, io.SeekStart, size / 2},
		{-10, io.SeekEnd, size - 10},
		{0, io.SeekStart, 0},
		{size/3 - 100, io.SeekCurrent, -1},
		{1, io.SeekStart, 1},
	} {
		at, err := r.Seek(step.offset, step.whence)
		e.must(err)
		if step.at >= 0 {
			equal(e, "position", at, step.at)
		}
		want := content[at:min(at+70_000, size)]
		got := make([]byte, len(want))
		_, err = io.ReadFull(r, got)
		e.must(err)
		if !bytes.Equal(got, want) {
			e.Errorf("%d bytes at %d differ", len(want), at)
		}
	}
	at, err := r.Seek(0, io.SeekEnd)
	e.must(err)
	equal(e, "size by seeking", at, size)
	n, err := r.Read(make([]byte, 1))
	equal(e, "bytes after the end", n, 0)
	e.is(err, io.EOF)
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		e.Error("seeking before the beginning succeeded")
	}
	e.must(r.Close())
}

// A state that changes a little in each turn must be right in each revision,
// however little of it is stored anew.
func xCheckpointSmallEdits(e *env) {
	s := e.create("root")
	state := e.random("state", 1<<20)
	const turns = 6
	want := make([]lashstore.Digest, turns+1)
	for turn := 1; turn <= turns; turn++ {
		switch turn % 3 {
		case 0: // append
			state = append(state, e.random("tail", 1000)...)
		case 1: // overwrite
			copy(state[turn*100_000:], "an edit in place")
		case 2: // insert
			state = slices.Insert(state, 300_000, []byte("an insertion")...)
		}
		e.commit(s, lashstore.Commit{Checkpoint: checkpoint(uint64(turn), map[string][]byte{"state": slices.Clone(state)})})
		want[turn] = lashstore.DigestOf(state)
	}
	e.reopen(Settings{})
	s = e.session("root")
	for turn := 1; turn <= turns; turn++ {
		snap := e.load(s, lashstore.LoadOptions{Revision: lashstore.Revision(turn)})
		equal(e, "digest of what is read", lashstore.DigestOf([]byte(e.hydrated(snap, "state"))), want[turn])
	}
}

// Content is bytes: it may look like anything, a blob's envelope included.
func xCheckpointAnyBytes(e *env) {
	s := e.create("root")
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	contents := map[string][]byte{
		"all":      all,
		"zeroes":   make([]byte, 5000),
		"text":     []byte("{\"a\":[1,2,3]}"),
		"utf-8":    []byte("\xff\xfe\x00"),
		"zstd":     append([]byte{0x28, 0xb5, 0x2f, 0xfd}, all...),
		"envelope": append([]byte("\x89LSO\x01\x00\x00\x00"), make([]byte, 20)...),
	}
	e.commit(s, lashstore.Commit{Checkpoint: checkpoint(0, contents)})
	snap := e.load(s, lashstore.LoadOptions{})
	for key, want := range contents {
		if got := e.hydrated(snap, key); got != string(want) {
			e.Errorf("component %s read back differs", key)
		}
	}
}

// A commit that names an upload must hold it from then on, also when the upload's
// own protection ends.
func xCheckpointUploadedReference(e *env) {
	for _, size := range []int{0, 100, tierSize, 1 << 20} {
		content := e.random("upload", size)
		ref, err := e.store().PutBlob(e.Context(), newReader(content), lashstore.PutBlobOptions{})
		e.must(err)
		equal(e, "reference", ref, refOf(content))
		s := e.create(sized("size", size))
		e.commit(s, lashstore.Commit{Checkpoint: &lashstore.Checkpoint{
			Components: map[string]lashstore.Component{"uploaded": lashstore.Unchanged(ref)},
		}})
		e.Clock.Advance(2 * lashstore.DefaultUploadTTL)
		e.reopen(Settings{})
		s = e.session(s.ID())
		if got := e.hydrated(e.load(s, lashstore.LoadOptions{}), "uploaded"); got != string(content) {
			e.Errorf("an upload of %d bytes read back differs", size)
		}
	}
}
