package reuseport

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/testenv"
)

// allocsPerExchange is how many objects the processes of a server allocate in an
// exchange, on average over some thousands on a few connections. What it costs to
// ask them is taken off.
func allocsPerExchange(t *testing.T, model, service, request string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := testenv.StartServer(ctx, testenv.ServerSpec{Model: model, Service: service, Config: models.Config{Listeners: 2}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Kill()) })

	const conns, rounds = 8, 600
	reply := make([]byte, 1<<10)
	var all [conns]net.Conn
	var size int
	for i := range all {
		all[i] = dial(t, address(t, s))
		for range 20 { // buffers grow, pools fill
			_, err := io.WriteString(all[i], request)
			require.NoError(t, err)
			size, err = all[i].Read(reply) // short enough to come whole
			require.NoError(t, err)
		}
	}
	mallocs := func() uint64 {
		r, err := s.Runtime(ctx)
		require.NoError(t, err)
		return r.Mallocs
	}
	mallocs() // the first costs more
	before := mallocs()
	start := mallocs()
	for range rounds {
		for _, nc := range all {
			_, err := io.WriteString(nc, request)
			require.NoError(t, err)
			_, err = io.ReadFull(nc, reply[:size])
			require.NoError(t, err)
		}
	}
	return (float64(mallocs()-start) - float64(start-before)) / (conns * rounds)
}

func TestExchangeAllocatesNothingInAnyProcess(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	requests := map[string]string{
		"echo": "hello, world",
		"http": "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n",
	}
	for _, model := range spreadModels() {
		for service, request := range requests {
			t.Run(model+"/"+service, func(t *testing.T) {
				assert.InDelta(t, 0, allocsPerExchange(t, model, service, request), 0.05)
			})
		}
	}
	t.Run("an allocation is seen", func(t *testing.T) {
		assert.InDelta(t, 1, allocsPerExchange(t, "wasteful", "echo", requests["echo"]), 0.05)
	})
}
