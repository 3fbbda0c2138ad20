package results

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
)

// stream understands what go test -bench prints, with and without -v, line by
// line, and what it does when things go wrong. It knows the form of that output
// from the testing package and cmd/go of Go 1.26:
//
//   - Without -v the name is printed when a benchmark starts and the measurement
//     when it ends, on one line, unless something else is printed meanwhile,
//     which then stands between the two. They are put together again.
//   - Without -v what a benchmark logs follows as a block headed "--- BENCH:",
//     at most ten lines, and skips are not mentioned at all. With -v it comes
//     before, and "--- SKIP:" and "--- FAIL:" after the reason.
type stream struct {
	sink sink

	pkg     string
	running string   // benchmark that was announced last
	waiting string   // the same, if its line has begun and the measurement is due
	logs    []string // what running logged, with -v
	block   *block   // indented lines after "--- …"
	crash   []string // first lines of a panic or the like
	tail    []string // last lines of other output, in case the package fails

	unfinished   bool // results since the last PASS or ok
	failed       bool // bare FAIL since the last package line
	failures     int  // reported in this package
	failedBefore bool // a package before this one failed
	sawJSON      bool // the stream is go test -json
}

type sink interface {
	result(line string, res *benchfmt.Result, pkg string)
	fact(kv KeyValue)
	note(n Note)
	text(line string) // anything else that the user should see
	begin(name string)
}

const (
	keptCrash = 12 // lines of a crash that are kept in the file
	keptTail  = 8  // lines of other output that are, when a package fails
)

var (
	namePart    = regexp.MustCompile(`^(Benchmark\S*) *\t(.*)$`)
	measurement = regexp.MustCompile(`^ *\d+\t`)
	verdictLine = regexp.MustCompile(`^--- (FAIL|SKIP|BENCH|PASS): (\S+)`)
	logLine     = regexp.MustCompile(`^\s+[^\s:]+\.go:\d+: ?(.*)$`)
)

func (p *stream) line(s string) {
	if p.block != nil {
		if strings.TrimSpace(s) == "" {
			return
		}
		if strings.HasPrefix(s, "    ") || s[0] == '\t' {
			p.indented(s)
			return
		}
		p.endBlock()
	}
	switch {
	case strings.TrimSpace(s) == "":
		if len(p.crash) > 0 {
			p.sink.text("")
		}
	case strings.HasPrefix(s, "Benchmark"):
		p.benchmark(s)
	case p.waiting != "" && measurement.MatchString(s) && p.tryResult(p.waiting+"\t"+strings.TrimSpace(s)):
	default:
		p.other(s)
	}
}

// benchmark handles a line that begins with the name of one.
func (p *stream) benchmark(s string) {
	if first, _ := utf8.DecodeRuneInString(s[len("Benchmark"):]); unicode.IsLower(first) {
		p.other(s) // the testing package does not run such a function
		return
	}
	if p.tryResult(strings.TrimRightFunc(s, unicode.IsSpace)) {
		return
	}
	if m := namePart.FindStringSubmatch(s); m != nil {
		p.announce(m[1])
		p.waiting = m[1]
		if rest := m[2]; strings.TrimSpace(rest) != "" {
			if measurement.MatchString(rest) {
				p.unreadable(s)
				return
			}
			p.other(rest)
		}
		return
	}
	if name := strings.TrimSpace(s); isBenchmarkName(name) {
		p.announce(name)
		return
	}
	p.unreadable(s)
}

func (p *stream) unreadable(s string) {
	p.note(Warning, p.running, "a line that begins like a result cannot be read and is left out: "+strings.TrimSpace(s))
}

