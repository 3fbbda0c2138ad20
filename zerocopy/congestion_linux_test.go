package zerocopy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestConnectionsHaveTheCongestionControlAndThePacingThatWereAskedFor(t *testing.T) {
	closesAll(t)
	const rate = 123_456_789
	s, addr := serve(t, ServerConfig{File: material(t, 100), Congestion: unpaced, Pacing: rate})
	c := dial(t, addr)
	require.NoError(t, c.Fetch(Way{Kind: KindSendfile}, 100))
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.conns, 1)
	for conn := range s.conns {
		require.NoError(t, onDescriptor(conn, func(fd int) error {
			name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			if assert.NoError(t, err) {
				assert.Equal(t, unpaced, name)
			}
			got, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE)
			assert.EqualValues(t, rate, got)
			return err
		}))
	}
}

func TestACongestionControlThatThereIsNotIsNamedInTheError(t *testing.T) {
	closesAll(t)
	_, err := NewFileServer(ServerConfig{File: material(t, 100), Congestion: "tape"})
	require.ErrorIs(t, err, unix.ENOENT)
	assert.Contains(t, err.Error(), `"tape"`)
	assert.Contains(t, err.Error(), "tcp_available_congestion_control")
}
