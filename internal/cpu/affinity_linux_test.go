package cpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunOnMovesOneThreadAndBringsItBack(t *testing.T) {
	initial, err := Initial()
	require.NoError(t, err)
	require.NotEmpty(t, initial)
	last := initial[len(initial)-1]
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	told := errors.New("told to fail")
	err = RunOn([]int{last}, func() error {
		got, err := Thread(0)
		require.NoError(t, err)
		assert.Equal(t, []int{last}, got)
		return told
	})
	assert.Equal(t, told, err)
	got, err := Thread(0)
	require.NoError(t, err)
	assert.Equal(t, initial, got)
}

func TestRunOnRefusesCPUsThatAreNotThere(t *testing.T) {
	never := func() error { t.Error("called on the wrong CPUs"); return nil }
	initial, err := Initial()
	require.NoError(t, err)
	beyond := maxCPUs - 1
	assert.ErrorContains(t, RunOn([]int{beyond}, never), "none of them may be used here")
	assert.ErrorContains(t, RunOn([]int{initial[0], beyond}, never), fmt.Sprintf("allows only %d of them", initial[0]))
	assert.ErrorContains(t, RunOn([]int{maxCPUs}, never), "this host has fewer")
	assert.ErrorContains(t, PinProcess(nil), "no CPU given")
}

func TestPinProcessMovesEveryThreadAlsoNewOnes(t *testing.T) {
	initial, err := Initial()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, PinProcess(initial)) })

	// Threads that come and go meanwhile, as locked goroutines that end so.
	stop := make(chan struct{})
	var churn sync.WaitGroup
	for range 4 {
		churn.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ended := make(chan struct{})
				go func() {
					runtime.LockOSThread() // and never unlocked: the thread ends
					close(ended)
				}()
				<-ended
			}
		})
	}
	target := []int{initial[len(initial)-1]}
	err = PinProcess(target)
	moved := everyThread(t, target)
	close(stop)
	churn.Wait()
	require.NoError(t, err)
	assert.True(t, moved)
	assert.True(t, everyThread(t, target), "threads made later inherit the set")
	still, err := Initial()
	require.NoError(t, err)
	assert.Equal(t, initial, still, "the initial set is remembered")
}

func everyThread(t *testing.T, want []int) bool {
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		require.NoError(t, err)
		got, err := Thread(tid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		require.NoError(t, err)
		if !slices.Equal(got, want) {
			return false
		}
	}
	return true
}

func TestCoreNamesTheSameCoreForItsThreads(t *testing.T) {
	initial, err := Initial()
	require.NoError(t, err)
	for _, c := range initial {
		assert.NotEmpty(t, Core(c))
	}
	assert.Equal(t, "8000", Core(8000), "a CPU the kernel does not know is alone")
}
