package race

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Cell is a load that is worth a race of its own.
type Cell struct {
	Name      string
	Service   string
	Conns     int
	Size      int // bytes; 0 where the service has its own
	IdleShare float64
	Pipeline  int
	States    []State

	// Models are those of the entrants that race in it, nil for all: where each
	// has ten thousand connections, memory and time are short, so it is one of
	// each kind.
	Models []string

	further bool // not among the standard ones
}

// fewer are the models that race at ten thousand connections each.
var fewer = []string{"goroutine", "goroutine-lean", "reactor", "gnet", "nbio", "c-epoll"}

// cells are all of them.
var cells = []Cell{
	{Name: "100x64", Service: "echo", Conns: 100, Size: 64, States: States},
	{Name: "1000x1k", Service: "echo", Conns: 1000, Size: 1 << 10, States: States},
	{Name: "10x64", Service: "echo", Conns: 10, Size: 64, States: States, further: true},
	{Name: "10000x64", Service: "echo", Conns: 10_000, Size: 64, States: States, Models: fewer, further: true},
	{Name: "10000-idle", Service: "echo", Conns: 10_000, Size: 64, IdleShare: 0.8, States: States, Models: fewer, further: true},
	{Name: "100x16k", Service: "echo", Conns: 100, Size: 16 << 10, States: States, further: true},
	{Name: "compute", Service: "echo+compute=10us", Conns: 1000, Size: 1 << 10, States: States, further: true},
	{Name: "block", Service: "echo+wait=1ms", Conns: 100, Size: 64, States: States, further: true},
	{Name: "http", Service: "http", Conns: 1000, States: States, further: true},
	// An open loop takes the next free connection for each request, so that it
	// pipelines only where it has to: paced, this would be the cell before.
	{Name: "http-pipelined", Service: "http", Conns: 1000, Pipeline: 16, States: []State{Saturated}, further: true},
}

// Groups of cells.
const (
	standardCells = "standard"
	furtherCells  = "further"
	allCells      = "all"
)

// CellGroups lists the names of cells and groups, for messages and help.
func CellGroups() string {
	names := []string{allCells, standardCells, furtherCells}
	for _, c := range cells {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// CellRace is a race that a cell asks for; with a Cell of no name, one that was
// not set up beforehand.
type CellRace struct {
	Cell    Cell
	Options Options
}

// Title says what is raced.
func (c CellRace) Title() string {
	o := c.Options
	size := o.Size
	if !Sized(o.Service) {
		size = 0
	}
	return fmt.Sprintf("%s, %s, %s: %s", o.Service, workload(o.Conns, o.silent(), size, o.Pipeline), o.State, names(o.Entrants))
}

// Cells returns the races of a list of cells and groups, with what base says
// about everything else. They are held in one state, or, if it is "", in those
// that each cell has. The error wraps [ErrInput] if one of them cannot be held.
func Cells(base Options, list string, state State) ([]CellRace, error) {
	if err := base.checkEntrants(); err != nil {
		return nil, err
	}
	var chosen []string
	for name := range strings.SplitSeq(list, ",") {
		known := false
		for _, c := range cells {
			if name == c.Name || name == allCells || name == standardCells && !c.further || name == furtherCells && c.further {
				known = true
				chosen = append(chosen, c.Name)
			}
		}
		if !known {
			return nil, badInput("cell %q is unknown (use %s)", name, CellGroups())
		}
	}
	var races []CellRace
	for _, c := range cells {
		if !slices.Contains(chosen, c.Name) {
			continue
		}
		for _, s := range c.States {
			if state != "" && s != state {
				continue
			}
			r, err := c.race(base, s)
			if err != nil {
				return nil, err
			}
			races = append(races, r)
		}
	}
	if len(races) == 0 {
		return nil, badInput("no cell of %q is raced in state %s", list, state)
	}
	return races, nil
}

// race is the cell's race in one state. Who has no place in it is absent.
func (c Cell) race(base Options, s State) (CellRace, error) {
	o := base
	o.Service, o.Conns, o.Size, o.IdleShare, o.Pipeline, o.State = c.Service, c.Conns, c.Size, c.IdleShare, c.Pipeline, s
	o.Entrants, o.Absent = nil, slices.Clone(base.Absent)
	here := 0
	for _, e := range base.Entrants {
		why := c.excludes(e, base)
		if e.Name == base.Baseline && (why != "" || e.Missing != "") {
			return CellRace{}, badInput("cell %s: the baseline %s cannot race in it: %s (use another baseline, or other cells)", c.Name, e.Name, cmp.Or(why, e.Missing))
		}
		if why != "" {
			o.Absent = append(o.Absent, Absence{e.Name, why})
			continue
		}
		o.Entrants = append(o.Entrants, e)
		if e.Missing == "" {
			here++
		}
	}
	if here < 2 {
		return CellRace{}, badInput("cell %s: %d of %d models can race in it (want two or more)", c.Name, here, len(base.Entrants))
	}
	if _, err := room(here, c.Conns); err != nil {
		return CellRace{}, fmt.Errorf("cell %s: %w", c.Name, err)
	}
	return CellRace{c, o}, nil
}

// excludes says why an entrant has no place in the cell; "" if it has one. The
// cell's own list of models is for groups, not for those named one by one, nor for
// the baseline, and so is that who only informs does so in the standard cells.
func (c Cell) excludes(e Entrant, base Options) string {
	switch {
	case !e.Serves(c.Service):
		return cannotRun(c.Service)
	case !base.LeaveOut || e.Name == base.Baseline:
		return ""
	case c.further && e.Informs:
		return "it informs in the standard cells only, unless it is named"
	case c.Models != nil && !slices.Contains(c.Models, e.Name):
		return fmt.Sprintf("with %d connections to each, only some models race, unless others are named", c.Conns)
	}
	return ""
}
