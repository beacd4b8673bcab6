package localstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// running returns the server of a folder if it runs: else [ErrNotRunning].
func running(dir string) (Running, error) {
	var r Running
	err := readState(dir, stateName, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return Running{}, ErrNotRunning
	}
	if err != nil {
		return Running{}, err
	}
	alive, err := r.Process.alive()
	if err != nil {
		return Running{}, err
	}
	if !alive {
		return Running{}, fmt.Errorf("%w: process %d has ended", ErrNotRunning, r.Process.PID)
	}
	return r, nil
}

// Find returns the server that runs in dir, or [ErrNotRunning].
func Find(dir string) (Running, error) {
	r, err := running(dir)
	if err != nil {
		return Running{}, fmt.Errorf("look for a server in %s: %w", dir, err)
	}
	return r, nil
}

// Stop ends the server of dir: it is asked to, and after 15 s, or when ctx is done,
// forced to. It returns when the process is gone. stopped is false if none ran,
// which is no error. Data and credentials stay.
//
// Errors: [ErrBusy], [ErrDamagedState], [ErrStillRunning].
func Stop(ctx context.Context, dir string) (stopped bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("stop the server in %s: %w", dir, err)
		}
	}()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	unlock, err := lock(dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := running(dir)
	if errors.Is(err, ErrNotRunning) {
		return false, removeState(dir)
	}
	if err != nil {
		return false, err
	}
	if err := r.Process.end(ctx, termTimeout, killTimeout); err != nil {
		return false, err
	}
	return true, removeState(dir)
}

// All returns the folders below base that have been a server's, in order.
func All(base string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(base, "*", credentialsName))
	if err != nil {
		return nil, fmt.Errorf("look for servers below %s: %w", base, err)
	}
	for i, path := range paths {
		paths[i] = filepath.Dir(path)
	}
	return paths, nil
}
