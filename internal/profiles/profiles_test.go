package profiles

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestARecordingLeavesAWholeFileOfEachKindAndTheRatesAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	before := runtime.SetMutexProfileFraction(7)
	defer runtime.SetMutexProfileFraction(before)
	r, err := Begin(dir, Kinds)
	require.NoError(t, err)
	_, err = Begin(dir, []Kind{Heap})
	assert.ErrorContains(t, err, "already")
	contend()
	require.NoError(t, r.End())
	assert.ErrorContains(t, r.End(), "ended already")
	assert.Equal(t, 7, runtime.SetMutexProfileFraction(-1))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, len(Kinds), "nothing else")
	for _, k := range Kinds {
		info, err := os.Stat(filepath.Join(dir, k.FileName()))
		require.NoError(t, err)
		assert.Positive(t, info.Size(), k)
		assert.EqualValues(t, 0o644, info.Mode().Perm(), "as any other file")
	}
	waits()
	var text strings.Builder
	require.NoError(t, pprof.Lookup("block").WriteTo(&text, 1))
	assert.Contains(t, text.String(), "profiles.contend", "it was sampled")
	assert.NotContains(t, text.String(), "profiles.waits", "it is no longer")

	again, err := Begin(dir, []Kind{CPU, Trace})
	require.NoError(t, err, "one may follow another")
	require.NoError(t, again.End())
}

func TestWhatIsDiscardedOrFailsLeavesNoFileAndNoRate(t *testing.T) {
	dir := t.TempDir()
	before := runtime.SetMutexProfileFraction(7)
	defer runtime.SetMutexProfileFraction(before)
	r, err := Begin(dir, Kinds)
	require.NoError(t, err)
	require.NoError(t, r.Discard())
	require.NoError(t, r.Discard())
	assert.ErrorContains(t, r.End(), "ended already")
	require.NoError(t, trace.Start(io.Discard))
	_, err = Begin(dir, []Kind{Mutex, CPU, Trace})
	trace.Stop()
	assert.ErrorContains(t, err, "trace profile: ")
	assert.Equal(t, 7, runtime.SetMutexProfileFraction(-1))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)

	after, err := Begin(dir, []Kind{CPU})
	require.NoError(t, err)
	require.NoError(t, after.End())
	require.NoError(t, after.Discard())
	assert.FileExists(t, filepath.Join(dir, CPU.FileName()))
}

// waits waits for longer than a sampled wait takes.
//
//go:noinline
func waits() {
	c := make(chan int)
	time.AfterFunc(5*time.Millisecond, func() { close(c) })
	<-c
}

func TestAFileThatCannotBeNamedIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o755))
	r, err := Begin(dir, []Kind{CPU})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	assert.ErrorIs(t, r.End(), os.ErrNotExist)
	again, err := Begin(t.TempDir(), []Kind{CPU})
	require.NoError(t, err, "what failed holds nothing")
	require.NoError(t, again.End())
}

var held []byte

//go:noinline
func hold() { held = make([]byte, 64<<20) }

func TestAHeapProfileIsOfWhatIsLiveAtItsEnd(t *testing.T) {
	dir := t.TempDir()
	runtime.GC()
	r, err := Begin(dir, []Kind{Heap})
	require.NoError(t, err)
	hold()
	require.NoError(t, r.End())
	runtime.KeepAlive(held)
	held = nil
	table, err := Top(t.Context(), dir, Heap, 5)
	require.NoError(t, err)
	assert.Contains(t, table, "profiles.hold")
}

// contend makes goroutines wait for a lock.
func contend() {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				mu.Lock()
				runtime.Gosched()
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestBeginSaysWhatIsWrongAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := Begin(dir, nil)
	assert.ErrorContains(t, err, "no kind")
	_, err = Begin(dir, []Kind{CPU, "disk"})
	assert.ErrorContains(t, err, `"disk" is unknown (known: cpu,heap,`)
	_, err = Begin(filepath.Join(dir, "none"), []Kind{Mutex, CPU})
	assert.ErrorIs(t, err, os.ErrNotExist)
	r, err := Begin(dir, []Kind{Goroutine})
	require.NoError(t, err, "what failed holds nothing")
	require.NoError(t, r.End())
	table, err := Top(t.Context(), dir, Goroutine, 5)
	require.NoError(t, err)
	assert.Contains(t, table, "Type: goroutine")
	_, err = Top(t.Context(), dir, Heap, 5)
	assert.ErrorContains(t, err, "go tool pprof")
}
