package proxy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/testenv"
	"netbench/zerocopy/proxy"
)

// perConn is what an idle proxied connection holds.
type perConn struct {
	Sockets, PipeEnds, Pipes float64
	PipeBytes                float64 // capacity
	UserBytes                float64 // resident memory of the process, after a collection
	KernelBytes              float64 // slab of the whole host, so of both peers' sockets too
}

func (p perConn) descriptors() float64 { return p.Sockets + p.PipeEnds }

// held opens n connections through a proxy in a process of its own, uses each once,
// and tells what each holds then, as the slope between none and n.
func held(t testing.TB, w proxy.Way, upstream string, n int) perConn {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	spec := proxy.Spec(w, upstream)
	spec.CPUs, spec.StartTimeout = place.Server, time.Minute
	server, err := testenv.StartServer(t.Context(), spec)
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop(context.Background())) }()

	message := make([]byte, proxy.Piece) // so that a buffer is used to its end
	first := dialTo(t, server.Addr())
	exchange(t, first, message) // what is made once, such as the poller, is there
	require.NoError(t, first.Close())
	base, memory := settled(t, server, 0)
	slab := slabBytes(t)
	all := make([]*net.TCPConn, n)
	for i := range all {
		all[i] = dialTo(t, server.Addr())
		exchange(t, all[i], message)
	}
	now, grown := settled(t, server, n)
	kernel := slabBytes(t) - slab
	for _, c := range all {
		require.NoError(t, c.Close())
	}
	d := now.Sub(base)
	per := func(v int) float64 { return float64(v) / float64(n) }
	return perConn{
		Sockets: per(d.Sockets), PipeEnds: per(d.PipeEnds), Pipes: per(d.Pipes), PipeBytes: per(d.PipeBytes),
		UserBytes: (float64(grown) - float64(memory)) / float64(n), KernelBytes: kernel / float64(n),
	}
}

// slabBytes is the kernel's memory for objects that it cannot drop, which sockets and the
// rings of pipes are.
func slabBytes(t testing.TB) float64 {
	t.Helper()
	k, err := testenv.ReadKernelMemory()
	require.NoError(t, err)
	return float64(k.SlabUnreclaimable)
}

// settled waits until a server has so many connections, has collected its garbage,
// pipes of the standard library included, and is quiet.
func settled(t testing.TB, server *testenv.Server, conns int) (proxy.Holdings, uint64) {
	t.Helper()
	var snap testenv.Snapshot
	var before, now proxy.Holdings
	require.Eventually(t, func() bool {
		err := server.Collect(context.Background())
		if err == nil {
			snap, err = server.Stats(context.Background())
		}
		if err == nil {
			now, err = proxy.ReadHoldings(server.PID())
		}
		same := err == nil && now == before && snap.Server.Active == int64(conns)
		before = now
		return same
	}, patience, 20*time.Millisecond)
	require.NotNil(t, snap.Memory)
	return now, snap.Memory.Anonymous
}

func TestAnIdleProxiedConnectionHoldsWhatItsWaySays(t *testing.T) {
	addr := backend(t)
	const n = 25
	for w, want := range map[proxy.Way]struct{ sockets, pipes float64 }{
		proxy.Buffer: {2, 0},
		proxy.Splice: {2, 0},
		proxy.Copy:   {2, 2},
	} {
		t.Run("way="+string(w), func(t *testing.T) {
			got := held(t, w, addr, n)
			t.Logf("%+v", got)
			assert.InDelta(t, want.sockets, got.Sockets, 0, "sockets")
			// A pool may have made a pipe more on the way; it does not grow with
			// the connections.
			assert.InDelta(t, want.pipes, got.Pipes, 4.0/n, "pipes")
			assert.InDelta(t, 2*want.pipes, got.PipeEnds, 8.0/n, "descriptors of pipes")
			assert.InDelta(t, want.pipes*(1<<20), got.PipeBytes, 4.0/n*(1<<20), "capacity of pipes")
		})
	}
}

