package load

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestConstantArrivalsAreEquallySpacedWithoutDrift(t *testing.T) {
	a := NewArrivals(Constant, 3, 0, 1, 0)
	for i := range 3_000_000 {
		at := a.Next()
		exact := float64(i) / 3 * 1e9
		if math.Abs(float64(at)-exact) > 1 {
			t.Fatalf("request %d is due at %d ns, not at %.1f ns", i, at, exact)
		}
	}
}

func TestShardsOfConstantArrivalsInterleaveToTheWhole(t *testing.T) {
	const rate, shards = 12345.6, 7
	whole := NewArrivals(Constant, rate, 0, 1, 0)
	var parts []Arrivals
	for i := range shards {
		parts = append(parts, NewArrivals(Constant, rate, i, shards, 0))
	}
	for i := range 10_000 {
		assert.Equal(t, whole.Next(), parts[i%shards].Next(), "request %d", i)
	}
}

// The distances of a Poisson process are exponential: their standard deviation is
// their mean, and a share of exp(-k) of them is longer than k means.
func TestPoissonArrivalsHaveExponentialDistances(t *testing.T) {
	const n, rate = 400_000, 1000.0
	for _, shards := range []int{1, 4} {
		a := NewArrivals(Poisson, rate, 0, shards, 1)
		mean := float64(shards) / rate * 1e9
		var last time.Duration
		var sum, squares, long float64
		for range n {
			at := a.Next()
			assert.GreaterOrEqual(t, at, last)
			d := float64(at - last)
			last = at
			sum += d
			squares += d * d
			if d > 2*mean {
				long++
			}
		}
		got := sum / n
		deviation := math.Sqrt(squares/n - got*got)
		// The mean of n scatters by 1/√n, which is 0.16 %; the standard deviation
		// by √2/√n. Four times that is allowed.
		assert.InEpsilon(t, mean, got, 4/math.Sqrt(n))
		assert.InEpsilon(t, mean, deviation, 4*math.Sqrt2/math.Sqrt(n))
		assert.InDelta(t, math.Exp(-2), long/n, 4*math.Sqrt(math.Exp(-2)/n))
	}
}

func TestPoissonArrivalsRepeatWithTheirSeed(t *testing.T) {
	times := func(shard int, seed uint64) (all [100]time.Duration) {
		a := NewArrivals(Poisson, 1000, shard, 2, seed)
		for i := range all {
			all[i] = a.Next()
		}
		return all
	}
	assert.Equal(t, times(0, 7), times(0, 7))
	assert.NotEqual(t, times(0, 7), times(0, 8))
	assert.NotEqual(t, times(0, 7), times(1, 7))
}

func TestParseArrivalsTakesItsOwnNames(t *testing.T) {
	for _, k := range []ArrivalKind{Constant, Poisson} {
		got, err := ParseArrivals(string(k))
		assert.NoError(t, err)
		assert.Equal(t, k, got)
	}
	_, err := ParseArrivals("Poisson")
	assert.ErrorContains(t, err, "constant or poisson")
}

func TestOpenLoopSendsAsManyAsArriveWhateverTheKind(t *testing.T) {
	for _, arrivals := range []ArrivalKind{Constant, Poisson} {
		t.Run(string(arrivals), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := bounded(Open)
				p.Targets, p.Engine, p.Arrivals, p.Rate = []Target{serve(t, EchoProtocol, echo)}, kind, arrivals, 4000
				want := int64(0)
				for a := NewArrivals(arrivals, p.Rate, 0, 1, p.Seed); a.Next() < p.Duration; {
					want++
				}
				r := run(t, p)
				assert.Equal(t, noErrors, r.Errors)
				assert.Equal(t, want, r.Requests)
			})
		})
	}
}
