package transcript_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/transcript"
)

func importOptions() transcript.ImportOptions {
	return transcript.ImportOptions{
		Owner: lashstore.Owner{OwnerID: "test", IncarnationID: "1"},
		Now:   func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
}

func scan(t *testing.T, name, text string) *transcript.Plan {
	t.Helper()
	plan, err := transcript.Scan(t.Context(), sourceOf(name, text))
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return plan
}

func importText(t *testing.T, store *fakeStore, name, text string) (*transcript.Plan, *fakeSession) {
	t.Helper()
	plan := scan(t, name, text)
	res, err := transcript.Import(t.Context(), store, plan, "s", importOptions())
	if err != nil {
		t.Fatalf("import: %v", err)
	}
	s := store.sessions["s"]
	if res.Messages != len(s.nodes) || res.Steps != len(s.commits) || !res.Created || res.SkippedSteps != 0 {
		t.Fatalf("result %+v, but %d nodes and %d commits", res, len(s.nodes), len(s.commits))
	}
	return plan, s
}

// roundTrip imports and exports, and compares message for message.
func roundTrip(t *testing.T, name, text string) *fakeSession {
	t.Helper()
	_, s := importText(t, newFakeStore(), name, text)
	var out bytes.Buffer
	res, err := transcript.Export(t.Context(), s, &out, transcript.ExportOptions{})
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	want, got := originals(t, name, text), lines(t, out.String())
	if len(want) == 0 || len(got) != len(want) || res.Messages != len(want) || res.Skipped != 0 {
		t.Fatalf("exported %d messages (%+v), want %d", len(got), res, len(want))
	}
	for i := range want {
		if diff := cmp.Diff(tokens(t, want[i]), tokens(t, got[i])); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i, diff)
		}
	}
	return s
}

// If this broke, importing and exporting would change what was said.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"chat.jsonl", "agent.traj"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roundTrip(t, name, readFile(t, filepath.Join("testdata", name)))
		})
	}
}

func TestRoundTripRecordedTrajectories(t *testing.T) {
	t.Parallel()
	for _, file := range trajectoryFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text := readFile(t, file)
			s := roundTrip(t, file, text)
			var doc struct {
				Trajectory []struct {
					State json.RawMessage `json:"state"`
				} `json:"trajectory"`
			}
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			if len(s.commits) != len(doc.Trajectory) {
				t.Fatalf("%d commits for %d steps", len(s.commits), len(doc.Trajectory))
			}
			for i, step := range doc.Trajectory {
				want := step.State
				var inner string
				if json.Unmarshal(want, &inner) == nil {
					want = json.RawMessage(inner)
				}
				got := s.commits[i].Checkpoint.Components[transcript.ComponentEnvironment].Bytes
				if diff := cmp.Diff(tokens(t, want), tokens(t, got)); diff != "" {
					t.Errorf("state of step %d (-want +got):\n%s", i, diff)
				}
				if c := s.commits[i]; c.Checkpoint.TurnState.TurnIndex != uint64(i+1) || len(c.Graph.Nodes) < 1 {
					t.Errorf("step %d: turn %d with %d messages", i, c.Checkpoint.TurnState.TurnIndex, len(c.Graph.Nodes))
				}
			}
		})
	}
}

// A content string must be in the payload once.
func TestContentIsNotKeptTwice(t *testing.T) {
	t.Parallel()
	const marker = "4096 README.md"
	_, s := importText(t, newFakeStore(), "chat.jsonl", readFile(t, "testdata/chat.jsonl"))
	if n := bytes.Count(s.nodes[3].Payload, []byte(marker)); n != 1 {
		t.Errorf("content is in the payload %d times:\n%s", n, s.nodes[3].Payload)
	}
}

