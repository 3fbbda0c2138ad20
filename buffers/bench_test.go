package buffers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
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

// B1: who owns the memory of a read.
func BenchmarkRead(b *testing.B) { scenario.Benchmark(b, buffers.Scenarios()) }

// B3: a line server that flushes each reply, and one that flushes before it waits.
func BenchmarkLine(b *testing.B) { scenario.Benchmark(b, buffers.Scenarios()) }

// B6: replies in one piece and in two, with Nagle's algorithm and without.
func BenchmarkSmall(b *testing.B) { scenario.Benchmark(b, buffers.Scenarios()) }

// B2: bufio sizes, where they matter and where they cannot. An operation is 14,000 bytes,
// flushed, 100 times.
func BenchmarkWriter(b *testing.B) {
	for _, whole := range []bool{false, true} {
		for _, f := range buffers.Writers(whole) {
			benchOrders(b, f)
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
	if m.Written > 0 {
		b.ReportMetric(m.CPUPerKiB(), "server-cpu-ns/KiB")
	}
	b.ReportMetric(float64(m.Allocated)/float64(b.N), "server-allocs/op")
	if v, ok := m.SyscallsPerMiB(); ok {
		b.ReportMetric(v, "syscalls/MiB")
	} else if m.NoCounts != "" {
		b.Log(results.WarningLine("syscalls/MiB: " + m.NoCounts))
	}
}

// distance is a link's round trip and rate.
type distance struct {
	roundTrip time.Duration
	rate      int64 // bits a second; 0 is unlimited
}

func (d distance) String() string {
	rate := "unlimited"
	if d.rate > 0 {
		rate = fmt.Sprintf("%dMb", d.rate/1e6)
	}
	return fmt.Sprintf("rtt=%v/rate=%s", d.roundTrip, rate)
}

// queue is how long a packet waits at most before it is transmitted: a round trip, as is
// the rule for one connection, and not less than the scheduler of a busy host needs.
func (d distance) queue() time.Duration {
	if d.rate == 0 {
		return 0 // without a rate nothing waits
	}
	return max(d.roundTrip, 40*time.Millisecond)
}

// link makes one.
func (d distance) link(ctx context.Context) (*link.Link, error) {
	return link.New(ctx, link.Both(link.Shape{
		Delay: d.roundTrip / 2, Rate: d.rate, QueueBytes: int(buffers.Product(d.rate, d.queue())),
	}))
}

// settling is how long a flow is let go before it is measured.
func (d distance) settling() time.Duration {
	return buffers.Settling(max(d.roundTrip, d.queue()))
}

// distances are those of B4.
func distances() (all []distance) {
	for _, roundTrip := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		for _, rate := range []int64{10e6, 100e6, 0} {
			all = append(all, distance{roundTrip, rate})
		}
	}
	return all
}

// B4: the buffer that a program writes and reads through, over distances. An operation is
// 64 KiB of a flow that never pauses, written in records of 512 bytes.
func BenchmarkDistance(b *testing.B) {
	for _, d := range distances() {
		var flows []buffers.Flow
		for _, kib := range []int{4, 16, 64} {
			flows = append(flows, throughBuffer(kib<<10))
		}
		benchOver(b, d, flows)
	}
}

// throughBuffer is a flow that is written and read through buffers of a size, over Reno:
// BBR, the default of some hosts, leaves a link idle now and then to measure it.
func throughBuffer(size int) buffers.Flow {
	return buffers.Flow{
		Name:    fmt.Sprintf("buffer=%dKiB", size>>10),
		Order:   buffers.Order{Record: 512, Buffer: size, Congestion: "reno"},
		Reading: buffers.Reading{Buffer: size},
	}
}

// withSockets is a flow between sockets whose buffers were asked for; 0 is auto-tuning.
func withSockets(size int) buffers.Flow {
	name := "sockets=auto"
	switch {
	case size >= 1<<20:
		name = fmt.Sprintf("sockets=%dMiB", size>>20)
	case size > 0:
		name = fmt.Sprintf("sockets=%dKiB", size>>10)
	}
	return buffers.Flow{
		Name:    name,
		Order:   buffers.Order{Record: 16 << 10, Buffer: 64 << 10, Congestion: "reno", SendBuffer: size},
		Reading: buffers.Reading{ReceiveBuffer: size},
	}
}

// socketSizes are what B5 asks for.
func socketSizes() []int {
	return []int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 0}
}

