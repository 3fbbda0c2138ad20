package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/perf/benchfmt"
)

// RecordOptions says what to record and where to.
type RecordOptions struct {
	Dir string    // of the run file
	In  io.Reader // output of go test -bench

	Out io.Writer // table at the end
	Err io.Writer // progress, and what the benchmarks print besides results

	// Terminal tells that Err is a terminal of Width columns (default 80), on
	// which a status line can be drawn over and over.
	Terminal bool
	Width    int

	// Raw copies the stream to Err, line by line, in place of the progress.
	Raw bool

	// Quiet leaves out the table at the end, for a caller that prints the
	// Summary its own way.
	Quiet bool

	// Grace is how long after the end of the context the stream is still read;
	// default 10 s. The signal that ends this program usually ends go test too,
	// and what that says about it belongs to the run.
	Grace time.Duration

	// Fingerprint describes the host; nil collects it.
	Fingerprint *Fingerprint
}

// ErrNoBenchmarks is wrapped by the error of [Record] when the stream holds
// nothing that comes from a benchmark.
var ErrNoBenchmarks = errors.New("no benchmark in the input")

// Record reads a stream of go test -bench until it ends, shows how far it is,
// writes a run file and prints a table.
//
// Summary.Exit is the exit code that follows: ExitGood; ExitFailed where a
// benchmark failed, the stream broke off, or the file could not be written to
// its end; ExitUndecided where ctx ended first or every benchmark was skipped.
// In all these but the first, the file stays partial. An error means that there
// is no run at all, and the exit code is ExitBadInput.
//
// Record returns when the stream has ended, or Grace after ctx has. In the second
// case one goroutine remains until its Read of In returns.
func Record(ctx context.Context, o RecordOptions) (Summary, error) {
	start := time.Now()
	steal := StartSteal()
	var f Fingerprint
	if o.Fingerprint != nil {
		f = *o.Fingerprint
	} else {
		var err error
		// An interrupt at this moment is handled below, as any other.
		if f, err = Collect(context.WithoutCancel(ctx)); err != nil {
			return Summary{Exit: ExitBadInput}, err
		}
	}
	w, err := Create(o.Dir, f)
	if err != nil {
		return Summary{Exit: ExitBadInput}, err
	}
	r := &recorder{
		w:     w,
		raw:   o.Raw,
		known: make(map[string]bool),
		show:  progress{w: o.Err, terminal: o.Terminal && !o.Raw, width: cmp.Or(o.Width, 80), start: start},
	}
	p := &stream{sink: r}
	why, interrupted := r.read(ctx, o, p)
	if end := p.end(); why == "" {
		why = end
	}
	r.show.clear()
	return r.finish(o, p, why, interrupted, start, steal)
}

// recorder puts what a stream says into a file and onto the screen.
type recorder struct {
	w       *Writer
	werr    error // first error of writing
	show    progress
	raw     bool
	results []*benchfmt.Result
	notes   []Note
	known   map[string]bool // notes and facts that are in the file already
	lines   int
}

// read feeds the stream to p until it ends. It returns why it ended too early.
func (r *recorder) read(ctx context.Context, o RecordOptions, p *stream) (why string, interrupted bool) {
	chunks := make(chan []byte)
	ended := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			buf := make([]byte, 32<<10)
			n, err := o.In.Read(buf)
			if n > 0 {
				select {
				case chunks <- buf[:n]:
				case <-stop:
					return
				}
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()

	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var lines lineSplitter
	emit := func(s string) {
		r.lines++
		if r.raw {
			r.show.print(s)
		}
		p.line(s)
	}
	done := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case chunk := <-chunks:
			lines.feed(chunk, emit)
			// The name of a benchmark appears when it starts, the end of that
			// line when it has ended.
			if m := namePart.FindStringSubmatch(lines.tail()); m != nil {
				r.begin(m[1])
			}
		case err := <-ended:
			lines.flush(emit)
			if !errors.Is(err, io.EOF) {
				why = "the stream cannot be read: " + err.Error()
			}
			return why, interrupted
		case <-tick.C:
			r.show.draw()
		case <-done:
			done, interrupted = nil, true
			timer := time.NewTimer(cmp.Or(o.Grace, 10*time.Second))
			defer timer.Stop()
			grace = timer.C
			r.show.print("interrupted: waiting for the benchmarks to end")
		case <-grace:
			lines.flush(emit)
			return why, interrupted
		}
	}
}

func (r *recorder) begin(name string) {
	if !r.raw {
		r.show.begin(name)
	}
}

func (r *recorder) result(line string, res *benchfmt.Result, pkg string) {
	r.keep(r.w.Result(line))
	if pkg != "" {
		res.SetConfig("pkg", pkg)
	}
	r.results = append(r.results, res)
	if !r.raw {
		r.show.result(res)
	}
}

