package faults_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/testenv/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something that has to happen may take on a busy machine.
const patience = 30 * time.Second

// echoServer sends back what it gets, and the end of the stream after its end. It
// tells how each connection ended.
func echoServer(t *testing.T) (addr string, ends <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 100)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				b := make([]byte, 32<<10)
				for {
					n, err := c.Read(b)
					if n > 0 {
						if _, err := c.Write(b[:n]); err != nil {
							ended <- err
							return
						}
					}
					if err != nil {
						ended <- err
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String(), ended
}

// proxy is one before a server, closed when the test ends, with nothing left.
func proxy(t *testing.T, upstream string) *faults.Stream {
	t.Helper()
	s, err := faults.New(t.Context(), upstream)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *faults.Stream) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c.(*net.TCPConn)
}

// exchange sends text and insists on getting it back.
func exchange(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// wasReset insists on an end that is no orderly one.
func wasReset(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	assert.NotErrorIs(t, err, io.EOF)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

// silent insists that nothing comes for a while.
func silent(t *testing.T, c *net.TCPConn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "%d bytes came", n)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
}

// end receives how a connection ended at the server.
func end(t *testing.T, ends <-chan error) error {
	t.Helper()
	select {
	case err := <-ends:
		return err
	case <-time.After(patience):
		t.Fatal("the server's connection goes on")
		return nil
	}
}

func TestWithoutFaultsBytesAndEndsPass(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	c := dial(t, s)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got), "%d bytes of %d came after the sender had closed its half", len(got), len(sent))
	assert.ErrorIs(t, end(t, ends), io.EOF)
	assert.Equal(t, 1, s.Accepted())
}

func TestResetResetsBothSidesAndWhoComesLaterUntilItHeals(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	a, b := dial(t, s), dial(t, s)
	exchange(t, a, "a")
	exchange(t, b, "b")
	s.Reset()
	wasReset(t, a)
	wasReset(t, b)
	assert.NotErrorIs(t, end(t, ends), io.EOF)
	assert.NotErrorIs(t, end(t, ends), io.EOF)
	// The reset may meet a client before it knows that it is connected.
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		wasReset(t, c)
		c.Close()
	}
	s.Heal()
	exchange(t, dial(t, s), "again")
}

func TestAStallHoldsBytesAndEndsAndLosesNothing(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	open := dial(t, s)
	exchange(t, open, "before")
	s.Stall()
	s.Stall() // changes nothing
	later := dial(t, s)
	for _, c := range []*net.TCPConn{open, later} {
		_, err := io.WriteString(c, "during")
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		silent(t, c)
	}
	assert.Empty(t, ends)
	s.Heal()
	for _, c := range []*net.TCPConn{open, later} {
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, "during", string(got))
		assert.ErrorIs(t, end(t, ends), io.EOF)
	}
}

func TestSlowCloseDelaysTheEndAndNotTheBytes(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	const delay = 200 * time.Millisecond
	require.NoError(t, s.SlowClose(time.Hour))
	require.NoError(t, s.SlowClose(delay), "the newer one holds")
	c := dial(t, s)
	began := time.Now()
	exchange(t, c, "at once")
	closed := time.Now()
	require.NoError(t, c.CloseWrite())
	assert.ErrorIs(t, end(t, ends), io.EOF)
	assert.GreaterOrEqual(t, time.Since(closed), delay)
	_, err := c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	assert.GreaterOrEqual(t, time.Since(closed), 2*delay, "there and back")
	t.Logf("the exchange took %v, both ends %v", closed.Sub(began), time.Since(closed))
}

func TestHealingEndsADelayedCloseAtOnce(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	require.NoError(t, s.SlowClose(time.Hour))
	c := dial(t, s)
	exchange(t, c, "x")
	require.NoError(t, c.CloseWrite())
	silent(t, c)
	s.Heal()
	assert.ErrorIs(t, end(t, ends), io.EOF)
	_, err := c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestCutAfterPassesExactlySoManyBytes(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	open := dial(t, s)
	exchange(t, open, "this does not count")
	const limit = 100_000
	require.NoError(t, s.CutAfter(limit))
	for _, c := range []*net.TCPConn{open, dial(t, s)} {
		sending := make(chan struct{})
		go func() {
			defer close(sending)
			for i := 0; i < 1000; i++ {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		n, _ := io.Copy(io.Discard, c) // an end, or a reset as it is still sending
		assert.LessOrEqual(t, n, int64(limit))
		assert.Positive(t, n)
		<-sending
		end(t, ends)
	}
	// Who sends no more than that gets all of it, and an orderly end.
	c := dial(t, s)
	_, err := c.Write(make([]byte, limit))
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, c)
	require.NoError(t, err)
	assert.Equal(t, int64(limit), n)
	end(t, ends)
	s.Heal()
	whole := dial(t, s)
	exchange(t, whole, string(make([]byte, 2*limit)))
}

func TestFaultsAddUpAndHealTogether(t *testing.T) {
	upstream, _ := echoServer(t)
	s := proxy(t, upstream)
	s.Stall()
	require.NoError(t, s.CutAfter(4))
	c := dial(t, s)
	_, err := io.WriteString(c, "12345678")
	require.NoError(t, err)
	silent(t, c)
	s.Heal()
	got := make([]byte, 8)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err, "the limit is healed, too")
	assert.Equal(t, "12345678", string(got))
}

func TestAStallLosesNothingOfWhatNobodyReads(t *testing.T) {
	upstream, _ := echoServer(t)
	s := proxy(t, upstream)
	c := dial(t, s)
	sent := make([]byte, 24<<20) // more than all buffers hold
	for i := range sent {
		sent[i] = byte(i >> 10)
	}
	sending := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		sending <- errors.Join(err, c.CloseWrite())
	}()
	for range 20 {
		s.Stall()
		s.Heal()
	}
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.NoError(t, <-sending)
	assert.True(t, bytes.Equal(sent, got), "%d bytes of %d came", len(got), len(sent))
}

