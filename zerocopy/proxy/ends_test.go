package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/zerocopy/proxy"
)

func TestTheEndOfTheClientsStreamIsPassedOnAndTheAnswerComesBack(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		addr := upstream(t, func(c *net.TCPConn) {
			all, err := io.ReadAll(c) // answers only when the question has ended
			assert.NoError(t, err)
			_, err = c.Write(append([]byte("you said "), all...))
			assert.NoError(t, err)
		})
		c := dial(t, start(t, models.Config{}, w, addr))
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, "you said hello", string(got))
	})
}

func TestTheEndOfTheUpstreamsStreamIsPassedOnAndTheClientMayGoOn(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		heard := make(chan string, 1)
		addr := upstream(t, func(c *net.TCPConn) {
			_, err := c.Write([]byte("go ahead"))
			assert.NoError(t, err)
			assert.NoError(t, c.CloseWrite())
			all, err := io.ReadAll(c)
			assert.NoError(t, err)
			heard <- string(all)
		})
		p := start(t, models.Config{}, w, addr)
		c := dial(t, p)
		got, err := io.ReadAll(c) // to the end, while this direction is open
		require.NoError(t, err)
		assert.Equal(t, "go ahead", string(got))
		_, err = c.Write([]byte("still here"))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		assert.Equal(t, "still here", within(t, heard))
		require.Eventually(t, func() bool { return p.Stats().Active == 0 }, patience, 5*time.Millisecond)
		assert.Zero(t, p.Stats().ConnErrors)
	})
}

// within receives from a channel, for a while.
func within[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Fail(t, "nothing came")
	}
	return v
}

func TestAResetByTheClientIsPassedOn(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		end := make(chan error, 1)
		addr := upstream(t, func(c *net.TCPConn) {
			buf := make([]byte, 16)
			for {
				n, err := c.Read(buf)
				if err != nil {
					end <- err
					return
				}
				_, _ = c.Write(buf[:n])
			}
		})
		p := start(t, models.Config{}, w, addr)
		c := dial(t, p)
		exchange(t, c, []byte("x")) // both connections are there
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		assert.ErrorIs(t, within(t, end), syscall.ECONNRESET)
		require.Eventually(t, func() bool { return p.Stats().ConnErrors == 1 }, patience, 5*time.Millisecond)
	})
}

func TestAResetByTheUpstreamIsPassedOn(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		addr := upstream(t, func(c *net.TCPConn) {
			buf := make([]byte, 16)
			n, err := c.Read(buf)
			assert.NoError(t, err)
			_, _ = c.Write(buf[:n])
			_, err = c.Read(buf)
			assert.NoError(t, err)
			assert.NoError(t, c.SetLinger(0))
		})
		p := start(t, models.Config{}, w, addr)
		c := dial(t, p)
		exchange(t, c, []byte("x"))
		_, err := c.Write([]byte("y"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 16))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		require.Eventually(t, func() bool {
			stats := p.Stats()
			return stats.ConnErrors == 1 && stats.Active == 0
		}, patience, 5*time.Millisecond)
	})
}

func TestAClientWhoseUpstreamIsNotThereIsReset(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		gone := l.Addr().String()
		require.NoError(t, l.Close())
		p := start(t, models.Config{}, w, gone)
		// The reset may come before the client has noticed that it is connected.
		c, err := net.DialTimeout("tcp", p.Addr().String(), patience)
		if err == nil {
			require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, c.Close())
		}
		assert.ErrorIs(t, err, syscall.ECONNRESET, "an end in order would look like an empty answer")
		require.Eventually(t, func() bool { return p.Stats().ConnErrors == 1 }, patience, 5*time.Millisecond)
	})
}

