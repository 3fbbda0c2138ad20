package counters

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
)

func TestLargestReadIsTheMostBytesOfOneCall(t *testing.T) {
	// Threads that are made later are not watched.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer f.Close()
	n, err := LargestRead(os.Getpid(), func() error {
		for _, size := range []int{100, 54_321, 7} {
			if _, err := f.Read(make([]byte, size)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		needs.Skip(t, needs.Perf, err)
	}
	assert.Equal(t, 54_321, n)
}

func TestLargestReadReturnsTheErrorOfWhatItWatched(t *testing.T) {
	failed := errors.New("failed")
	_, err := LargestRead(os.Getpid(), func() error { return failed })
	if !errors.Is(err, failed) {
		needs.Skip(t, needs.Perf, err)
	}
	_, err = LargestRead(1<<30, func() error { return nil })
	assert.Error(t, err, "there is no such process")
}