// tryResult handles s if it is a result.
func (p *stream) tryResult(s string) bool {
	res, err := parseResult(s)
	if err != nil {
		return false
	}
	name := "Benchmark" + string(res.Name)
	var dropped []string
	s, res, dropped = withoutNaN(s, res)
	for _, unit := range dropped {
		p.note(Warning, name, unit+" is not a number and is left out")
	}
	for _, text := range p.logs {
		p.logged(name, text)
	}
	p.logs, p.waiting, p.running = nil, "", name
	p.endCrash(false)
	if res == nil {
		p.note(Warning, name, "a result without a single number is left out")
		return true
	}
	p.unfinished = true
	p.sink.result(s, res, p.pkg)
	return true
}

// withoutNaN leaves out metrics that are no numbers. The result is nil if none
// remains.
func withoutNaN(s string, res *benchfmt.Result) (string, *benchfmt.Result, []string) {
	var dropped []string
	for _, v := range res.Values {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			dropped = append(dropped, v.Unit)
		}
	}
	if dropped == nil {
		return s, res, nil
	}
	fields := strings.Fields(s)
	kept := fields[:2:2]
	for i, v := range res.Values {
		if !math.IsNaN(v.Value) && !math.IsInf(v.Value, 0) {
			kept = append(kept, fields[2+2*i], fields[3+2*i])
		}
	}
	s = strings.Join(kept, "\t")
	res, err := parseResult(s)
	if err != nil {
		return "", nil, dropped
	}
	return s, res, dropped
}

// announce notes that a benchmark has begun.
func (p *stream) announce(name string) {
	p.flushLogs()
	p.running, p.waiting = name, ""
	p.sink.begin(name)
}

func (p *stream) flushLogs() {
	for _, text := range p.logs {
		p.logged(p.running, text)
	}
	p.logs = nil
}

// other handles everything that does not begin with the name of a benchmark.
func (p *stream) other(s string) {
	word, rest, _ := strings.Cut(s, "\t")
	word = strings.TrimSpace(word)
	switch {
	case strings.HasPrefix(s, streamPrefix) && p.ours(p.running, s):
	case p.platform(s):
	case verdictLine.MatchString(s):
		m := verdictLine.FindStringSubmatch(s)
		p.block = &block{kind: m[1], name: m[2], logs: p.logs}
		p.logs, p.waiting = nil, ""
		if m[1] == "FAIL" {
			p.sink.text(s)
			for _, text := range p.block.logs {
				p.sink.text("    " + text)
			}
		}
	case s == "PASS":
		p.flushLogs()
		p.endCrash(false)
		p.unfinished, p.waiting = false, ""
	case s == "FAIL":
		p.flushLogs()
		p.failed, p.unfinished, p.waiting = true, false, ""
	case word == "ok" && rest != "":
		p.endPackage(false, "")
	case word == "FAIL" && rest != "":
		p.sink.text(s)
		p.endPackage(true, rest)
	case word == "?" && rest != "", strings.HasPrefix(s, "=== "), s == "testing: warning: no tests to run":
	case isCrash(s) || len(p.crash) > 0:
		p.sink.text(s)
		if text := strings.TrimSpace(s); text != "" && len(p.crash) < keptCrash {
			p.crash = append(p.crash, text)
		}
	case logLine.MatchString(s):
		p.logs = addLog(p.logs, logLine.FindStringSubmatch(s)[1])
	case len(p.logs) > 0 && strings.HasPrefix(s, "        "):
		continueLog(p.logs, s)
	case strings.HasPrefix(s, `{"Time":`), strings.HasPrefix(s, `{"Action":`):
		p.sawJSON = true
	default:
		p.sink.text(s)
		if !strings.HasPrefix(s, "exit status ") {
			p.tail = append(p.tail, strings.TrimSpace(s))
			p.tail = p.tail[max(0, len(p.tail)-keptTail):]
		}
	}
}

// platform handles a configuration line that go test prints.
func (p *stream) platform(s string) bool {
	key, value, ok := splitFact(s)
	if !ok || !platformKeys[key] {
		return false
	}
	if key == "pkg" {
		p.pkg = value
	}
	p.sink.fact(KeyValue{Key: key, Value: value, Config: true})
	return true
}

