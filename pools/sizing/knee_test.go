package sizing

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// synthetic makes rounds of given means, with a scatter of a number of percent and
// a drift of the machine that is common to all sizes.
func synthetic(sizes []int, rates, p99s []float64, rounds int, scatter float64) []series {
	random := rand.New(rand.NewPCG(3, 5))
	all := make([]series, len(sizes))
	for range rounds {
		drift := math.Exp(random.NormFloat64() * 0.2)
		for i, size := range sizes {
			all[i].size = size
			all[i].rate = append(all[i].rate, rates[i]*drift*math.Exp(random.NormFloat64()*scatter))
			all[i].p99 = append(all[i].p99, p99s[i]/drift*math.Exp(random.NormFloat64()*scatter))
		}
	}
	return all
}

func TestTheKneeOfSyntheticCurves(t *testing.T) {
	five := []int{1, 2, 5, 10, 25}
	flat := []float64{10, 10, 10, 10, 10}
	for name, tc := range map[string]struct {
		sizes       []int
		rates, p99s []float64
		rounds      int
		scatter     float64
		callers     int
		want        Answer
		size        int
		verdicts    []Verdict // of all sizes, if given
		text        string
	}{
		"plateau": {
			five, []float64{100, 200, 400, 402, 401}, flat, 10, 0.01, 100,
			Found, 5, []Verdict{Refused, Refused, Fits, Fits, Fits}, "throughput ",
		},
		"peak and decline": {
			five, []float64{100, 200, 400, 350, 300}, flat, 10, 0.01, 100,
			Found, 5, []Verdict{Refused, Refused, Fits, Refused, Refused}, "the best throughput",
		},
		"the knee's p99 is worse than that of larger sizes": {
			five, []float64{100, 200, 400, 400, 400}, []float64{80, 40, 20, 10, 10}, 10, 0.01, 100,
			Found, 10, []Verdict{Refused, Refused, Refused, Fits, Fits}, "a p99 not shown to be worse",
		},
		"every size that is fast has a worse p99 than a slow larger one": {
			five, []float64{100, 200, 400, 400, 300}, []float64{80, 40, 20, 20, 10}, 10, 0.01, 100,
			NoSize, 0, []Verdict{Refused, Refused, Refused, Refused, Refused}, "no size fits: 1: throughput 25",
		},
		"a p99 that is better than the larger ones'": {
			five, []float64{100, 200, 400, 400, 400}, []float64{10, 10, 10, 20, 30}, 10, 0.01, 100,
			Found, 5, nil, "",
		},
		"a little more p99 is no reason": {
			five, []float64{400, 400, 400, 400, 400}, []float64{10.2, 10, 10, 10, 10}, 10, 0.001, 100,
			Found, 1, nil, "smallest size swept",
		},
		"noise": {
			five, []float64{100, 380, 400, 400, 400}, flat, 3, 0.2, 100,
			Undecided, 0, nil, "too thin evidence",
		},
		"two rounds without scatter": {
			[]int{1, 2}, []float64{400, 400}, []float64{10, 10}, 2, 0, 100,
			Found, 1, nil, "",
		},
		"drift alone": {
			five, []float64{100, 200, 400, 400, 400}, flat, 10, 0, 100,
			Found, 5, nil, "",
		},
		"all equal": {
			five, []float64{400, 400, 400, 400, 400}, flat, 10, 0.005, 100,
			Found, 1, []Verdict{Fits, Fits, Fits, Fits, Fits}, "it is the smallest size swept, a smaller one may do",
		},
		"single size": {
			[]int{5}, []float64{400}, []float64{10}, 10, 0.01, 100,
			NoSize, 0, []Verdict{Fits}, "a single size has nothing to be compared with",
		},
		"still rising": {
			five, []float64{100, 200, 300, 400, 500}, []float64{50, 40, 30, 20, 10}, 10, 0.01, 100,
			AtLeast, 25, nil, "throughput still rises at 25",
		},
		"more connections than callers cannot rise": {
			five, []float64{100, 200, 300, 400, 500}, flat, 10, 0.01, 25,
			Found, 25, nil, "",
		},
		"one round": {
			five, []float64{100, 200, 400, 400, 400}, flat, 1, 0, 100,
			Undecided, 0, []Verdict{Unclear, Unclear, Unclear, Unclear, Unclear}, "no size fits for sure, 1, 2, 5, 10 or 25 may",
		},
	} {
		t.Run(name, func(t *testing.T) {
			judged, best := judge(synthetic(tc.sizes, tc.rates, tc.p99s, tc.rounds, tc.scatter))
			assert.GreaterOrEqual(t, best, 0)
			k := kneeOf(tc.sizes, judged, tc.callers)
			assert.Equal(t, tc.want, k.Answer, "%+v", k)
			assert.Contains(t, k.Text, tc.text)
			if tc.want != Undecided {
				assert.Equal(t, tc.size, k.Size)
				assert.Empty(t, k.Unclear)
			} else {
				assert.NotEmpty(t, k.Unclear)
			}
			for i, v := range tc.verdicts {
				assert.Equal(t, v, judged[i].Verdict, "size %d: %s", tc.sizes[i], judged[i].Text)
			}
		})
	}
}

