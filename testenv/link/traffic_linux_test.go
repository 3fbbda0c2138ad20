package link

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echoUDP returns datagrams at B, and connects A to it.
func echoUDP(t *testing.T, l *Link) net.Conn {
	t.Helper()
	p, err := l.B().ListenPacket("udp", ":0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	}()
	c, err := l.A().Dial(t.Context(), "udp", p.LocalAddr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); p.Close(); <-done })
	return c
}

// pair connects A to B by TCP.
func pair(t *testing.T, l *Link) (a, b net.Conn) {
	t.Helper()
	ln, err := l.B().Listen("tcp", ":0")
	require.NoError(t, err)
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := ln.Accept()
		accepted <- c
	}()
	a, err = l.A().Dial(t.Context(), "tcp", ln.Addr().String())
	require.NoError(t, err)
	b = <-accepted
	require.NotNil(t, b)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// echoTCP returns bytes at B.
func echoTCP(t *testing.T, l *Link) net.Conn {
	t.Helper()
	a, b := pair(t, l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			b.Write(buf[:n])
		}
	}()
	t.Cleanup(func() { b.Close(); <-done })
	return a
}

// exchange sends eight bytes and waits for their return.
func exchange(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	var out, in [8]byte
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	begin := time.Now()
	binary.BigEndian.PutUint64(out[:], uint64(begin.UnixNano()))
	_, err := c.Write(out[:])
	require.NoError(t, err)
	_, err = io.ReadFull(c, in[:])
	took := time.Since(begin)
	require.NoError(t, err)
	require.Equal(t, out, in)
	return took
}

// exchanges returns the times of n exchanges in ascending order.
func exchanges(t *testing.T, c net.Conn, n int) []time.Duration {
	t.Helper()
	var all []time.Duration
	for range n {
		all = append(all, exchange(t, c))
	}
	slices.Sort(all)
	return all
}

// settled waits until a direction has sent so many packets and holds none.
func settled(t *testing.T, l *Link, sent uint64) Counts {
	t.Helper()
	var c Counts
	require.Eventually(t, func() bool {
		s, err := l.Stats()
		require.NoError(t, err)
		c = s.AToB
		return c.Sent >= sent && c.Held == 0
	}, 10*time.Second, 2*time.Millisecond)
	return c
}

// goodput sends from one end to the other without pause and returns the bits per
// second that arrive, after a time to settle.
func goodput(t *testing.T, from, to net.Conn, settle, measure time.Duration) float64 {
	t.Helper()
	go func() {
		buf := make([]byte, 16<<10)
		for {
			if _, err := from.Write(buf); err != nil {
				return
			}
		}
	}()
	defer from.Close()
	buf := make([]byte, 64<<10)
	bytes := 0
	var begin time.Time
	for start := time.Now(); ; {
		n, err := to.Read(buf)
		require.NoError(t, err)
		now := time.Now()
		switch {
		case now.Sub(start) < settle:
		case begin.IsZero():
			begin = now // with bytes that were not counted from here on
		default:
			bytes += n
			if took := now.Sub(begin); took >= measure {
				return float64(bytes) * 8 / took.Seconds()
			}
		}
	}
}
