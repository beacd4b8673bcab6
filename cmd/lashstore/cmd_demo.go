package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lashstore/lashstore"
)

// demo is one run of the demonstration.
type demo struct {
	app     *app // with the directory and the bucket of the demonstration
	session lashstore.SessionID
	doc     demoDocument
}

// demoDocument is what "demo" prints.
type demoDocument struct {
	SessionID   lashstore.SessionID `json:"session_id"`
	Dir         string              `json:"dir"`
	Bucket      string              `json:"bucket,omitempty"`
	Kept        bool                `json:"kept"` // directory and objects are still there
	Turns       []demoTurn          `json:"turns"`
	Killed      demoKilled          `json:"killed"`
	Reclaimed   demoReclaimed       `json:"reclaimed"`
	Nodes       int64               `json:"nodes"`
	QueueLeft   int                 `json:"queue_left"`
	Storage     demoStorage         `json:"storage"`
	Verified    bool                `json:"verified"`
	ElapsedTime int64               `json:"elapsed_ms"`
}

// demoTurn is one acknowledged commit.
type demoTurn struct {
	Turn        int                `json:"turn"`
	Revision    lashstore.Revision `json:"head_revision"`
	Worker      int                `json:"worker"`
	PID         int                `json:"pid"`
	StateBytes  int64              `json:"state_bytes"`
	StateDigest lashstore.Digest   `json:"state_digest"`
}

// demoKilled says what the first worker was killed in.
type demoKilled struct {
	PID     int               `json:"pid"`
	Turn    int               `json:"turn"`
	ClaimID lashstore.ClaimID `json:"claim_id"`
}

// demoReclaimed says what the second worker took over.
type demoReclaimed struct {
	PID          int                    `json:"pid"`
	From         string                 `json:"from"`
	FencingToken lashstore.FencingToken `json:"fencing_token"`
	ClaimID      lashstore.ClaimID      `json:"claim_id"`
	Waited       int64                  `json:"waited_ms"`
}

