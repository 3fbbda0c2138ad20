package proc

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// groupEnd bounds the wait for processes that were killed. They end within
// milliseconds, but where nobody reaps orphans they never seem to.
const groupEnd = time.Second

// RunGroup runs a command, made with a context, as a group of processes with all
// that it starts. When its context ends they all are killed: the go command heeds
// no signal while it builds, and dies without its compilers and without having
// cleaned up. The command does not outlive this process either. Where there is no
// such group, which is everywhere but on Linux, only the command is killed.
func RunGroup(cmd *exec.Cmd) error {
	// The kernel kills it with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	kill := func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.Cancel = kill
	err := cmd.Run()
	if err == nil || cmd.Process == nil {
		return err
	}
	for deadline := time.Now().Add(groupEnd); kill() == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return err
}