func TestAnIdleConnectionIsClosedAndABusyOneIsNot(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		t.Parallel()
		const idle = time.Second // room for a machine that has no time for us now and then
		p := start(t, models.Config{IdleTimeout: idle}, w, upstream(t, echo))
		busy, still := dial(t, p), dial(t, p)
		exchange(t, busy, []byte("x"))
		began := time.Now()
		exchange(t, still, []byte("x"))
		closed := make(chan error, 1)
		go func() {
			_, err := still.Read(make([]byte, 1))
			closed <- err
		}()
		tick := time.NewTicker(idle / 8)
		defer tick.Stop()
		over, alone := false, 0
		for alone < 4 { // exchanges after the other was closed, for half the time-out
			<-tick.C
			exchange(t, busy, []byte("x"))
			if over {
				alone++
				continue
			}
			select {
			case err := <-closed:
				assert.ErrorIs(t, err, io.EOF)
				assert.GreaterOrEqual(t, time.Since(began), idle)
				over = true
			default:
				require.Less(t, time.Since(began), patience, "the idle connection is still there")
			}
		}
		require.Eventually(t, func() bool { return p.Stats().IdleClosed == 1 }, patience, 5*time.Millisecond)
		assert.Zero(t, p.Stats().ConnErrors)
		exchange(t, busy, []byte("x"))
	})
}

func TestBeyondMaxConnsClientsWaitOrAreTurnedAway(t *testing.T) {
	w := proxy.Buffer
	var accepted atomic.Int64
	addr := upstream(t, func(c *net.TCPConn) {
		accepted.Add(1)
		echo(c)
	})
	t.Run("wait", func(t *testing.T) {
		p := start(t, models.Config{MaxConns: 1}, w, addr)
		first := dial(t, p)
		exchange(t, first, []byte("x"))
		second := dial(t, p)
		_, err := second.Write([]byte("y"))
		require.NoError(t, err)
		require.NoError(t, second.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		_, err = second.Read(make([]byte, 1))
		var late net.Error
		require.ErrorAs(t, err, &late)
		assert.True(t, late.Timeout(), "it has not been turned away")
		assert.EqualValues(t, 1, accepted.Load())

		require.NoError(t, first.Close())
		require.NoError(t, second.SetReadDeadline(time.Now().Add(patience)))
		got := make([]byte, 1)
		_, err = io.ReadFull(second, got)
		require.NoError(t, err)
		assert.Equal(t, "y", string(got))
	})
	t.Run("reject", func(t *testing.T) {
		p := start(t, models.Config{MaxConns: 1, OnLimit: models.Reject}, w, addr)
		first := dial(t, p)
		exchange(t, first, []byte("x"))
		_, err := dial(t, p).Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		assert.EqualValues(t, 1, p.Stats().Rejected)
		exchange(t, first, []byte("x"))
	})
}

func TestShutdownLetsTheUpstreamAnswerWhatHasArrived(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		addr := upstream(t, func(c *net.TCPConn) {
			all, err := io.ReadAll(c)
			assert.NoError(t, err)
			_, err = c.Write(all)
			assert.NoError(t, err)
		})
		p := start(t, models.Config{}, w, addr)
		c := dial(t, p)
		_, err := c.Write([]byte("question")) // and does not end its stream
		require.NoError(t, err)
		require.Eventually(t, func() bool { return p.Stats().Active == 1 }, patience, time.Millisecond)

		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done <- p.Shutdown(ctx)
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, "question", string(got))
		require.NoError(t, c.Close())
		assert.NoError(t, within(t, done))
		_, err = net.DialTimeout("tcp", p.Addr().String(), time.Second)
		assert.Error(t, err, "it still listens")
	})
}

func TestShutdownCutsWhatDoesNotEndInTime(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		stay := make(chan struct{})
		addr := upstream(t, func(*net.TCPConn) { <-stay })
		defer close(stay)
		p := start(t, models.Config{}, w, addr)
		c := dial(t, p)
		require.Eventually(t, func() bool { return p.Stats().Active == 1 }, patience, time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, p.Shutdown(ctx), context.DeadlineExceeded)
		_, err := c.Read(make([]byte, 1))
		assert.Error(t, err)
		assert.Zero(t, p.Stats().Active)
	})
}

func TestCloseWithoutServeAndASecondServeAreHarmless(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		p, err := proxy.New(models.Config{Service: models.Echo{}}, proxy.Options{Way: w, Upstream: "127.0.0.1:1"})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		assert.ErrorIs(t, p.Serve(), models.ErrServerClosed)
		assert.NoError(t, p.Shutdown(t.Context()))

		p = start(t, models.Config{}, w, upstream(t, echo))
		exchange(t, dial(t, p), []byte("x")) // Serve was called
		assert.ErrorContains(t, p.Serve(), "twice")
	})
}

