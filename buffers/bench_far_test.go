package buffers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"netbench/buffers"
	"netbench/results"
	"netbench/testenv/link"
)

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

// distances are those of B4: each round trip and each rate. Where the rate is what bounds
// the flow, it does so at other round trips too, so that not every pair is there.
func distances() []distance {
	return []distance{
		{0, 10e6}, {0, 0},
		{time.Millisecond, 0},
		{20 * time.Millisecond, 10e6}, usualDistance, {20 * time.Millisecond, 0},
		{100 * time.Millisecond, 100e6}, {100 * time.Millisecond, 0},
	}
}

// socketDistances are those of B5: near, where there is no product, and far, up to where
// buffers are all that bounds the flow.
func socketDistances() []distance {
	return []distance{
		{0, 0}, {time.Millisecond, 0}, {20 * time.Millisecond, 10e6}, usualDistance, {100 * time.Millisecond, 0},
	}
}

// usualDistance is one from city to city.
var usualDistance = distance{20 * time.Millisecond, 100e6}

// bufferSizes are the claim's: 4 KiB for a LAN, 16 to 64 for a WAN.
func bufferSizes() []int { return []int{4 << 10, 16 << 10, 64 << 10} }

// B4: the buffer that a program writes and reads through, over distances. An operation is
// 64 KiB of a flow that never pauses, written in records of 512 bytes.
func BenchmarkDistance(b *testing.B) {
	for _, d := range distances() {
		if !*allCells && d != usualDistance && d != (distance{}) {
			continue
		}
		var flows []buffers.Flow
		for _, size := range bufferSizes() {
			if *allCells || size != 16<<10 {
				flows = append(flows, throughBuffer(size))
			}
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

// withSockets is a flow between sockets whose buffers are of a size, by force where the
// host's limits are smaller; 0 is auto-tuning.
func withSockets(size int, limits buffers.KernelLimits) buffers.Flow {
	name := "sockets=auto"
	switch {
	case size >= 1<<20:
		name = fmt.Sprintf("sockets=%dMiB", size>>20)
	case size > 0:
		name = fmt.Sprintf("sockets=%dKiB", size>>10)
	}
	force := size > min(limits.ReceiveMost, limits.SendMost)
	if force {
		name += "-forced"
	}
	return buffers.Flow{
		Name:    name,
		Order:   buffers.Order{Record: 16 << 10, Buffer: 64 << 10, Congestion: "reno", SendBuffer: size, Force: force},
		Reading: buffers.Reading{ReceiveBuffer: size, Force: force},
	}
}

// socketSizes are those of B5, a factor of 8 apart.
func socketSizes() []int { return []int{4 << 10, 32 << 10, 256 << 10, 2 << 20, largestSocket} }

const largestSocket = 16 << 20

// B5: SO_RCVBUF and SO_SNDBUF, each as large as the other, against auto-tuning. The
// metrics rcvbuf-B and sndbuf-B are what the kernel gave.
func BenchmarkSocket(b *testing.B) {
	limits, err := buffers.ReadKernelLimits()
	if err != nil {
		b.Skip(err)
	}
	for _, d := range socketDistances() {
		if !*allCells && d != usualDistance {
			continue
		}
		var flows []buffers.Flow
		for _, size := range append(socketSizes(), 0) {
			if *allCells || size != 4<<10 && size != 2<<20 {
				flows = append(flows, withSockets(size, limits))
			}
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
