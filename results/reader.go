package results

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// What can be wrong with a file that is given as a run. Test with [errors.Is].
var (
	ErrMissing = errors.New("no such run file")
	ErrForeign = errors.New("not a run file")
	ErrNewer   = errors.New("run file of a newer netbench")
	ErrPartial = errors.New("partial run")
)

// Run is what a run file holds.
type Run struct {
	Path   string
	Schema int

	// Partial tells that the run is not whole, and Reason why: it was
	// interrupted, a benchmark failed, the writer was killed, or the file was
	// cut or damaged afterwards.
	Partial bool
	Reason  string

	// Facts are in the order of the file. A key may come again with another
	// value, which holds for what follows.
	Facts []KeyValue

	Notes []Note

	// Results are in the order of the file, each with the configuration that
	// holds for it and values in base units.
	Results []*benchfmt.Result

	// Units tells directions, by base unit.
	Units benchfmt.UnitMetadataMap
}

// Fact returns the last value of a fact, "" if it is absent.
func (r *Run) Fact(key string) string {
	for i := len(r.Facts) - 1; i >= 0; i-- {
		if r.Facts[i].Key == key {
			return r.Facts[i].Value
		}
	}
	return ""
}

// Complete returns an error that wraps [ErrPartial] if the run is not whole.
func (r *Run) Complete() error {
	if !r.Partial {
		return nil
	}
	return fmt.Errorf("%s: %w: %s (give a complete run, which ends in %s)", r.Path, ErrPartial, r.Reason, suffixRun)
}

// Read reads a run file. A partial run is not an error: see [Run.Complete]. The
// error wraps [ErrMissing], [ErrForeign] or [ErrNewer], or is that of the file
// system.
func Read(path string) (*Run, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w (netbench record writes them, by default to results/runs)", path, ErrMissing)
	case err != nil:
		return nil, fmt.Errorf("cannot read the run: %w", err)
	}
	return parse(path, data)
}

// parse reads the comments, which are ours, and leaves the rest to the reader
// that everybody uses.
func parse(path string, data []byte) (*Run, error) {
	run := &Run{Path: path}
	c := comments{run: run}
	for line := range bytes.Lines(data) {
		c.line(string(bytes.TrimRight(line, "\r\n")))
	}
	switch {
	case run.Schema > Schema:
		return nil, fmt.Errorf("%s: %w: schema %d, this one reads up to %d (update netbench)", path, ErrNewer, run.Schema, Schema)
	case run.Schema == 0 && strings.HasSuffix(path, suffixPartial):
		return nil, fmt.Errorf("%s: %w: it ends before its first line does (delete it)", path, ErrPartial)
	}

	reader := benchfmt.NewReader(bytes.NewReader(data), path)
	var damage string
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.Result:
			run.Results = append(run.Results, rec.Clone())
		case *benchfmt.SyntaxError:
			if damage == "" {
				damage = fmt.Sprintf("line %d is damaged: %s", rec.Line, rec.Msg)
			}
		}
	}
	if err := reader.Err(); err != nil && damage == "" {
		damage = "it cannot be read to its end: " + err.Error()
	}
	run.Units = reader.Units()

	if run.Schema == 0 {
		if len(run.Results) > 0 {
			return nil, fmt.Errorf("%s: %w: it holds benchmarks, but no line %q (pipe it through netbench record)",
				path, ErrForeign, "# "+keySchema+": …")
		}
		return nil, fmt.Errorf("%s: %w: it is not in Go benchmark format (give a file that netbench record wrote)", path, ErrForeign)
	}
	run.Reason = c.reason
	switch {
	case run.Reason != "":
	case damage != "":
		run.Reason = damage
	case c.heads != c.ends:
		run.Reason = "half-written: its last line is missing, the writer was killed or the file was cut"
	case c.promised != len(run.Results):
		run.Reason = fmt.Sprintf("cut or changed: it promises %d results and holds %d", c.promised, len(run.Results))
	case strings.HasSuffix(path, suffixPartial):
		run.Reason = "the writer was killed before it could give the file its name"
	}
	run.Partial = run.Reason != ""
	return run, nil
}

// comments collects what a run file says beyond benchmark format. A file may be
// several run files in a row, as benchstat reads such a one as well.
type comments struct {
	run                   *Run
	pkg                   string
	heads, ends, promised int
	reason                string
}

func (c *comments) line(s string) {
	text, ok := strings.CutPrefix(s, "# ")
	if !ok {
		if key, value, ok := splitFact(s); ok {
			if key == "pkg" {
				c.pkg = value
			}
			c.fact(KeyValue{Key: key, Value: value, Config: true})
		}
		return
	}
	key, value, ok := splitFact(text)
	if !ok {
		return
	}
	switch {
	case key == keySchema:
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			c.run.Schema = max(c.run.Schema, n)
			c.heads++
			c.pkg = ""
		}
	case key == keyEnd:
		if n, reason, ok := parseEnd(value); ok {
			c.ends++
			c.promised += n
			if c.reason == "" {
				c.reason = reason
			}
		}
	case NoteKind(key).valid():
		c.run.Notes = append(c.run.Notes, parseNote(NoteKind(key), c.pkg, value))
	default:
		c.fact(KeyValue{Key: key, Value: value})
	}
}

// fact keeps a fact unless it says what is known already.
func (c *comments) fact(kv KeyValue) {
	for i := len(c.run.Facts) - 1; i >= 0; i-- {
		if have := c.run.Facts[i]; have.Key == kv.Key && have.Config == kv.Config {
			if have.Value == kv.Value {
				return
			}
			break
		}
	}
	c.run.Facts = append(c.run.Facts, kv)
}
