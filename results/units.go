package results

import (
	"math"
	"strconv"
	"strings"
)

// Direction says which way a metric improves.
type Direction int

const (
	Lower   Direction = -1 // less is better
	Neither Direction = 0  // informs, does not judge
	Higher  Direction = +1 // more is better
)

// Unit is one of the metrics that netbench's benchmarks report.
//
// Names follow the testing package: what is measured, then "-ns", "/op" or
// whatever makes it a unit. Readers of the format tidy "ns" and "MB" into base
// units, so p50-ns is shown as p50-sec with a scaled value, 73.2µ.
type Unit struct {
	Name   string    // as given to [testing.B.ReportMetric]
	Better Direction // which way it improves
	Title  string    // heading in our own tables, "" if the table at the end of a run leaves it out
	Doc    string    // what it is
}

// Units lists every metric, in the order in which tables show them.
var Units = []Unit{
	{"req/s", Higher, "req/s", "requests answered per second"},
	{"conn/s", Higher, "conn/s", "connections opened, used once and closed per second"},
	{"MB/s", Higher, "bytes/s", "application bytes moved per second"},
	{"ns/op", Lower, "time/op", "time per operation; only reported where an operation is one request"},
	{"server-cpu-ns/op", Lower, "server cpu/op", "CPU time of the server's whole process tree per request"},
	{"server-cpu-ns/KiB", Lower, "server cpu/KiB", "CPU time of the server's whole process tree per 1,024 application bytes moved"},
	{"p50-ns", Lower, "p50", "median latency, from the due time in an open loop"},
	{"p90-ns", Lower, "", "90th percentile of latency, from 100 samples"},
	{"p99-ns", Lower, "p99", "99th percentile of latency, from 1,000 samples"},
	{"p99-at-most-ns", Lower, "", "99th percentile of latency with the generator's own lag in it, which only adds"},
	{"p99.9-ns", Lower, "p99.9", "99.9th percentile of latency, from 10,000 samples"},
	{"max-ns", Lower, "", "largest latency seen"},
	{"connect-p50-ns", Lower, "connect p50", "median time to connect"},
	{"connect-p90-ns", Lower, "", "90th percentile of the time to connect"},
	{"connect-p99-ns", Lower, "connect p99", "99th percentile of the time to connect"},
	{"connect-p99.9-ns", Lower, "", "99.9th percentile of the time to connect"},
	{"service-p50-ns", Lower, "", "median service time, from the actual send"},
	{"service-p99-ns", Lower, "", "99th percentile of service time, from the actual send"},
	{"syscalls/op", Lower, "syscalls/op", "system calls of the server per request, from slices of their own"},
	{"syscalls/MiB", Lower, "syscalls/MiB", "system calls of the server per 1,048,576 application bytes moved, from slices of their own"},
	{"ctxsw/op", Lower, "", "context switches of the server per request"},
	{"server-allocs/op", Lower, "allocs/op", "heap allocations of the server per request"},
	{"server-B/op", Lower, "B/op", "bytes the server allocates on the heap per request"},
	{"allocs/op", Lower, "", "heap allocations of the benchmark's own process per operation, by testing"},
	{"B/op", Lower, "", "bytes that the benchmark's own process allocates per operation, by testing"},
	{"gc-cpu-%", Lower, "", "share of the server's CPU time spent collecting garbage, 0 to 100"},
	{"server-allocs/s", Lower, "", "heap allocations of the server per second, at a load that is the same for all"},
	{"gc-share-%", Lower, "", "share of the time that all processors had, idle or not, in which the benchmark's own process collected, 0 to 100"},
	{"gc-cpu-ns/op", Lower, "", "CPU time that the benchmark's own process spent collecting per operation"},
	{"gc/op", Lower, "", "collections of the benchmark's own process per operation"},
	{"gc/min", Lower, "", "collections of the server per minute"},
	{"gc-pause-mean-ns", Lower, "", "mean time for which a collection stops the world, both of its pauses together; of the server, or of the benchmark's own process"},
	{"peak-heap-B", Lower, "", "largest heap seen, live objects and garbage not yet swept; of the server, or of the benchmark's own process where the work is done there"},
	{"live-heap-B", Lower, "", "bytes on the server's heap after a collection"},
	{"gc-pause-p99-ns", Lower, "", "99th percentile of the pauses that stop the server's world"},
	{"gc-assist-%", Lower, "", "share of the server's CPU time that requests spent on marking before they could allocate, 0 to 100"},
	{"sched-p99-ns", Lower, "", "99th percentile of the time that a goroutine of the server waited, runnable, until it ran"},
	{"peak-rss-B", Lower, "peak RSS", "largest resident set of the server's process since it began"},
	{"heap-goal-B", Neither, "", "size of the heap at which the server's next collection is meant to end"},
	{"B/conn", Lower, "B/conn", "memory per connection, as the slope over several numbers of connections"},
	{"user-B/conn", Lower, "", "the part of B/conn in the process: heap, stacks, runtime"},
	{"kernel-B/conn", Lower, "", "the part of B/conn in the kernel: socket buffers, slab"},
	{"fds/conn", Lower, "fds/conn", "descriptors per connection, as the slope between none and many"},
	{"pipe-B/conn", Lower, "", "capacity of the pipes per connection: what counts against the budget of pages of pipes, not memory in use"},
	{"max/mean", Lower, "max/mean", "connections of the listener that got most, over the mean of all; 1 is even"},
	{"min/mean", Higher, "", "connections of the listener that got least, over the mean of all; 1 is even"},
	{"cv", Lower, "", "standard deviation of the listeners' numbers of connections, over their mean"},
	{"chi2", Lower, "", "chi-square of the listeners' numbers of connections against an even spread; one less than listeners by chance alone"},
	{"client-cpu-ns/op", Lower, "client cpu/op", "CPU time of the process that has the pool, and drives it, per operation"},
	{"dials/1000-op", Lower, "dials/1000", "connections that the pool opened per 1,000 operations"},
	{"handshakes/1000-op", Lower, "handshakes/1000", "TLS handshakes per 1,000 operations"},
	{"reuse-%", Higher, "reuse", "share of operations on a connection that others had used before, 0 to 100"},
	{"wait-p99-ns", Lower, "wait p99", "99th percentile of the time that an operation waited for a connection"},
	{"counting-cpu-%", Lower, "", "client CPU that counting adds to a pool without counts, percent"},
	{"monitor-cpu-%", Lower, "", "client CPU that watching adds to a pool that is not watched, percent"},
	{"pool-wait-ns/op", Lower, "wait/op", "time that callers waited for a connection from a pool per operation, as the pool counts it"},
	{"pool-timeouts/op", Lower, "", "waits for a connection from a pool that ended without one, per operation"},
	{"stalls/1000-op", Lower, "stalls/1000", "exchanges that waited for a delayed acknowledgement, per 1,000"},
	{"sndbuf-B", Neither, "sndbuf", "send buffer of the server's socket as the kernel gave it, bookkeeping included"},
	{"rcvbuf-B", Neither, "rcvbuf", "receive buffer of the client's socket as the kernel gave it, bookkeeping included"},
	{"kept-1gc-B", Lower, "kept after 1 GC", "bytes on the heap that a pool of buffers keeps after a burst and one collection"},
	{"kept-3gc-B", Lower, "kept after 3 GC", "bytes on the heap that a pool of buffers keeps after a burst and three collections"},
	{"cpu-on/off", Lower, "cpu on/off", "CPU time per operation of this process with something switched on, over that without it, in turns; 1 is no difference"},
	{"hit-%", Higher, "hits", "share of a cache's lookups that hit, 0 to 100"},
	{"overhead-B/entry", Lower, "overhead/entry", "heap that a cache takes for an entry beside the bytes of its key and value, as the slope over several numbers of entries"},
	{"gc-cpu-ns/entry", Lower, "gc cpu/entry", "CPU time of one collection of a heap that has a cache alone, per entry of it"},
	{"success-%", Higher, "", "share of requests answered as they should be, 0 to 100"},
	{"gen-cpu-ns/op", Lower, "", "CPU time of the generator per request; informs about the generator, not the server"},
	{"gen-cpu-%", Neither, "", "share of its CPU set that the generator used, 0 to 100"},
	{"gomaxprocs", Neither, "gomaxprocs", "GOMAXPROCS of a server in a container, which follows its CPU limit unless it is told otherwise"},
	{"copied-%", Neither, "copied", "share of the sends by MSG_ZEROCOPY that the kernel copied all the same, 0 to 100"},
	{"steal-%", Neither, "", "share of the host's CPU time that went to other guests, 0 to 100"},
}

