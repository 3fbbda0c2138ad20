//go:build unix

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// The child finds its ends of the pipes right behind the standard descriptors.
const (
	childInFD  = 3
	childOutFD = 4
)

func passPipes(cmd *exec.Cmd, in, out *os.File, tie bool) error {
	cmd.ExtraFiles = []*os.File{in, out}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d,%d", envPipes, childInFD, childOutFD))
	cmd.SysProcAttr = tied(tie)
	return nil
}

func inheritedPipes(list string) (in, out *os.File, err error) {
	var fds [2]int
	if _, err := fmt.Sscanf(list, "%d,%d", &fds[0], &fds[1]); err != nil {
		return nil, nil, fmt.Errorf("%s is %q, not the two ends of a control channel", envPipes, list)
	}
	if fds == [2]int{0, 1} {
		if fds[0], fds[1], err = takeStandard(); err != nil {
			return nil, nil, err
		}
	}
	for _, fd := range fds {
		var st syscall.Stat_t
		if err := syscall.Fstat(fd, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			return nil, nil, fmt.Errorf("descriptor %d is no pipe, so there is no control channel", fd)
		}
		// A child of this child that inherited them would hide our end from our
		// parent, and its end from us.
		syscall.CloseOnExec(fd)
		// Non-blocking, so that waiting for the parent does not take a thread.
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return os.NewFile(uintptr(fds[0]), "control in"), os.NewFile(uintptr(fds[1]), "control out"), nil
}
