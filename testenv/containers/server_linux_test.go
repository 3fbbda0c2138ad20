package containers

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv"
)

func TestAServerInAContainerIsAServerLikeAnyOther(t *testing.T) {
	engine(t)
	leaveNothing(t)
	s := startServer(t, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, Limits{CPUs: 0.5, Memory: 64 << 20})
	assert.Positive(t, s.Info().GoMaxProcs)
	t.Log(s.Info())
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, snap.Server.Accepted)
	used, err := s.CPU()
	require.NoError(t, err)
	assert.Positive(t, used)
	require.NoError(t, c.Close())
	require.NoError(t, s.Stop(t.Context()))
}
