package scenario

import (
	"context"
	"flag"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/results"
	"netbench/testenv"
)

const (
	// warmup runs before anything is measured, so that connections, stacks and
	// buffers have their steady size.
	warmup = 200 * time.Millisecond

	// countFor is how long system calls are counted, in a run of its own whose
	// times are discarded: counting costs a server up to 6 %.
	countFor = 200 * time.Millisecond

	// setupLimit bounds starting, dialling and warming up.
	setupLimit = time.Minute
)

// Benchmark runs the scenarios that belong to b as its sub-benchmarks: those
// whose name begins with b's. An operation is one request (a cycle in connect
// mode). Each repetition (-count) has a fresh server.
//
// A metric that is invalid is not reported, and the reason is logged: see
// [load.Valid]. A lost connection or a wrong byte fails the benchmark.
func Benchmark(b *testing.B, scenarios []Scenario) {
	own := strings.TrimPrefix(b.Name(), "Benchmark") + "/"
	for _, s := range scenarios {
		name, mine := strings.CutPrefix(s.Name, own)
		if !mine {
			continue
		}
		var r rig
		b.Run(name, func(b *testing.B) {
			if why := s.Missing(); why != "" {
				b.Skip(why)
			}
			r.bench(b, s)
		})
		if err := r.close(); err != nil {
			b.Errorf("%s: %v", s.Name, err)
		}
	}
}

// rig is a running scenario.
type rig struct {
	server  *testenv.Server
	session *load.Session
	rate    float64         // of an open loop
	cpus    []int           // of the generator
	told    map[string]bool // reasons logged already
	bytes   float64         // that an operation moves, 0 if that does not matter
}

func (r *rig) close() error {
	if r.session != nil {
		r.session.Close()
	}
	if r.server == nil {
		return nil
	}
	err := stop(r.server)
	*r = rig{}
	return err
}

// setUp starts the server, dials and warms up.
func (r *rig) setUp(s Scenario) (err error) {
	if err := r.close(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupLimit)
	defer cancel()
	r.told = map[string]bool{}
	if err := stayOffTheServer(); err != nil {
		return err
	}
	server, p, err := s.Start(ctx)
	if err != nil {
		return err
	}
	r.server, r.cpus, r.bytes = server, p.CPUs, float64(s.Bytes)
	p.Duration = time.Hour // the number of requests ends a run
	if p.Mode == load.Open {
		if r.rate, err = closedRate(ctx, p); err != nil {
			return err
		}
		r.rate *= s.RateShare
		p.Rate = r.rate
	}
	if r.session, err = load.Dial(ctx, p); err != nil {
		return err
	}
	_, err = r.session.Run(ctx, load.Span{Duration: warmup})
	return err
}

// stayOffTheServer moves this whole process, and not only the threads that
// generate load, to the generator's CPUs.
var stayOffTheServer = sync.OnceValue(func() error {
	place, err := testenv.Place()
	if err != nil {
		return err
	}
	return testenv.PinSelf(place.Generator)
})

// closedRate is the rate that a closed loop of the same connections reaches.
func closedRate(ctx context.Context, p load.Plan) (float64, error) {
	p.Mode, p.Duration, p.Warmup = load.Closed, 500*time.Millisecond, warmup
	res, err := load.Run(ctx, p)
	if err != nil {
		return 0, err
	}
	return res.Rate, nil
}