func (r *recorder) fact(kv KeyValue) {
	// Configuration holds until it changes, so its order matters; a fact does not.
	key := kv.line()
	if !kv.Config && r.known[key] {
		return
	}
	r.known[key] = true
	r.keep(r.w.Fact(kv))
	if kv.Config && kv.Key == keyProfiled && kv.Value != "" {
		r.note(Note{Kind: Warning, Text: "what follows was profiled (" + kv.Value + ") and is not comparable with other runs"})
	}
}

// mostNotes bounds what a benchmark that logs without end can fill.
const mostNotes = 5000

func (r *recorder) note(n Note) {
	key := n.Package + "\x00" + n.line()
	if r.known[key] || len(r.notes) > mostNotes {
		return
	}
	if len(r.notes) == mostNotes {
		n = Note{Kind: Warning, Text: fmt.Sprintf("more than %d notes: the others are left out", mostNotes)}
	}
	r.known[key] = true
	r.notes = append(r.notes, n)
	r.keep(r.w.Note(n))
	// What failed was shown already, as it happened.
	if !r.raw && n.Kind != Failure {
		r.show.print(formatNote(n))
	}
}

func (r *recorder) text(line string) {
	if !r.raw {
		r.show.print(line)
	}
}

// keep remembers the first error of the file. The benchmarks go on: their numbers
// can still be shown.
func (r *recorder) keep(err error) {
	if err != nil && r.werr == nil {
		r.werr = err
		r.show.print(err.Error())
	}
}

// finish decides what the run was, and says so.
func (r *recorder) finish(o RecordOptions, p *stream, why string, interrupted bool, start time.Time, steal *StealMeter) (Summary, error) {
	s := Summary{
		Duration: time.Since(start),
		Results:  len(r.results),
		Rows:     Rows(r.results),
		Notes:    dropRepeats(r.notes),
	}
	failures := slices.DeleteFunc(slices.Clone(s.Notes), func(n Note) bool { return n.Kind != Failure })
	skipped := slices.ContainsFunc(s.Notes, func(n Note) bool { return n.Kind == Skip })
	nothing := len(r.results) == 0 && len(failures) == 0 && !skipped
	switch {
	case interrupted:
		s.Exit, s.Reason = ExitUndecided, "interrupted"
	case nothing:
		s.Exit = ExitBadInput
		return s, errors.Join(r.noBenchmarks(p), r.w.Discard())
	case len(failures) > 0:
		s.Exit, s.Reason = ExitFailed, formatFailures(failures)
	case why != "":
		s.Exit, s.Reason = ExitFailed, why
	case r.werr != nil:
		s.Exit, s.Reason = ExitFailed, r.werr.Error()
	case len(r.results) == 0:
		s.Exit, s.Reason = ExitUndecided, "every benchmark was skipped"
	}

	r.keep(r.w.Fact(KeyValue{Key: "duration", Value: strconv.FormatFloat(s.Duration.Seconds(), 'f', 3, 64)}))
	if share, ok := steal.Share(); ok {
		r.keep(r.w.Fact(KeyValue{Key: "steal", Value: strconv.FormatFloat(share, 'f', 4, 64)}))
	}
	var err error
	switch {
	case nothing:
		err = r.w.Discard()
	case s.Reason != "":
		s.Partial = true
		err = r.w.Abandon(s.Reason)
	default:
		err = r.w.Commit()
	}
	if err != nil && r.werr == nil {
		r.werr = err
		fmt.Fprintln(o.Err, err)
	}
	if r.werr != nil && s.Exit == ExitGood {
		s.Exit, s.Partial, s.Reason = ExitFailed, true, r.werr.Error()
	}
	if !nothing {
		s.Path = r.w.Path()
	}
	if !o.Quiet {
		printSummary(o.Out, s)
		if nothing {
			fmt.Fprintln(o.Out, "interrupted before the first result: nothing is kept")
		}
	}
	return s, nil
}

// formatFailures names the first failure and counts the others.
func formatFailures(failures []Note) string {
	first := failures[0]
	name := first.Benchmark
	if name != "" {
		name += ": "
	}
	s := cutLine(name+first.Text, 300)
	if n := len(failures) - 1; n > 0 {
		s += fmt.Sprintf(" (and %s)", count(n, "more failure"))
	}
	return s
}

func (r *recorder) noBenchmarks(p *stream) error {
	switch {
	case p.sawJSON:
		return fmt.Errorf("%w: it is the output of go test -json (leave out -json)", ErrNoBenchmarks)
	case r.lines == 0:
		return fmt.Errorf("%w: it is empty (pipe go test -bench . into it; if that printed an error, mend that first)", ErrNoBenchmarks)
	}
	return fmt.Errorf("%w: %s, none of them a result (does -bench match a benchmark?)", ErrNoBenchmarks, count(r.lines, "line"))
}
