package gate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noisy returns n logarithmic ratios around an effect.
func noisy(random *rand.Rand, n int, effect, sd float64) []float64 {
	d := make([]float64, n)
	for i := range d {
		d[i] = math.Log1p(effect) + sd*random.NormFloat64()
	}
	return d
}

func TestDecisions(t *testing.T) {
	for _, tc := range []struct {
		name       string
		kind       Kind
		n          int
		effect, sd float64
		want       Verdict
	}{
		{"nothing changed", Timing, 15, 0, 0.01, Pass},
		{"slower", Timing, 15, 0.10, 0.01, Fail},
		{"faster", Timing, 15, -0.10, 0.01, Pass},
		{"slower by less than the margin", Timing, 15, 0.02, 0.003, Pass},
		{"slower by more than the margin", Timing, 15, 0.04, 0.003, Fail},
		{"too noisy to tell", Timing, 15, 0.04, 0.15, Inconclusive},
		{"faster, in noise", Timing, 15, -0.20, 0.15, Pass},
		{"too few rounds to fail", Timing, 5, 0.10, 0.001, Inconclusive},
		{"a tail within its margin", Tail, 15, 0.08, 0.01, Pass},
		{"a tail beyond it", Tail, 15, 0.20, 0.02, Fail},
		{"one more allocation of three", Count, 15, 1.0 / 3, 0.0001, Fail},
		{"a count within its margin", Count, 15, 0.01, 0.0001, Pass},
		{"no rounds", Timing, 0, 0, 0, Inconclusive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(11, 12))
			j := DefaultRules().decide([]series{{tc.kind, noisy(random, tc.n, tc.effect, tc.sd)}})[0]
			assert.Equal(t, tc.want, j.Verdict, "%+v", j)
			assert.Equal(t, tc.n, j.N)
		})
	}
}

func TestEqualCountsPass(t *testing.T) {
	j := DefaultRules().decide([]series{{Count, make([]float64, 15)}})[0]
	assert.Equal(t, Pass, j.Verdict)
	assert.Zero(t, j.Effect)
	assert.Equal(t, 1.0, j.P)
}

func TestMoreRowsMakeItHarderToFail(t *testing.T) {
	// Six of six rounds slower is 1 in 64; seven are 1 in 128, below 1 % alone.
	slow := series{Timing, []float64{0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16}}
	calm := series{Timing, []float64{-0.01, 0.01, -0.02, 0.02, -0.03, 0.03, 0.001}}
	assert.Equal(t, Fail, DefaultRules().decide([]series{slow})[0].Verdict)
	both := DefaultRules().decide([]series{slow, calm})
	assert.Equal(t, Inconclusive, both[0].Verdict)
	assert.InDelta(t, 2*both[0].P, both[0].PAdj, 1e-12)
}

func TestTheDetectableEffectIsTheLeastThatFails(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	rules := DefaultRules()
	for _, sd := range []float64{0.001, 0.03, 0.1} {
		d := noisy(random, 15, 0.01, sd)
		mde := rules.decide([]series{{Timing, d}})[0].MDE
		require.False(t, math.IsInf(mde, 1))
		shifted := func(effect float64) Verdict {
			centre := HodgesLehmann(d)
			moved := make([]float64, len(d))
			for i := range d {
				moved[i] = d[i] - centre + math.Log1p(effect)
			}
			return rules.decide([]series{{Timing, moved}})[0].Verdict
		}
		assert.Equal(t, Fail, shifted(mde+1e-4))
		assert.NotEqual(t, Fail, shifted(mde-1e-4))
	}
	assert.True(t, math.IsInf(rules.decide([]series{{Timing, make([]float64, 3)}})[0].MDE, 1), "three rounds can never fail")
}

func TestRulesThatMakeNoSenseAreNamed(t *testing.T) {
	require.NoError(t, DefaultRules().check())
	for want, change := range map[string]func(*Rules){
		"alpha is 0":                func(r *Rules) { r.Alpha = 0 },
		"alpha is NaN":              func(r *Rules) { r.Alpha = math.NaN() },
		"confidence is 1":           func(r *Rules) { r.Confidence = 1 },
		"margin of timing is 0":     func(r *Rules) { r.Margin[Timing] = 0 },
		"tolerance of tail is 0.05": func(r *Rules) { r.Tolerance[Tail] = 0.05 },
	} {
		r := DefaultRules()
		change(&r)
		err := r.check()
		require.ErrorIs(t, err, ErrInput)
		assert.ErrorContains(t, err, want)
	}
}
