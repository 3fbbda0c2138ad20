package zerocopy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/tcpserver"
)

func TestConnectionsHaveTheCongestionControlAndThePacingThatWereAskedFor(t *testing.T) {
	closesAll(t)
	const rate = 123_456_789
	server, err := NewFileServer(ServerConfig{File: material(t, 100), Congestion: unpaced, Pacing: rate})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	near, far := pair(t)
	served := make(chan error, 1)
	go func() { served <- (&session{server: server, conn: near}).serve() }()
	require.NoError(t, newFileClient(far).Fetch(Way{Kind: KindSendfile}, 100))
	require.NoError(t, tcpserver.OnDescriptor(near, func(fd int) error {
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if assert.NoError(t, err) {
			assert.Equal(t, unpaced, name)
		}
		got, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE)
		assert.EqualValues(t, rate, got)
		return err
	}))
	require.NoError(t, far.Close())
	require.NoError(t, <-served)
}