// bench is called by the testing package again and again, with more and more
// requests, until they take long enough; each repetition begins with one.
func (r *rig) bench(b *testing.B, s Scenario) {
	if b.N == 1 || r.session == nil {
		if err := r.setUp(s); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	span := load.Span{Requests: int64(b.N)}
	if s.Plan.Mode == load.Open {
		span = load.Span{Duration: max(time.Millisecond, time.Duration(float64(b.N)/r.rate*float64(time.Second)))}
	}
	before, err := r.server.Stats(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	res, err := r.session.Run(ctx, span)
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	after, err := r.server.Stats(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if res.Lost > 0 || res.Errors[load.MismatchError.String()] > 0 {
		b.Fatalf("the run is void: %s", strings.Join(res.Reasons, "; "))
	}
	r.report(b, res)
	if s.Server.Carrier != nil {
		b.ReportMetric(float64(r.server.Info().GoMaxProcs), "gomaxprocs")
	}
	reportRuntime(b, res, before, after)
	if s.Collector {
		reportCollector(b, before, after)
	}
	if final(b) {
		r.count(b)
		for _, why := range res.Reasons {
			r.tell(b, results.WarningLine(why))
		}
		for _, why := range res.Warnings {
			r.tell(b, results.WarningLine(why))
		}
		if why := r.server.Info().Stats.Fallback; why != "" {
			r.tell(b, results.WarningLine("the model fell back: "+why))
		}
		r.tell(b, results.FactLine("server-cpus", cpu.Format(r.server.Info().CPUs)))
		r.tell(b, results.FactLine("generator-cpus", cpu.Format(r.cpus)))
	}
}

// final tells whether this is the measurement that the testing package will
// print: it tries a benchmark with few requests first.
func final(b *testing.B) bool {
	f := flag.Lookup("test.benchtime")
	if f == nil {
		return true
	}
	if n, isCount := strings.CutSuffix(f.Value.String(), "x"); isCount {
		return strconv.Itoa(b.N) == n
	}
	d, err := time.ParseDuration(f.Value.String())
	return err != nil || b.Elapsed() >= d
}

// tell logs a line once for each server.
func (r *rig) tell(b *testing.B, line string) {
	if !r.told[line] {
		r.told[line] = true
		b.Log(line)
	}
}

// report reports what the generator measured, as far as it is valid.
func (r *rig) report(b *testing.B, res *load.Result) {
	at := func(v *int64, valid bool, unit string) {
		if v != nil && valid {
			b.ReportMetric(float64(*v), unit)
		}
	}
	b.ReportMetric(0, "ns/op") // an operation of an open loop or a cycle has no such time
	rate := "req/s"
	if res.Mode == load.Connect {
		rate = "conn/s"
	}
	if res.Valid.Rate {
		b.ReportMetric(res.Rate, rate)
		if r.bytes > 0 {
			b.ReportMetric(res.Rate*r.bytes/1e6, "MB/s")
		}
		if res.Mode == load.Closed && res.Rate > 0 {
			b.ReportMetric(1e9/res.Rate, "ns/op")
		}
	}
	if q := res.Latency; q != nil {
		at(q.P50, res.Valid.Latency, "p50-ns")
		at(q.P99, res.Valid.Latency, "p99-ns")
		at(q.P999, res.Valid.Latency, "p99.9-ns")
	}
	if q := res.Connect; q != nil {
		at(q.P50, res.Valid.Latency, "connect-p50-ns")
		at(q.P99, res.Valid.Latency, "connect-p99-ns")
	}
	if q := res.Service; q != nil && res.Mode == load.Open {
		at(q.P50, res.Valid.Latency, "service-p50-ns")
		at(q.P99, res.Valid.Latency, "service-p99-ns")
	}
	if res.ServerPerOp != nil && res.Valid.CPU {
		b.ReportMetric(*res.ServerPerOp, "server-cpu-ns/op")
		if r.bytes > 0 {
			b.ReportMetric(*res.ServerPerOp*(1<<10)/r.bytes, "server-cpu-ns/KiB")
		}
	}
	b.ReportMetric(res.GeneratorPerOp, "gen-cpu-ns/op")
	b.ReportMetric(100*res.GeneratorCPU, "gen-cpu-%")
	if res.Success < 1 || res.Mode == load.Connect {
		b.ReportMetric(100*res.Success, "success-%")
	}
	if res.Steal != nil {
		b.ReportMetric(100**res.Steal, "steal-%")
	}
}

// reportRuntime reports what the server's Go runtime did for the requests. The
// few hundred allocations of asking it are part of the figure; with the
// thousands of requests of a measurement they vanish.
func reportRuntime(b *testing.B, res *load.Result, before, after testenv.Snapshot) {
	if res.Answered == 0 || !res.Valid.Counts {
		return
	}
	n := float64(res.Answered)
	b.ReportMetric(float64(after.Runtime.Mallocs-before.Runtime.Mallocs)/n, "server-allocs/op")
	b.ReportMetric(float64(after.Runtime.AllocBytes-before.Runtime.AllocBytes)/n, "server-B/op")
	if share, ok := after.GCShare(before); ok {
		b.ReportMetric(100*share, "gc-cpu-%")
	}
	if p99, ok := after.Runtime.Pauses.Sub(before.Runtime.Pauses).Quantile(0.99); ok {
		b.ReportMetric(float64(p99), "gc-pause-p99-ns")
	}
}

// reportCollector reports what else there is to know about the server's collector. The
// peak is that of the process's life.
func reportCollector(b *testing.B, before, after testenv.Snapshot) {
	from, to := before.Runtime, after.Runtime
	if before.Rusage != nil && after.Rusage != nil {
		used := after.Rusage.User + after.Rusage.System - before.Rusage.User - before.Rusage.System
		if used > 0 {
			b.ReportMetric(100*min(1, max(0, (to.GCAssistCPU-from.GCAssistCPU)/used.Seconds())), "gc-assist-%")
		}
		b.ReportMetric(float64(after.Rusage.MaxRSS), "peak-rss-B")
	}
	if wall := after.Time.Sub(before.Time); wall > 0 {
		b.ReportMetric(float64(to.GCCycles-from.GCCycles)/wall.Minutes(), "gc/min")
	}
	if p99, ok := to.Latencies.Sub(from.Latencies).Quantile(0.99); ok {
		b.ReportMetric(float64(p99), "sched-p99-ns")
	}
	b.ReportMetric(float64(to.HeapGoal), "heap-goal-B")
}

// count drives the server for a while more to count its system calls and
// context switches.
func (r *rig) count(b *testing.B) {
	set, err := r.server.Counters()
	if err != nil {
		r.tell(b, results.WarningLine("syscalls/op, ctxsw/op: "+err.Error()))
		return
	}
	defer set.Close()
	ctx := context.Background()
	from, err := set.Read()
	if err != nil {
		b.Fatal(err)
	}
	res, err := r.session.Run(ctx, load.Span{Duration: countFor})
	if err != nil {
		b.Fatal(err)
	}
	_ = r.server.Quiesce(ctx) // the last events belong to these requests
	to, err := set.Read()
	if err != nil {
		b.Fatal(err)
	}
	n := to.Sub(from)
	if res.Answered == 0 || !res.Valid.Counts {
		return
	}
	if n.NoSyscalls == "" {
		b.ReportMetric(float64(n.Syscalls)/float64(res.Answered), "syscalls/op")
		if r.bytes > 0 {
			b.ReportMetric(float64(n.Syscalls)/float64(res.Answered)*(1<<20)/r.bytes, "syscalls/MiB")
		}
	}
	if n.NoCtxSwitches == "" {
		b.ReportMetric(float64(n.CtxSwitches)/float64(res.Answered), "ctxsw/op")
	}
}
