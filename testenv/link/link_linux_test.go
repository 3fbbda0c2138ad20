package link

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestARoundTripTakesBothDelays(t *testing.T) {
	near := newLink(t, Config{})
	far := newLink(t, Both(Shape{Delay: 20 * time.Millisecond}))
	for _, c := range []struct {
		name      string
		near, far net.Conn
	}{
		{"udp", echoUDP(t, near), echoUDP(t, far)},
		{"tcp", echoTCP(t, near), echoTCP(t, far)},
	} {
		short, long := exchanges(t, c.near, 15), exchanges(t, c.far, 15)
		assert.GreaterOrEqual(t, long[0], 40*time.Millisecond, "%s: a packet was early", c.name)
		assert.Less(t, long[7]-short[7], 60*time.Millisecond, "%s: medians", c.name)
		assert.Less(t, short[7], long[7], "%s: median without delay", c.name)
	}
}

func TestDirectionsAreShapedApart(t *testing.T) {
	l := newLink(t, Config{AToB: Shape{Delay: 30 * time.Millisecond}})
	p, err := l.B().ListenPacket("udp", ":0")
	require.NoError(t, err)
	defer p.Close()
	c, err := l.A().Dial(t.Context(), "udp", p.LocalAddr().String())
	require.NoError(t, err)
	defer c.Close()
	var forth, back []time.Duration
	buf := make([]byte, 10)
	for range 5 {
		begin := time.Now()
		_, err = c.Write(buf)
		require.NoError(t, err)
		_, from, err := p.ReadFrom(buf)
		require.NoError(t, err)
		forth = append(forth, time.Since(begin))
		begin = time.Now()
		_, err = p.WriteTo(buf, from)
		require.NoError(t, err)
		_, err = c.Read(buf)
		require.NoError(t, err)
		back = append(back, time.Since(begin))
	}
	for i := range forth {
		assert.GreaterOrEqual(t, forth[i], 30*time.Millisecond)
	}
	assert.Less(t, slices.Min(back), slices.Min(forth), "the other way has none")
}

func TestABulkTransferHasTheRate(t *testing.T) {
	l := newLink(t, Both(Shape{Rate: 10e6, QueuePackets: 50}))
	a, b := pair(t, l)
	want := 10e6 * 1448 / 1500 // what a packet of TCP with time stamps carries
	got := goodput(t, a, b, 300*time.Millisecond, 2*time.Second)
	assert.LessOrEqual(t, got, 1.05*want, "no link is faster than its rate")
	assert.GreaterOrEqual(t, got, 0.5*want, "nor much slower; the proof has closer bounds")
}

func TestLossIsCountedAndRetransmitted(t *testing.T) {
	const size = 4 << 20
	c := Both(Shape{Delay: time.Millisecond})
	c.AToB.Loss, c.Seed = 0.01, 7
	l := newLink(t, c)
	a, b := pair(t, l)
	sent := make(chan error, 1)
	go func() {
		_, err := a.Write(make([]byte, size))
		sent <- err
	}()
	_, err := io.CopyN(io.Discard, b, size)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	s, err := l.Stats()
	require.NoError(t, err)

	raw, err := a.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var info *unix.TCPInfo
	require.NoError(t, raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }))
	require.NoError(t, err)

	assert.GreaterOrEqual(t, s.AToB.Sent, uint64(size/1460))
	assert.InDelta(t, 0.01, float64(s.AToB.Lost)/float64(s.AToB.Sent), 0.008, "%+v", s.AToB)
	// All but the handshake's last part are data, and each that was lost was sent
	// again.
	assert.GreaterOrEqual(t, uint64(info.Total_retrans)+2, s.AToB.Lost)
	assert.Zero(t, s.BToA.Lost)
}

