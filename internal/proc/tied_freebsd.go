package proc

import "syscall"

// tied makes the kernel kill the child with its parent, and gives it a process
// group of its own: an interrupt typed at the terminal is for the parent, which
// stops its children in order.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func imagePath(program string) string { return program }

func nameProcess(string) {}
