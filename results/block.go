package results

import (
	"cmp"
	"strings"
)

// block is what belongs to a line "--- KIND: NAME".
type block struct {
	kind, name string
	logs       []string
}

// indented adds a line to the block.
func (p *stream) indented(s string) {
	b := p.block
	if b.kind == "FAIL" {
		p.sink.text(s)
	}
	if m := logLine.FindStringSubmatch(s); m != nil {
		b.logs = addLog(b.logs, m[1])
	} else if len(b.logs) > 0 {
		continueLog(b.logs, s)
	} else {
		b.logs = addLog(b.logs, s)
	}
}

func (p *stream) endBlock() {
	b := p.block
	p.block = nil
	if b == nil {
		return
	}
	reason := strings.Join(b.logs, "; ")
	switch b.kind {
	case "SKIP":
		if reason == "" {
			reason = "no reason given"
		}
		p.note(Skip, b.name, reason)
	case "FAIL":
		p.failures++
		if reason == "" {
			reason = cmp.Or(p.takeCrash(), "failed")
		}
		if !isBenchmarkName(b.name) { // a test
			reason = b.name + ": " + reason
		}
		p.note(Failure, b.name, reason)
	default:
		for _, text := range b.logs {
			p.logged(b.name, text)
		}
	}
}

// addLog adds an entry of a benchmark's log, up to a bound.
func addLog(logs []string, text string) []string {
	const most = 200
	switch len(logs) {
	case most:
		return logs
	case most - 1:
		return append(logs, "further entries of the log are left out")
	}
	return append(logs, strings.TrimSpace(text))
}

// continueLog adds a line to the last entry.
func continueLog(logs []string, text string) {
	if last := &logs[len(logs)-1]; len(*last) < longestLine {
		*last = strings.TrimSpace(*last + " " + strings.TrimSpace(text))
	}
}
