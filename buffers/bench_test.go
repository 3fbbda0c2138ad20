package buffers_test

import (
	"errors"
	"flag"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbench/buffers"
	"netbench/internal/cpu"
	"netbench/internal/scenario"
	"netbench/models"
	"netbench/results"
	"netbench/testenv"
	"netbench/testenv/link"
)

// allCells asks for what the proof compares too. What is measured without it is what tells
// the story in some minutes at -benchtime 1s -count 3: the ends of each range, and of
// questions that have the same answer in several places, one place.
var allCells = flag.Bool("buffers-all", false, "benchmark every cell: all sizes, pipelines and distances")

// chosen are the scenarios of the package without those that have one of these parts in
// their names, unless all are asked for.
func chosen(without ...string) []scenario.Scenario {
	if *allCells {
		return buffers.Scenarios()
	}
	return slices.DeleteFunc(buffers.Scenarios(), func(s scenario.Scenario) bool {
		return slices.ContainsFunc(without, func(part string) bool { return strings.Contains(s.Name+"/", part+"/") })
	})
}

// B1: who owns the memory of a read. What sync-blocked differs in is the memory of idle
// connections, which the proof measures.
func BenchmarkRead(b *testing.B) {
	scenario.Benchmark(b, chosen("/size=16384", "/owner=sync-blocked"))
}

// B3: a line server that flushes each reply, and one that flushes before it waits.
func BenchmarkLine(b *testing.B) { scenario.Benchmark(b, chosen("/pipeline=64")) }

// B6: replies in one piece and in two, with Nagle's algorithm and without.
func BenchmarkSmall(b *testing.B) {
	scenario.Benchmark(b, chosen("/way=joined/nagle=on", "/way=cork/nagle=on"))
}

// B2: bufio sizes, where they matter and where they cannot. An operation is 14,000 bytes,
// flushed, 100 times.
func BenchmarkWriter(b *testing.B) {
	for _, whole := range []bool{false, true} {
		for _, f := range buffers.Writers(whole) {
			kib := f.Order.Buffer >> 10
			if *allCells || kib == 0 || kib == 64 || !whole && (kib == 1 || kib == 4 || kib == 16) {
				benchOrders(b, f)
			}
		}
	}
}

// place keeps this process off the server's CPUs.
var place = sync.OnceValues(func() (testenv.Placement, error) {
	p, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(p.Generator)
	}
	return p, err
})

// rig is a stream with one connection, for the repetitions of one benchmark.
type rig struct {
	stream   *buffers.Stream
	download *buffers.Download
	cpus     []int
}

func newRig(b *testing.B, over *link.Link, r buffers.Reading) *rig {
	b.Helper()
	p, err := place()
	if err != nil {
		b.Fatal(err)
	}
	s, err := buffers.StartStream(b.Context(), buffers.StreamOptions{Over: over, CPUs: p.Server, StartTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	d, err := s.Open(b.Context(), r)
	if err != nil {
		b.Fatal(errors.Join(err, s.Kill()))
	}
	return &rig{s, d, p.Server}
}

func (r *rig) close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.download.Close(), r.stream.Kill())
}

// must ends a benchmark that has failed.
func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// benchOrders measures a flow over loopback, an order at a time.
func benchOrders(b *testing.B, f buffers.Flow) {
	var r *rig
	orders := func(b *testing.B, n int, read func(int64) error) {
		for range n {
			must(b, r.download.Order(f.Order))
			must(b, read(f.Order.Bytes))
		}
	}
	b.Run(f.Name, func(b *testing.B) {
		if b.N == 1 || r == nil { // a repetition begins
			must(b, r.close())
			r = newRig(b, nil, f.Reading)
			b.Log(results.FactLine("server-cpus", cpu.Format(r.cpus)))
			orders(b, 2, r.download.Verify)
		}
		read := func() error {
			b.ResetTimer()
			orders(b, b.N, r.download.Take)
			b.StopTimer()
			_, err := r.stream.CPU(b.Context()) // waits until it is blocked
			return err
		}
		m, err := r.stream.Meter(b.Context(), r.download, read)
		must(b, err)
		m.Elapsed = b.Elapsed() // without the wait
		must(b, r.stream.Count(b.Context(), r.download, &m, func() error {
			orders(b, 20, r.download.Take)
			_, err := r.stream.CPU(b.Context())
			return err
		}))
		orders(b, 1, r.download.Verify) // nothing was lost or came twice
		report(b, m)
	})
	if err := r.close(); err != nil {
		b.Error(err)
	}
}