func TestStepsOfMessages(t *testing.T) {
	t.Parallel()
	_, s := importText(t, newFakeStore(), "chat.jsonl", readFile(t, "testdata/chat.jsonl"))
	var sizes []int
	for _, c := range s.commits {
		sizes = append(sizes, len(c.Graph.Nodes))
	}
	// system, user, call and its result | answer | picture and answer | the rest
	if diff := cmp.Diff([]int{4, 1, 2, 2}, sizes); diff != "" {
		t.Errorf("messages per step (-want +got):\n%s", diff)
	}
	want := []lashstore.UsageEntry{
		{Source: "turn", Model: "example-model", Usage: lashstore.TokenUsage{
			InputTokens: 120, OutputTokens: 20, CachedInputTokens: 100, ReasoningTokens: 10,
		}},
		{Source: "turn", Model: "example-model", Usage: lashstore.TokenUsage{InputTokens: 160, OutputTokens: 12}},
		{Source: "turn", Model: "other-model", Usage: lashstore.TokenUsage{InputTokens: 20, OutputTokens: 5, CachedInputTokens: 7}},
	}
	var got []lashstore.UsageEntry
	for _, c := range s.commits {
		got = append(got, c.Usage...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	m, err := s.nodes[5].Message()
	if err != nil || m.Text() != "And this picture?\n\n[Image attached]" || m.Role != lashstore.RoleUser {
		t.Errorf("message with a picture: %+v, %v", m, err)
	}
	if c := s.commits[0].Config; c == nil || c.Model.ID != "example-model" || s.commits[1].Config != nil {
		t.Errorf("configuration %+v", c)
	}
}

func TestStepsOfTrajectory(t *testing.T) {
	t.Parallel()
	_, s := importText(t, newFakeStore(), "agent.traj", readFile(t, "testdata/agent.traj"))
	type step struct {
		Nodes      int
		Components map[string]string
	}
	var got []step
	for _, c := range s.commits {
		st := step{Nodes: len(c.Graph.Nodes), Components: map[string]string{}}
		for k, v := range c.Checkpoint.Components {
			st.Components[k] = string(v.Bytes)
		}
		got = append(got, st)
	}
	want := []step{
		{6, map[string]string{
			"environment_state": "{\"open_file\": \"n/a\"}\n",
			"trajectory_step":   `{"action":"ls","observation":"a\nb\n","response":"Let me look.","execution_time":0.250}`,
		}},
		{2, map[string]string{
			"environment_state": `{"open_file":"a","z":1}`,
			"tool_state":        `{"tools":[]}`,
			"trajectory_step":   `{"action":"cat a","observation":"hello","response":"Now a."}`,
		}},
		{1, map[string]string{
			"trajectory_step": `{"action":"submit","observation":"","response":"Done.","state":null}`,
			"trajectory_info": `{"environment":"main","info":{"exit_status":"submitted","model_stats":{"tokens_sent":1200,"tokens_received":34.0,"api_calls":3}},` +
				`"replay_config":{"agent":{"model":{"name":"example-model"}}}}`,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	wantUsage := []lashstore.UsageEntry{{
		Source: "turn", Model: "example-model", Usage: lashstore.TokenUsage{InputTokens: 1200, OutputTokens: 34},
	}}
	if diff := cmp.Diff(wantUsage, s.commits[2].Usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

// More steps than assistant messages: the surplus steps keep their state.
func TestTrajectoryWithMoreStepsThanMessages(t *testing.T) {
	t.Parallel()
	const text = `{"history":[{"role":"user","content":"x"}],"trajectory":[{"state":"a"},{"state":"b"}]}`
	_, s := importText(t, newFakeStore(), "a.traj", text)
	for i, want := range []string{"a", "b"} {
		if got := string(s.commits[i].Checkpoint.Components["environment_state"].Bytes); got != want {
			t.Errorf("state of step %d is %q, want %q", i, got, want)
		}
	}
}

// A failure must leave nothing of a session that the import created, even if the
// reason is that the context is done.
func TestFailedImportLeavesNothing(t *testing.T) {
	t.Parallel()
	text := readFile(t, "testdata/chat.jsonl")
	t.Run("commit fails", func(t *testing.T) {
		t.Parallel()
		store := newFakeStore()
		store.failAt = 3
		_, err := transcript.Import(t.Context(), store, scan(t, "chat.jsonl", text), "s", importOptions())
		if !errors.Is(err, errInjected) || len(store.sessions) != 0 || len(store.deleted) != 1 {
			t.Errorf("error %v, left %v, deleted %v", err, store.sessions, store.deleted)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		store := newFakeStore()
		store.onCommit = func(r lashstore.Revision) {
			if r == 2 {
				cancel()
			}
		}
		_, err := transcript.Import(ctx, store, scan(t, "chat.jsonl", text), "s", importOptions())
		if !errors.Is(err, context.Canceled) || len(store.sessions) != 0 {
			t.Errorf("error %v, left %v", err, store.sessions)
		}
	})
	t.Run("session was there", func(t *testing.T) {
		t.Parallel()
		store := newFakeStore()
		store.sessions["s"] = &fakeSession{store: store, meta: lashstore.SessionMeta{SessionID: "s"}}
		store.failAt = 2
		_, err := transcript.Import(t.Context(), store, scan(t, "chat.jsonl", text), "s", importOptions())
		if s := store.sessions["s"]; !errors.Is(err, errInjected) || s == nil || s.held != nil {
			t.Errorf("error %v, session %+v", err, s)
		}
	})
	t.Run("somebody else has the lease", func(t *testing.T) {
		t.Parallel()
		store := newFakeStore()
		store.sessions["s"] = &fakeSession{store: store, meta: lashstore.SessionMeta{SessionID: "s"}, held: &lashstore.LeaseHolder{}}
		_, err := transcript.Import(t.Context(), store, scan(t, "chat.jsonl", text), "s", importOptions())
		if s := store.sessions["s"]; !errors.Is(err, lashstore.ErrLeaseHeld) || s == nil || s.held == nil {
			t.Errorf("error %v, session %+v", err, s)
		}
	})
}

// An import that was killed is completed, and a complete one is left alone.
func TestRepeatedImport(t *testing.T) {
	t.Parallel()
	text := readFile(t, "testdata/chat.jsonl")
	plan, s := importText(t, newFakeStore(), "chat.jsonl", text)
	for left := range plan.Steps + 1 {
		store := newFakeStore()
		killed := &fakeSession{store: store, meta: s.meta, commits: s.commits[:left:left]}
		for _, c := range killed.commits {
			killed.nodes = append(killed.nodes, c.Graph.Nodes...)
		}
		store.sessions["s"] = killed
		res, err := transcript.Import(t.Context(), store, scan(t, "renamed.jsonl", text), "s", importOptions())
		if err != nil || res.SkippedSteps != left || len(killed.nodes) != len(s.nodes) || killed.held != nil {
			t.Errorf("after %d steps: %+v, %v, %d nodes", left, res, err, len(killed.nodes))
		}
	}
	_, err := transcript.Import(t.Context(), s.store, scan(t, "a.jsonl", `{"role":"user","content":"x"}`), "s", importOptions())
	if !errors.Is(err, transcript.ErrNotEmpty) || len(s.commits) != plan.Steps || s.held != nil {
		t.Errorf("other input: %v, %d commits", err, len(s.commits))
	}
}

func TestImportRenewsTheLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	opts := importOptions()
	opts.Now = func() time.Time { now = now.Add(6 * time.Second); return now }
	var seen []transcript.Progress
	opts.Progress = func(p transcript.Progress) { seen = append(seen, p) }
	store := newFakeStore()
	if _, err := transcript.Import(t.Context(), store, scan(t, "chat.jsonl", readFile(t, "testdata/chat.jsonl")), "s", opts); err != nil {
		t.Fatal(err)
	}
	if store.sessions["s"].renewed != 2 || len(seen) != 4 || seen[3] != (transcript.Progress{Steps: 4, TotalSteps: 4}) {
		t.Errorf("renewed %d times, progress %v", store.sessions["s"].renewed, seen)
	}
}
