package reactor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models/reactor"
	"netbench/testenv"
)

// TestABusyServerStillAnswersItsParent: a loop that never tells the scheduler of a
// system call must not keep everything else in its process from running, also not
// after the process has been idle and the runtime's monitor went to sleep.
func TestABusyServerStillAnswersItsParent(t *testing.T) {
	server, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: reactor.Name, Service: "echo+spin=20000", GoMaxProcs: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	target, err := load.ParseTarget(t.Context(), "tcp://"+server.Addr())
	require.NoError(t, err)
	session, err := load.Dial(t.Context(), load.Plan{Targets: []load.Target{target}, Conns: 20, Duration: 8 * time.Second})
	require.NoError(t, err)
	defer session.Close()
	<-time.After(200 * time.Millisecond) // the idle time that this is about

	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() {
		_, err := session.Run(ctx, load.Span{})
		ran <- err
	}()
	for range 5 {
		limited, done := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := server.Stats(limited)
		done()
		require.NoError(t, err)
	}
	select {
	case <-ran:
		assert.Fail(t, "the load was over before the server had answered")
	default:
	}
	cancel()
	require.NoError(t, <-ran)
	require.NoError(t, server.Stop(t.Context()))
}
