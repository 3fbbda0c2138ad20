package leak

import (
	"bytes"
	"fmt"
	"path"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

// Frame is a call on a stack.
type Frame struct {
	Func string // with its package path
	File string
	Line int
}

// String is the function with the file's name and the line.
func (f Frame) String() string {
	return fmt.Sprintf("%s (%s:%d)", f.Func, path.Base(f.File), f.Line)
}

// goroutine is one of a dump.
type goroutine struct {
	id      uint64
	state   string // what it waits for
	leaked  bool   // the runtime says that nothing can wake it any more
	stack   []Frame
	creator Frame // of the go statement; of the main goroutine, none
}

// origin names where such goroutines come from: what they run, and the go statement.
// What they run is the outermost function that is not of the standard library, which
// may start goroutines for others (sync.WaitGroup.Go, a handler of net/http).
func (g *goroutine) origin() string {
	entry := "unknown"
	if n := len(g.stack); n > 0 {
		entry = g.stack[n-1].Func
	}
	for _, f := range slices.Backward(g.stack) {
		if !standard(f) {
			entry = f.Func
			break
		}
	}
	if g.creator.Func == "" {
		return entry
	}
	return entry + ", created by " + g.creator.String()
}

// leakProfile is the runtime's profile of goroutines that nothing can wake, nil where
// the toolchain has none: Go 1.26 has it with GOEXPERIMENT=goroutineleakprofile.
func leakProfile() *pprof.Profile { return pprof.Lookup("goroutineleak") }

// dump writes down all goroutines as text, after a search for leaked ones where the
// toolchain knows one.
func dump() ([]byte, error) {
	if p := leakProfile(); p != nil {
		var text bytes.Buffer
		if err := p.WriteTo(&text, 2); err != nil {
			return nil, fmt.Errorf("leak: goroutine leak profile: %w", err)
		}
		return text.Bytes(), nil
	}
	for size := 1 << 18; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size || size >= maxDump {
			return text[:n], nil
		}
	}
}

// maxDump is the most bytes of a dump, enough for some hundred thousand goroutines.
const maxDump = 256 << 20

// parseDump reads goroutines from the text of [runtime.Stack]. Lines it does not know
// are skipped, so that a dump that was cut off still tells of those before.
func parseDump(text []byte) (all []goroutine) {
	var g *goroutine
	var call *Frame // waits for its line of file and line
	for line := range bytes.Lines(text) {
		s := strings.TrimRight(string(line), "\r\n")
		switch {
		case strings.HasPrefix(s, "goroutine "):
			call = nil
			if head, ok := parseHead(s); ok {
				all = append(all, head)
				g = &all[len(all)-1]
			} else {
				g = nil
			}
		case g == nil || s == "":
			call = nil
		case strings.HasPrefix(s, "\t"):
			if call != nil {
				call.File, call.Line = parsePlace(s[1:])
				call = nil
			}
		case strings.HasPrefix(s, "created by "):
			name, _, _ := strings.Cut(s[len("created by "):], " in goroutine ")
			g.creator = Frame{Func: name}
			call = &g.creator
		case strings.HasPrefix(s, "..."): // frames left out
			call = nil
		default:
			g.stack = append(g.stack, Frame{Func: callee(s)})
			call = &g.stack[len(g.stack)-1]
		}
	}
	return all
}

// parseHead reads "goroutine 12 [chan send (leaked), 2 minutes]:".
func parseHead(s string) (g goroutine, ok bool) {
	id, rest, _ := strings.Cut(s[len("goroutine "):], " ")
	n, err := strconv.ParseUint(id, 10, 64)
	open, end := strings.IndexByte(rest, '['), strings.LastIndexByte(rest, ']')
	if err != nil || open < 0 || end < open {
		return g, false
	}
	state, _, _ := strings.Cut(rest[open+1:end], ",")
	for _, mark := range []string{" (scan)", " (durable)", " (leaked)"} {
		if cut := strings.Replace(state, mark, "", 1); cut != state {
			state = cut
			g.leaked = g.leaked || mark == " (leaked)"
		}
	}
	g.id, g.state = n, state
	return g, true
}

// callee is the function of "pkg.(*T).f(0x1, {...})": the arguments are in the last
// parentheses, which hold no others but those of a type parameter before them.
func callee(s string) string {
	if !strings.HasSuffix(s, ")") {
		return s
	}
	depth := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				return s[:i]
			}
		}
	}
	return s
}

// parsePlace reads "/dir/file.go:12 +0x1d".
func parsePlace(s string) (file string, line int) {
	s, _, _ = strings.Cut(s, " +0x")
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return s, 0
	}
	n, err := strconv.Atoi(s[colon+1:])
	if err != nil || n < 0 {
		return s, 0
	}
	return s[:colon], n
}
