package localstack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fake is a server that is this test's own program.
type fake struct {
	role string
	t    *testing.T
}

func (fake) version() string                                { return "0" }
func (fake) install(context.Context, Tools) (string, error) { return os.Args[0], nil }
func (fake) healthPath() string                             { return "/health" }
func (fake) provision(context.Context, site) error          { return nil }
func (fake) account() Account                               { return randomAccount() }
func (f fake) command(path string, s site) (command, error) {
	// A failed test must leave no process behind.
	f.t.Cleanup(func() {
		var r Running
		if readState(s.dir, stateName, &r) == nil {
			_ = r.Process.signal(syscall.SIGKILL)
		}
	})
	return command{path: path, args: []string{s.address()}, env: []string{roleVariable + "=" + f.role}}, nil
}

// play is what the other process does.
func play(role, address string) int {
	if role == "failing" {
		_, _ = fmt.Fprintln(os.Stdout, "no luck today")
		return 1
	}
	if role == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	if !strings.HasPrefix(address, host) {
		return 1
	}
	l, err := net.Listen("tcp4", address) //nolint:noctx // it does not wait
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, err)
		return 1
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if role == "mute" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	_, _ = fmt.Fprintln(os.Stdout, server.Serve(l))
	return 1
}
