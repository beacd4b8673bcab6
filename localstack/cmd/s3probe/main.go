// Command s3probe asks S3 servers what they do where S3 servers differ, and prints
// the answers as a table in Markdown. Each cell is what was seen, not what a manual
// says. Run it against servers of its own:
//
//	s3server exec -- s3probe
//
// It reads the file that LASHSTORE_TEST_S3_SERVERS names, works below a random
// prefix, and removes what it put there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/lashstore/lashstore/localstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Getenv(localstack.TestServers), os.Stdout, os.Stderr) //nolint:forbidigo // this is the program
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "s3probe:", err)
		os.Exit(1) //nolint:forbidigo // this is the program
	}
}

// answerTimeout bounds one question to one server.
const answerTimeout = 2 * time.Minute

// question is a row of the table. Its answer is short. An error is one of the
// question itself; what a server refuses is an answer.
type question struct {
	text string
	ask  func(context.Context, *target) (string, error)
}

func questions() []question {
	return slices.Concat(conditions(), checksums(), multipart(), deletion(), ranges(), listing())
}

func run(ctx context.Context, path string, stdout, stderr io.Writer) error {
	targets, err := readTargets(path)
	if err != nil {
		return err
	}
	header, line := "| question |", "| --- |"
	for _, t := range targets {
		header, line = header+" "+t.Name+" |", line+" --- |"
	}
	if _, err := fmt.Fprintf(stdout, "%s\n%s\n", header, line); err != nil {
		return err
	}
	for _, q := range questions() {
		cells := []string{q.text}
		for _, t := range targets {
			_, _ = fmt.Fprintf(stderr, "%s: %s\n", t.Name, q.text)
			cells = append(cells, answer(ctx, q, t))
		}
		if _, err := fmt.Fprintf(stdout, "| %s |\n", strings.Join(cells, " | ")); err != nil {
			return err
		}
	}
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.removeAll(ctx))
	}
	return errors.Join(errs...)
}

// answer asks one question below a prefix of its own.
func answer(ctx context.Context, q question, t *target) string {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	text, err := q.ask(ctx, t.fresh())
	if err != nil {
		text = "error: " + err.Error()
	}
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}

func readTargets(path string) ([]*target, error) {
	if path == "" {
		return nil, errors.New("no servers: run it by s3server exec -- s3probe")
	}
	text, err := os.ReadFile(path) //nolint:gosec // the caller names it
	if err != nil {
		return nil, fmt.Errorf("read the list of servers: %w", err)
	}
	var targets []*target
	if err := json.Unmarshal(text, &targets); err != nil {
		return nil, fmt.Errorf("read the list of servers %s: %w", path, err)
	}
	for _, t := range targets {
		t.connect()
	}
	return targets, nil
}
