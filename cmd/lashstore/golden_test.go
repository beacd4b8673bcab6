package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// console runs command lines in this process, on one data directory.
type console struct {
	dir   string
	clock time.Time
	env   map[string]string
	// watched makes standard error a terminal. The rest is what doctor is told.
	watched bool
	disk    volume
	files   uint64
}

func newConsole(t *testing.T) *console {
	t.Helper()
	return &console{
		dir: filepath.Join(t.TempDir(), "data"), clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		disk: volume{kind: "ext", freeBytes: 5 << 30}, files: 4096,
	}
}

type outcome struct {
	stdout, stderr string
	exit           int
}

func (c *console) run(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return c.runWith(t, t.Context(), stdin, args...)
}

// runWith runs a command line that ends with a context.
//
//nolint:revive // t comes first in tests
func (c *console) runWith(t *testing.T, ctx context.Context, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit := execute(ctx, c.environment(stdin, &stdout, &stderr), args)
	return outcome{stdout.String(), stderr.String(), exit}
}

// environment is that of one run, a second after the one before.
func (c *console) environment(stdin string, stdout, stderr io.Writer) environment {
	c.clock = c.clock.Add(time.Second)
	now := c.clock
	return environment{
		stdin:  strings.NewReader(stdin),
		stdout: stdout,
		stderr: stderr,
		lookupEnv: func(key string) (string, bool) {
			if key == "LASHSTORE_DIR" {
				return c.dir, true
			}
			v, ok := c.env[key]
			return v, ok
		},
		now:        func() time.Time { return now },
		executable: func() (string, error) { return "", errors.New("not in this test") },
		workDir:    func() (string, error) { return "/work", nil },
		terminal:   func(stream any) bool { return c.watched && stream == any(stderr) },
		volume:     func(string) (volume, error) { return c.disk, nil },
		openFiles:  func() (uint64, error) { return c.files, nil },
	}
}

// What depends on more than the command line.
var (
	incarnation = regexp.MustCompile(`([ "])[0-9a-f]{32}\b`)
	clockTime   = regexp.MustCompile(`2026-01-0\dT[0-9:.]+Z`)
)

func (c *console) scrub(s string) string {
	s = strings.ReplaceAll(s, c.dir, "<dir>")
	s = clockTime.ReplaceAllString(s, "<time>")
	return incarnation.ReplaceAllString(s, "${1}<incarnation>")
}

// Output is an interface: people read it, and scripts read the JSON. Each line of
// a scenario is a command line; what follows "<" is its standard input.
func TestGolden(t *testing.T) {
	t.Parallel()
	scenarios := map[string][]string{
		"session": {
			"session ls",
			"session create first --name One --model m",
			"session create first",
			"session create second -o json",
			"session create child --parent first -o json",
			"session ls --order id",
			"session ls --order id --limit 1 -o json",
			"session show first",
			"session show first -o json",
			"session rm second",
			"session rm second --yes",
			"session rm second --yes -o json",
			"session show second -o json",
			"session create second",
			"session create second --recreate",
			"session rm missing --yes",
			"session show missing -o json",
			"session create brief --ttl 24h",
			"session ls --order id",
			"session ls --order id --limit 1 -o json",
			"session show brief",
			"session show brief -o json",
		},
		"import": {
			"import testdata/chat.jsonl",
			"import testdata/chat.jsonl",
			"import testdata/agent.traj -o json",
			"session ls --order id",
			"session show agent",
			"session show chat -o json",
			"export chat",
			"export agent",
			"export agent --revision 1",
			"export agent --revision 9",
			`import --session chat - < {"role":"user","content":"other"}`,
			`import --session piped - -o json < {"role":"user","content":"other"}`,
			`import --session broken - < {"role":"user"`,
			`import --session broken - -o json < {"role":7}`,
			"session show broken",
			"import testdata/chat.jsonl other/chat.traj",
			"import --session x a b",
			"import -",
			"import missing.jsonl",
			"import testdata",
		},
		"blob": {
			"blob put < hello",
			"blob put - -o json < hello",
			"blob get blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
			"blob stat blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
			"blob stat blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f -o json",
			"blob put --expect blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f < other",
			"blob put --kind unknown < hello",
			"blob put missing",
			"blob get blake3:0000000000000000000000000000000000000000000000000000000000000000 -o json",
			"blob stat blake3:0000000000000000000000000000000000000000000000000000000000000000",
			"blob get BLAKE3:00",
		},
		"usage": {
			"",
			"bogus",
			"session",
			"session ls extra",
			"session ls --limit 0x",
			"session ls --limit -1",
			"session ls --order size -o json",
			"session create",
			"session create x --ttl soon",
			"session create x --ttl 5ms",
			"session create x --ttl -1h -o json",
			"export --revision -1 x",
			"version --profile huge",
			"version --output yaml",
			"version --tenant",
		},
	}
	for name, lines := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			var b strings.Builder
			for _, line := range lines {
				command, stdin, _ := strings.Cut(line, " < ")
				o := c.run(t, stdin, strings.Fields(command)...)
				fmt.Fprintf(&b, "$ lashstore %s\n%s", line, o.stdout)
				for msg := range strings.Lines(o.stderr) {
					fmt.Fprintf(&b, "stderr: %s", msg)
				}
				if o.exit != 0 {
					fmt.Fprintf(&b, "exit: %d\n", o.exit)
				}
				b.WriteString("\n")
			}
			compareGolden(t, filepath.Join("testdata", name+".golden"), c.scrub(b.String()))
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.env = map[string]string{"LASHSTORE_OUTPUT": "json"}
	if o := c.run(t, "", "session", "ls"); !strings.HasPrefix(o.stdout, "{") && !strings.HasPrefix(o.stderr, "{") {
		t.Errorf("LASHSTORE_OUTPUT=json: %+v", o)
	}
	if o := c.run(t, "", "bogus"); !strings.HasPrefix(o.stderr, "{") || o.exit != exitUsage {
		t.Errorf("LASHSTORE_OUTPUT=json: %+v", o)
	}
	if o := c.run(t, "", "version", "-o", "table"); strings.HasPrefix(o.stdout, "{") {
		t.Errorf("a flag must come before the environment: %+v", o)
	}
	c.env = map[string]string{"LASHSTORE_PROFILE": "huge"}
	if o := c.run(t, "", "version"); o.exit != exitUsage || !strings.Contains(o.stderr, "LASHSTORE_PROFILE") {
		t.Errorf("LASHSTORE_PROFILE=huge: %+v", o)
	}
}
