package peers_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv"
)

// allocsPerExchange is how many objects a peer allocates to echo a message, on
// average over some thousands on a few connections. What it costs to ask it is
// taken off.
func allocsPerExchange(t *testing.T, name, program string, size int) float64 {
	t.Helper()
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: name, Program: program, Service: "echo"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Kill()) })
	const conns, rounds = 4, 500
	var all [conns]net.Conn
	for i := range all {
		all[i], err = net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer all[i].Close()
		require.NoError(t, all[i].SetDeadline(time.Now().Add(time.Minute)))
	}
	message := make([]byte, size)
	exchange := func(times int) {
		for range times {
			for _, nc := range all {
				_, err := nc.Write(message)
				require.NoError(t, err)
				_, err = io.ReadFull(nc, message)
				require.NoError(t, err)
			}
		}
	}
	mallocs := func() uint64 {
		r, err := s.Runtime(t.Context())
		require.NoError(t, err)
		return r.Mallocs
	}
	exchange(50) // buffers grow, pools fill
	mallocs()    // the first costs more
	before := mallocs()
	start := mallocs()
	exchange(rounds)
	return (float64(mallocs()-start) - float64(start-before)) / (conns * rounds)
}

// Measured on Linux 6.18 with Go 1.26, objects per exchange: gnet and nbio 0 at all
// sizes; evio 0 at 64 B and 1 KiB and 2.0 at 16 KiB; netpoll 2.0 at all sizes, so
// long as the adapter adds nothing. An adapter that asks for buffers that are too
// small for what it has to answer adds three at 16 KiB to evio's and netpoll's,
// and would have the engine pay for it in a race.
func TestNoAdapterMakesItsEngineAllocate(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes map[int]float64 // the most that is right, by size of a message
	}{
		{"gnet", map[int]float64{64: 0.5, 1 << 10: 0.5, 16 << 10: 0.5}},
		{"nbio", map[int]float64{64: 0.5, 1 << 10: 0.5, 16 << 10: 0.5}},
		{"evio", map[int]float64{64: 0.5, 1 << 10: 0.5, 16 << 10: 3}},
		{"netpoll", map[int]float64{64: 3, 1 << 10: 3, 16 << 10: 3}},
	} {
		program := build(t, c.name)
		for size, most := range c.sizes {
			t.Run(fmt.Sprintf("%s/%d", c.name, size), func(t *testing.T) {
				assert.Less(t, allocsPerExchange(t, c.name, program, size), most)
			})
		}
	}
}
