package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"netbench/gate"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models/floor"
	"netbench/models/goroutine"
	"netbench/models/reactor"
	"netbench/models/reuseport"
	"netbench/testenv"
)

// gateRow is a load and what is read from it.
type gateRow struct {
	scenario string
	gates    string // metrics that judge
	informs  string // metrics that tell
	quick    bool   // also with -quick
}

// gateRows is what a gate drives unless told otherwise. At most ten metrics judge:
// with each, all others have to be more certain to fail.
var gateRows = []gateRow{
	{"Echo/model=goroutine/conns=100/size=1024", "cpu syscalls allocs", "rate", true},
	{"Echo/model=goroutine/conns=1000/size=1024", "cpu", "rate", false},
	{"Echo/model=reactor/conns=100/size=1024", "cpu allocs", "rate syscalls", true},
	{"Echo/model=reactor/conns=1000/size=1024", "cpu", "rate", false},
	{"HTTP/model=goroutine/conns=1000", "cpu", "rate allocs", true},
	{"HTTP/model=reactor/conns=1000", "cpu", "rate allocs", false},
	{"Open/model=goroutine/conns=100/size=64/load=0.5", "p99", "cpu", false},
}

// scenarios are those of all subjects that a gate may drive.
func scenarios() []scenario.Scenario {
	return slices.Concat(goroutine.Scenarios(), reactor.Scenarios(), reuseport.Scenarios())
}

// gateCells makes cells of rows.
func gateCells(rows []gateRow) ([]gate.Cell, error) {
	known := scenarios()
	var cells []gate.Cell
	for _, row := range rows {
		i := slices.IndexFunc(known, func(s scenario.Scenario) bool { return s.Name == row.scenario })
		if i < 0 {
			return nil, fmt.Errorf("row %q is unknown (netbench gate -list prints them)", row.scenario)
		}
		c := gate.Cell{Scenario: known[i]}
		for gates, names := range map[bool]string{true: row.gates, false: row.informs} {
			for _, name := range strings.Fields(names) {
				m, ok := gate.NamedMetric(name, gates)
				if !ok {
					return nil, fmt.Errorf("row %s: metric %q is unknown (use cpu, rate, p99, syscalls, allocs)", row.scenario, name)
				}
				c.Metrics = append(c.Metrics, m)
			}
		}
		slices.SortFunc(c.Metrics, func(a, b gate.Metric) int { return strings.Compare(a.Unit, b.Unit) })
		cells = append(cells, c)
	}
	return cells, nil
}

// parseGateRows reads -rows: names of scenarios, each with the metrics that judge
// after a colon, cpu unless given: "Echo/model=reactor/conns=10/size=1024:cpu+allocs".
func parseGateRows(list string) []gateRow {
	var rows []gateRow
	for item := range strings.SplitSeq(list, ",") {
		name, judging, found := strings.Cut(item, ":")
		if !found {
			judging = "cpu"
		}
		rows = append(rows, gateRow{scenario: name, gates: strings.ReplaceAll(judging, "+", " ")})
	}
	return rows
}

// canary is the row that no change can touch: the floor in C, driven against
// itself. Where it cannot be built it is head's own goroutine model, which shows
// what the machine does and cannot show what the program does.
func canary(ctx context.Context, head string) (*gate.Cell, string) {
	m, _ := gate.NamedMetric("cpu", false)
	c := &gate.Cell{Scenario: scenario.Scenario{
		Name:   "Canary/model=" + floor.Epoll + "/conns=100/size=1024",
		Server: testenv.ServerSpec{Model: floor.Epoll, Service: "echo"},
		Plan:   load.Plan{Conns: 100, Size: 1024},
	}, Metrics: []gate.Metric{m}}
	program, err := floor.Build(ctx, floor.Epoll)
	if err == nil {
		c.Server.Program = program
		return c, ""
	}
	c.Name = "Canary/model=" + goroutine.Name + "/conns=100/size=1024"
	c.Server = testenv.ServerSpec{Model: goroutine.Name, Service: "echo", Program: head}
	return c, fmt.Sprintf("the canary is head's own goroutine model, twice: %v", err)
}
