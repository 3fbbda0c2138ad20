package proc

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// ExitError tells how a child ended that should not have ended, or not so.
type ExitError struct {
	Role string
	PID  int

	// State is how the process ended: its exit status or the signal.
	State *os.ProcessState

	// Stderr is the last of what the child wrote to standard error and standard
	// output, at most 4 KiB.
	Stderr string

	// Fault is the line with which the Go runtime began to report a panic or a
	// fatal error, "" if there was none. A long report pushes it out of Stderr.
	Fault string

	// Cause is why this process ended the child, nil if it ended by itself. It
	// is what Unwrap returns.
	Cause error
}

// Error is one line: what ended, why, and the most telling line of its output.
func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "child %q (pid %d)", e.Role, e.PID)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	fmt.Fprintf(&b, ": %s", e.State)
	switch last := lastLine(e.Stderr); {
	case e.Fault != "":
		fmt.Fprintf(&b, ": %s", e.Fault)
	case last != "":
		fmt.Fprintf(&b, ": %s", last)
	}
	return b.String()
}

// Unwrap returns Cause.
func (e *ExitError) Unwrap() error { return e.Cause }

// Said is the last line that the child has written to standard error or standard
// output so far; "" if there is none.
func (c *Child) Said() string {
	last, _ := c.tail.text()
	return lastLine(last)
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\r\n \t")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// CallError is the error that a child's operation returned. The child lives on.
type CallError struct {
	Role, Op string
	Message  string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("child %q: %s: %s", e.Role, e.Op, e.Message)
}

const (
	tailSize  = 4 << 10
	faultSize = 512 // of the longest line kept as a fault
)

// tail keeps the end of what is written to it and the first fault in it, and
// copies everything to log, if there is one.
type tail struct {
	mu    sync.Mutex
	log   io.Writer
	last  []byte
	line  []byte // the current line, up to faultSize
	fault string
}

// Write never fails: a child must not stall or die because its log does.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log != nil {
		_, _ = t.log.Write(p)
	}
	t.last = append(t.last, p...)
	if len(t.last) > 2*tailSize {
		t.last = append(t.last[:0], t.last[len(t.last)-tailSize:]...)
	}
	for rest := p; len(rest) > 0 && t.fault == ""; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		t.line = append(t.line, part[:min(len(part), faultSize-len(t.line))]...)
		if whole {
			t.endLine()
		}
		rest = after
	}
	return len(p), nil
}

func (t *tail) endLine() {
	if bytes.HasPrefix(t.line, []byte("panic: ")) || bytes.HasPrefix(t.line, []byte("fatal error: ")) {
		t.fault = string(t.line)
	}
	t.line = t.line[:0]
}

func (t *tail) text() (last, fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last[max(0, len(t.last)-tailSize):]), t.fault
}
