package localstack

import "errors"

// The errors that callers branch on. What is returned wraps them and says more.
var (
	// ErrUnknownServer says that no server has the name.
	ErrUnknownServer = errors.New("unknown server")
	// ErrNotRunning says that the folder has no running server.
	ErrNotRunning = errors.New("server is not running")
	// ErrPortInUse says that something listens on the port already.
	ErrPortInUse = errors.New("port is in use")
	// ErrNotReady says that a server started but did not answer in time, or ended.
	ErrNotReady = errors.New("server did not become ready")
	// ErrMissingProgram says that a program needed to install a server is missing.
	ErrMissingProgram = errors.New("program is missing")
	// ErrDamagedState says that a file of the folder cannot be understood.
	ErrDamagedState = errors.New("damaged file")
	// ErrBusy says that another process is starting or stopping the folder's server.
	ErrBusy = errors.New("another start or stop is under way")
	// ErrStillRunning says that a server outlived even SIGKILL for a while.
	ErrStillRunning = errors.New("server does not end")
)
