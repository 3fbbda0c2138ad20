package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// takeStandard moves a control channel away from standard input and output: what
// this process, or one that it starts, prints must not get into it. Reading gives
// nothing then, and what is printed goes to standard error.
func takeStandard() (in, out int, err error) {
	if in, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return 0, 0, fmt.Errorf("standard input: %w", err)
	}
	if out, err = unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return 0, 0, fmt.Errorf("standard output: %w", err)
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return 0, 0, err
	}
	defer nothing.Close()
	if err := unix.Dup3(int(nothing.Fd()), 0, 0); err != nil {
		return 0, 0, fmt.Errorf("standard input: %w", err)
	}
	if err := unix.Dup3(2, 1, 0); err != nil {
		return 0, 0, fmt.Errorf("standard output: %w", err)
	}
	return in, out, nil
}
