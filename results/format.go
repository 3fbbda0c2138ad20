package results

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Schema is the version of run files that this package writes. It reads this
// one and older ones.
const Schema = 1

const (
	keySchema = "netbench-run"
	keyEnd    = "netbench-end"
)

// maxLine bounds the length in bytes of a line in a run file. Readers of the
// format give up at 64 KiB.
const maxLine = 16 << 10

// NoteKind says what a [Note] is about.
type NoteKind string

const (
	Info    NoteKind = "note"    // something worth knowing
	Warning NoteKind = "warning" // a reason for doubt, such as a metric that is not fit to be published
	Skip    NoteKind = "skip"    // a benchmark that did not run, with the reason
	Failure NoteKind = "fail"    // a benchmark or a package that failed
)

func (k NoteKind) valid() bool {
	switch k {
	case Info, Warning, Skip, Failure:
		return true
	}
	return false
}

// Note is something that a run has to say beside its numbers.
type Note struct {
	Kind      NoteKind `json:"kind"`
	Package   string   `json:"package,omitempty"`
	Benchmark string   `json:"benchmark,omitempty"` // full name, "" if it is about no single one
	Text      string   `json:"text"`
}

// A benchmark writes these lines to its output, or logs them, to get facts and
// notes into the run file. They stand for themselves in a terminal, too.
const streamPrefix = "netbench: "

// FactLine returns the line by which a benchmark adds a fact to the run, for
// instance the CPU set of its server: "netbench: fact: server-cpus: 1".
func FactLine(key, value string) string {
	return streamPrefix + "fact: " + factKey(key) + ": " + oneLine(value)
}

// ConfigLine is like [FactLine] for something that makes results incomparable:
// benchstat shows a table for each value. [StandInLine] makes one for a service
// that is not itself. It holds for the results that follow; an empty value ends it.
func ConfigLine(key, value string) string {
	return strings.TrimSpace(streamPrefix + "config: " + factKey(key) + ": " + oneLine(value))
}

// NoteLine returns the line by which a benchmark adds a note about itself.
func NoteLine(text string) string { return streamPrefix + "note: " + oneLine(text) }

// WarningLine returns the line by which a benchmark says why it left out a
// metric or why another has to be doubted.
func WarningLine(text string) string { return streamPrefix + "warning: " + oneLine(text) }

// factKey makes a key of benchmark format of any string: it begins with a lower
// case letter and contains neither upper case nor white space nor a colon.
func factKey(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == ':' || unicode.IsSpace(r) || r == utf8.RuneError:
			return '-'
		case unicode.IsUpper(r):
			// Some letters have no lower case and count as upper case still.
			if r = unicode.ToLower(r); unicode.IsUpper(r) {
				return '-'
			}
		}
		return r
	}, oneLine(s))
	if first, _ := utf8.DecodeRuneInString(s); !unicode.IsLower(first) {
		s = "x-" + s
	}
	return s
}

// splitFact takes "key: value" apart if the key is one that factKey leaves
// alone.
func splitFact(s string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(s, ":")
	if !ok || key == "" || key != factKey(key) || value != "" && value[0] != ' ' {
		return "", "", false
	}
	return key, strings.TrimSpace(value), true
}

// oneLine makes s fit into one line of a run file and harmless to a terminal:
// valid UTF-8 without control characters, no longer than half of maxLine.
func oneLine(s string) string {
	return cutLine(strings.TrimSpace(cleanLine(s)), maxLine/2)
}

// cleanLine replaces what is not UTF-8, and control characters but for the
// tabulator, by the replacement character; line ends become spaces.
func cleanLine(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r == '\n' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// cutLine shortens s to at most limit bytes, plus a mark that says by how much.
func cutLine(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:n], len(s)-n)
}

// line is how a fact stands in the file.
func (kv KeyValue) line() string {
	key := factKey(kv.Key)
	if !kv.Config {
		if key == keySchema || key == keyEnd || NoteKind(key).valid() {
			key = "x-" + key // means something else in a comment
		}
		key = "# " + key
	}
	return key + ": " + oneLine(kv.Value)
}

// line is how a note stands in the file.
func (n Note) line() string {
	s := "# " + string(n.Kind) + ": "
	if isBenchmarkName(n.Benchmark) {
		s += n.Benchmark + ": "
	}
	return s + oneLine(n.Text)
}

// parseNote is the inverse of [Note.line]; rest is what follows the kind.
func parseNote(kind NoteKind, pkg, rest string) Note {
	n := Note{Kind: kind, Package: pkg, Text: strings.TrimSpace(rest)}
	if name, text, ok := strings.Cut(n.Text, ": "); ok && isBenchmarkName(name) {
		n.Benchmark, n.Text = name, strings.TrimSpace(text)
	}
	return n
}

// isBenchmarkName reports whether s can be the full name of a benchmark: the
// testing package replaces white space in names.
func isBenchmarkName(s string) bool {
	return strings.HasPrefix(s, "Benchmark") && !strings.HasSuffix(s, ":") &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// endLine is the last line of a file. An empty reason stands for a whole run.
func endLine(results int, reason string) string {
	if reason == "" {
		return "# " + keyEnd + ": complete results=" + strconv.Itoa(results)
	}
	return "# " + keyEnd + ": partial results=" + strconv.Itoa(results) + " " + oneLine(reason)
}

// parseEnd is the inverse of endLine; rest is what follows the key.
func parseEnd(rest string) (results int, reason string, ok bool) {
	state, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	count, reason, _ := strings.Cut(rest, " ")
	number, found := strings.CutPrefix(count, "results=")
	results, err := strconv.Atoi(number)
	if !found || err != nil || results < 0 {
		return 0, "", false
	}
	switch {
	case state == "complete" && reason == "":
		return results, "", true
	case state == "partial" && reason != "":
		return results, reason, true
	}
	return 0, "", false
}
