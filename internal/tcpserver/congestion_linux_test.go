package tcpserver_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/tcpserver"
	"netbench/models"
)

func TestAConnectionGetsTheCongestionControlAndThePacingThatAreAskedFor(t *testing.T) {
	const control, rate = "reno", 123_456_789 // every kernel has it
	require.NoError(t, tcpserver.CheckCongestion(control))
	s := listen(t, models.Config{}, false)
	s.serve(t)
	c := s.dial(t).(*net.TCPConn)
	require.NoError(t, tcpserver.SetCongestion(c, control))
	require.NoError(t, tcpserver.SetPacing(c, rate))
	require.NoError(t, tcpserver.OnDescriptor(c, func(fd int) error {
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil {
			return err
		}
		assert.Equal(t, control, name)
		got, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE)
		assert.EqualValues(t, rate, got)
		return err
	}))
	exchange(t, c, "it still works")
	require.NoError(t, c.Close())
	assert.ErrorIs(t, tcpserver.SetPacing(c, rate), net.ErrClosed)
}

func TestACongestionControlThatThereIsNotIsNamedInTheError(t *testing.T) {
	err := tcpserver.CheckCongestion("tape")
	require.ErrorIs(t, err, unix.ENOENT)
	assert.Contains(t, err.Error(), `"tape"`)
	assert.Contains(t, err.Error(), "tcp_available_congestion_control")
}
