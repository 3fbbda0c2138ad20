package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"netbench/gate"
	"netbench/internal/proc"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models/floor"
	"netbench/models/goroutine"
	"netbench/models/memory"
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
// with each, all others have to be more certain to fail. The p99 of the paced row
// informs: on shared machines two equal servers' have differed by half in fifteen
// rounds, which no margin is wide enough for. Where the host is quiet, -rows makes it
// judge.
var gateRows = []gateRow{
	{"Echo/model=goroutine/conns=100/size=1024", "cpu syscalls allocs", "rate", true},
	{"Echo/model=goroutine/conns=1000/size=1024", "cpu", "rate", false},
	{"Echo/model=reactor/conns=100/size=1024", "cpu", "rate syscalls allocs", true},
	{"Echo/model=reactor/conns=1000/size=1024", "cpu", "rate", false},
	{"HTTP/model=goroutine/conns=1000", "cpu", "rate allocs", true},
	{"HTTP/model=reactor/conns=1000", "cpu", "rate allocs", false},
	{"Open/model=reactor/conns=100/size=64/load=0.2", "cpu", "p99", false},
	{"Idle/model=reactor/conns=5000", "memory", "", false},
}

// scenarios are those of all subjects that a gate may drive: requests on connections
// that stay, and connections that stay idle.
func scenarios() []scenario.Scenario {
	all := slices.Concat(goroutine.Scenarios(), reactor.Scenarios(), reuseport.Scenarios(), paced(), idle())
	return slices.DeleteFunc(all, func(s scenario.Scenario) bool { return s.Plan.Mode == load.Connect })
}

// paced are open loops at a rate at which the generator has time to spare: at half
// of what a server can do, the subjects' own, it is at the edge of what is valid.
func paced() []scenario.Scenario {
	var all []scenario.Scenario
	for _, model := range []string{goroutine.Name, reactor.Name} {
		for _, share := range []float64{0.1, 0.2} {
			all = append(all, scenario.Scenario{
				Name:      fmt.Sprintf("Open/model=%s/conns=100/size=64/load=%v", model, share),
				Server:    testenv.ServerSpec{Model: model, Service: "echo"},
				Plan:      load.Plan{Mode: load.Open, Conns: 100, Size: 64},
				RateShare: share,
			})
		}
	}
	return all
}

// idle are the rows of idle connections, whose memory is measured.
func idle() []scenario.Scenario {
	var all []scenario.Scenario
	for _, model := range []string{goroutine.Name, goroutine.NameLean, reactor.Name} {
		all = append(all, scenario.Scenario{
			Name:   "Idle/model=" + model + "/conns=5000",
			Server: testenv.ServerSpec{Model: model, Service: "echo"},
			Plan:   load.Plan{Mode: load.Idle, Conns: 5000, Size: 64},
		})
	}
	return all
}

