package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a script is told by the exit code.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":             {nil, exitUsage, "usage"},
		"an unknown command":  {[]string{"begin"}, exitUsage, "usage"},
		"an unknown flag":     {[]string{"start", "-color"}, exitUsage, "-color"},
		"a port out of range": {[]string{"start", "-port", "65536"}, exitUsage, "65536"},
		"an extra argument":   {[]string{"stop", "minio"}, exitUsage, `"minio"`},
		"exec of nothing":     {[]string{"exec"}, exitUsage, "command"},
		"help":                {[]string{"start", "-h"}, 0, "-port"},
		"an unknown server":   {[]string{"start", "-server", "s4"}, exitError, "unknown server"},
		"env without server":  {[]string{"env"}, exitError, "make s3"},
		"stop without server": {[]string{"stop"}, 0, ""},
		"status of nothing":   {[]string{"status"}, 0, ""},
		"a missing compiler":  {[]string{"start", "-go", "no-such-go"}, exitError, "program is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := test.args
			if len(args) > 0 && args[0] != "begin" {
				dir := t.TempDir()
				args = append([]string{args[0], "-dir", filepath.Join(dir, "state"), "-tools", filepath.Join(dir, "tools")}, args[1:]...)
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), args, &stdout, &stderr)
			if code != test.code || !strings.Contains(stderr.String(), test.says) {
				t.Errorf("exit code %d, %q; want %d and %q", code, stderr.String(), test.code, test.says)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output: %q", stdout.String())
			}
		})
	}
}

// The command's own result must come through, or a failed test run would pass.
func TestCommandKeepsTheExitCode(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	c := &call{rest: []string{"sh", "-c", `printf %s "$GREETING"; exit 7`}, stdout: &stdout, stderr: os.Stderr}
	code, err := c.command(t.Context(), "GREETING=hello")
	if code != 7 || err != nil || stdout.String() != "hello" {
		t.Errorf("code %d, %v, output %q; want 7 and the variable", code, err, stdout.String())
	}
	c.rest = []string{"sh", "-c", "kill -KILL $$"}
	if code, err := c.command(t.Context(), "GREETING=hello"); err == nil {
		t.Errorf("a killed command: code %d without an error", code)
	}
	c.rest = []string{"no-such-program"}
	if code, err := c.command(t.Context(), "GREETING=hello"); err == nil {
		t.Errorf("a missing command: code %d without an error", code)
	}
}