// demoStorage compares what was stored with what it takes.
type demoStorage struct {
	LogicalBytes   int64 `json:"logical_bytes"`  // of all components of all revisions
	DistinctBytes  int64 `json:"distinct_bytes"` // of those that differ as a whole
	DiskBytes      int64 `json:"disk_bytes"`     // of all files and objects, databases included
	SavedByEqual   int64 `json:"saved_by_equal_contents_bytes"`
	SavedByStorage int64 `json:"saved_by_chunks_deltas_compression_bytes"`
}

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "A guided tour: a session whose worker is killed, and another that goes on",
		Long: `Run the session of an agent in worker processes: five turns with a state of
2 MiB that grows. The first worker is killed in the middle of the third turn;
a second one takes over and finishes. Everything is then read back and checked.

The data goes to a temporary directory that is removed, unless --dir is given, and
with --bucket to a prefix of its own in the bucket that is emptied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), cmd.Flags().Changed("dir"))
		},
	}
}

func (a *app) demo(ctx context.Context, keep bool) (err error) {
	start := a.now()
	scratch := *a
	d := &demo{app: &scratch, session: "demo"}
	if keep {
		d.session = lashstore.SessionID("demo-" + start.UTC().Format("20060102-150405.000"))
	} else {
		remove, err := d.useScratch()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove(ctx)) }()
	}
	flags := d.app.flags
	b, err := flags.parseBucket()
	if err != nil {
		return err
	}
	d.doc = demoDocument{SessionID: d.session, Dir: flags.dir, Bucket: b.String(), Kept: keep}

	before, err := d.occupied(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.prepare, d.firstWorker, d.secondWorker, d.readBack} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if err := d.measure(ctx, before); err != nil {
		return err
	}
	d.doc.ElapsedTime = a.now().Sub(start).Milliseconds()
	return a.print(d.doc, func(w *tableWriter) { d.show(w) })
}

// say tells people what happens. With -o json the document says it all.
func (d *demo) say(format string, args ...any) error {
	if d.app.flags.output.value == outputJSON {
		return nil
	}
	_, err := fmt.Fprintf(d.app.stdout, format+"\n", args...)
	return err
}

// withStore opens the store for the time of a call.
func (d *demo) withStore(ctx context.Context, use func(lashstore.Store) error) (err error) {
	store, err := d.app.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return use(store)
}

// prepare creates the session and enqueues the inputs.
func (d *demo) prepare(ctx context.Context) error {
	where := d.doc.Dir
	if d.doc.Bucket != "" {
		where += " and " + d.doc.Bucket
	}
	if err := d.say("1. Create session %q in %s and enqueue %s.", d.session, where, plural(demoTurns, "input")); err != nil {
		return err
	}
	return d.withStore(ctx, func(store lashstore.Store) (err error) {
		s, created, err := store.CreateSession(ctx, lashstore.CreateSession{
			Meta: lashstore.SessionMeta{SessionID: d.session, SessionName: "Demonstration", Model: demoModel},
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if !created {
			return fmt.Errorf("session %q exists already", d.session)
		}
		for i, prompt := range demoPrompts() {
			input, err := lashstore.NewTurnInput(prompt)
			if err != nil {
				return err
			}
			draft := lashstore.BatchDraft{
				SourceKey: fmt.Sprintf("host:demo-input-%d", i+1), Payloads: []lashstore.Payload{input},
			}
			// Sent twice, as a client would after a lost answer: it is queued once.
			for range 2 {
				if _, err := s.Enqueue(ctx, draft); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// demoPausedTurn is the turn in which the first worker is killed.
const demoPausedTurn = 3

func (d *demo) firstWorker(ctx context.Context) error {
	if err := d.say("2. Worker 1 takes the lease and begins."); err != nil {
		return err
	}
	w, err := d.startWorker(ctx, 1)
	if err != nil {
		return err
	}
	err = w.watch(func(e demoEvent) error {
		switch e.Event {
		case eventClaimed:
			d.doc.Killed = demoKilled{PID: e.PID, Turn: e.Turn, ClaimID: e.ClaimID}
		case eventPaused:
			// In the middle of a turn: input claimed, lease held, nothing committed.
			return w.kill()
		}
		return d.acknowledge(1, e)
	})
	if err := w.finish(err, true); err != nil {
		return err
	}
	return d.say("   Worker 1 (process %d) is killed in turn %d. It held the lease and claim %s.",
		d.doc.Killed.PID, d.doc.Killed.Turn, d.doc.Killed.ClaimID)
}

func (d *demo) secondWorker(ctx context.Context) error {
	if err := d.say("3. Worker 2 takes over."); err != nil {
		return err
	}
	begun := d.app.now()
	w, err := d.startWorker(ctx, 2)
	if err != nil {
		return err
	}
	err = w.watch(func(e demoEvent) error {
		r := &d.doc.Reclaimed
		switch e.Event {
		case eventLease:
			r.PID, r.From, r.FencingToken = e.PID, e.Displaced, e.FencingToken
			r.Waited = d.app.now().Sub(begun).Milliseconds()
			return d.say("   Lease taken over from %s after %s, fencing token %d.", dash(e.Displaced),
				time.Duration(r.Waited)*time.Millisecond, e.FencingToken)
		case eventClaimed:
			if r.ClaimID == "" {
				r.ClaimID = e.ClaimID
				return d.say("   The input of turn %d is claimed again, as %s.", e.Turn, e.ClaimID)
			}
		}
		return d.acknowledge(2, e)
	})
	return w.finish(err, false)
}

// acknowledge notes a commit that a worker reports.
func (d *demo) acknowledge(worker int, e demoEvent) error {
	if e.Event != eventCommitted {
		return nil
	}
	d.doc.Turns = append(d.doc.Turns, demoTurn{
		Turn: e.Turn, Revision: e.Revision, Worker: worker, PID: e.PID, StateBytes: e.StateBytes, StateDigest: e.StateDigest,
	})
	return d.say("   turn %d committed as revision %d: state of %s", e.Turn, e.Revision, size(e.StateBytes))
}
