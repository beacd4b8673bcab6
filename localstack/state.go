package localstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Files of a server's folder (see the package's documentation).
const (
	credentialsName = "credentials.json"
	dataName        = "data"
	lockName        = "lock"
	logName         = "server.log"
	stateName       = "state.json"
)

// maxStateBytes bounds what is read from a file of the folder: the files that
// belong there have less than 1 KiB.
const maxStateBytes = 64 << 10

// Account is a pair of keys. Printing it shows no secret.
type Account struct {
	Key    string `json:"key"`
	Secret string `json:"secret"`
}

// String names the key only.
func (a Account) String() string { return "account " + a.Key }

// GoString is String, for %#v.
func (a Account) GoString() string { return a.String() }

// accounts are those of one folder.
type accounts struct {
	Root Account `json:"root"`
	User Account `json:"user"`
}

// Running describes a server that runs.
type Running struct {
	Server   string  `json:"server"`
	Version  string  `json:"version"`
	Endpoint string  `json:"endpoint"`
	Bucket   string  `json:"bucket"`
	Region   string  `json:"region"`
	User     Account `json:"user"`
	// Process is what Stop ends.
	Process Process `json:"process"`
}

// writeState replaces a file of the folder by v as JSON, readable by the user only.
func writeState(dir, name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	f, err := os.CreateTemp(dir, name+".tmp-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// readState reads a file of the folder. One that is absent is [fs.ErrNotExist], one
// that is not what writeState writes is [ErrDamagedState].
func readState(dir, name string, v any) error {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if info.Size() > maxStateBytes {
		return fmt.Errorf("read %s: %w: %d bytes", path, ErrDamagedState, info.Size())
	}
	text, err := os.ReadFile(path) //nolint:gosec // the folder is the caller's
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read %s: %w: %w", path, ErrDamagedState, err)
	}
	return nil
}

// removeState forgets the process that ran.
func removeState(dir string) error {
	if err := os.Remove(filepath.Join(dir, stateName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", stateName, err)
	}
	return nil
}

// lock keeps other starts and stops out of the folder until the returned function
// is called. It does not wait: [ErrBusy].
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the folder is the caller's
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, f.Close()))
	}
	return f.Close, nil // which ends the lock
}