// platformKeys are the configuration lines that go test prints. Other lines of
// that form are mostly log messages, which must not become configuration.
var platformKeys = map[string]bool{"goos": true, "goarch": true, "pkg": true, "cpu": true, "toolchain": true}

func isCrash(s string) bool {
	for _, prefix := range []string{"panic: ", "fatal error: ", "signal: ", "*** Test killed", "SIGQUIT: ", "SIGSEGV: ",
		"SIGABRT: ", "unexpected fault address", "WARNING: DATA RACE", "runtime: out of memory"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// ours handles the lines that benchmarks write for this program.
func (p *stream) ours(name, s string) bool {
	kind, rest, ok := strings.Cut(strings.TrimPrefix(s, streamPrefix), ":")
	rest = strings.TrimSpace(rest)
	if !ok || rest == "" {
		return false
	}
	switch kind {
	case "note":
		p.note(Info, name, rest)
	case "warning":
		p.note(Warning, name, rest)
	case "fact", "config":
		key, value, ok := splitFact(rest)
		if !ok || value == "" && kind == "fact" {
			return false
		}
		p.sink.fact(KeyValue{Key: key, Value: value, Config: kind == "config"})
	default:
		return false
	}
	return true
}

// logged handles one entry of a benchmark's log.
func (p *stream) logged(name, text string) {
	if text != "" && !(strings.HasPrefix(text, streamPrefix) && p.ours(name, text)) {
		p.note(Info, name, text)
	}
}

func (p *stream) note(kind NoteKind, name, text string) {
	if !isBenchmarkName(name) {
		name = ""
	}
	p.sink.note(Note{Kind: kind, Package: p.pkg, Benchmark: name, Text: oneLine(text)})
}

// endPackage handles the line by which cmd/go ends a package. What failed
// without a benchmark being named is a failure of the package.
func (p *stream) endPackage(failed bool, rest string) {
	p.flushLogs()
	p.endCrash(failed)
	if failed && p.failures == 0 {
		pkg, how, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
		if p.pkg == "" {
			p.pkg = pkg
		}
		text := pkg + " failed"
		if strings.HasPrefix(how, "[") {
			text = pkg + " " + how
		}
		if len(p.tail) > 0 {
			text += ": " + strings.Join(p.tail, "; ")
		}
		p.note(Failure, "", text)
	}
	p.failedBefore = p.failedBefore || failed
	p.unfinished, p.failed, p.failures, p.running, p.waiting, p.tail = false, false, 0, "", "", nil
	p.pkg = ""
}

// endCrash reports a crash: of the package if that failed, and otherwise of a
// process it started, as the benchmarks went on.
func (p *stream) endCrash(failed bool) {
	if len(p.crash) == 0 {
		return
	}
	text := p.takeCrash()
	if failed {
		p.failures++
		p.note(Failure, p.running, text)
		return
	}
	p.note(Warning, p.running, "a process crashed, though the benchmark went on: "+text)
}

// takeCrash returns what is known of a crash, "" if there was none, and forgets
// it. What crashed says so first; the stacks that follow were shown.
func (p *stream) takeCrash() string {
	said := p.crash
	p.crash = nil
	if i := slices.IndexFunc(said, func(s string) bool { return strings.HasPrefix(s, "goroutine ") }); i > 0 {
		said = said[:i]
	}
	return strings.Join(said, "; ")
}

// end handles the end of the stream. It returns why the stream is not whole, ""
// if it is.
func (p *stream) end() (why string) {
	p.endBlock()
	p.flushLogs()
	p.endCrash(true)
	// cmd/go ends with a bare FAIL if any package failed.
	if p.failed && p.failures == 0 && !p.failedBefore {
		p.note(Failure, "", "failed, without saying what")
	}
	switch {
	case p.waiting != "":
		return "the stream ended while " + p.waiting + " ran: go test was killed, or its output was cut"
	case p.unfinished:
		return "the stream ended without PASS or ok: go test was killed, or its output was cut"
	}
	return ""
}
