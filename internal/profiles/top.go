package profiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"netbench/internal/proc"
)

// topTimeout bounds one command of the Go tools; the first builds them.
const topTimeout = 2 * time.Minute

// Tools returns an error if [Top] has no Go tools to ask.
func Tools() error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("there is no go command in PATH (it has pprof, which shows what is largest in a profile)")
	}
	return nil
}

// Top is the table of the n largest functions in a directory's profile of that kind, as
// go tool pprof prints it. Of a trace it is where goroutines spent time in system
// calls, which is most of what a server does and which has stacks: of a goroutine that
// the network woke, the trace has none. Where goroutines wait they all are in the same functions of the
// runtime, so kinds about waiting are sorted by what called these.
func Top(ctx context.Context, dir string, k Kind, n int) (table string, err error) {
	file := filepath.Join(dir, k.FileName())
	if k == Trace {
		calls, err := goTool(ctx, "trace", "-pprof=syscall", file)
		if err != nil {
			return "", err
		}
		if len(calls) == 0 {
			return "no system calls", nil
		}
		f, err := os.CreateTemp("", "netbench-trace-*.pprof")
		if err != nil {
			return "", err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(calls)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		file = f.Name()
	}
	order := "-flat"
	if k == Trace || k == Block || k == Goroutine {
		order = "-cum"
	}
	out, err := goTool(ctx, "pprof", "-top", order, "-symbolize=none", "-nodecount="+strconv.Itoa(n), file)
	return strings.TrimRight(string(out), "\n"), err
}

// goTool runs a tool of Go and returns what it printed.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, topTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool"}, args...)...)
	cmd.WaitDelay = 5 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := proc.RunGroup(cmd); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("go tool %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}
