package zerocopy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestConnectionsHaveTheCongestionControlThatWasAskedFor(t *testing.T) {
	closesAll(t)
	s, addr := serve(t, ServerConfig{File: material(t, 100), Congestion: "reno"}) // every kernel has it
	c := dial(t, addr)
	require.NoError(t, c.Fetch(Way{Kind: KindSendfile}, 100))
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.conns, 1)
	for conn := range s.conns {
		raw, err := conn.SyscallConn()
		require.NoError(t, err)
		var name string
		var fault error
		require.NoError(t, raw.Control(func(fd uintptr) {
			name, fault = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		}))
		require.NoError(t, fault)
		assert.Equal(t, "reno", name)
	}
}

func TestACongestionControlThatThereIsNotIsNamedInTheError(t *testing.T) {
	closesAll(t)
	_, err := NewFileServer(ServerConfig{File: material(t, 100), Congestion: "tape"})
	require.ErrorIs(t, err, unix.ENOENT)
	assert.Contains(t, err.Error(), `"tape"`)
	assert.Contains(t, err.Error(), "tcp_available_congestion_control")
}
