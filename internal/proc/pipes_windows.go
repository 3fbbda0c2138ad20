package proc

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// passPipes lets the child inherit the two handles by number. The child is not
// tied to this process by the kernel there, only by its pipe.
func passPipes(cmd *exec.Cmd, in, out *os.File, _ bool) error {
	var handles [2]syscall.Handle
	for i, f := range []*os.File{in, out} {
		h := windows.Handle(f.Fd())
		if err := windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			return fmt.Errorf("pass the control channel on: %w", err)
		}
		handles[i] = syscall.Handle(h)
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d,%d", envPipes, handles[0], handles[1]))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		AdditionalInheritedHandles: handles[:],
		CreationFlags:              windows.CREATE_NEW_PROCESS_GROUP, // a Ctrl-C is for the parent to handle
	}
	return nil
}

func inheritedPipes(list string) (in, out *os.File, err error) {
	var handles [2]uintptr
	if _, err := fmt.Sscanf(list, "%d,%d", &handles[0], &handles[1]); err != nil {
		return nil, nil, fmt.Errorf("%s is %q, not the two ends of a control channel", envPipes, list)
	}
	for _, h := range handles {
		if kind, err := windows.GetFileType(windows.Handle(h)); err != nil || kind != windows.FILE_TYPE_PIPE {
			return nil, nil, fmt.Errorf("handle %d is no pipe, so there is no control channel", h)
		}
		if err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, 0); err != nil {
			return nil, nil, fmt.Errorf("handle %d: %w", h, err)
		}
	}
	return os.NewFile(handles[0], "control in"), os.NewFile(handles[1], "control out"), nil
}

func imagePath(program string) string { return program }

func nameProcess(string) {}