// received sends numbered datagrams over a link with losses and returns which
// arrived.
func received(t *testing.T, seed uint64) (numbers []byte, c Counts) {
	t.Helper()
	l := newLink(t, Config{AToB: Shape{Loss: 0.1}, Seed: seed})
	p, err := l.B().ListenPacket("udp", ":0")
	require.NoError(t, err)
	defer p.Close()
	a, err := l.A().Dial(t.Context(), "udp", p.LocalAddr().String())
	require.NoError(t, err)
	defer a.Close()
	for i := range 200 {
		_, err := a.Write([]byte{byte(i)})
		require.NoError(t, err)
	}
	c = settled(t, l, 200)
	require.NoError(t, p.SetReadDeadline(time.Now().Add(5*time.Second)))
	var b [1]byte
	for range c.Delivered {
		_, _, err := p.ReadFrom(b[:])
		require.NoError(t, err)
		numbers = append(numbers, b[0])
	}
	return numbers, c
}

func TestASeedLosesTheSamePacketsAgain(t *testing.T) {
	first, c := received(t, 1)
	assert.Equal(t, uint64(200), c.Sent)
	assert.Equal(t, uint64(200*29), c.SentBytes, "20 bytes of IP, 8 of UDP, 1 of data")
	assert.Equal(t, uint64(200), c.Delivered+c.Lost)
	assert.NotZero(t, c.Lost)
	second, _ := received(t, 1)
	assert.Equal(t, first, second)
	other, _ := received(t, 2)
	assert.NotEqual(t, first, other)
}

func TestAFullQueueDrops(t *testing.T) {
	l := newLink(t, Config{AToB: Shape{Rate: 1e6, QueuePackets: 10}})
	c := echoUDP(t, l)
	for range 100 { // at 8 ms each
		_, err := c.Write(make([]byte, 1000))
		require.NoError(t, err)
	}
	n := settled(t, l, 100)
	assert.Greater(t, n.DroppedQueue, uint64(50))
	assert.GreaterOrEqual(t, n.Delivered, uint64(11), "one in transmission, ten that wait")
	assert.Equal(t, uint64(100), n.Delivered+n.DroppedQueue)
	assert.Zero(t, n.Missed)
}

func TestTheMTUBoundsPackets(t *testing.T) {
	l := newLink(t, Config{MTU: 576})
	a, b := pair(t, l)
	_, err := a.Write(make([]byte, 50_000))
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, b, 50_000)
	require.NoError(t, err)
	n := settled(t, l, 1)
	assert.GreaterOrEqual(t, n.Sent, uint64(50_000/(576-40)))
	assert.LessOrEqual(t, n.SentBytes, n.Sent*576)
}

func TestChangesApplyWhileTrafficRuns(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 2 * time.Millisecond}))
	c := echoUDP(t, l)
	before := exchanges(t, c, 9)
	slow := Shape{Delay: 25 * time.Millisecond}
	require.NoError(t, l.Change(slow, slow))
	after := exchanges(t, c, 9)
	assert.GreaterOrEqual(t, after[0], 50*time.Millisecond)
	assert.Less(t, before[4], after[4])

	assert.EqualError(t, l.Change(slow, Shape{Loss: 2}), "link: BToA.Loss is 2, want 0 to 1")
	assert.GreaterOrEqual(t, exchange(t, c), 50*time.Millisecond, "a bad change is none")

	require.NoError(t, l.Change(Shape{Loss: 1}, Shape{}))
	silent(t, c)
	s, err := l.Stats()
	require.NoError(t, err)
	assert.Equal(t, uint64(1), s.AToB.Lost)

	require.NoError(t, l.Change(Shape{Stalled: true}, Shape{}))
	silent(t, c)
	s, err = l.Stats()
	require.NoError(t, err)
	assert.Equal(t, uint64(1), s.AToB.Held, "it waits")
	require.NoError(t, l.Change(Shape{}, Shape{}))
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = c.Read(make([]byte, 8))
	assert.NoError(t, err, "and arrives")
}

// silent sends a datagram to which no answer comes.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(150*time.Millisecond)))
	_, err := c.Write(make([]byte, 8))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 8))
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())
}

func TestTCPOutlivesAStall(t *testing.T) {
	l := newLink(t, Config{})
	c := echoTCP(t, l)
	exchange(t, c)
	require.NoError(t, l.Change(Shape{Stalled: true}, Shape{Stalled: true}))
	timer := time.AfterFunc(100*time.Millisecond, func() { l.Change(Shape{}, Shape{}) })
	defer timer.Stop()
	assert.GreaterOrEqual(t, exchange(t, c), 90*time.Millisecond)
}
