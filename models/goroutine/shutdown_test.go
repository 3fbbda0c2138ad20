package goroutine

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// Pipes cannot tell how much has arrived, so these tests also cover what the
// model does on platforms that cannot either.

func TestShutdownGivesARequestInPartTheTimeoutToComplete(t *testing.T) {
	const idle = 10 * time.Second
	for _, c := range []struct {
		timeout, pause time.Duration
		completes      bool
	}{
		{idle, idle * 9 / 10, true},
		{idle, 0, false},
		{models.NoLimit, 1000 * idle, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, l, served := pipeServer(t, models.Config{Service: models.Frame{}, IdleTimeout: c.timeout})
			nc := l.connect()
			_, err := nc.Write(frame(100)[:50])
			require.NoError(t, err)
			synctest.Wait()
			done := make(chan error, 1)
			start := time.Now()
			go func() { done <- s.Shutdown(context.Background()) }()
			assert.ErrorIs(t, <-served, models.ErrServerClosed, "Serve does not wait for the drain")
			time.Sleep(c.pause)
			if c.completes {
				_, err = nc.Write(frame(100)[50:])
				require.NoError(t, err)
				got, err := io.ReadAll(nc)
				require.NoError(t, err)
				assert.Equal(t, frame(100), got)
				require.NoError(t, <-done)
				assert.Zero(t, s.Stats().IdleClosed)
				return
			}
			untilClosed(t, nc)
			require.NoError(t, <-done)
			within(t, time.Since(start), idle, 0.05)
			assert.Equal(t, uint64(1), s.Stats().IdleClosed)
			assert.Zero(t, s.Stats().BytesOut)
		})
	}
}

func TestShutdownClosesIdleConnectionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Frame{}})
		unused, used := l.connect(), l.connect()
		request := string(frame(10))
		assert.Equal(t, request, exchange(t, used, request))
		synctest.Wait()
		start := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.LessOrEqual(t, time.Since(start), shortWait+drainLinger)
		assert.Zero(t, untilClosed(t, unused))
		assert.Zero(t, untilClosed(t, used))
		assert.Zero(t, s.Stats().IdleClosed)
		assert.Zero(t, s.Stats().ConnErrors)
	})
}

func TestShutdownWaitsForWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = time.Hour
		s, l, _ := pipeServer(t, models.Config{Service: models.Waiting{Service: models.Frame{}, Delay: delay}})
		nc := l.connect()
		_, err := nc.Write(frame(10))
		require.NoError(t, err)
		synctest.Wait()
		start := time.Now()
		go func() {
			got, err := io.ReadAll(nc)
			assert.NoError(t, err)
			assert.Equal(t, frame(10), got)
		}()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.GreaterOrEqual(t, time.Since(start), delay)
	})
}
