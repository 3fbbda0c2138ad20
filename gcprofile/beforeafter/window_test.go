package beforeafter

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var kept []*[64]byte // escapes

// allocate makes so many objects, and garbage of all but the last.
func allocate(objects int) {
	for range objects {
		kept = []*[64]byte{new([64]byte)}
	}
}

func TestAReadingIsOfItsOwnTimeAlone(t *testing.T) {
	allocate(300_000)
	for range 5 {
		runtime.GC()
	}
	w := &window{}
	var r *Reading
	require.Eventually(t, func() bool { // unless this process collects by itself meanwhile
		require.NoError(t, w.begin())
		allocate(1000)
		var err error
		r, err = w.end()
		require.NoError(t, err)
		return r.Collections == 0
	}, 20*time.Second, time.Millisecond)
	assert.GreaterOrEqual(t, r.Mallocs, uint64(1000))
	assert.Less(t, r.Mallocs, uint64(100_000))
	assert.Less(t, r.AllocBytes, uint64(64*100_000))
	assert.Zero(t, r.PauseTotal)
	assert.Zero(t, r.Cycles)
	assert.Zero(t, r.GCCPU, "what was used before is not counted")
	assert.Zero(t, r.BusyCPU)
	assert.Empty(t, r.Pauses)
}

var large []byte

func TestThePeakIsTheLargestHeapAndNotTheLast(t *testing.T) {
	const size = 64 << 20
	require.Eventually(t, func() bool { // a look at the heap may come late
		w := &window{}
		require.NoError(t, w.begin())
		large = make([]byte, size)
		<-time.After(3 * heapEvery)
		large = nil
		runtime.GC()
		<-time.After(5 * heapEvery)
		r, err := w.end()
		require.NoError(t, err)
		return r.PeakHeap >= size && r.LiveHeap < size
	}, 20*time.Second, time.Millisecond)
}