// B5: SO_RCVBUF and SO_SNDBUF, each as large as the other, against auto-tuning. The
// metrics rcvbuf-B and sndbuf-B are what the kernel gave.
func BenchmarkSocket(b *testing.B) {
	for _, d := range []distance{{0, 0}, {20 * time.Millisecond, 100e6}, {100 * time.Millisecond, 100e6}} {
		var flows []buffers.Flow
		for _, size := range socketSizes() {
			flows = append(flows, withSockets(size))
		}
		benchOver(b, d, flows)
	}
}

// countFor is how long system calls are counted: at 10 Mb/s a server writes a burst a few
// times a second.
const countFor = 500 * time.Millisecond

// benchOver measures flows that never pause, over a link.
func benchOver(b *testing.B, d distance, flows []buffers.Flow) {
	const unit = 64 << 10
	b.Run(d.String(), func(b *testing.B) {
		if err := link.Supported(); err != nil {
			b.Skip(err)
		}
		over, err := d.link(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range flows {
			f.Order.Bytes = 1 << 50
			var r *rig
			b.Run(f.Name, func(b *testing.B) {
				if b.N == 1 || r == nil { // a repetition begins
					must(b, r.close())
					r = newRig(b, over, f.Reading)
					must(b, r.download.Order(f.Order))
					must(b, r.download.Verify(32<<10))
					_, err := r.download.TakeFor(d.settling())
					must(b, err)
				}
				begin, err := r.stream.Socket(b.Context(), r.download)
				must(b, err)
				m, err := r.stream.Meter(b.Context(), r.download, func() error {
					b.ResetTimer()
					defer b.StopTimer()
					return r.download.Take(int64(b.N) * unit)
				})
				must(b, err)
				sender, err := r.stream.Socket(b.Context(), r.download)
				must(b, err)
				receiver, err := r.download.Socket()
				must(b, err)
				if b.N > 1 || b.Elapsed() > 100*time.Millisecond { // not while N is sought
					must(b, r.stream.Count(b.Context(), r.download, &m, func() error {
						_, err := r.download.TakeFor(countFor)
						return err
					}))
				}
				must(b, r.download.Verify(4<<10)) // nothing was lost or came twice
				report(b, m)
				if n := sender.Retransmits - begin.Retransmits; n > 0 {
					b.Log(results.WarningLine(fmt.Sprintf("%d segments were sent again: this may be what bounds the rate", n)))
				}
				b.ReportMetric(float64(sender.SendBuffer), "sndbuf-B")
				b.ReportMetric(float64(receiver.ReceiveBuffer), "rcvbuf-B")
			})
			if err := r.close(); err != nil {
				b.Error(err)
			}
		}
		if err := over.Close(); err != nil {
			b.Error(err)
		}
	})
}

// call is a client and a server of B6's other half, in which options of the client are
// part of the question.
type call struct {
	name    string
	server  string
	noDelay models.Toggle // at the server
	calls   buffers.Calls
}

func calls() []call {
	whole, split := buffers.SmallJoined, buffers.SmallSplit
	return []call{
		{"request=whole/reply=whole/nagle=none/quickack=none", whole, models.On, buffers.Calls{}},
		{"request=whole/reply=whole/nagle=both/quickack=none", whole, models.Off, buffers.Calls{Nagle: true}},
		{"request=split/reply=whole/nagle=none/quickack=none", whole, models.On, buffers.Calls{Split: true}},
		{"request=split/reply=whole/nagle=client/quickack=none", whole, models.On, buffers.Calls{Split: true, Nagle: true}},
		{"request=split/reply=whole/nagle=client/quickack=server", buffers.SmallQuick, models.On, buffers.Calls{Split: true, Nagle: true}},
		{"request=whole/reply=split/nagle=none/quickack=none", split, models.On, buffers.Calls{}},
		{"request=whole/reply=split/nagle=server/quickack=none", split, models.Off, buffers.Calls{}},
		{"request=whole/reply=split/nagle=server/quickack=client", split, models.Off, buffers.Calls{QuickAck: true}},
	}
}

// B6: requests in one piece and in two. An operation is one exchange of 64 bytes on one
// connection.
func BenchmarkCalls(b *testing.B) {
	known := buffers.Models()
	for _, c := range calls() {
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