// idleMemory is what an idle connection of a scenario's server costs: the slope of
// user memory between a fifth of its connections and all.
func idleMemory(ctx context.Context, name string, s scenario.Scenario) (perConn float64, notes []string, err error) {
	r, err := memory.Measure(ctx, memory.Subject{Name: name, Server: s.Server}, memory.Options{
		Conns: []int{max(1, s.Plan.Conns/5), s.Plan.Conns}, Repetitions: 1, Size: s.Plan.Size,
	})
	var ended *proc.ExitError
	switch {
	case errors.Is(err, memory.ErrInput), errors.Is(err, errors.ErrUnsupported):
		return 0, nil, fmt.Errorf("%w: %w", gate.ErrInput, err)
	case errors.As(err, &ended) && ended.Role == load.Role().Name:
		return 0, nil, fmt.Errorf("%w: %w", gate.ErrGenerator, err)
	case err != nil:
		return 0, nil, err
	}
	return r.User.PerConn, r.Warnings, nil
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
		if slices.ContainsFunc(cells, func(c gate.Cell) bool { return c.Name == row.scenario }) {
			return nil, fmt.Errorf("row %s is given twice", row.scenario)
		}
		c := gate.Cell{Scenario: known[i]}
		for gates, names := range map[bool]string{true: row.gates, false: row.informs} {
			for _, name := range strings.Fields(names) {
				m, ok := gate.NamedMetric(name, gates)
				if !ok {
					return nil, fmt.Errorf("row %s: metric %q is unknown (use cpu, rate, p99, syscalls, allocs, memory)", row.scenario, name)
				}
				if slices.ContainsFunc(c.Metrics, func(other gate.Metric) bool { return other.Unit == m.Unit }) {
					return nil, fmt.Errorf("row %s: metric %q is given twice", row.scenario, name)
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
// after a colon, cpu unless given, or memory of idle connections:
// "Echo/model=reactor/conns=10/size=1024:cpu+allocs".
func parseGateRows(list string) ([]gateRow, error) {
	var rows []gateRow
	for item := range strings.SplitSeq(list, ",") {
		name, judging, found := strings.Cut(item, ":")
		switch {
		case !found && strings.HasPrefix(name, "Idle/"):
			judging = "memory"
		case !found:
			judging = "cpu"
		case judging == "":
			return nil, fmt.Errorf("row %q has no metric behind its colon (write ROW, or ROW:cpu+allocs)", item)
		}
		rows = append(rows, gateRow{scenario: name, gates: strings.ReplaceAll(judging, "+", " ")})
	}
	return rows, nil
}

// cellsOf makes cells of -rows.
func cellsOf(list string) ([]gate.Cell, error) {
	rows, err := parseGateRows(list)
	if err != nil {
		return nil, err
	}
	return gateCells(rows)
}

// ownServer is what is asked of servers that are given as command lines.
type ownServer struct {
	url          string
	conns, size  int
	sized        bool // size was given
	judge        string
	startTimeout time.Duration
}

// cells are one closed loop, and one open loop at a fifth of its rate for p99.
func (w ownServer) cells() ([]gate.Cell, error) {
	if !strings.Contains(w.url, "{addr}") {
		return nil, fmt.Errorf("-url is %q (want a URL with {addr}, for instance http://{addr}/: both servers run at the same time, at addresses of their own)", w.url)
	}
	sample := strings.ReplaceAll(w.url, "{addr}", "127.0.0.1:1")
	if u, err := url.Parse(sample); err == nil && u.Host != "127.0.0.1:1" { // before a name is looked up
		return nil, fmt.Errorf("-url is %q (want {addr} as its host and port)", w.url)
	}
	target, err := load.ParseTarget(context.Background(), sample)
	switch {
	case err != nil:
		return nil, fmt.Errorf("-url: %w", err)
	case w.conns < 1:
		return nil, fmt.Errorf("-conns is %d (want 1 or more)", w.conns)
	case w.startTimeout <= 0 || w.startTimeout > time.Hour:
		return nil, fmt.Errorf("-start-timeout is %v (want more than 0 and at most 1h)", w.startTimeout)
	}
	plan := load.Plan{Conns: w.conns}
	if target.Protocol == load.EchoProtocol || target.Protocol == load.FrameProtocol {
		if plan.Size = w.size; w.size < 1 {
			return nil, fmt.Errorf("-size is %d (want 1 or more)", w.size)
		}
	} else if w.sized {
		return nil, fmt.Errorf("-size has no effect on %s", w.url)
	}
	paced := plan
	paced.Mode = load.Open
	name := fmt.Sprintf("protocol=%s/conns=%d", target.Protocol, w.conns)
	spec := testenv.ServerSpec{StartTimeout: w.startTimeout}
	closed := gate.Cell{Scenario: scenario.Scenario{Name: "Own/" + name, Server: spec, URL: w.url, Plan: plan}}
	open := gate.Cell{Scenario: scenario.Scenario{Name: "OwnOpen/" + name + "/load=0.2", Server: spec, URL: w.url, Plan: paced, RateShare: 0.2}}
	judging := strings.Split(w.judge, "+")
	for _, metric := range []string{"cpu", "rate", "syscalls", "p99"} {
		m, _ := gate.NamedMetric(metric, slices.Contains(judging, metric))
		if metric == "p99" {
			open.Metrics = append(open.Metrics, m)
		} else {
			closed.Metrics = append(closed.Metrics, m)
		}
	}
	for i, metric := range judging {
		if slices.Contains(judging[:i], metric) {
			return nil, fmt.Errorf("-judge: metric %q is given twice", metric)
		}
		if !slices.Contains([]string{"cpu", "rate", "syscalls", "p99"}, metric) {
			return nil, fmt.Errorf("-judge: metric %q is unknown here (use cpu, rate, p99, syscalls)", metric)
		}
	}
	return []gate.Cell{closed, open}, nil
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
