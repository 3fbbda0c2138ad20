package traces_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/gcprofile/cache/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func made(t *testing.T, s traces.Spec) []traces.Request {
	t.Helper()
	trace, err := traces.Make(s)
	require.NoError(t, err)
	require.Len(t, trace, s.N)
	return trace
}

func counts(trace []traces.Request) map[uint64]int {
	n := map[uint64]int{}
	for _, r := range trace {
		n[r.Key]++
	}
	return n
}

func TestATraceIsTheSameForTheSameSeedOnly(t *testing.T) {
	for _, name := range traces.Names() {
		s := traces.Spec{Name: name, Sizes: traces.Varying, Keys: 1000, N: 5000, Seed: 1}
		first := made(t, s)
		assert.Equal(t, first, made(t, s))
		s.Seed = 2
		if name == "scan" {
			assert.Equal(t, first, made(t, s), "nothing in it is random")
		} else {
			assert.NotEqual(t, first, made(t, s))
		}
	}
}

func TestZipfIsAsPopularAsItsFormulaSays(t *testing.T) {
	const keys, n = 1000, 200_000
	got := slices.Sorted(maps.Values(counts(made(t, traces.Spec{Name: "zipf", Sizes: traces.Fixed, Keys: keys, N: n, Seed: 3}))))
	slices.Reverse(got)
	sum := 0.0
	for i := range keys {
		sum += math.Pow(float64(i+1), -traces.Exponent)
	}
	for _, rank := range []int{1, 2, 10, 100} {
		want := n * math.Pow(float64(rank), -traces.Exponent) / sum
		assert.InDelta(t, want, got[rank-1], 6*math.Sqrt(want), "rank %d", rank)
	}
}

func TestAScanTakesEveryKeyInTurn(t *testing.T) {
	trace := made(t, traces.Spec{Name: "scan", Sizes: traces.Fixed, Keys: 100, N: 1000})
	for i, r := range trace[100:] {
		require.Equal(t, trace[i].Key, r.Key)
	}
	assert.Len(t, counts(trace[:100]), 100)
}

func TestAFifthOfMixedIsAskedForOnce(t *testing.T) {
	const n = 50_000
	trace := made(t, traces.Spec{Name: "mixed", Sizes: traces.Fixed, Keys: 100, N: n})
	once := 0
	for _, c := range counts(trace) {
		if c == 1 {
			once++
		}
	}
	assert.Equal(t, n/5, once)
}

func TestDriftForgetsWhatWasPopular(t *testing.T) {
	trace := made(t, traces.Spec{Name: "drift", Sizes: traces.Fixed, Keys: 10_000, N: 100_000, Seed: 1})
	top := func(part []traces.Request) uint64 {
		n := counts(part)
		return slices.MaxFunc(slices.Collect(maps.Keys(n)), func(a, b uint64) int { return n[a] - n[b] })
	}
	first := top(trace[:1000])
	assert.NotEqual(t, first, top(trace[99_000:]))
	assert.Less(t, counts(trace[99_000:])[first], counts(trace[:1000])[first])
	// 99,000 requests, and a key for every 20 of them: what was popular first is about the
	// 5,000th then, of 10,000.
	again, popular := 0, counts(trace[:1000])
	for _, r := range trace[99_000:] {
		if popular[r.Key] > 1 {
			again++
		}
	}
	assert.Less(t, again, 50, "requests of 1000 to what was asked for twice in the first thousand")
}

func TestNeighboursInRankAreNoneAsKeys(t *testing.T) {
	trace := made(t, traces.Spec{Name: "scan", Sizes: traces.Fixed, Keys: 1000, N: 1000})
	for i := range trace[1:] {
		require.Greater(t, max(trace[i].Key, trace[i+1].Key)-min(trace[i].Key, trace[i+1].Key), uint64(1000))
	}
}

func TestSizesBelongToKeysAndAverageOneKiB(t *testing.T) {
	sum, n := 0, 100_000
	for key := range uint64(n) {
		size := traces.Varying.Of(key * 0x9e3779b97f4a7c15)
		require.GreaterOrEqual(t, size, 64)
		require.LessOrEqual(t, size, traces.MaxSize)
		sum += size
	}
	assert.InDelta(t, 1024, float64(sum)/float64(n), 102)
	assert.Equal(t, 1024, traces.Fixed.Of(7))
}

func TestTracesThatCannotBeMadeAreErrors(t *testing.T) {
	good := traces.Spec{Name: "zipf", Sizes: traces.Fixed, Keys: 1, N: 1}
	for _, change := range []func(*traces.Spec){
		func(s *traces.Spec) { s.Name = "nothing" },
		func(s *traces.Spec) { s.Sizes = "" },
		func(s *traces.Spec) { s.Keys = 0 },
		func(s *traces.Spec) { s.N = -1 },
	} {
		s := good
		change(&s)
		_, err := traces.Make(s)
		assert.Error(t, err)
	}
}
