package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable names, in the environment of a process that a test started, what the
// process is to do instead of running tests.
const roleVariable = "LASHSTORE_INTEGRATION_ROLE"

// roles are what a process can do. Each reads its task from standard input.
var roles = map[string]func(context.Context, *child) error{
	"crash-writer": crashWriter,
	"first-open":   firstOpen,
	"create":       createSame,
	"lease":        claimLease,
	"queue":        drainQueue,
	"commit":       raceCommits,
	"hold":         holdSession,
	"gc-writer":    writeCollected,
}

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		c := &child{in: json.NewDecoder(os.Stdin)}
		if err := role(context.Background(), c); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child is the view that a role has of its parent.
type child struct {
	in *json.Decoder
}

// task reads what the parent sent.
func (c *child) task(into any) error {
	if err := c.in.Decode(into); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	return nil
}

// wait returns when the parent says so.
func (c *child) wait() error {
	var signal string
	if err := c.in.Decode(&signal); err != nil {
		return fmt.Errorf("wait for the parent: %w", err)
	}
	return nil
}

// say writes one line in one system call: what was said when the process died has
// been said whole. Several goroutines may speak: the lines are shorter than what a
// pipe takes at once.
func (c *child) say(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a line: %w", err)
	}
	_, err = os.Stdout.Write(append(line, '\n'))
	return err
}