func TestAProxyThatCannotBeIsAnErrorThatSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  models.Config
		o    proxy.Options
		says string
		is   error
	}{
		"no way":             {o: proxy.Options{Upstream: "127.0.0.1:1"}, says: `way "" is unknown`},
		"unknown way":        {o: proxy.Options{Way: "tee", Upstream: "127.0.0.1:1"}, says: `way "tee" is unknown`},
		"no upstream":        {o: proxy.Options{Way: proxy.Buffer}, says: `upstream "" is no address`},
		"upstream sans port": {o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1"}, says: "want host:port"},
		"time-out":           {o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1", DialTimeout: -1}, says: "dial time-out is -1ns"},
		"pipes":              {o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1", IdlePipes: -1}, says: "-1 idle pipes"},
		"congestion":         {o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1", Congestion: "tape"}, says: `congestion control "tape"`},
		"buffer":             {cfg: models.Config{ReadBuffer: -1}, o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1"}, says: "Config.ReadBuffer is -1"},
		"unix":               {cfg: models.Config{Network: "unix", Address: "/tmp/s"}, o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1"}, says: "Config.Network", is: models.ErrUnsupported},
		"backlog":            {cfg: models.Config{Backlog: 5}, o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1"}, says: "Config.Backlog is 5", is: models.ErrUnsupported},
		"listeners":          {cfg: models.Config{Listeners: 2}, o: proxy.Options{Way: proxy.Buffer, Upstream: "127.0.0.1:1"}, says: "Config.Listeners is 2", is: models.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Service = models.Echo{}
			p, err := proxy.New(c.cfg, c.o)
			require.ErrorContains(t, err, c.says)
			assert.Nil(t, p)
			if c.is != nil {
				assert.True(t, errors.Is(err, c.is), "%v", err)
			}
		})
	}
}

func TestAModelWithoutAnUpstreamSaysWhichVariableToSet(t *testing.T) {
	t.Setenv(proxy.EnvUpstream, "")
	for name, factory := range proxy.Models() {
		_, err := factory(models.Config{Service: models.Echo{}})
		assert.ErrorContains(t, err, proxy.EnvUpstream, name)
	}
}

// Many connections at once, each of which ends in the middle of a transfer in one of
// several ways: what is left is nothing, and the proxy goes on.
func TestConnectionsThatBreakAtAnyTimeLeaveNothingBehind(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		var turn atomic.Int64
		addr := upstream(t, func(c *net.TCPConn) {
			if turn.Add(1)%4 == 0 { // breaks itself after a while
				_, _ = io.CopyN(io.Discard, c, 100_000)
				_ = c.SetLinger(0)
				return
			}
			echo(c)
		})
		p := start(t, models.Config{ReadBuffer: proxy.Piece}, w, addr)
		var clients sync.WaitGroup
		for i := range 40 {
			c := dial(t, p)
			// A client that reads less than it sends may be stuck, once everything
			// between it and the echo is full.
			require.NoError(t, c.SetDeadline(time.Now().Add(3*time.Second)))
			clients.Go(func() {
				var reading sync.WaitGroup
				reading.Go(func() { _, _ = io.CopyN(io.Discard, c, min(int64(i)*20_000, 400_000)) })
				_, _ = c.Write(make([]byte, 500_000))
				reading.Wait()
				switch i % 3 {
				case 0:
					_ = c.SetLinger(0)
				case 1:
					_ = c.CloseWrite()
				}
				_ = c.Close()
			})
		}
		clients.Wait()
		require.Eventually(t, func() bool { return p.Stats().Active == 0 }, patience, 5*time.Millisecond)
		assert.EqualValues(t, 40, p.Stats().Accepted)
		assert.LessOrEqual(t, p.Pipes().Open, proxy.DefaultIdlePipes)
		h := p.Pipes()
		assert.Equal(t, h.Idle, h.Open)
	})
}
