package gate

import (
	"math"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/results"
)

// Cell is one load on one server of either version, from which several metrics
// are read.
type Cell struct {
	scenario.Scenario
	Metrics []Metric
}

// Metric is what a row judges or tells.
type Metric struct {
	Unit  string // a name of [results.Units], which says which way it improves
	Kind  Kind
	Read  load.Metric
	Gates bool // otherwise it informs

	// Floor is a value below which differences do not matter, in the metric's
	// unit: a count below it counts as it. It keeps 0.001 allocations a request
	// against 0.002 from being twice as much, and none against one from being
	// beyond all bounds.
	Floor float64

	// Limited says that the metric only tells of the server where the server was
	// the limit in both versions; rounds in which it was not do not count.
	Limited bool
}

// Floors of counts.
const (
	floorCalls  = 0.05 // a request
	floorAllocs = 0.05 // a request
)

// The metrics that there are.
var (
	serverCPU = Metric{Unit: "server-cpu-ns/op", Kind: Timing, Read: load.ServerCPUPerOp}
	rate      = Metric{Unit: "req/s", Kind: Timing, Read: load.RequestRate, Limited: true}
	p99       = Metric{Unit: "p99-ns", Kind: Tail, Read: load.LatencyP99}
	syscalls  = Metric{Unit: "syscalls/op", Kind: Count, Read: load.SyscallsPerOp, Floor: floorCalls}
	allocs    = Metric{Unit: "server-allocs/op", Kind: Count, Read: load.AllocsPerOp, Floor: floorAllocs}
)

// gating returns m as one that judges.
func gating(m Metric) Metric {
	m.Gates = true
	return m
}

// worse is d = ln(head/base), turned by the unit's direction so that positive is
// worse. Values are above 0 or, of counts, raised to the floor.
func (m Metric) worse(base, head float64) (d float64, ok bool) {
	base, head = max(base, m.Floor), max(head, m.Floor)
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
	"cpu": serverCPU, "rate": rate, "p99": p99, "syscalls": syscalls, "allocs": allocs,
}

// NamedMetric returns a metric that judges, or one that informs.
func NamedMetric(name string, gates bool) (Metric, bool) {
	m, ok := metrics[name]
	m.Gates = gates
	return m, ok
}
