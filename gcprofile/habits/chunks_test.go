package habits

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recordsOf makes a record of each byte of a text.
func recordsOf(text string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i := range min(len(text), 500) {
			if !yield(Record{ID: uint64(i), Region: text[i] % regions, Amount: int64(text[i]), Note: []byte(text[:i%7])}) {
				return
			}
		}
	}
}

func TestChunkedComputesWhatWholeDoes(t *testing.T) {
	for _, n := range []int{0, 1, 999, 1000, 1001, 5000, 12_345} {
		want := Whole(Records(n))
		assert.EqualValues(t, n, want.Records)
		for _, c := range []Chunking{{}, {Size: 1, Workers: 3}, {Size: 7, Workers: 1}, {Size: 100_000, Workers: 4}, {Size: 1000, Workers: 16}} {
			got, err := Chunked(t.Context(), Records(n), c)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%d records, %+v", n, c)
		}
	}
}

func TestADigestTellsRecordsApart(t *testing.T) {
	base := Record{ID: 1, Region: 2, Amount: 3, Note: []byte("note")}
	seen := map[uint64]bool{prepare(base).digest: true}
	for _, change := range []func(*Record){
		func(r *Record) { r.ID++ }, func(r *Record) { r.Region++ }, func(r *Record) { r.Amount++ }, func(r *Record) { r.Note = []byte("Note") },
	} {
		r := base
		change(&r)
		d := prepare(r).digest
		assert.False(t, seen[d])
		seen[d] = true
	}
}

// Each call waits until as many as there are workers are under way, so that fewer
// would not get on, and more would be counted.
func TestExactlyFourWorkersAreAlive(t *testing.T) {
	const workers, chunks = 4, 40
	var now, most, calls atomic.Int64
	var mu sync.Mutex
	together := sync.NewCond(&mu)
	arrived := 0
	before := runtime.NumGoroutine()
	var goroutines atomic.Int64
	c := Chunking{Size: 10, Workers: workers, Work: func(chunk []Record) (Summary, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		goroutines.Store(max(goroutines.Load(), int64(runtime.NumGoroutine())))
		calls.Add(1)
		mu.Lock()
		arrived++
		group := (arrived + workers - 1) / workers * workers
		together.Broadcast()
		for arrived < group {
			together.Wait()
		}
		mu.Unlock()
		return Summarize(chunk)
	}}
	done := make(chan Summary, 1)
	go func() {
		s, err := Chunked(t.Context(), Records(10*chunks), c)
		assert.NoError(t, err)
		done <- s
	}()
	select {
	case s := <-done:
		assert.Equal(t, Whole(Records(10*chunks)), s)
	case <-time.After(20 * time.Second):
		require.FailNow(t, "four workers never were under way together", "%d calls", calls.Load())
	}
	assert.EqualValues(t, chunks, calls.Load())
	assert.EqualValues(t, workers, most.Load())
	assert.LessOrEqual(t, goroutines.Load(), int64(before+workers+1), "the workers, and the goroutine of this test")
}

// While no worker gets on, no more is read than the chunks hold.
func TestNoMoreIsReadThanTheChunksHold(t *testing.T) {
	const workers, size = 4, 50
	var read atomic.Int64
	hold := make(chan struct{})
	counted := func(yield func(Record) bool) {
		for r := range Records(10_000) {
			read.Add(1)
			if !yield(r) {
				return
			}
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := Chunked(t.Context(), counted, Chunking{Size: size, Workers: workers, Work: func(chunk []Record) (Summary, error) {
			<-hold
			return Summarize(chunk)
		}})
		done <- err
	}()
	full := int64((workers + 1) * size)
	require.Eventually(t, func() bool { return read.Load() == full }, 20*time.Second, time.Millisecond)
	require.Never(t, func() bool { return read.Load() > full }, 50*time.Millisecond, 5*time.Millisecond)
	close(hold)
	require.NoError(t, <-done)
	assert.EqualValues(t, 10_000, read.Load())
}

// A chunk that waits to be filled again does not keep alive what was in it.
func TestRecordsThatWereSummarizedAreNotKeptAlive(t *testing.T) {
	const size = 10
	var freed, done atomic.Int64
	source := func(yield func(Record) bool) {
		for i := range uint64(2 * size) {
			if i == size+1 {
				// The first chunk is back, and the second one has one record.
				require.Eventually(t, func() bool { runtime.GC(); return done.Load() == 1 && freed.Load() >= size-1 }, 20*time.Second, time.Millisecond,
					"the notes of the first chunk")
			}
			note := make([]byte, 1<<10)
			runtime.AddCleanup(&note[0], func(int) { freed.Add(1) }, 0)
			if !yield(Record{ID: i, Note: note}) {
				return
			}
		}
	}
	s, err := Chunked(t.Context(), source, Chunking{Size: size, Workers: 1, Work: func(chunk []Record) (Summary, error) {
		defer done.Add(1)
		return Summarize(chunk)
	}})
	require.NoError(t, err)
	assert.EqualValues(t, 2*size, s.Records)
}

func TestChunkedEndsWithTheFirstErrorOrItsContext(t *testing.T) {
	var calls atomic.Int64
	failing := errors.New("disk full")
	_, err := Chunked(t.Context(), Records(100_000), Chunking{Size: 10, Work: func([]Record) (Summary, error) {
		calls.Add(1)
		return Summary{}, failing
	}})
	require.ErrorIs(t, err, failing)
	assert.Less(t, calls.Load(), int64(100), "of 10,000 chunks")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls.Store(0)
	_, err = Chunked(ctx, Records(100_000), Chunking{Size: 10, Work: func(chunk []Record) (Summary, error) {
		if calls.Add(1) == 3 {
			cancel()
		}
		return Summarize(chunk)
	}})
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, calls.Load(), int64(100))

	for _, c := range []Chunking{{Size: -1}, {Workers: -1}} {
		_, err := Chunked(t.Context(), Records(1), c)
		require.ErrorContains(t, err, "at least 1 of each is needed")
	}
}

func TestChunksNeedAFractionOfTheHeap(t *testing.T) {
	const n = 20_000
	whole := costOf(t, func() { _ = Whole(Records(n)) })
	chunked := costOf(t, func() {
		_, err := Chunked(t.Context(), Records(n), Chunking{Size: 200})
		require.NoError(t, err)
	})
	t.Logf("peak heap for %d records: whole %d KiB, chunked %d KiB", n, whole.peakHeap>>10, chunked.peakHeap>>10)
	// Of records that are live together, not of garbage: the collector runs often.
	assert.Less(t, chunked.peakHeap, whole.peakHeap/2)
}
