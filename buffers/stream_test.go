package buffers_test

import (
	"context"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/internal/needs"
	"netbench/testenv/link"
)

// patiently starts servers on a machine that has other work.
var patiently = buffers.StreamOptions{StartTimeout: time.Minute}

// stream starts a server in a process of its own.
func stream(t testing.TB, o buffers.StreamOptions) *buffers.Stream {
	t.Helper()
	o.StartTimeout = time.Minute
	s, err := buffers.StartStream(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, s.Stop(stop))
	})
	return s
}

// open connects to it.
func open(t testing.TB, s *buffers.Stream, r buffers.Reading) *buffers.Download {
	t.Helper()
	d, err := s.Open(t.Context(), r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// linked makes a link for a test.
func linked(t testing.TB, c link.Config) *link.Link {
	t.Helper()
	if err := link.Supported(); err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	l, err := link.New(context.Background(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func TestEveryOrderBringsTheSameBytes(t *testing.T) {
	keepsDescriptors(t)
	d := open(t, stream(t, buffers.StreamOptions{}), buffers.Reading{})
	for _, o := range []buffers.Order{
		{Bytes: 1, Record: 1},
		{Bytes: 3, Record: 1 << 20, Buffer: 1 << 20},
		{Bytes: 200_001, Record: 100},
		{Bytes: 200_001, Record: 1 << 20},
		{Bytes: 200_001, Record: 7, Buffer: 1},
		{Bytes: 200_001, Record: 100, Buffer: 4096},
		{Bytes: 200_001, Record: 100, Buffer: 4096, Flush: 33},
		{Bytes: 3_000_001, Record: 1 << 20, Buffer: 64 << 10, Flush: 14_000},
	} {
		require.NoError(t, d.Order(o), "%+v", o)
		require.Equal(t, o.Bytes, d.Left())
		require.NoError(t, d.Verify(o.Bytes), "%+v", o)
		require.Zero(t, d.Left())
	}
	// What is taken is not looked at, but what follows must be what follows.
	require.NoError(t, d.Order(buffers.Order{Bytes: 500_000, Record: 1000}))
	require.NoError(t, d.Take(300_001))
	require.NoError(t, d.Verify(199_999))
	assert.ErrorContains(t, d.Take(1), "of 0 that are left")
}

func TestAnOrderThatMakesNoSenseIsRefusedByName(t *testing.T) {
	s := stream(t, buffers.StreamOptions{})
	for want, o := range map[string]buffers.Order{
		"Order.Bytes is 0":       {Record: 1},
		"Order.Bytes is 2251":    {Bytes: 1 << 51, Record: 1},
		"Order.Record is 0":      {Bytes: 1},
		"Order.Record is 104857": {Bytes: 1, Record: 1<<20 + 1},
		"Order.Buffer is -1":     {Bytes: 1, Record: 1, Buffer: -1},
		"Order.Flush is -1":      {Bytes: 1, Record: 1, Flush: -1},
		"Order.SendBuffer is -1": {Bytes: 1, Record: 1, SendBuffer: -1},
	} {
		assert.ErrorContains(t, open(t, s, buffers.Reading{}).Order(o), want)
	}
	d := open(t, s, buffers.Reading{})
	require.NoError(t, d.Order(buffers.Order{Bytes: 10, Record: 1}))
	assert.ErrorContains(t, d.Order(buffers.Order{Bytes: 1, Record: 1}), "10 bytes are left")
	_, err := s.Open(t.Context(), buffers.Reading{Buffer: -1})
	assert.Error(t, err)
}

func TestACongestionControlThatIsNotThereIsNamed(t *testing.T) {
	onLinux(t)
	d := open(t, stream(t, buffers.StreamOptions{}), buffers.Reading{})
	assert.ErrorContains(t, d.Order(buffers.Order{Bytes: 1, Record: 1, Congestion: "nonesuch"}), `"nonesuch"`)
}

func TestAServerThatDiesEndsItsDownloads(t *testing.T) {
	s := stream(t, buffers.StreamOptions{})
	d := open(t, s, buffers.Reading{})
	require.NoError(t, d.Order(buffers.Order{Bytes: 1 << 40, Record: 4096}))
	require.NoError(t, d.Take(100_000))
	killed, err := buffers.StartStream(t.Context(), buffers.StreamOptions{StartTimeout: time.Minute})
	require.NoError(t, err)
	other := open(t, killed, buffers.Reading{})
	require.NoError(t, other.Order(buffers.Order{Bytes: 1 << 40, Record: 4096}))
	require.NoError(t, killed.Kill())
	assert.Error(t, other.Take(1<<40))
	require.NoError(t, d.Verify(100_000), "the other server goes on")
}

// A server is ahead of its client by what the kernels hold: what it did is to be set against
// what it wrote, and not against what the client read meanwhile.
func TestMeterSetsTheServersWorkAgainstWhatItWrote(t *testing.T) {
	onLinux(t)
	s := stream(t, buffers.StreamOptions{})
	d := open(t, s, buffers.Reading{})
	const size, record = 1 << 20, 1 << 10
	whole := func() error {
		if err := d.Order(buffers.Order{Bytes: size, Record: record}); err != nil {
			return err
		}
		if err := d.Take(size); err != nil {
			return err
		}
		_, err := s.CPU(t.Context())
		return err
	}
	m, err := s.Meter(t.Context(), d, whole)
	require.NoError(t, err)
	assert.EqualValues(t, size, m.Bytes)
	assert.InDelta(t, size, m.Written, 100, "and the answer to the order")
	assert.Positive(t, m.CPU)
	assert.Positive(t, m.Elapsed)
	assert.Less(t, m.Allocated, uint64(200), "nothing by record")
	require.NoError(t, s.Count(t.Context(), d, &m, whole))
	if m.NoCounts != "" {
		needs.Skip(t, needs.Perf, m.NoCounts)
	}
	assert.InDelta(t, size, m.CountedBytes, 100)
	assert.GreaterOrEqual(t, m.Syscalls, uint64(size/record), "a write for each record")
	assert.Less(t, m.Syscalls, uint64(3*size/record))

	// The client reads nothing, and the server writes until the kernels are full.
	begin, err := s.Progress(t.Context(), d)
	require.NoError(t, err)
	m, err = s.Meter(t.Context(), d, func() error {
		if err := d.Order(buffers.Order{Bytes: 1 << 40, Record: record}); err != nil {
			return err
		}
		require.Eventually(t, func() bool {
			now, err := s.Progress(t.Context(), d)
			return err == nil && now.Written > begin.Written+10*record
		}, 10*time.Second, time.Millisecond)
		return nil
	})
	require.NoError(t, err)
	assert.Zero(t, m.Bytes)
	assert.Positive(t, m.Written)

	require.NoError(t, d.Close())
	require.Eventually(t, func() bool { _, err := s.Progress(t.Context(), d); return err != nil }, 10*time.Second, time.Millisecond)
	_, err = s.Progress(t.Context(), d)
	assert.ErrorContains(t, err, "no connection from")
}

func TestAFailureToReadEndsAMeasurement(t *testing.T) {
	onLinux(t)
	s := stream(t, buffers.StreamOptions{})
	d := open(t, s, buffers.Reading{})
	tooMuch := func() error { return d.Take(1) } // nothing is ordered
	_, err := s.Meter(t.Context(), d, tooMuch)
	assert.ErrorContains(t, err, "of 0 that are left")
	var m buffers.Moved
	if err := s.Count(t.Context(), d, &m, tooMuch); m.NoCounts == "" {
		assert.ErrorContains(t, err, "of 0 that are left")
	}
	assert.Zero(t, m.CountedBytes)
}

func TestTheKernelGivesTwiceWhatItIsAskedForUpToItsLimit(t *testing.T) {
	onLinux(t)
	limits, err := buffers.ReadKernelLimits()
	require.NoError(t, err)
	for _, v := range append(limits.ReceiveTuning[:], append(limits.SendTuning[:], limits.ReceiveMost, limits.SendMost)...) {
		assert.Positive(t, v)
	}
	assert.NotEmpty(t, limits.Congestion)
	s := stream(t, buffers.StreamOptions{})
	for _, asked := range []int{32 << 10, 256 << 10, 1 << 30} {
		d := open(t, s, buffers.Reading{ReceiveBuffer: asked})
		require.NoError(t, d.Order(buffers.Order{Bytes: 1000, Record: 100, SendBuffer: asked, Congestion: "reno"}))
		require.NoError(t, d.Verify(1000))
		at, err := s.Socket(t.Context(), d)
		require.NoError(t, err)
		assert.Equal(t, limits.Granted(asked, false), at.SendBuffer)
		assert.Equal(t, "reno", at.Congestion)
		assert.True(t, at.NoDelay)
		here, err := d.Socket()
		require.NoError(t, err)
		assert.Equal(t, limits.Granted(asked, true), here.ReceiveBuffer)
	}
	d := open(t, s, buffers.Reading{})
	require.NoError(t, d.Order(buffers.Order{Bytes: 1, Record: 1}))
	here, err := d.Socket()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, here.ReceiveBuffer, limits.ReceiveTuning[1], "auto-tuning begins at its initial size")
}

func TestAForcedBufferIsNotBoundByTheHostsLimits(t *testing.T) {
	onLinux(t)
	limits, err := buffers.ReadKernelLimits()
	require.NoError(t, err)
	s := stream(t, buffers.StreamOptions{})
	asked := 2 * max(limits.ReceiveMost, limits.SendMost)
	d, err := s.Open(t.Context(), buffers.Reading{ReceiveBuffer: asked, Force: true})
	if errors.Is(err, os.ErrPermission) {
		assert.ErrorContains(t, err, "CAP_NET_ADMIN")
		needs.Skip(t, needs.Netns, err)
	}
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.Order(buffers.Order{Bytes: 1000, Record: 100, SendBuffer: asked, Force: true}))
	require.NoError(t, d.Verify(1000))
	at, err := s.Socket(t.Context(), d)
	require.NoError(t, err)
	assert.Equal(t, 2*asked, at.SendBuffer)
	here, err := d.Socket()
	require.NoError(t, err)
	assert.Equal(t, 2*asked, here.ReceiveBuffer)
}

func TestAWindowIsTheProductOfRateAndRoundTrip(t *testing.T) {
	assert.EqualValues(t, 125_000, buffers.Product(10e6, 100*time.Millisecond))
	assert.EqualValues(t, 250_000, buffers.Product(100e6, 20*time.Millisecond))
	assert.Zero(t, buffers.Product(10e6, 0))
	assert.InDelta(t, 12.5e6, buffers.Ceiling(250_000, 20*time.Millisecond), 1)
	assert.Zero(t, buffers.Ceiling(1000, 0))
	k := buffers.KernelLimits{ReceiveMost: 1000, SendMost: 50}
	assert.Equal(t, 800, k.Granted(400, true))
	assert.Equal(t, 100, k.Granted(400, false))
	assert.Zero(t, k.Granted(0, true))
}

// Nothing of the machine's speed is in this: a window that is too small for the distance
// bounds the rate from above, and auto-tuning finds a larger one.
func TestASmallReceiveBufferBoundsTheRateOverADistance(t *testing.T) {
	const roundTrip = 20 * time.Millisecond
	l := linked(t, link.Both(link.Shape{Delay: roundTrip / 2, Rate: 100e6, QueuePackets: 200}))
	s := stream(t, buffers.StreamOptions{Over: l})
	measure := func(receive int) buffers.Steady {
		m, err := buffers.Measure(t.Context(), s, buffers.Flow{
			Order:   buffers.Order{Record: 4096, Buffer: 16 << 10, Congestion: "reno"},
			Reading: buffers.Reading{ReceiveBuffer: receive},
		}, buffers.Settling(roundTrip)/2, 300*time.Millisecond)
		require.NoError(t, err)
		return m
	}
	small, tuned := measure(16<<10), measure(0)
	require.Equal(t, 32<<10, small.Receiver.ReceiveBuffer)
	assert.Less(t, small.Rate(), 1.25*buffers.Ceiling(32<<10, roundTrip))
	assert.Greater(t, tuned.Receiver.ReceiveBuffer, 32<<10)
	assert.Greater(t, tuned.Rate(), 2*small.Rate())
	assert.GreaterOrEqual(t, small.Sender.RTT, roundTrip*9/10)
	assert.Positive(t, small.Written)
	assert.Positive(t, small.CPU)
}

func TestAStreamOnALinkLeavesNothingBehind(t *testing.T) {
	if err := link.Supported(); err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	keepsDescriptors(t)
	t.Run("used", func(t *testing.T) {
		l := linked(t, link.Config{})
		s := stream(t, buffers.StreamOptions{Over: l})
		d := open(t, s, buffers.Reading{})
		require.NoError(t, d.Order(buffers.Order{Bytes: 100_000, Record: 500}))
		require.NoError(t, d.Verify(100_000))
	})
}

// counted skips a test where system calls cannot be counted.
func counted(t *testing.T, all [][]buffers.Moved, flow int) float64 {
	t.Helper()
	sum := buffers.Sum(all[flow])
	v, ok := sum.SyscallsPerMiB()
	if !ok {
		needs.Skip(t, needs.Perf, sum.NoCounts)
	}
	return v
}

// What a buffer is worth is the writes that it joins. Writes that are larger than the
// buffer it cannot join.
func TestABufferJoinsSmallWritesAndNoLargeOnes(t *testing.T) {
	onLinux(t)
	once := buffers.Turns{Rounds: 1, Slices: 1, Slice: 20 * time.Millisecond, At: patiently}
	pieces, err := buffers.Interleave(t.Context(), once, buffers.Writers(false)...)
	require.NoError(t, err)
	all := buffers.Writers(true)
	whole, err := buffers.Interleave(t.Context(), once, all[0], all[1], all[len(all)-1])
	require.NoError(t, err)
	// none, 1, 4, 8, 16, 32, 64 KiB; a flush writes 14,000 bytes.
	assert.Greater(t, counted(t, pieces, 0), 4*counted(t, pieces, 1), "140 writes, or 14")
	assert.Greater(t, counted(t, pieces, 1), 2*counted(t, pieces, 2), "14 writes, or 4")
	assert.Greater(t, counted(t, pieces, 2), 1.5*counted(t, pieces, 4), "4 writes, or 1")
	assert.Less(t, counted(t, pieces, 4), 2*counted(t, pieces, 6), "a write each: no more to gain")
	for i := 1; i < len(whole); i++ {
		assert.Less(t, counted(t, whole, 0), 2*counted(t, whole, i), "one write, whatever the buffer")
		assert.Less(t, counted(t, whole, i), 2*counted(t, whole, 0), "one write, whatever the buffer")
	}
}

func TestInterleaveGivesEveryFlowItsTurns(t *testing.T) {
	onLinux(t)
	keepsDescriptors(t)
	flows := []buffers.Flow{
		{Name: "a", Order: buffers.Order{Bytes: 50_000, Record: 1000}},
		{Name: "b", Order: buffers.Order{Bytes: 70_000, Record: 1000, Buffer: 4096}},
	}
	out, err := buffers.Interleave(t.Context(), buffers.Turns{Rounds: 2, Slices: 2, Slice: 5 * time.Millisecond, At: patiently}, flows...)
	require.NoError(t, err)
	require.Len(t, out, 2)
	for i, rounds := range out {
		require.Len(t, rounds, 2)
		for _, m := range rounds {
			assert.Positive(t, m.Bytes)
			assert.Zero(t, m.Bytes%flows[i].Order.Bytes, "whole orders")
			assert.GreaterOrEqual(t, m.Elapsed, 10*time.Millisecond)
			assert.Positive(t, m.CPU)
			assert.Positive(t, m.Rate())
			assert.Positive(t, m.CPUPerKiB())
		}
	}
	r := buffers.RatioOf(buffers.Moved.CPUPerKiB, out[0], out[1])
	assert.Equal(t, 2, r.N)
	assert.Positive(t, r.Mean)
	out[1][0].Written = 0 // as of a flow that never pauses, and was held in the kernel
	assert.True(t, math.IsNaN(out[1][0].CPUPerKiB()))
	assert.Equal(t, 1, buffers.RatioOf(buffers.Moved.CPUPerKiB, out[0], out[1]).N)
	out[0][1].CPU = 0 // as of one that wrote too little for its clock
	assert.Zero(t, buffers.RatioOf(buffers.Moved.CPUPerKiB, out[0], out[1]).N)
}

func TestInterleaveFailsAsItsFlowsDo(t *testing.T) {
	good := buffers.Flow{Name: "good", Order: buffers.Order{Bytes: 10, Record: 1}}
	bad := buffers.Flow{Name: "bad", Order: buffers.Order{Bytes: 10}}
	_, err := buffers.Interleave(t.Context(), buffers.Turns{Rounds: 1, Slices: 1, Slice: time.Millisecond, At: patiently}, good, bad)
	assert.ErrorContains(t, err, "bad: ")
	assert.ErrorContains(t, err, "Order.Record is 0")
	_, err = buffers.Interleave(t.Context(), buffers.Turns{}, good)
	assert.ErrorContains(t, err, "interleave 1 flows")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = buffers.Interleave(ended, buffers.Turns{Rounds: 1, Slices: 1, Slice: time.Millisecond, At: patiently}, good, good)
	assert.ErrorIs(t, err, context.Canceled)
}