// report reports what was moved.
func report(b *testing.B, m buffers.Moved) {
	b.ReportMetric(0, "ns/op") // an operation is no request
	b.ReportMetric(m.Rate()/1e6, "MB/s")
	if v := m.CPUPerKiB(); !math.IsNaN(v) {
		b.ReportMetric(v, "server-cpu-ns/KiB")
	}
	b.ReportMetric(float64(m.Allocated)/float64(b.N), "server-allocs/op")
	if v, ok := m.SyscallsPerMiB(); ok {
		b.ReportMetric(v, "syscalls/MiB")
	} else if m.NoCounts != "" {
		b.Log(results.WarningLine("syscalls/MiB: " + m.NoCounts))
	}
}

// call is a client and a server of B6's other half, in which options of the client are
// part of the question.
type call struct {
	name    string
	server  string
	noDelay models.Toggle // at the server
	calls   buffers.Calls

	noStall bool // one of those that are as fast as whole requests and replies
}

func calls() []call {
	whole, split := buffers.SmallJoined, buffers.SmallSplit
	return []call{
		{"request=whole/reply=whole/nagle=none/quickack=none", whole, models.On, buffers.Calls{}, false},
		{"request=whole/reply=whole/nagle=both/quickack=none", whole, models.Off, buffers.Calls{Nagle: true}, true},
		{"request=split/reply=whole/nagle=none/quickack=none", whole, models.On, buffers.Calls{Split: true}, true},
		{"request=split/reply=whole/nagle=client/quickack=none", whole, models.On, buffers.Calls{Split: true, Nagle: true}, false},
		{"request=split/reply=whole/nagle=client/quickack=server", buffers.SmallQuick, models.On, buffers.Calls{Split: true, Nagle: true}, false},
		{"request=whole/reply=split/nagle=none/quickack=none", split, models.On, buffers.Calls{}, true},
		{"request=whole/reply=split/nagle=server/quickack=none", split, models.Off, buffers.Calls{}, false},
		{"request=whole/reply=split/nagle=server/quickack=client", split, models.Off, buffers.Calls{QuickAck: true}, false},
	}
}

// B6: requests in one piece and in two. An operation is one exchange of 64 bytes on one
// connection.
func BenchmarkCalls(b *testing.B) {
	known := buffers.Models()
	for _, c := range calls() {
		if !*allCells && c.noStall {
			continue // as fast as others
		}
		if known[c.server] == nil || c.calls.QuickAck && runtime.GOOS != "linux" {
			continue // not on this platform
		}
		b.Run(c.name, func(b *testing.B) {
			p, err := place()
			if err != nil {
				b.Fatal(err)
			}
			s, err := testenv.StartServer(b.Context(), testenv.ServerSpec{
				Model: c.server, Service: "frame", CPUs: p.Server, StartTimeout: time.Minute,
				Config: models.Config{NoDelay: c.noDelay},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := s.Kill(); err != nil {
					b.Error(err)
				}
			}()
			c := c.calls
			c.Address, c.Size, c.Count = s.Addr(), 64, 20
			if _, err := c.Do(b.Context()); err != nil { // pages, caches
				b.Fatal(err)
			}
			c.Count = b.N
			b.ResetTimer()
			took, err := c.Do(b.Context())
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(1000*float64(buffers.Stalls(took))/float64(len(took)), "stalls/1000-op")
			reportTimes(b, took)
		})
	}
}

// reportTimes reports the quantiles that there are enough samples for.
func reportTimes(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for _, q := range []struct {
		unit  string
		share float64
		least int
	}{{"p50-ns", 0.5, 20}, {"p99-ns", 0.99, 1000}} {
		if len(took) >= q.least {
			b.ReportMetric(float64(took[int(q.share*float64(len(took)-1))]), q.unit)
		}
	}
}
