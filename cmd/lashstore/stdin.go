package main

import (
	"context"
	"io"
)

// interruptible returns standard input as a reader that fails once the context is
// done: reading a terminal or a pipe cannot be interrupted otherwise. The
// goroutine that waits for input ends with it, or with the process.
func (a *app) interruptible(ctx context.Context) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(w, a.stdin)
		_ = w.CloseWithError(err)
	}()
	return r
}