// Over many noisy sweeps, what is promised of the errors holds: a size that costs
// much is hardly ever taken, and one that costs nothing hardly ever refused.
func TestANoisySweepRatherSaysNothingThanWhatIsWrong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	taken, refused, silent := 0, 0, 0
	const sweeps = 2000
	for range sweeps {
		rates := [3][]float64{}
		for range 6 {
			for i, mean := range []float64{94, 100, 100} {
				rates[i] = append(rates[i], mean*math.Exp(random.NormFloat64()*0.05))
			}
		}
		switch throughputVerdict(ratioOf(rates[0], rates[1], confidence)) {
		case Fits:
			taken++
		case Unclear:
			silent++
		}
		if throughputVerdict(ratioOf(rates[2], rates[1], confidence)) == Refused {
			refused++
		}
	}
	// 2.5 % of them, and three standard deviations of so many sweeps.
	assert.Less(t, taken, sweeps*36/1000, "a size that costs 6 %%")
	assert.Less(t, refused, sweeps*36/1000, "a size that costs nothing")
	assert.Positive(t, silent)
}

func TestASizeIsUnclearWithoutEnoughCallsForAP99(t *testing.T) {
	all := synthetic([]int{1, 2, 5}, []float64{100, 100, 100}, []float64{10, 10, 10}, 5, 0.001)
	all[1].p99[3] = math.NaN()
	judged, _ := judge(all)
	assert.Equal(t, []Verdict{Unclear, Unclear, Fits}, []Verdict{judged[0].Verdict, judged[1].Verdict, judged[2].Verdict})
	assert.Contains(t, judged[0].Text, "slices of size 2 have fewer than 1000 calls")
	assert.Contains(t, judged[1].Text, "slices of fewer than 1000 calls")

	// That size 2 is unknown does not save size 1 if size 5 shows it worse.
	for i := range all[0].p99 {
		all[0].p99[i] *= 2
	}
	judged, _ = judge(all)
	assert.Equal(t, Refused, judged[0].Verdict)
	assert.Equal(t, 5, judged[0].P99Against)
}

func TestAP99ThatScattersTooMuchIsUnclear(t *testing.T) {
	all := synthetic([]int{1, 2}, []float64{100, 100}, []float64{10, 10}, 5, 0.001)
	all[0].p99 = []float64{5, 40, 8, 30, 10}
	judged, _ := judge(all)
	assert.Equal(t, Unclear, judged[0].Verdict)
	assert.Contains(t, judged[0].Text, "scatters too much")
}

func TestSizesWhoseCallsFailAreNoYardstick(t *testing.T) {
	all := synthetic([]int{1, 2, 5}, []float64{100, 900, 100}, []float64{10, 1, 10}, 5, 0.001)
	all[1].failed, all[1].first = 3, errors.New("reset")
	judged, best := judge(all)
	assert.NotEqual(t, 1, best, "fast failures are no throughput")
	assert.Equal(t, "3 calls failed: reset", judged[1].Text)
	assert.Equal(t, Fits, judged[0].Verdict)
	for i := range all {
		all[i].failed, all[i].first = 1, errors.New("reset")
	}
	judged, best = judge(all)
	assert.Equal(t, -1, best)
	assert.Equal(t, NoSize, kneeOf([]int{1, 2, 5}, judged, 10).Answer)
}

func TestTheOverallSizeFitsEverywhere(t *testing.T) {
	sizes := []int{1, 5, 10}
	curve := func(callers int, verdicts ...Verdict) Curve {
		c := Curve{Concurrency: callers}
		var judged []Judgement
		for i, v := range verdicts {
			j := Judgement{Verdict: v, Text: "because"}
			if v == Refused {
				lo, hi := 0.49, 0.51
				half := Interval{Mean: 0.5, Lo: &lo, Hi: &hi}
				j.OfBest = &half
			}
			judged = append(judged, j)
			c.Points = append(c.Points, Point{Size: sizes[i], Judgement: j})
		}
		c.Knee = kneeOf(sizes, judged, callers)
		return c
	}
	for name, tc := range map[string]struct {
		curves []Curve
		want   Answer
		size   int
	}{
		"the larger of two knees":      {[]Curve{curve(10, Fits, Fits, Fits), curve(100, Refused, Fits, Fits)}, Found, 5},
		"no size for all":              {[]Curve{curve(10, Fits, Refused, Refused), curve(100, Refused, Fits, Fits)}, NoSize, 0},
		"one is unclear":               {[]Curve{curve(10, Unclear, Fits, Fits), curve(100, Fits, Fits, Fits)}, Undecided, 5},
		"unclear where refused anyway": {[]Curve{curve(10, Unclear, Fits, Fits), curve(100, Refused, Fits, Fits)}, Found, 5},
		"one still rises":              {[]Curve{curve(10, Fits, Fits, Fits), curve(100, Refused, Refused, Fits)}, AtLeast, 10},
		"nothing fits for sure":        {[]Curve{curve(10, Unclear, Refused, Unclear), curve(100, Fits, Refused, Fits)}, Undecided, 0},
		"one curve":                    {[]Curve{curve(10, Refused, Fits, Fits)}, Found, 5},
		"none":                         {nil, NoSize, 0},
	} {
		k := overall(sizes, tc.curves)
		assert.Equal(t, tc.want, k.Answer, "%s: %+v", name, k)
		assert.Equal(t, tc.size, k.Size, name)
		assert.NotEmpty(t, k.Text, name)
	}
}
