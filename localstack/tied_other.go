//go:build unix && !linux

package localstack

import "syscall"

func attributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
