package results

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

const (
	nameTime      = "20060102T150405.000Z"
	suffixRun     = ".txt"
	suffixPartial = ".partial"
)

// runName is the name of a run file, a partial one included: its time in UTC,
// then the first seven digits of the commit, or nogit, then its arm if it is one.
var runName = regexp.MustCompile(`^(\d{8}T\d{6}\.\d{3}Z)-([0-9a-f]{7}|nogit)(?:-[a-z]+)?\.txt(\.partial)?$`)

// ErrClosed is returned by a [Writer] after Commit, Abandon or Discard.
var ErrClosed = errors.New("results: the run file is closed")

// Writer writes one run file. Until Commit it is called NAME.partial, so that
// whatever happens to the program, an unfinished file has that name.
//
// A Writer is used by one goroutine at a time.
type Writer struct {
	file    *os.File
	path    string // where the file is
	final   string // where Commit puts it
	madeDir bool   // the directory was made for it
	results int
	err     error // first error; sticks
}

// Create starts a run file in dir, which is made if it is missing, and writes its
// head: the schema, the units of all metrics, and the fingerprint, whose time and
// commit name the file. An existing file is never overwritten: if another run has
// the name, this one is called a millisecond later.
func Create(dir string, f Fingerprint) (*Writer, error) { return CreateArm(dir, "", f) }

// CreateArm is [Create] for one of several runs that were made together: the file's
// name ends in the arm's, lower-case letters such as "base".
func CreateArm(dir, arm string, f Fingerprint) (*Writer, error) {
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("results: cannot make the directory for runs: %w (choose another)", err)
	}
	if arm != "" {
		arm = "-" + arm
	}
	commit := "nogit"
	if len(f.Commit) >= 7 {
		commit = f.Commit[:7]
	}
	at := f.Start.UTC()
	if f.Start.IsZero() {
		at = time.Now().UTC()
	}
	w := &Writer{madeDir: missing != nil}
	for range 1000 {
		w.final = filepath.Join(dir, at.Format(nameTime)+"-"+commit+arm+suffixRun)
		if !runName.MatchString(filepath.Base(w.final)) {
			return nil, fmt.Errorf("results: no run can be named by commit %q and arm %q (want hexadecimal digits, and lower-case letters, or nothing)", f.Commit, arm)
		}
		// The partial name is the lock on the final one: who holds it may
		// rename, and it is taken by creation alone, so two runs never share it.
		file, err := os.OpenFile(w.final+suffixPartial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			if _, err = os.Lstat(w.final); errors.Is(err, fs.ErrNotExist) {
				w.file, w.path = file, file.Name()
				w.head(f)
				if w.err != nil {
					return nil, errors.Join(w.err, w.Discard())
				}
				return w, nil
			}
			file.Close()
			os.Remove(file.Name())
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("results: cannot write a run: %w (choose another directory)", err)
		}
		at = at.Add(time.Millisecond)
	}
	return nil, fmt.Errorf("results: %s holds 1000 runs of the second after %s (is the clock stuck?)", dir, f.Start)
}

func (w *Writer) head(f Fingerprint) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: %d\n", keySchema, Schema)
	for _, kv := range f.Lines() {
		if !kv.Config {
			fmt.Fprintln(&b, kv.line())
		}
	}
	b.WriteByte('\n')
	for _, u := range Units {
		fmt.Fprintln(&b, u.metadata())
	}
	b.WriteByte('\n')
	for _, kv := range f.Lines() {
		if kv.Config {
			fmt.Fprintln(&b, kv.line())
		}
	}
	w.write(b.Bytes())
}

// write passes whole lines to the kernel at once, so that a killed writer leaves
// no half line.
func (w *Writer) write(b []byte) error {
	if w.err == nil {
		if w.file == nil {
			w.err = ErrClosed
		} else if _, err := w.file.Write(b); err != nil {
			w.err = fmt.Errorf("results: cannot write the run: %w", err)
		}
	}
	return w.err
}

