package proc

import (
	"os"
	"syscall"
)

// deathSignal is off in the tests that show that the pipe alone suffices.
var deathSignal = true

// tied makes the kernel kill the child when the thread that forks it ends, if tie is
// set, and gives it a process group of its own: an interrupt typed at the terminal is
// for the parent, which stops its children in order.
func tied(tie bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if tie && deathSignal {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return attr
}

// imagePath names the running binary even if its file was deleted or replaced
// since, as go test and go run may do.
func imagePath(program string) string {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err != nil {
		return program
	}
	return self
}

// nameProcess makes a child tell its role in ps and top, where it would be
// called "exe". It is a courtesy, so failing at it is no failure.
func nameProcess(role string) {
	name := "nb-" + role
	_ = os.WriteFile("/proc/self/comm", []byte(name[:min(len(name), 15)]), 0)
}
