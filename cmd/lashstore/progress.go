package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// largeBytes is from what size on content is worth a progress bar.
	largeBytes = 4 << 20
	// redrawEvery bounds how often a bar costs a write to the terminal.
	redrawEvery = 100 * time.Millisecond
	// unknownBytes is the size of what comes from a pipe.
	unknownBytes = -1
)

// showsProgress reports whether somebody watches and wants to.
func (a *app) showsProgress() bool {
	kind, _ := a.lookupEnv("TERM")
	return !a.flags.noProgress && a.flags.output.value != outputJSON && kind != "dumb" && a.terminal(a.stderr)
}

// bar returns a progress bar on standard error, silent unless somebody watches. It
// has no colours. A bar that fails to draw is no reason to stop what it shows, so
// its errors may be dropped; Finish removes it from the screen.
func (a *app) bar(total int64, name string, options ...progressbar.Option) *progressbar.ProgressBar {
	if !a.showsProgress() {
		return progressbar.DefaultSilent(total)
	}
	return progressbar.NewOptions64(total, append([]progressbar.Option{
		progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(shorten(printable(name))),
		progressbar.OptionThrottle(redrawEvery), progressbar.OptionClearOnFinish(),
		// The spinner turns with the bytes, not by a goroutine of its own.
		progressbar.OptionSetSpinnerChangeInterval(0),
	}, options...)...)
}

// phaseBars returns what shows a bar for each phase of something, and what ends the show.
func (a *app) phaseBars(tenant string) (show func(phase string, at, total int64), done func()) {
	var bar *progressbar.ProgressBar
	current := ""
	done = func() {
		if bar != nil {
			_ = bar.Finish()
		}
	}
	return func(phase string, at, total int64) {
		if phase != current || bar == nil {
			done()
			if total <= 0 {
				total = unknownBytes
			}
			current = phase
			bar = a.bar(total, tenant+": "+phase, progressbar.OptionShowCount())
		}
		_ = bar.Set64(at)
	}, done
}

// watched returns a reader that shows how far it was read, and what ends the show.
// Small content, and everything if nobody watches, is read as it is.
func (a *app) watched(r io.Reader, total int64, name string) (io.Reader, func()) {
	if !a.showsProgress() || total >= 0 && total < largeBytes {
		return r, func() {}
	}
	m := &meter{bar: a.bar(total, name, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))}
	if total == unknownBytes {
		m.ahead = largeBytes
	}
	return io.TeeReader(r, m), m.finish
}

// meter moves a bar by what is written to it. The bar's errors are not those of what
// it shows: it fails on a file that grows while it is read, for example.
type meter struct {
	bar   *progressbar.ProgressBar
	ahead int64 // how much must still come before anything is shown
	held  int   // what came before that
}

// Write implements [io.Writer].
func (m *meter) Write(p []byte) (int, error) {
	m.ahead -= int64(len(p))
	m.held += len(p)
	if m.ahead <= 0 {
		_ = m.bar.Add(m.held)
		m.held = 0
	}
	return len(p), nil
}

// finish removes the bar from the screen.
func (m *meter) finish() {
	if m.ahead <= 0 {
		_ = m.bar.Finish()
	}
}
