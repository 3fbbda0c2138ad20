package buffers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// met is a connection as a server has it, and as its peer has it.
func met(t *testing.T, serve func(*conn) error) (here *conn, there *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	require.NoError(t, peer.SetDeadline(time.Now().Add(20*time.Second)))
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &conn{tcp: c.(*net.TCPConn), serve: serve}, peer.(*net.TCPConn)
}

// sendUnread sends what the server will not have read when it ends the connection.
func sendUnread(t *testing.T, peer *net.TCPConn) {
	t.Helper()
	_, err := peer.Write(bytes.Repeat([]byte("x"), 50_000))
	require.NoError(t, err)
	require.NoError(t, peer.CloseWrite())
}

func TestTheLastReplyArrivesThoughInputIsUnread(t *testing.T) {
	for name, end := range map[string]func(*conn) error{
		"parting":  func(*conn) error { return errParting },
		"draining": func(c *conn) error { c.last = true; return os.ErrDeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := met(t, func(c *conn) error {
				if _, err := c.Write([]byte("bye")); err != nil {
					return err
				}
				return end(c)
			})
			sendUnread(t, peer)
			require.NoError(t, c.Serve(), "an end in order")
			got, err := io.ReadAll(peer)
			require.NoError(t, err, "no reset")
			assert.Equal(t, "bye", string(got))
		})
	}
}

// A peer that neither reads nor ends its stream must not hold a server up that drains.
func TestADrainEndsAPartingThatItsPeerDoesNot(t *testing.T) {
	parting := make(chan struct{})
	c, _ := met(t, func(*conn) error { close(parting); return errParting })
	served := make(chan error, 1)
	go func() { served <- c.Serve() }()
	<-parting
	began := time.Now()
	c.Drain()
	require.NoError(t, <-served)
	assert.Less(t, time.Since(began), partTime*3/4)
	assert.Error(t, c.tcp.SetDeadline(time.Time{}), "it is closed")
}

func TestAnErrorOfServingIsTold(t *testing.T) {
	broken := errors.New("broken")
	for want, given := range map[error]error{broken: broken, os.ErrDeadlineExceeded: os.ErrDeadlineExceeded} {
		c, _ := met(t, func(*conn) error { return given })
		assert.ErrorIs(t, c.Serve(), want)
	}
	c, _ := met(t, func(*conn) error { return io.EOF })
	assert.NoError(t, c.Serve(), "the peer has ended the stream")
}
