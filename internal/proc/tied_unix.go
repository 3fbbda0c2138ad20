//go:build unix && !linux && !freebsd

package proc

import "syscall"

// tied gives the child a process group of its own: an interrupt typed at the
// terminal is for the parent, which stops its children in order. The kernel does
// not kill the child with its parent here; the end of its pipe does.
func tied(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func imagePath(program string) string { return program }

func nameProcess(string) {}
