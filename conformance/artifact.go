package conformance

import (
	"bytes"
	"io"
	"testing/iotest"
	"time"

	"github.com/lashstore/lashstore"
)

func artifactScenarios() []scenario {
	return []scenario{
		{name: "S106_ModuleArtifact", run: s106ModuleArtifact},
		{name: "S107_ProcessEnvironment", run: s107ProcessEnvironment},
		{name: "X_Artifact_ReplaceAndRemove", run: xArtifactReplaceAndRemove},
		{name: "X_Artifact_Namespaces", run: xArtifactNamespaces},
		{name: "X_Artifact_BadInput", run: xArtifactBadInput},
		{name: "X_Artifact_Large", run: xArtifactLarge},
	}
}

func artifact(namespace, name string) lashstore.ArtifactName {
	return lashstore.ArtifactName{Namespace: namespace, Name: name}
}

func (e *env) putArtifact(s lashstore.Session, name lashstore.ArtifactName, d lashstore.Descriptor, content []byte) lashstore.ArtifactInfo {
	e.Helper()
	info, err := s.PutArtifact(e.Context(), name, d, newReader(content))
	e.must(err)
	return info
}

func (e *env) artifact(s lashstore.Session, name lashstore.ArtifactName) []byte {
	e.Helper()
	_, r, err := s.OpenArtifact(e.Context(), name)
	return e.read(r, err)
}

// A module that comes back different runs different code.
func s106ModuleArtifact(e *env) {
	s := e.create("root")
	module := []byte("module main\n" + string(compressible(20<<10)))
	name := artifact("module", "main@1")
	info := e.putArtifact(s, name, lashstore.StandardDescriptor(lashstore.KindModule), module)
	want := lashstore.ArtifactInfo{ArtifactName: name, Ref: refOf(module), Kind: lashstore.KindModule, UpdatedAt: e.Clock.Now()}
	equal(e, "artifact", info, want)
	got, r, err := s.OpenArtifact(e.Context(), name)
	if content := e.read(r, err); !bytes.Equal(content, module) {
		e.Error("the module that was read differs")
	}
	equal(e, "artifact when opened", got, want)
	if content := e.content(s, want.Ref.Digest); !bytes.Equal(content, module) {
		e.Error("the module that was read by its digest differs")
	}
}

// A process that cannot find its environment after a restart cannot go on.
func s107ProcessEnvironment(e *env) {
	equal(e, "tier", e.store().Tier(), e.Tier)
	s := e.create("root")
	name := artifact("environment", "process-1")
	environment := []byte(`{"PATH":"/bin"}`)
	e.putArtifact(s, name, lashstore.StandardDescriptor(lashstore.KindProcessEnv), environment)
	equal(e, "environment", string(e.artifact(s, name)), string(environment))
	e.reopen(Settings{})
	equal(e, "environment after reopening", string(e.artifact(e.session("root"), name)), string(environment))
}

// A name that keeps its old content, or content that stays after its name, is a
// leak (W16).
func xArtifactReplaceAndRemove(e *env) {
	s := e.create("root")
	name := artifact("module", "main")
	old, next := e.random("old", tierSize), e.random("new", tierSize)
	e.putArtifact(s, name, lashstore.Descriptor{}, old)
	e.Clock.Advance(time.Minute)
	info := e.putArtifact(s, name, lashstore.Descriptor{Kind: lashstore.KindModule}, next)
	equal(e, "time of the replacement", info.UpdatedAt, e.Clock.Now())
	if got := e.artifact(s, name); !bytes.Equal(got, next) {
		e.Error("the name still gives the old content")
	}
	list, err := s.ListArtifacts(e.Context(), "module")
	e.must(err)
	equal(e, "artifacts", list, []lashstore.ArtifactInfo{info})
	_, err = s.OpenContent(e.Context(), lashstore.DigestOf(old))
	e.is(err, lashstore.ErrBlobNotFound)

	e.must(s.RemoveArtifact(e.Context(), name))
	e.must(s.RemoveArtifact(e.Context(), name))
	_, _, err = s.OpenArtifact(e.Context(), name)
	e.is(err, lashstore.ErrArtifactNotFound)
	list, err = s.ListArtifacts(e.Context(), "")
	e.must(err)
	equal(e, "artifacts after removal", list, []lashstore.ArtifactInfo(nil))

	// An interrupted replacement leaves the old content.
	e.putArtifact(s, name, lashstore.Descriptor{}, old)
	_, err = s.PutArtifact(e.Context(), name, lashstore.Descriptor{}, io.MultiReader(bytes.NewReader(next), iotest.ErrReader(io.ErrUnexpectedEOF)))
	e.is(err, io.ErrUnexpectedEOF)
	if got := e.artifact(s, name); !bytes.Equal(got, old) {
		e.Error("an interrupted replacement changed the content")
	}
}

