package gate

import (
	"math"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/results"
)

// Cell is one load on one server of either version, from which several metrics
// are read. One whose connections are idle ([load.Idle]) measures memory by
// [Options].Memory, and nothing else.
type Cell struct {
	scenario.Scenario
	Metrics []Metric
}

// idle tells of a cell that measures memory.
func (c Cell) idle() bool { return c.Plan.Mode == load.Idle }

// check returns an error if the cell's metrics are not those of its load.
func (c Cell) check() error {
	if mode := c.Plan.Mode; mode != "" && mode != load.Closed && mode != load.Open && mode != load.Idle {
		return badInput("%s: a row in mode %s cannot be driven in turn", c.Name, mode)
	}
	for _, m := range c.Metrics {
		if m.Kind == Tail && c.Plan.Mode != load.Open {
			return badInput("%s: %s cannot be read from it (a closed loop stops asking when its server is slow; rows whose name begins with Open have it)", c.Name, m.Unit)
		}
		if c.idle() != (m.Unit == memoryPerConn.Unit) {
			return badInput("%s: %s cannot be read from it (memory is read from rows of idle connections, and they have nothing else)", c.Name, m.Unit)
		}
	}
	return nil
}

// Metric is what a row judges or tells.
type Metric struct {
	Unit  string // a name of [results.Units], which says which way it improves
	Kind  Kind
	Read  load.Metric
	Gates bool // otherwise it informs

	// Step is, of a count, the least difference that matters, in the metric's
	// unit: what is nearer than it is equal, and what is less than it counts as
	// it. Counts are small integers with a little beside them, such as 3.01
	// system calls or 0.001 allocations a request, where a share alone would
	// take a thousandth of an allocation against two for twice as much.
	Step float64

	// Limited says that the metric only tells of the server where the server was
	// the limit in both versions; rounds in which it was not do not count.
	Limited bool
}

// Steps of counts.
const (
	stepCalls  = 0.05 // a request
	stepAllocs = 0.05 // a request
	stepBytes  = 16   // a connection
)

// The metrics that there are.
var (
	serverCPU = Metric{Unit: "server-cpu-ns/op", Kind: Timing, Read: load.ServerCPUPerOp}
	rate      = Metric{Unit: "req/s", Kind: Timing, Read: load.RequestRate, Limited: true}
	p99       = Metric{Unit: "p99-ns", Kind: Tail, Read: load.LatencyP99}
	syscalls  = Metric{Unit: "syscalls/op", Kind: Count, Read: load.SyscallsPerOp, Step: stepCalls}
	allocs    = Metric{Unit: "server-allocs/op", Kind: Count, Read: load.AllocsPerOp, Step: stepAllocs}

	// memoryPerConn is read from cells of idle connections only, and the only
	// one that they have.
	memoryPerConn = Metric{Unit: "user-B/conn", Kind: Count, Step: stepBytes}
)

// gating returns m as one that judges.
func gating(m Metric) Metric {
	m.Gates = true
	return m
}

// worse is d = ln(head/base), turned by the unit's direction so that positive is
// worse. Values are above 0 or, of counts, raised to the step.
func (m Metric) worse(base, head float64) (d float64, ok bool) {
	if m.Step > 0 && math.Abs(head-base) < m.Step {
		head = base
	}
	base, head = max(base, m.Step), max(head, m.Step)
	if !(base > 0 && head > 0) || math.IsInf(base, 1) || math.IsInf(head, 1) {
		return 0, false
	}
	d = math.Log(head) - math.Log(base)
	unit, known := results.UnitNamed(m.Unit)
	if unit.Better == results.Higher {
		d = -d
	}
	return d, known && unit.Better != results.Neither
}

// metrics by the names that tables of rows use.
var metrics = map[string]Metric{
	"cpu": serverCPU, "rate": rate, "p99": p99, "syscalls": syscalls, "allocs": allocs, "memory": memoryPerConn,
}

// NamedMetric returns a metric that judges, or one that informs.
func NamedMetric(name string, gates bool) (Metric, bool) {
	m, ok := metrics[name]
	m.Gates = gates
	return m, ok
}
