package tcpserver_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/tcpserver"
	"netbench/models"
)

// allow sets how many descriptors this process may have, and returns how many it might.
func allow(t *testing.T, n uint64) (before uint64) {
	t.Helper()
	var r unix.Rlimit
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &r))
	before = r.Cur
	r.Cur = n
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &r, nil))
	return before
}

// lowest is the number that the next descriptor gets: all below it are taken.
func lowest(t *testing.T) uint64 {
	t.Helper()
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer f.Close()
	return uint64(f.Fd())
}

func TestWithoutDescriptorsAcceptIsTriedAgainAfterLongerAndLongerWaits(t *testing.T) {
	s := listen(t, models.Config{}, false)
	c := s.dial(t) // waits in the backlog
	before := allow(t, lowest(t))
	restored := false
	defer func() {
		if !restored {
			allow(t, before)
		}
	}()
	began := time.Now()
	s.serve(t)
	require.Eventually(t, func() bool { return s.Stats().AcceptErrors >= 5 }, patience, time.Millisecond)
	errors, took := s.Stats().AcceptErrors, time.Since(began)
	assert.GreaterOrEqual(t, took, 5*time.Millisecond*(1<<(errors-1)-1), "%d errors", errors)
	assert.Zero(t, s.Stats().Accepted)

	allow(t, before)
	restored = true
	exchange(t, c, "at last")
	assert.EqualValues(t, 1, s.Stats().Accepted)
}

func TestTransferredCountsWhatTheKernelHasMovedAndNothingOfAClosedConnection(t *testing.T) {
	assert.Zero(t, tcpserver.Transferred(nil))
	s := listen(t, models.Config{}, false)
	s.serve(t)
	c := s.dial(t)
	exchange(t, c, "hello")
	e := s.all()[0]
	// What was sent counts when it is acknowledged.
	require.Eventually(t, func() bool { return tcpserver.Transferred(e.c) >= 10 }, patience, time.Millisecond)
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return s.Stats().Active == 0 }, patience, time.Millisecond)
	assert.Zero(t, tcpserver.Transferred(e.c))
}
