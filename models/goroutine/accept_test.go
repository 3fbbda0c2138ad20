package goroutine

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

func TestFailingAcceptIsRetriedAfterLongerAndLongerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}})
		start := time.Now()
		const failures = 11
		for range failures {
			l.fail(errNoDescriptors)
		}
		c := l.connect()
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		due := time.Duration(0)
		for i, wait := range []time.Duration{0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000} {
			due += wait * time.Millisecond
			assert.Equal(t, due, l.accepted()[i].Sub(start), "try %d", i)
		}
		assert.Equal(t, uint64(failures), s.Stats().AcceptErrors)

		// Success has reset the wait.
		synctest.Wait()
		start = time.Now()
		l.fail(errNoDescriptors)
		c2 := l.connect()
		assert.Equal(t, "again", exchange(t, c2, "again"))
		assert.Equal(t, 5*time.Millisecond, time.Since(start))
		require.NoError(t, s.Close())
		require.NoError(t, c.Close())
		require.NoError(t, c2.Close())
	})
}

func TestCloseAndShutdownInterruptTheWaitForDescriptors(t *testing.T) {
	for _, end := range []func(*server) error{
		(*server).Close,
		func(s *server) error { return s.Shutdown(context.Background()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, l, served := pipeServer(t, models.Config{Service: models.Echo{}})
			for range 10 {
				l.fail(errNoDescriptors)
			}
			time.Sleep(2 * time.Second) // within a wait of one second
			start := time.Now()
			require.NoError(t, end(s))
			assert.ErrorIs(t, <-served, models.ErrServerClosed)
			assert.LessOrEqual(t, time.Since(start), 2*shortWait)
		})
	}
}

func TestServeReturnsWhatMakesTheListenerUseless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, served := pipeServer(t, models.Config{Service: models.Echo{}})
		c := l.connect()
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		broken := errors.New("the cable was cut")
		l.fail(broken)
		err := <-served
		require.ErrorIs(t, err, broken)
		assert.NotErrorIs(t, err, models.ErrServerClosed)
		assert.Contains(t, err.Error(), "accept on pipe")
		assert.Equal(t, "still", exchange(t, c, "still"), "what was accepted is served on")

		require.NoError(t, c.Close())
		require.NoError(t, s.Shutdown(context.Background()))
	})
}

func TestServeIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, served := pipeServer(t, models.Config{Service: models.Echo{}})
		synctest.Wait()
		err := s.Serve()
		require.Error(t, err)
		assert.NotErrorIs(t, err, models.ErrServerClosed)
		require.NoError(t, s.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
		assert.ErrorIs(t, s.Serve(), models.ErrServerClosed)
	})
}

func TestCloseAndShutdownEndServeThatWaitsForASlot(t *testing.T) {
	for _, end := range []func(*server) error{
		(*server).Close,
		func(s *server) error { return s.Shutdown(context.Background()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, l, served := pipeServer(t, models.Config{Service: models.Echo{}, MaxConns: 1})
			c := l.connect()
			assert.Equal(t, "hello", exchange(t, c, "hello"))
			synctest.Wait()
			assert.Len(t, l.accepted(), 1, "no accept without a slot")
			require.NoError(t, end(s))
			assert.ErrorIs(t, <-served, models.ErrServerClosed)
			require.NoError(t, c.Close())
		})
	}
}

func TestFailedAcceptGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, MaxConns: 2})
		for range 5 {
			l.fail(errNoDescriptors)
		}
		c, c2 := l.connect(), l.connect()
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		assert.Equal(t, "you", exchange(t, c2, "you"))
		assert.EqualValues(t, 2, s.Stats().Active)
		require.NoError(t, s.Close())
		require.NoError(t, c.Close())
		require.NoError(t, c2.Close())
	})
}

func TestRejectedConnectionEndsWithoutAByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := pipeServer(t, models.Config{Service: models.Echo{}, MaxConns: 1, OnLimit: models.Reject})
		c := l.connect()
		assert.Equal(t, "hello", exchange(t, c, "hello"))
		for range 3 {
			assert.Zero(t, untilClosed(t, l.connect()), "at once")
		}
		stats := s.Stats()
		assert.Equal(t, uint64(3), stats.Rejected)
		assert.Equal(t, uint64(1), stats.Accepted)
		require.NoError(t, c.Close())
		synctest.Wait()
		c = l.connect()
		assert.Equal(t, "again", exchange(t, c, "again"))
		require.NoError(t, s.Close())
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	})
}
