package leak

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// series is n values at times half a second apart.
func series(n int, value func(i int) float64) (times, values []float64) {
	for i := range n {
		times, values = append(times, float64(i)/2), append(values, value(i))
	}
	return times, values
}

func TestFitFindsTheSlopeWhateverSomeOutliersSay(t *testing.T) {
	times, values := series(20, func(i int) float64 {
		if i == 3 || i == 17 {
			return 1e9
		}
		return 100 + 3*float64(i)/2
	})
	trend := fit(times, values)
	assert.InDelta(t, 3, trend.Slope, 1e-9)
	assert.InDelta(t, 9.5, trend.Over.Seconds(), 1e-9)
	assert.LessOrEqual(t, trend.Lo, trend.Slope)
	assert.GreaterOrEqual(t, trend.Hi, trend.Slope)
	assert.Greater(t, trend.Lo, 0.0)
}

func TestVarianceOfSIsThatOfKendallWithItsCorrectionForTies(t *testing.T) {
	// n(n-1)(2n+5)/18, and the same with a group of 3 and one of 2.
	assert.InDelta(t, 10*9*25/18.0, varianceOfS([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), 1e-9)
	assert.InDelta(t, (10*9*25-3*2*11-2*1*9)/18.0, varianceOfS([]float64{1, 1, 1, 4, 5, 5, 7, 8, 9, 10}), 1e-9)
	assert.Zero(t, varianceOfS([]float64{5, 5, 5, 5}))
}

func TestTheIntervalHoldsTheTrueSlopeAsOftenAsItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const runs = 5000
	missed := 0
	for range runs {
		times, values := series(20, func(i int) float64 { return float64(i)/2 + 5*random.NormFloat64() })
		if trend := fit(times, values); trend.Lo > 1 || trend.Hi < 1 {
			missed++
		}
	}
	// 5 of 5000 are expected at 99.9 %; more than 20 have a chance below 1e-6.
	assert.LessOrEqual(t, missed, 20)
}

func TestGrowsTellsALeakFromWhatIsNone(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	noise := func() float64 { return random.NormFloat64() }
	for _, c := range []struct {
		name  string
		n     int
		value func(i int) float64
		want  bool
	}{
		{"steady growth", 20, func(i int) float64 { return 2 * float64(i) }, true},
		{"growth in noise", 40, func(i int) float64 { return float64(i) + 4*noise() }, true},
		{"growth with a request that frees much now and then", 40, func(i int) float64 { return float64(i) - 100*float64(i%9/8) }, true},
		{"growth from the middle on", 40, func(i int) float64 { return max(0, 3*float64(i-20)) }, true},
		{"growth in steps", 40, func(i int) float64 { return 10 * float64(i/5) }, true},
		{"nothing", 40, func(int) float64 { return 0 }, false},
		{"a constant", 40, func(int) float64 { return 1e6 }, false},
		{"noise", 40, func(int) float64 { return 100 + 20*noise() }, false},
		{"growth below the floor", 40, func(i int) float64 { return float64(i) / 8 }, false},
		{"growth of which so few samples are not sure", 14, func(i int) float64 { return 5*float64(i) - 200*float64((i+3)%4/3) }, false},
		{"the same in more samples", 40, func(i int) float64 { return 5*float64(i) - 200*float64((i+3)%4/3) }, true},
		{"shrinking", 40, func(i int) float64 { return 1000 - 10*float64(i) }, false},
		{"a pool that has filled up", 40, func(i int) float64 { return math.Min(100, 10*float64(i)) }, false},
		{"an approach of a limit", 60, func(i int) float64 { return 1000 * (1 - math.Exp(-float64(i)/10)) }, false},
		{"one step", 40, func(i int) float64 { return 100 * float64(i/20) }, false},
		{"a sawtooth", 40, func(i int) float64 { return 10 * float64(i%8) }, false},
		{"too few samples", minSamples + agreeing - 2, func(i int) float64 { return 100 * float64(i) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			times, values := series(c.n, c.value)
			trend, got := grows(times, values, 8)
			assert.Equal(t, c.want, got, "%+v", fit(times, values))
			assert.Equal(t, c.want, trend.Samples > 0)
		})
	}
}

func TestNoiseRaisesHardlyAnAlarmThoughItIsJudgedAfterEachSample(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const runs, samples = 300, 60
	for _, c := range []struct {
		name string
		keep float64 // of the value before: 0 is white noise
	}{{"white", 0}, {"correlated", 0.5}} {
		alarms := 0
		for range runs {
			last := 0.0
			times, values := series(samples, func(int) float64 {
				last = c.keep*last + random.NormFloat64()
				return last
			})
			for n := minSamples; n <= samples; n++ {
				if _, yes := grows(times[:n], values[:n], 0); yes {
					alarms++
					break
				}
			}
		}
		t.Logf("%s: %d of %d watches of %d samples, without a floor", c.name, alarms, runs, samples)
		assert.LessOrEqual(t, alarms, runs/20, c.name)
	}
}
