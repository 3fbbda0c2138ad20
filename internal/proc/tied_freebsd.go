package proc

import "syscall"

// tied makes the kernel kill the child with its parent, if tie is set, and gives it
// a process group of its own: an interrupt typed at the terminal is for the parent,
// which stops its children in order.
func tied(tie bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if tie {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return attr
}

func imagePath(program string) string { return program }

func nameProcess(string) {}
