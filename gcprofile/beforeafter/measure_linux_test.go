package beforeafter

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv"
)

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// Both servers, in processes of their own, are driven by the generator.
func TestMeasureSetsBothServicesSideBySide(t *testing.T) {
	place, err := testenv.Place()
	require.NoError(t, err)
	place.Server, place.Generator = nil, nil // this process runs other tests
	before := descriptors(t)
	var said []string
	r, err := Measure(t.Context(), Options{
		Products: 2000, Rate: 200, Rounds: 2, Block: 700 * time.Millisecond, Warmup: 100 * time.Millisecond,
		Progress: func(line string) { said = append(said, line) },
	}, place)
	require.NoError(t, err)
	require.Equal(t, 2, r.Rounds, "%v", r.Warnings)
	assert.Len(t, said, 4)
	allocs := r.row(allocsPerRequest)
	assert.Greater(t, allocs.Naive.Mean, 250.0)
	assert.Less(t, allocs.Ratio.Mean, 0.5, "with a few hundred requests, what the process does beside them is in it")
	asked := map[int]map[string]int64{0: {}, 1: {}}
	for _, b := range r.Blocks {
		assert.Greater(t, b.Requests, int64(50))
		asked[b.Round][b.Style] = b.Requests
		assert.Positive(t, b.Runtime.PeakHeap)
		assert.GreaterOrEqual(t, b.Runtime.PeakHeap, b.Runtime.LiveHeap/2)
		require.NotNil(t, b.Runtime.PeakRSS)
		assert.GreaterOrEqual(t, b.Runtime.Elapsed, 700*time.Millisecond)
		late := map[string]bool{}
		for _, lag := range b.Late {
			late[lag.Percentile] = true
			assert.Positive(t, lag.By)
		}
		if len(b.Reasons) == 0 { // there are others for a latency to be absent
			assert.Equal(t, b.P50 == nil, late["p50"], "it is there, or the generator was late")
		}
		assert.Equal(t, b.P99AtMost != nil && b.P99 == nil, late["p99"], "140 requests have none")
		assert.NotContains(t, strings.Join(b.Reasons, "; "), "sent late", "that is told in numbers")
	}
	for round, by := range asked {
		assert.InDelta(t, by[naiveStyle], by[tunedStyle], 35, "round %d: both get the same 140 arrivals, of which a busy host may cut off the last", round)
	}
	assert.LessOrEqual(t, descriptors(t), before+2, "the runtime's poller may have opened its own") // epoll and eventfd
}

func TestWithoutARateBothGetAShareOfTheNaiveOnesCapacity(t *testing.T) {
	r, err := Measure(t.Context(), Options{
		Products: 500, Share: 0.2, Conns: 4, Rounds: 1, Block: 300 * time.Millisecond, Warmup: 50 * time.Millisecond,
	}, testenv.Placement{})
	require.NoError(t, err)
	assert.Greater(t, r.Capacity, 100.0)
	assert.InDelta(t, 0.2*r.Capacity, r.Rate, 1e-6)
	for _, b := range r.Blocks {
		assert.Equal(t, r.Rate, b.Rate)
	}
}

func TestAnEndedContextEndsTheMeasurement(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Measure(ctx, Options{
		Products: 500, Rate: 100, Rounds: 5, Block: 10 * time.Second, Warmup: time.Millisecond,
		Progress: func(string) { t.Error("a block of ten seconds went on") },
	}, placeThatCancels(cancel))
	require.ErrorIs(t, err, context.Canceled)
}

// placeThatCancels ends a context soon.
func placeThatCancels(cancel func()) testenv.Placement {
	time.AfterFunc(300*time.Millisecond, cancel)
	return testenv.Placement{}
}

// A collection of a process that was asked to begin shows in what it counts.
func TestAReadingCountsWholeCycles(t *testing.T) {
	s, err := startServer(t.Context(), serverSpec{tunedStyle, 1000}, Collector{"50", "off"}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.stop()) }()
	_, err = s.end(t.Context())
	require.ErrorContains(t, err, "none is under way")
	require.NoError(t, s.begin(t.Context()))
	require.ErrorContains(t, s.begin(t.Context()), "one is under way")

	body := Order(1, 20, 1000)
	const requests = 3000
	for range requests {
		reply, err := http.Post("http://"+s.info.Addr+"/orders", "application/json", bytes.NewReader(body))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, reply.Body)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		require.Equal(t, http.StatusOK, reply.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	r, err := s.end(t.Context())
	require.NoError(t, err)
	assert.Greater(t, r.Mallocs, uint64(10*requests))
	assert.Greater(t, r.PeakHeap, r.LiveHeap)
	pauses := uint64(0)
	for _, b := range r.Pauses {
		pauses += b.Count
	}
	require.Positive(t, r.Collections)
	assert.Positive(t, r.Cycles)
	assert.LessOrEqual(t, r.Cycles, r.Elapsed+time.Second, "the first collection ends before the counters are read")
	assert.EqualValues(t, 2*r.Collections, pauses, "two in each")
	assert.Positive(t, r.PauseTotal)
	assert.Positive(t, r.BusyCPU)
	assert.Less(t, r.BusyCPU, 0.98*r.Cycles.Seconds()*float64(runtime.NumCPU()), "it idled while the client worked")
	assert.LessOrEqual(t, r.GCCPU, r.BusyCPU)
}

func TestAServerRefusesAStyleThatItDoesNotKnow(t *testing.T) {
	_, err := startServer(t.Context(), serverSpec{"quick", 10}, byDefault, nil)
	require.ErrorContains(t, err, `style "quick"`)
	assert.Equal(t, 0, strings.Count(err.Error(), "\n"))
}

func TestALiveSetThatDoesNotFitIsRefused(t *testing.T) {
	there := availableMemory()
	require.NotNil(t, there)
	assert.Greater(t, *there, uint64(1<<20))
	little := uint64(100 << 20)
	require.NoError(t, fits(100_000, &little))
	require.NoError(t, fits(maxProducts, nil), "not known")
	err := fits(200_000, &little)
	require.ErrorIs(t, err, ErrInput)
	assert.EqualError(t, err, "200000 products need about 190 MiB, and 100 MiB are available (ask for fewer products)")
}