func TestReadHoldingsSeesWhatThisProcessOpensAndCloses(t *testing.T) {
	before := ownHoldings(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	now, err := proxy.ReadHoldings(os.Getpid())
	require.NoError(t, err)
	d := now.Sub(before)
	// The runtime opens its poller's descriptors, which are neither, with the first.
	assert.Equal(t, 1, d.Sockets)
	assert.Equal(t, 2, d.PipeEnds)
	assert.Equal(t, 1, d.Pipes)
	assert.Equal(t, 64<<10, d.PipeBytes, "what the kernel gives unasked")
	assert.GreaterOrEqual(t, d.Descriptors, 3)
	require.NoError(t, r.Close())
	require.NoError(t, w.Close())
	require.NoError(t, l.Close())
	after, err := proxy.ReadHoldings(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, proxy.Holdings{}, proxy.Holdings{
		Sockets: after.Sockets - before.Sockets, PipeEnds: after.PipeEnds - before.PipeEnds,
		Pipes: after.Pipes - before.Pipes, PipeBytes: after.PipeBytes - before.PipeBytes,
	})
}

func TestReadHoldingsOfAProcessThatIsNotThereIsAnError(t *testing.T) {
	_, err := proxy.ReadHoldings(1 << 30)
	assert.ErrorContains(t, err, "process 1073741824")
}

func TestPipesAreBorrowedOnlyWhileThereIsSomethingInThem(t *testing.T) {
	p := start(t, models.Config{ReadBuffer: proxy.Piece}, proxy.Splice, upstream(t, echo))
	for range 30 {
		exchange(t, dial(t, p), make([]byte, 1000))
	}
	require.Eventually(t, func() bool { h := p.Pipes(); return h.Open == h.Idle }, patience, time.Millisecond)
	h := p.Pipes()
	assert.EqualValues(t, 30, p.Stats().Active)
	assert.LessOrEqual(t, h.Open, 8, "one message at a time needs few pipes, however many connections there are")
	assert.Equal(t, h.Open*(64<<10), h.Bytes)
	assert.Empty(t, h.Short)
}

func TestAPipeWithBytesOfAConnectionThatFailedIsNotUsedAgain(t *testing.T) {
	const buffers, stuck = 16 << 10, 5
	var turn atomic.Int64
	addr := upstream(t, func(c *net.TCPConn) {
		if turn.Add(1) > stuck {
			echo(c)
			return
		}
		piece := bytes.Repeat([]byte("stale"), 10<<10)
		for {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	})
	p := start(t, models.Config{ReadBuffer: proxy.Piece, RecvBuffer: buffers, SendBuffer: buffers}, proxy.Splice, addr)
	var clients []*net.TCPConn
	for range stuck {
		clients = append(clients, dial(t, p)) // and reads nothing
	}
	var before uint64
	require.Eventually(t, func() bool {
		h, now := p.Pipes(), p.Stats().BytesOut
		still := h.Open-h.Idle == stuck && now > 0 && now == before
		before = now
		return still
	}, patience, 250*time.Millisecond, "not every connection is stuck")
	for _, c := range clients {
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { return p.Stats().Active == 0 }, patience, 5*time.Millisecond)
	h := p.Pipes()
	assert.Equal(t, h.Idle, h.Open)
	assert.EqualValues(t, h.Made-stuck, h.Open, "all pipes but those with something in them are kept")

	// Whatever pipes are used now, nothing comes out of them that was not put in. All
	// at once, so that all that are idle get used.
	var exchanging sync.WaitGroup
	for i := range 2*h.Open + 2 {
		c := dial(t, p)
		exchanging.Go(func() {
			message := bytes.Repeat([]byte{byte(i)}, 100_000)
			go func() { _, _ = c.Write(message) }()
			got := make([]byte, len(message))
			_, err := io.ReadFull(c, got)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(message, got), "what came back is not what was sent")
		})
	}
	exchanging.Wait()
}

func TestNoDescriptorIsLeft(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		before := ownHoldings(t)
		t.Run("serve", func(t *testing.T) {
			p := start(t, models.Config{ReadBuffer: proxy.Piece}, w, upstream(t, echo))
			for i := range 60 {
				c := dial(t, p)
				exchange(t, c, make([]byte, 10_000))
				switch i % 3 {
				case 0:
					require.NoError(t, c.Close())
				case 1:
					require.NoError(t, c.SetLinger(0))
					require.NoError(t, c.Close())
				default: // is left to Close of the proxy
				}
			}
		})
		require.Eventually(t, func() bool {
			runtime.GC()
			now, err := proxy.ReadHoldings(os.Getpid())
			return err == nil && now.Sockets <= before.Sockets && now.PipeEnds <= before.PipeEnds
		}, patience, 20*time.Millisecond)
	})
}

// ownHoldings is what this process holds once the standard library's pool of pipes is
// empty: a pipe in it survives a collection, and is closed some time after the next.
func ownHoldings(t *testing.T) (h proxy.Holdings) {
	t.Helper()
	same := 0
	require.Eventually(t, func() bool {
		runtime.GC()
		now, err := proxy.ReadHoldings(os.Getpid())
		if err != nil || now != h {
			h, same = now, 0
			return false
		}
		same++
		return same == 5
	}, patience, 10*time.Millisecond)
	return h
}
