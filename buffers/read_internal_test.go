//go:build unix

package buffers

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// watched lends memory and tells how much was wanted last, and how much is lent.
type watched struct {
	want, lent atomic.Int64
}

func (w *watched) lend(want int) []byte {
	w.want.Store(int64(want))
	w.lent.Add(1)
	return make([]byte, want)
}

func (w *watched) giveBack() { w.lent.Store(0) }

func TestAConnectionBorrowsWhatItsMessagesNeedAndNothingBetweenThem(t *testing.T) {
	var from watched
	s, err := design{"watched", "echo", func(cfg models.Config) (func(*conn) error, error) {
		return func(c *conn) error { return echoWhenReady(c, &from, cfg.ReadBuffer) }, nil
	}}.factory(models.Config{Service: models.Echo{}, ReadBuffer: 8192})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	defer func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
	}()
	c, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	exchange := func(size int) {
		sent, got := bytes.Repeat([]byte{7}, size), make([]byte, size)
		_, err := c.Write(sent)
		require.NoError(t, err)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, sent, got)
		require.Eventually(t, func() bool { return from.lent.Load() == 0 }, 5*time.Second, 100*time.Microsecond,
			"memory is lent while there is no input")
	}
	exchange(10)
	assert.EqualValues(t, firstWant, from.want.Load())
	for n := 0; from.want.Load() < 8192; n++ {
		require.Less(t, n, 200, "large messages do not make it borrow more than %d", from.want.Load())
		exchange(20_000)
	}
	for n := 0; from.want.Load() > firstWant; n++ {
		require.Less(t, n, 6*fewReads, "small messages do not make it borrow less than %d", from.want.Load())
		exchange(10)
	}
}
