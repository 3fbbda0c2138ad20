package gate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aclements/go-moremath/stats"
	"github.com/stretchr/testify/assert"
)

func TestNoiseHasNoEffectAndTheSpreadThatWasAskedFor(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, noise := range Noises {
		var all []float64
		for range 4000 {
			all = append(all, noise.draw(random, 0.027, 15)...)
		}
		assert.InDelta(t, 0, stats.Mean(all), 0.001, noise.Name)
		if noise.Name != "drifting" { // whose line comes on top
			assert.InDelta(t, 0.027, stats.StdDev(all), 0.003, noise.Name)
		}
	}
}

func TestAutocorrelatedNoiseIsCorrelated(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for _, noise := range Noises {
		var here, next []float64
		for range 5000 {
			d := noise.draw(random, 1, 2)
			here, next = append(here, d[0]), append(next, d[1])
		}
		want := 0.0
		switch noise.Name {
		case "autocorrelated":
			want = 0.5
		case "drifting":
			want = -0.57 // the ends of one line, on noise: -(4/3)/(4/3+1)
		}
		assert.InDelta(t, want, correlation(here, next), 0.06, noise.Name)
	}
}

// The claims of the gate, on a fraction of the trials that the proof makes, with
// room for that.
func TestInnocentGatesSeldomFailAndSlowOnesNearlyAlways(t *testing.T) {
	rules, trials := DefaultRules(), 1000
	innocent := rules.Simulate(Noises[0], trials, 10, DefaultRounds, 0.027, 0, 1)
	assert.Less(t, ShareBelow(innocent.Failed, trials, 0.95), 0.01)
	_, _, most := Share(innocent.Inconclusive, trials)
	assert.Less(t, most, 0.05)
	slow := rules.Simulate(Noises[0], trials, 10, DefaultRounds, 0.027, 0.05, 2)
	_, least, _ := Share(slow.Found, trials)
	assert.Greater(t, least, 0.95)
}

func TestSharesHaveClopperPearsonBounds(t *testing.T) {
	// Published values for 10 of 100: 4.90 % to 17.62 %; for none of 30 the rule
	// of three is near.
	share, lo, hi := Share(10, 100)
	assert.Equal(t, 0.1, share)
	assert.InDelta(t, 0.0490, lo, 5e-5)
	assert.InDelta(t, 0.1762, hi, 5e-5)
	assert.InDelta(t, 1-math.Pow(0.05, 1.0/30), ShareBelow(0, 30, 0.95), 1e-9)
	_, lo, hi = Share(30, 30)
	assert.Equal(t, 1.0, hi)
	assert.InDelta(t, math.Pow(0.025, 1.0/30), lo, 1e-9)
	share, _, _ = Share(0, 0)
	assert.True(t, math.IsNaN(share))
}