func TestWhoComesAfterLeadGetsToTheOtherServer(t *testing.T) {
	first, firstEnds := echoServer(t)
	second, secondEnds := echoServer(t)
	s := proxy(t, first)
	say := func(c net.Conn) {
		t.Helper()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		require.NoError(t, err)
	}
	old, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	say(old)
	require.NoError(t, s.Lead(second))
	young, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	say(young)
	say(old)
	require.NoError(t, young.Close())
	<-secondEnds
	assert.Empty(t, firstEnds, "the first has its connection still")
	require.NoError(t, old.Close())
	<-firstEnds
	assert.ErrorContains(t, s.Lead("nowhere"), "want host:port")
}

func TestAClientWhoseServerIsNotThereIsReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	s := proxy(t, refusing)
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		wasReset(t, c)
		c.Close()
	}
}

func TestAResetOfAPeerReachesTheOther(t *testing.T) {
	upstream, ends := echoServer(t)
	s := proxy(t, upstream)
	c := dial(t, s)
	exchange(t, c, "x")
	require.NoError(t, c.SetLinger(0))
	require.NoError(t, c.Close())
	assert.NotErrorIs(t, end(t, ends), io.EOF)
}

func TestCloseLeavesNothingWhateverWasUnderWay(t *testing.T) {
	for name, spoil := range map[string]func(*faults.Stream){
		"no fault":   func(*faults.Stream) {},
		"stall":      (*faults.Stream).Stall,
		"slow close": func(s *faults.Stream) { assert.NoError(t, s.SlowClose(time.Hour)) },
		"cut":        func(s *faults.Stream) { assert.NoError(t, s.CutAfter(1000)) },
		"reset":      (*faults.Stream).Reset,
		"several": func(s *faults.Stream) {
			s.Stall()
			assert.NoError(t, errors.Join(s.SlowClose(time.Hour), s.CutAfter(1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			upstream, _ := echoServer(t)
			before := descriptors(t)
			s, err := faults.New(t.Context(), upstream)
			require.NoError(t, err)
			var conns []net.Conn
			var sending sync.WaitGroup
			for range 10 {
				c, err := net.Dial("tcp", s.Addr())
				require.NoError(t, err)
				conns = append(conns, c)
				// It sends more than all buffers hold, and reads nothing.
				sending.Go(func() {
					for {
						if _, err := c.Write(make([]byte, 64<<10)); err != nil {
							return
						}
					}
				})
			}
			require.Eventually(t, func() bool { return s.Accepted() == 10 }, patience, time.Millisecond)
			spoil(s)
			s.Close()
			s.Close()
			for _, c := range conns {
				c.Close()
			}
			sending.Wait()
			require.Eventually(t, func() bool { return descriptors(t) <= before }, patience, 10*time.Millisecond, "descriptors were left open")
			_, err = net.Dial("tcp", s.Addr())
			assert.Error(t, err)
			s.Stall() // and the like does nothing any more
			s.Heal()
		})
	}
	goleak.VerifyNone(t)
}

func TestTheProxyEndsWithItsContext(t *testing.T) {
	upstream, _ := echoServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := faults.New(ctx, upstream)
	require.NoError(t, err)
	c := dial(t, s)
	exchange(t, c, "x")
	cancel()
	wasReset(t, c)
	s.Close()
}

func TestBadInputIsRefused(t *testing.T) {
	for _, upstream := range []string{"", "host", "host:"} {
		_, err := faults.New(t.Context(), upstream)
		assert.ErrorContains(t, err, "want host:port", upstream)
	}
	upstream, _ := echoServer(t)
	s := proxy(t, upstream)
	assert.ErrorContains(t, s.CutAfter(0), "want 1 or more")
	assert.ErrorContains(t, s.SlowClose(0), "want more than 0")
}

// descriptors counts those of this process, 0 where it cannot.
func descriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
