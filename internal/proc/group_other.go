//go:build !linux

package proc

import "os/exec"

// RunGroup runs a command, made with a context. Where there is no group of
// processes to be killed with it, which is everywhere but on Linux, only the
// command is killed when its context ends.
func RunGroup(cmd *exec.Cmd) error { return cmd.Run() }
