package containers

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"netbench/internal/cpu"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/testenv"
)

// What a CPU quota does to a server that sees all CPUs of the host, by the GOMAXPROCS
// that its runtime derives from the quota, by one of all CPUs, with which it uses up
// its share early in each period and stands still for the rest of it, and by the quota
// rounded up. The loop is closed: an open one would have to run on CPUs that the
// server does not see. The service computes for a while, as those do that need a
// quota; of a bare echo the generator is the limit.
func BenchmarkQuota(b *testing.B) {
	const service = "echo+spin=20000"
	e := engine(b)
	cpus, err := cpu.Initial()
	if err != nil {
		b.Fatal(err)
	}
	for _, quota := range []float64{0, 0.5, 1, 2} {
		name := "cpus=none"
		if quota > 0 {
			name = fmt.Sprintf("cpus=%v", quota)
		}
		b.Run(name, func(b *testing.B) {
			limits := Limits{CPUs: quota, Memory: 256 << 20}
			if err := e.grants(limits); err != nil {
				b.Skip(err)
			}
			if float64(runtime.NumCPU()) < quota {
				b.Skipf("a quota of %v CPUs does nothing on a host of %d", quota, runtime.NumCPU())
			}
			carrier, err := Carrier(b.Context(), "", limits)
			if err != nil {
				b.Fatal(err)
			}
			told := []struct {
				name  string
				procs int
			}{{"default", 0}, {"cores", runtime.NumCPU()}, {"quota", int(math.Ceil(quota))}}
			if quota == 0 {
				told = told[:1]
			}
			var all []scenario.Scenario
			for _, t := range told {
				all = append(all, scenario.Scenario{
					Name:   fmt.Sprintf("Quota/%s/procs=%s", name, t.name),
					Server: testenv.ServerSpec{Model: "goroutine", Service: service, Carrier: carrier, CPUs: cpus, GoMaxProcs: t.procs},
					Plan:   load.Plan{Conns: 50, Size: 64},
				})
			}
			scenario.Benchmark(b, all)
		})
	}
}
