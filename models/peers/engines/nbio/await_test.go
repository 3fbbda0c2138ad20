package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/models"
)

// The descriptors that happen to be free decide which poller a connection comes
// to; whatever they are, every poller has to be reached, with few of them.
func TestStartsWhateverDescriptorsAreFree(t *testing.T) {
	for loops := 1; loops <= 4; loops++ {
		for holes := range 1 << 4 {
			t.Run(fmt.Sprintf("%d loops, holes %04b", loops, holes), func(t *testing.T) {
				highest := leaveHoles(t, holes)
				limitDescriptors(t, highest+64)
				for range 2 {
					s, err := newServer(false)(models.Config{Network: "tcp4", Address: "127.0.0.1:0", Loops: loops, Service: models.Echo{}})
					require.NoError(t, err)
					require.NoError(t, s.Close())
				}
			})
		}
	}
}

// leaveHoles takes the lowest descriptors that are free, except those whose bit is
// set in holes, until the test ends, and returns the highest.
func leaveHoles(t *testing.T, holes int) (highest int) {
	var taken []int
	for range 32 {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		taken = append(taken, fd)
	}
	for i, fd := range taken {
		if i < 4 && holes&(1<<i) != 0 {
			require.NoError(t, unix.Close(fd))
			continue
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	return taken[len(taken)-1]
}

// limitDescriptors lets this process open none from n on, until the test ends.
func limitDescriptors(t *testing.T, n int) {
	var old unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	low := old
	low.Cur = uint64(n)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) })
}
