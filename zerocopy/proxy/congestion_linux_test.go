package proxy

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/tcpserver"
	"netbench/models"
)

func TestBothConnectionsOfALinkHaveTheCongestionControlThatWasAskedFor(t *testing.T) {
	const control = "reno" // every kernel has it
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	cfg, err := models.Config{Service: models.Echo{}}.Validate()
	require.NoError(t, err)
	link := newLink(cfg, Options{Upstream: l.Addr().String(), DialTimeout: DefaultDialTimeout, Congestion: control}, buffered{1}, client.(*net.TCPConn))
	defer link.Cut()
	require.NoError(t, link.connect())
	a, b := link.connections()
	for _, c := range []*net.TCPConn{a, b} {
		require.NoError(t, tcpserver.OnDescriptor(c, func(fd int) error {
			name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			assert.Equal(t, control, name)
			return err
		}))
	}
	// What cannot be had is an error, not another one.
	link.opts.Congestion = "tape"
	require.ErrorIs(t, link.connect(), unix.ENOENT)
}
