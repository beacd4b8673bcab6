package localstack

import "syscall"

func attributes(tied bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if tied {
		a.Pdeathsig = syscall.SIGTERM
	}
	return a
}
