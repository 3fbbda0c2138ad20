package gate

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSearchFindsEveryPlaceInFewSteps(t *testing.T) {
	for last := 1; last <= 70; last++ {
		for first := 1; first <= last; first++ {
			steps := 0
			lo, hi, err := search(last, func(i int) (Verdict, error) {
				require.Less(t, i, last)
				require.Positive(t, i)
				steps++
				if i >= first {
					return Fail, nil
				}
				return Pass, nil
			})
			require.NoError(t, err)
			require.Equal(t, []int{first - 1, first}, []int{lo, hi}, "of %d", last)
			require.LessOrEqual(t, steps, 7, "of %d", last)
		}
	}
}

func TestTheSearchGoesAroundWhatCannotBeJudged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		last := 2 + random.IntN(30)
		first := 1 + random.IntN(last)
		var judged []int
		skip := map[int]bool{}
		for i := 1; i < last; i++ {
			skip[i] = random.IntN(3) == 0
		}
		lo, hi, err := search(last, func(i int) (Verdict, error) {
			require.NotContains(t, judged, i, "once each")
			judged = append(judged, i)
			switch {
			case skip[i]:
				return Inconclusive, nil
			case i >= first:
				return Fail, nil
			}
			return Pass, nil
		})
		require.NoError(t, err)
		assert.Less(t, lo, first)
		assert.GreaterOrEqual(t, hi, first)
		for i := lo + 1; i < hi; i++ {
			assert.True(t, skip[i], "%d could have been judged", i)
		}
	}
}

func TestTheSearchEndsWithAnError(t *testing.T) {
	_, _, err := search(5, func(int) (Verdict, error) { return "", errors.New("no more") })
	assert.EqualError(t, err, "no more")
}

// A commit is slow if it has more than half of the slowdown.
func TestHalfwayRulesSplitAnEffectInTwo(t *testing.T) {
	for _, effect := range []float64{0.03, 0.1, 5} {
		rules := DefaultRules().halfway(Timing, effect)
		require.NoError(t, rules.check())
		for share, want := range map[float64]Verdict{0: Pass, 0.2: Pass, 0.8: Fail, 1: Fail} {
			base := around(1, 15, 1000, 0.001)
			head := slices.Clone(base)
			for i := range head {
				head[i] *= 1 + share*effect + 0.0001*float64(i%3)
			}
			m := gating(serverCPU)
			o := Options{Rules: rules, Rounds: 15, Arms: [2]Arm{{Hash: "a"}, {Hash: "b"}}}
			got := o.report([]*track{made("Echo", m, base, head)}, 0, false).Verdict
			assert.Equal(t, want, got, "%v of %v", share, effect)
		}
	}
}
