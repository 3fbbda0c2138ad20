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

// within demands that a time is from the idle time-out to some parts more of it.
func within(t *testing.T, took, idle time.Duration, share float64) {
	t.Helper()
	assert.GreaterOrEqual(t, took, idle)
	assert.LessOrEqual(t, took, time.Duration(float64(idle)*(1+share)))
}

func TestIdleConnectionClosesAfterTheTimeoutAndSoonAfterIt(t *testing.T) {
	for _, idle := range []time.Duration{2 * time.Millisecond, time.Second, 30 * time.Second, time.Hour} {
		for _, pause := range []float64{0, 0.01, 0.031, 0.033, 0.3, 0.99} {
			synctest.Test(t, func(t *testing.T) {
				s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, IdleTimeout: idle})
				unused := l.connect()
				within(t, untilClosed(t, unused), idle, 0.04)

				used := l.connect()
				for range 50 {
					exchange(t, used, "hello")
					time.Sleep(time.Duration(pause * float64(idle)))
				}
				exchange(t, used, "hello")
				within(t, untilClosed(t, used), idle, 0.04)
				require.NoError(t, s.Close())
				assert.Equal(t, uint64(2), s.Stats().IdleClosed)
				assert.Zero(t, s.Stats().ConnErrors)
			})
		}
	}
}

func TestRequestThatTricklesInIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Second
		s, l, _ := pipeServer(t, models.Config{Service: models.Frame{}, IdleTimeout: idle})
		c := l.connect()
		_, err := c.Write([]byte{0, 0, 0, 50})
		require.NoError(t, err)
		for range 49 {
			time.Sleep(idle * 9 / 10)
			_, err := c.Write([]byte{'x'})
			require.NoError(t, err)
		}
		within(t, untilClosed(t, c), idle, 0.04)
		require.NoError(t, s.Close())
		assert.Equal(t, uint64(1), s.Stats().IdleClosed)
	})
}

func TestNoTimeoutMeansNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, IdleTimeout: models.NoLimit})
		c := l.connect()
		time.Sleep(10 * time.Hour)
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		_, err := io.WriteString(c, "a reply that is not read for long")
		require.NoError(t, err)
		time.Sleep(10 * time.Hour)
		got := make([]byte, 33)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		assert.Equal(t, "a reply that is not read for long", string(got))
		assert.Equal(t, uint64(1), s.Stats().Paused, "one pause, however long")
		require.NoError(t, s.Close())
	})
}

func TestPeerThatDoesNotReadIsIdle(t *testing.T) {
	for _, idle := range []time.Duration{time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, IdleTimeout: idle})
			c := l.connect()
			time.Sleep(idle / 3) // the deadlines are old by now
			_, err := io.WriteString(c, "hello")
			require.NoError(t, err)
			start := time.Now()
			for s.Stats().Active > 0 {
				time.Sleep(idle / 1000)
			}
			within(t, time.Since(start), idle, 0.1)
			assert.Equal(t, uint64(1), s.Stats().IdleClosed)
			assert.Equal(t, uint64(1), s.Stats().Paused)
			require.NoError(t, s.Close())
			require.NoError(t, c.Close())
		})
	}
}

func TestPeerThatReadsALongReplySlowlyIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Second
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, IdleTimeout: idle})
		c := l.connect()
		_, err := io.WriteString(c, "0123456789")
		require.NoError(t, err)
		for want := range byte(10) {
			time.Sleep(idle * 9 / 10)
			var got [1]byte
			_, err := c.Read(got[:])
			require.NoError(t, err)
			assert.Equal(t, '0'+want, got[0])
		}
		within(t, untilClosed(t, c), idle, 0.1)
		require.NoError(t, s.Close())
		assert.Equal(t, uint64(10), s.Stats().BytesOut)
	})
}

func TestWriteThatEndsLateLeavesTheWholeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Second
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, IdleTimeout: idle})
		c := l.connect()
		_, err := io.WriteString(c, "x")
		require.NoError(t, err)
		time.Sleep(idle * 95 / 100)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
		within(t, untilClosed(t, c), idle, 0.04)
		require.NoError(t, s.Close())
	})
}

func TestWorkIsNotIdling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Second
		s, l, _ := pipeServer(t, models.Config{
			Service: models.Waiting{Service: models.Echo{}, Delay: 10 * idle}, IdleTimeout: idle,
		})
		c := l.connect()
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		within(t, untilClosed(t, c), idle, 0.04)
		require.NoError(t, s.Close())
	})
}

func TestConnectionThatTheSessionClosesLingersForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Frame{Max: 10}})
		c := l.connect()
		_, err := c.Write([]byte{0, 0, 0, 11})
		require.NoError(t, err)
		start := time.Now()
		for { // a peer that goes on sending
			if _, err := c.Write([]byte("more")); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		assert.InDelta(t, lingerTime, time.Since(start), float64(20*time.Millisecond))
		assert.Equal(t, uint64(4), s.Stats().BytesIn, "what is discarded is not counted")
		require.NoError(t, s.Close())

		// A shutdown makes it shorter.
		s, l, _ = pipeServer(t, models.Config{Service: models.Frame{Max: 10}})
		c = l.connect()
		_, err = c.Write([]byte{0, 0, 0, 11})
		require.NoError(t, err)
		synctest.Wait()
		start = time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.LessOrEqual(t, time.Since(start), drainLinger+2*shortWait)
		assert.Zero(t, s.Stats().IdleClosed)
	})
}