// Unrelated kinds must not collide on one name, nor namespaces on their boundary.
func xArtifactNamespaces(e *env) {
	s := e.create("root")
	names := []lashstore.ArtifactName{
		artifact("a", "b:c"), artifact("a", "x"), artifact("a:b", "c"), artifact("a/b", "c"), artifact("b", "x"), artifact("module", "../../x"),
	}
	for _, n := range names {
		e.putArtifact(s, n, lashstore.Descriptor{}, []byte(n.Namespace+"|"+n.Name))
	}
	for _, n := range names {
		equal(e, "content", string(e.artifact(s, n)), n.Namespace+"|"+n.Name)
	}
	list, err := s.ListArtifacts(e.Context(), "a")
	e.must(err)
	equal(e, "artifacts of a", artifactNames(list), names[:2])
	list, err = s.ListArtifacts(e.Context(), "")
	e.must(err)
	equal(e, "all artifacts", len(list), len(names))
	list, err = s.ListArtifacts(e.Context(), "unknown")
	e.must(err)
	equal(e, "artifacts of nothing", len(list), 0)
	e.must(s.RemoveArtifact(e.Context(), artifact("a", "x")))
	equal(e, "the same name elsewhere", string(e.artifact(s, artifact("b", "x"))), "b|x")
}

func artifactNames(list []lashstore.ArtifactInfo) []lashstore.ArtifactName {
	out := make([]lashstore.ArtifactName, len(list))
	for i := range list {
		out[i] = list[i].ArtifactName
	}
	return out
}

// A name with a control character, or one that is too long, must be refused wherever
// it can be given.
func xArtifactBadInput(e *env) {
	s := e.create("root")
	for _, text := range hostileTexts(lashstore.MaxNameBytes) {
		for _, n := range []lashstore.ArtifactName{artifact(text, "x"), artifact("x", text)} {
			_, errPut := s.PutArtifact(e.Context(), n, lashstore.Descriptor{}, newReader(nil))
			_, _, errOpen := s.OpenArtifact(e.Context(), n)
			errRemove := s.RemoveArtifact(e.Context(), n)
			for call, err := range map[string]error{"put": errPut, "open": errOpen, "remove": errRemove} {
				if !isErr(err, lashstore.ErrInvalid) {
					e.Errorf("%s %.20q/%.20q: got %v, want %q", call, n.Namespace, n.Name, err, lashstore.ErrInvalid)
				}
			}
		}
		if _, err := s.ListArtifacts(e.Context(), text); text != "" && !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("list %.20q: got %v, want %q", text, err, lashstore.ErrInvalid)
		}
	}
	_, err := s.PutArtifact(e.Context(), artifact("a", "b"), lashstore.Descriptor{Kind: "other"}, newReader(nil))
	e.is(err, lashstore.ErrInvalid)
	list, err := s.ListArtifacts(e.Context(), "")
	e.must(err)
	equal(e, "artifacts", len(list), 0)
}

// Large artifacts are streamed, in and out.
func xArtifactLarge(e *env) {
	s := e.create("root")
	content := e.random("large", 1<<20)
	e.putArtifact(s, artifact("raw", "large"), lashstore.Descriptor{}, content)
	e.positions(content, func() (lashstore.BlobReader, error) {
		_, r, err := s.OpenArtifact(e.Context(), artifact("raw", "large"))
		return r, err
	})
}
