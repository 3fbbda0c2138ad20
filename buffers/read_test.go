package buffers_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// started starts a server in a process of its own.
func started(t *testing.T, spec testenv.ServerSpec) *testenv.Server {
	t.Helper()
	spec.StartTimeout = time.Minute // on a machine that has other work
	s, err := testenv.StartServer(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

// session opens connections to a server, which are closed at the end of the test.
func session(t *testing.T, s *testenv.Server, scheme string, p load.Plan) *load.Session {
	t.Helper()
	target, err := load.ParseTarget(t.Context(), scheme+"://"+s.Addr())
	require.NoError(t, err)
	p.Targets = []load.Target{target}
	opened, err := load.Dial(t.Context(), p)
	require.NoError(t, err)
	t.Cleanup(opened.Close)
	return opened
}

// run makes a number of requests, of which none may fail.
func run(t *testing.T, s *load.Session, requests int64) {
	t.Helper()
	r, err := s.Run(t.Context(), load.Span{Requests: requests})
	require.NoError(t, err)
	require.Zero(t, r.Lost, "%v", r.Reasons)
	require.Empty(t, r.FirstError)
	require.GreaterOrEqual(t, r.Answered, requests)
}

func TestWhoAllocatesForEachReadAndWhoDoesNot(t *testing.T) {
	const requests = 4000
	known := buffers.Models()
	for name, allocates := range map[string]bool{
		buffers.ReadEach: true, buffers.ReadConn: false, buffers.ReadBlocked: false,
		buffers.ReadSync: false, buffers.ReadValue: true, buffers.ReadClasses: false,
	} {
		if known[name] == nil {
			continue // not on this platform
		}
		t.Run(name, func(t *testing.T) {
			if raceOn && (name == buffers.ReadSync || name == buffers.ReadBlocked) {
				t.Skip("under the race detector a sync.Pool drops a part of what is put back")
			}
			s := started(t, testenv.ServerSpec{Model: name, Service: "echo", Config: models.Config{ReadBuffer: 16 << 10}})
			conns := session(t, s, "tcp", load.Plan{Conns: 4, Size: 64})
			run(t, conns, 500)
			before, err := s.Runtime(t.Context())
			require.NoError(t, err)
			run(t, conns, requests)
			after, err := s.Runtime(t.Context())
			require.NoError(t, err)
			objects := float64(after.Mallocs-before.Mallocs) / requests
			bytes := float64(after.AllocBytes-before.AllocBytes) / requests
			if allocates {
				assert.GreaterOrEqual(t, objects, 0.95)
			} else {
				assert.Less(t, objects, 0.5)
				assert.Less(t, bytes, 2048.0, "some buffers, when a collection has emptied the pool")
			}
			if name == buffers.ReadEach {
				assert.GreaterOrEqual(t, bytes, 0.95*(16<<10))
			}
		})
	}
}

// An idle connection of a server that reads into a buffer of its own, or into one that it
// borrowed before it began to wait, holds one. The pool alone saves nothing.
func TestWhoHoldsABufferForAnIdleConnection(t *testing.T) {
	const conns, size = 100, 64 << 10
	known := buffers.Models()
	for name, holds := range map[string]bool{
		buffers.ReadConn: true, buffers.ReadEach: true, buffers.ReadBlocked: true,
		buffers.ReadSync: false, buffers.ReadValue: false, buffers.ReadClasses: false,
	} {
		if known[name] == nil {
			continue // not on this platform
		}
		t.Run(name, func(t *testing.T) {
			s := started(t, testenv.ServerSpec{Model: name, Service: "echo", Config: models.Config{ReadBuffer: size}})
			all := session(t, s, "tcp", load.Plan{Conns: conns, Size: 64})
			run(t, all, 4*conns)
			require.NoError(t, s.Collect(t.Context()))
			r, err := s.Runtime(t.Context())
			require.NoError(t, err)
			if holds {
				assert.GreaterOrEqual(t, r.HeapLive, uint64(conns*size))
			} else {
				assert.Less(t, r.HeapLive, uint64(conns*size/2))
			}
		})
	}
}
