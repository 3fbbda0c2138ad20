package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"netbench/load"
	"netbench/models/memory"
	"netbench/models/race"
	"netbench/results"
	"netbench/testenv"
)

// raceMeeting holds one race after the other, and keeps and prints what they
// bring.
type raceMeeting struct {
	f       *raceFlags
	run     *results.Writer // nil for none
	s       Streams
	reports []*race.Report
	held    []race.CellRace // those that the reports belong to
	results int             // races in the run file
}

// hold returns the exit code of all: that of the first race that fails.
func (m *raceMeeting) hold(ctx context.Context, races []race.CellRace) (exit int, err error) {
	for i, cell := range races {
		code, e := m.one(ctx, cell, i, len(races))
		if code != results.ExitGood && exit == results.ExitGood {
			exit = code
		}
		// An undecided race does not keep the others from being held.
		if err = e; ctx.Err() != nil || code == results.ExitBadInput {
			break
		}
		if err != nil && len(races) > 1 {
			fmt.Fprintf(m.s.Err, "undecided: %v\n", err)
			err = nil
		}
	}
	if e := m.print(); e != nil && err == nil {
		return results.ExitBadInput, e
	}
	return exit, err
}

func (m *raceMeeting) one(ctx context.Context, cell race.CellRace, i, of int) (exit int, err error) {
	o := cell.Options
	if of > 1 {
		fmt.Fprintf(m.s.Err, "race %d of %d: %s\n", i+1, of, cell.Title())
	}
	progress := newRaceProgress(m.s.Err)
	defer progress.stop()
	o.Log, o.Progress = progress.line, progress.round
	r, err := race.Run(ctx, o)
	progress.stop()
	if r != nil {
		m.reports, m.held = append(m.reports, r), append(m.held, cell)
		if m.run != nil && r.RoundsCounted > 0 {
			m.results++
			if e := r.Write(m.run); e != nil {
				return results.ExitBadInput, e
			}
		}
		if !m.f.asJSON {
			if e := r.Print(m.s.Out); e != nil {
				return results.ExitBadInput, e
			}
			fmt.Fprintln(m.s.Out)
		}
	}
	switch {
	case errors.Is(err, race.ErrInput):
		return results.ExitBadInput, err
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	case err != nil:
		return results.ExitUndecided, err
	case !r.Valid:
		return results.ExitUndecided, nil
	}
	return results.ExitGood, nil
}

// print prints what belongs to all races together.
func (m *raceMeeting) print() error {
	switch {
	case m.f.asJSON && m.f.cells != "":
		return printJSON(m.s.Out, append([]*race.Report{}, m.reports...)) // an array, and not null
	case m.f.asJSON && len(m.reports) == 1:
		return printJSON(m.s.Out, m.reports[0])
	case m.f.asJSON || m.f.cells == "" || len(m.reports) == 0:
		return nil
	}
	return race.PrintChoices(m.s.Out, m.held, m.reports)
}

// close ends the run file: whole if all went well, partial if not, none if
// nothing was measured.
func (m *raceMeeting) close(failure error) error {
	switch {
	case m.run == nil:
		return nil
	case m.results == 0:
		return m.run.Discard()
	case failure != nil:
		return m.run.Abandon(failure.Error())
	}
	if err := m.run.Commit(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(m.s.Err, "run file: %s\n", m.run.Path())
	return err
}

// markdown writes the page of all races.
func (m *raceMeeting) markdown(ctx context.Context) func(io.Writer) error {
	return func(w io.Writer) error {
		host, err := results.Collect(ctx)
		if err != nil {
			return err
		}
		return race.Markdown(w, m.f.command, host, m.held, m.reports)
	}
}

// measureMemory returns what measures one model with a service, at the default
// steps. A model is measured once, in however many races it runs.
func (f *raceFlags) measureMemory(service string) func(context.Context, race.Entrant) (float64, error) {
	service, _, _ = strings.Cut(service, "+") // what computes or waits holds no memory
	return func(ctx context.Context, e race.Entrant) (float64, error) {
		about := [2]string{e.Name, service}
		if known, ok := f.measured[about]; ok {
			return known, nil
		}
		bytes, err := memoryOf(ctx, e, service)
		if err == nil {
			f.measured[about] = bytes
		}
		return bytes, err
	}
}

func memoryOf(ctx context.Context, e race.Entrant, service string) (float64, error) {
	program := ""
	if e.Prepare != nil {
		var err error
		if program, err = e.Prepare(ctx); err != nil { // from the cache: it was built before
			return 0, err
		}
	}
	r, err := memory.Measure(ctx, memory.Subject{
		Name:   e.Name,
		Server: testenv.ServerSpec{Model: e.Name, Program: program, Service: service},
	}, memory.Options{})
	if err != nil {
		return 0, err
	}
	return r.User.PerConn, nil
}

// raceProgress tells how far a race is: on a terminal in one line that changes,
// elsewhere in a line for each round.
type raceProgress struct {
	w        io.Writer
	terminal bool
	width    int
	lines    chan string
	rounds   chan roundDone
	quit     chan struct{}
	gone     chan struct{}
}

type roundDone struct {
	n, of int
	took  time.Duration
	why   string // it does not count
}

func newRaceProgress(w io.Writer) *raceProgress {
	p := &raceProgress{w: w, lines: make(chan string), rounds: make(chan roundDone), quit: make(chan struct{}), gone: make(chan struct{})}
	p.width, p.terminal = terminal(w)
	go p.show()
	return p
}

func (p *raceProgress) line(text string) { p.lines <- text }

func (p *raceProgress) round(n, of int, took time.Duration, r *load.Round) {
	p.rounds <- roundDone{n, of, took, r.Invalid}
}

// stop may be called again.
func (p *raceProgress) stop() {
	select {
	case <-p.gone:
	default:
		close(p.quit)
		<-p.gone
	}
}

// show writes everything, so that lines do not mix.
func (p *raceProgress) show() {
	defer close(p.gone)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last roundDone
	began := time.Now()
	var guess time.Duration // of a round
	clear := func() {
		if p.terminal {
			fmt.Fprint(p.w, "\r\x1b[K")
		}
	}
	for {
		select {
		case text := <-p.lines:
			clear()
			fmt.Fprintln(p.w, text)
		case last = <-p.rounds:
			began, guess = time.Now(), last.took
			clear()
			switch {
			case last.why != "":
				fmt.Fprintf(p.w, "round %d of %d does not count: %s\n", last.n, last.of, last.why)
			case !p.terminal:
				fmt.Fprintf(p.w, "round %d of %d: %.1f s\n", last.n, last.of, last.took.Seconds())
			}
		case <-tick.C:
			if !p.terminal || last.of > 0 && last.n == last.of {
				continue
			}
			text := fmt.Sprintf("round 1, for %.0f s", time.Since(began).Seconds())
			if last.of > 0 {
				left := time.Duration(last.of-last.n)*guess - time.Since(began)
				text = fmt.Sprintf("round %d of %d, about %v left", last.n+1, last.of, max(left, 0).Round(time.Second))
			}
			if p.width > 0 && len(text) >= p.width {
				text = text[:p.width-1]
			}
			fmt.Fprint(p.w, "\r\x1b[K"+text)
		case <-p.quit:
			clear()
			return
		}
	}
}