// UnitNamed returns the unit of that name. ok is false if netbench has none.
func UnitNamed(name string) (u Unit, ok bool) {
	for _, u := range Units {
		if u.Name == name {
			return u, true
		}
	}
	return Unit{}, false
}

// metadata is the unit's line at the head of a run file. A unit without a
// direction is declared by the assumption that readers make anyway.
func (u Unit) metadata() string {
	switch u.Better {
	case Higher:
		return "Unit " + u.Name + " better=higher"
	case Lower:
		return "Unit " + u.Name + " better=lower"
	}
	return "Unit " + u.Name + " assume=nothing"
}

// formatValue prints a value in base units with three digits, enough for numbers
// that scatter by percents; the file has all of them. Times and bytes carry their
// unit of measure (73.2µs, 1.50KiB), percentages their sign, large counts a
// prefix (81.2k), and small counts none (0.0118).
func formatValue(v float64, tidied string) string {
	numerator, _, _ := strings.Cut(tidied, "/")
	base := numerator[strings.LastIndexByte(numerator, '-')+1:]
	switch base {
	case "sec":
		return scaled(v, 1e-9, 1e3, []string{"ns", "µs", "ms", "s"})
	case "B":
		return scaled(v, 1, 1<<10, []string{"B", "KiB", "MiB", "GiB", "TiB"})
	case "%":
		return threeDigits(v) + "%"
	}
	return scaled(v, 1, 1e3, []string{"", "k", "M", "G", "T"})
}

// scaled prints v in the largest unit of which it is at least one. The first unit
// is worth smallest, each other one step times the one before.
func scaled(v, smallest, step float64, units []string) string {
	if v == 0 {
		return "0"
	}
	v /= smallest
	i := 0
	// What would be printed as 1000 belongs to the next unit.
	for ; i < len(units)-1 && math.Abs(v) >= step-0.5; i++ {
		v /= step
	}
	return threeDigits(v) + units[i]
}

// threeDigits prints v with three significant digits and without an exponent,
// and the digits before the point in full.
func threeDigits(v float64) string {
	if v == 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	// 9.996 has a digit more before the point once it is rounded.
	if r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64); err == nil {
		decimals = 2 - int(math.Floor(math.Log10(math.Abs(r))+1e-9))
	}
	return strconv.FormatFloat(v, 'f', max(0, min(decimals, 12)), 64)
}