// Path is where the file is now: it ends in .partial until Commit.
func (w *Writer) Path() string { return w.path }

// Result adds one line of results, such as "BenchmarkEcho-2 100 73.2 p50-ns". A
// line that readers of the format would not accept is an error, and nothing is
// written.
func (w *Writer) Result(line string) error {
	if w.err != nil {
		return w.err
	}
	if _, err := parseResult(line); err != nil {
		return fmt.Errorf("results: not a benchmark result: %w", err)
	}
	if err := w.write([]byte(line + "\n")); err != nil {
		return err
	}
	w.results++
	return nil
}

// Fact adds a fact, or a configuration line that holds for all results after it.
// A configuration of an empty value ends; another fact without a value is absent,
// and is not written.
func (w *Writer) Fact(kv KeyValue) error {
	if oneLine(kv.Value) == "" && !kv.Config {
		return w.err
	}
	return w.write([]byte(strings.TrimRight(kv.line(), " ") + "\n"))
}

// Note adds a note.
func (w *Writer) Note(n Note) error {
	if !n.Kind.valid() {
		return fmt.Errorf("results: %q is not a kind of note", n.Kind)
	}
	return w.write([]byte(n.line() + "\n"))
}

// Commit ends the run: the file is complete on the disk, whole and under its
// final name, when Commit returns nil. On an error it is a partial file.
func (w *Writer) Commit() error {
	if err := w.close(""); err != nil {
		return err
	}
	if err := os.Rename(w.path, w.final); err != nil {
		return fmt.Errorf("results: the run stays %s: %w", w.path, err)
	}
	w.path = w.final
	if err := syncDir(filepath.Dir(w.final)); err != nil {
		return fmt.Errorf("results: %s is written, but a crash could undo it: %w", w.final, err)
	}
	return nil
}

// Abandon ends a run that is not whole, for a reason, which readers will show.
// The file keeps its partial name.
func (w *Writer) Abandon(reason string) error {
	if oneLine(reason) == "" {
		reason = "no reason given"
	}
	return w.close(reason)
}

// Discard removes a file that has nothing to keep.
func (w *Writer) Discard() error {
	if w.file == nil {
		return ErrClosed
	}
	w.file.Close()
	w.file, w.err = nil, ErrClosed
	err := os.Remove(w.path)
	if w.madeDir {
		_ = os.Remove(filepath.Dir(w.path)) // another run may be in it by now
	}
	return err
}

// close writes the last line and makes the file durable. After an error of
// writing there is no last line, and readers see that it is missing.
func (w *Writer) close(reason string) error {
	if w.file == nil {
		return ErrClosed
	}
	err := w.write([]byte(endLine(w.results, reason) + "\n"))
	if err == nil {
		if e := w.file.Sync(); e != nil {
			err = fmt.Errorf("results: cannot write the run: %w", e)
		}
	}
	if e := w.file.Close(); err == nil && e != nil {
		err = fmt.Errorf("results: cannot write the run: %w", e)
	}
	w.file, w.err = nil, ErrClosed
	return err
}

// parseResult reads one line as other readers would. What is not a result, or
// holds a value that is not a number, is an error.
func parseResult(line string) (*benchfmt.Result, error) {
	if strings.ContainsAny(line, "\n\r") {
		return nil, errors.New("more than one line")
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("line of %d bytes (at most %d)", len(line), maxLine)
	}
	r := benchfmt.NewReader(strings.NewReader(line), "line")
	if !r.Scan() {
		return nil, errors.New("no measurement")
	}
	switch rec := r.Result().(type) {
	case *benchfmt.Result:
		if len(rec.Name) == 0 || rec.Iters < 0 {
			return nil, errors.New("no name or count")
		}
		return rec.Clone(), nil
	case *benchfmt.SyntaxError:
		return nil, errors.New(rec.Msg)
	}
	return nil, errors.New("no measurement")
}
