package transcript_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

func sourceOf(name, text string) transcript.Source {
	return transcript.Source{Name: name, Reader: strings.NewReader(text), Size: int64(len(text))}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// trajectoryFiles lists recorded trajectories: those of the folder that
// LASHSTORE_TRAJECTORIES names, or of the one beside the repository. Without a
// folder the test is skipped, unless the variable asked for it.
func trajectoryFiles(t *testing.T) []string {
	t.Helper()
	dir, asked := os.LookupEnv("LASHSTORE_TRAJECTORIES") //nolint:forbidigo // names a folder of test data, not a setting
	if !asked {
		dir = filepath.Join("..", "..", "shared", "data", "trajectories")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.traj"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 && asked {
		t.Fatalf("no .traj file in %s", dir)
	}
	if len(files) == 0 {
		t.Skipf("no recorded trajectories in %s (set LASHSTORE_TRAJECTORIES)", dir)
	}
	return files
}

// tokens lists the tokens of a JSON value, numbers as they are written. Two values
// with the same tokens are equal, in the order of members too. It shares no code
// with what is tested.
func tokens(t *testing.T, raw []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var list []string
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("not JSON: %v\n%s", err, raw)
		}
		list = append(list, fmt.Sprintf("%T %v", tok, tok))
	}
}

// originals reads the messages of a file with encoding/json alone.
func originals(t *testing.T, name, text string) []json.RawMessage {
	t.Helper()
	if filepath.Ext(name) == ".traj" {
		var doc struct {
			History []json.RawMessage `json:"history"`
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.History
	}
	return lines(t, text)
}

func lines(t *testing.T, text string) []json.RawMessage {
	t.Helper()
	var list []json.RawMessage
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			list = append(list, json.RawMessage(line))
		}
	}
	return list
}

// fakeStore keeps sessions in memory, as far as imports need it. Whatever else is
// called panics.
type fakeStore struct {
	lashstore.Sessions
	sessions map[lashstore.SessionID]*fakeSession
	deleted  []lashstore.SessionID
	failAt   lashstore.Revision // the commit that would make this revision fails
	onCommit func(lashstore.Revision)
}

func newFakeStore() *fakeStore {
	return &fakeStore{sessions: make(map[lashstore.SessionID]*fakeSession)}
}

var errInjected = errors.New("injected")

func (f *fakeStore) CreateSession(ctx context.Context, req lashstore.CreateSession) (lashstore.Session, bool, error) {
	if err := errors.Join(ctx.Err(), req.Meta.Validate()); err != nil {
		return nil, false, err
	}
	if s, ok := f.sessions[req.Meta.SessionID]; ok {
		return s, false, nil
	}
	s := &fakeSession{store: f, meta: req.Meta}
	f.sessions[req.Meta.SessionID] = s
	return s, true, nil
}

func (f *fakeStore) DeleteSession(ctx context.Context, id lashstore.SessionID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(f.sessions, id)
	f.deleted = append(f.deleted, id)
	return nil
}

type fakeSession struct {
	lashstore.Session
	store   *fakeStore
	meta    lashstore.SessionMeta
	commits []lashstore.Commit
	nodes   []lashstore.Node
	held    *lashstore.LeaseHolder
	fencing lashstore.FencingToken
	renewed int
}

func (s *fakeSession) ID() lashstore.SessionID { return s.meta.SessionID }

func (s *fakeSession) Close() error { return nil }

func (s *fakeSession) Head(context.Context) (lashstore.Head, error) {
	h := lashstore.Head{SessionID: s.ID(), Revision: lashstore.Revision(len(s.commits)), NodeCount: int64(len(s.nodes))}
	if n := len(s.nodes); n > 0 {
		h.LeafNodeID = s.nodes[n-1].NodeID
	}
	return h, nil
}

func (s *fakeSession) Revisions(_ context.Context, _ lashstore.ListRevisions) ([]lashstore.RevisionInfo, error) {
	n := len(s.commits)
	if n == 0 {
		return nil, nil
	}
	return []lashstore.RevisionInfo{{Revision: lashstore.Revision(n), TurnID: s.commits[n-1].TurnID}}, nil
}

func (s *fakeSession) Load(_ context.Context, opts lashstore.LoadOptions) (*lashstore.Snapshot, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	h, _ := s.Head(context.Background())
	return &lashstore.Snapshot{Head: h, Graph: lashstore.Graph{Nodes: s.nodes, LeafNodeID: h.LeafNodeID}}, nil
}

func (s *fakeSession) ClaimLease(ctx context.Context, owner lashstore.Owner, _ time.Duration) (lashstore.Lease, error) {
	if err := errors.Join(ctx.Err(), owner.Validate()); err != nil {
		return lashstore.Lease{}, err
	}
	if s.held != nil {
		return lashstore.Lease{}, &lashstore.LeaseHeldError{Session: s.ID(), Holder: *s.held}
	}
	s.fencing++
	s.held = &lashstore.LeaseHolder{Owner: owner, FencingToken: s.fencing}
	return lashstore.Lease{SessionID: s.ID(), LeaseHolder: *s.held, Token: "secret"}, nil
}

func (s *fakeSession) ReclaimLease(_ context.Context, _ lashstore.Owner, observed lashstore.LeaseHolder, _ time.Duration) (lashstore.Lease, error) {
	return lashstore.Lease{}, &lashstore.LeaseHeldError{Session: s.ID(), Holder: observed}
}

func (s *fakeSession) RenewLease(_ context.Context, f lashstore.Fence, _ time.Duration) (lashstore.Lease, error) {
	s.renewed++
	return lashstore.Lease{SessionID: s.ID(), LeaseHolder: *s.held, Token: f.Token}, nil
}

func (s *fakeSession) ReleaseLease(ctx context.Context, _ lashstore.Fence) error {
	s.held = nil
	return ctx.Err()
}

func (s *fakeSession) Commit(ctx context.Context, c lashstore.Commit) (lashstore.CommitResult, error) {
	rev := lashstore.Revision(len(s.commits))
	switch {
	case ctx.Err() != nil:
		return lashstore.CommitResult{}, ctx.Err()
	case s.held == nil || c.Fence.Token != "secret":
		return lashstore.CommitResult{}, lashstore.ErrFenced
	case c.ExpectedRevision != rev:
		return lashstore.CommitResult{}, lashstore.ErrHeadMoved
	case s.store.failAt == rev+1:
		return lashstore.CommitResult{}, errInjected
	}
	if err := c.Validate(); err != nil {
		return lashstore.CommitResult{}, err
	}
	for _, n := range c.Graph.Nodes {
		parent := lashstore.NodeID("")
		if len(s.nodes) > 0 {
			parent = s.nodes[len(s.nodes)-1].NodeID
		}
		if _, err := n.CheckPayload(); err != nil || n.ParentNodeID != parent {
			return lashstore.CommitResult{}, fmt.Errorf("%w: %w", lashstore.ErrGraphInvalid, err)
		}
		s.nodes = append(s.nodes, n)
	}
	s.commits = append(s.commits, c)
	if c.ReleaseLease {
		s.held = nil
	}
	if s.store.onCommit != nil {
		s.store.onCommit(rev + 1)
	}
	return lashstore.CommitResult{Revision: rev + 1}, nil
}
