package leak

import (
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// minSamples is the fewest samples from which a trend is judged. With fewer than 9
	// the interval below has no lower end, and thirds of them have no useful median.
	minSamples = 10

	// z is the normal deviate of the two-sided confidence of 99.9 %. It is high because
	// a process has many stacks and targets, each of which is judged after each sample.
	z = 3.29

	// agreeing is how many verdicts in a row have to be the same.
	agreeing = 3
)

// Trend is how something grows: a slope that outliers do not move, and its interval.
type Trend struct {
	Samples  int           // it was fitted to; 0: it does not grow
	Over     time.Duration // from the first to the last of them
	From, To float64       // medians of the first and of the last third

	// Slope is the median of the slopes between any two samples (Theil and Sen), per
	// second. Lo and Hi are its interval of 99.9 %, from the ranks of those slopes by
	// the variance of Kendall's S with its correction for ties: P. K. Sen, Estimates of
	// the regression coefficient based on Kendall's tau, JASA 63 (1968).
	Slope, Lo, Hi float64
}

// fit is the trend of values at increasing times in seconds.
func fit(times, values []float64) Trend {
	n := len(values)
	t := Trend{Samples: n}
	if n < 2 {
		return t
	}
	t.Over = time.Duration((times[n-1] - times[0]) * float64(time.Second))
	third := max(1, n/3)
	t.From, t.To = median(values[:third]), median(values[n-third:])
	slopes := make([]float64, 0, n*(n-1)/2)
	for i := range n {
		for j := i + 1; j < n; j++ {
			slopes = append(slopes, (values[j]-values[i])/(times[j]-times[i]))
		}
	}
	slices.Sort(slopes)
	t.Slope = sortedMedian(slopes)
	t.Lo, t.Hi = math.Inf(-1), math.Inf(1)
	count := float64(len(slopes))
	c := z * math.Sqrt(varianceOfS(values))
	if lo := int(math.Floor((count - c) / 2)); lo >= 1 {
		t.Lo = slopes[lo-1]
	}
	if hi := int(math.Ceil((count+c)/2)) + 1; hi <= len(slopes) {
		t.Hi = slopes[hi-1]
	}
	return t
}

// varianceOfS is that of the number of rising less the number of falling pairs if
// there is no trend.
func varianceOfS(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	term := func(n int) float64 { f := float64(n); return f * (f - 1) * (2*f + 5) }
	v := term(len(sorted))
	for i := 0; i < len(sorted); {
		j := i
		for j < len(sorted) && sorted[j] == sorted[i] {
			j++
		}
		v -= term(j - i)
		i = j
	}
	return v / 18
}

// grows tells whether values rise by at least floor, surely and still: the last
// verdicts, each by one sample less, agree. The trend is that of all values.
func grows(times, values []float64, floor float64) (Trend, bool) {
	n := len(values)
	if n < minSamples+agreeing-1 || slices.Max(values)-values[0] < floor {
		return Trend{}, false
	}
	for k := range agreeing {
		if !growsNow(times[:n-k], values[:n-k], floor) {
			return Trend{}, false
		}
	}
	return fit(times, values), true
}

// growsNow is one verdict.
func growsNow(times, values []float64, floor float64) bool {
	// What fills up levels off: of an exponential approach of more than 3 time
	// constants, the last step between thirds is less than a third of the first one.
	n := len(values)
	third := n / 3
	first, middle, last := median(values[:third]), median(values[third:n-third]), median(values[n-third:])
	if last-first < floor/2 || middle < first || last-middle < (middle-first)/3 || last <= middle {
		return false
	}
	t := fit(times, values)
	growth := t.Slope * t.Over.Seconds()
	// The interval takes samples for independent. Those of a process that wanders are
	// not, so the growth has also to stand out of the scatter about it.
	return t.Lo > 0 && growth >= floor && growth >= outstanding*t.scatter(times, values)
}

// outstanding is how many standard deviations of the scatter a growth has to reach.
const outstanding = 4

// scatter is the standard deviation of values about the trend, from the median of the
// absolute ones, which few outliers do not move.
func (t Trend) scatter(times, values []float64) float64 {
	const normal = 1.4826 // the standard deviation is so many medians, of normal ones
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = v - t.Slope*times[i]
	}
	middle := median(off)
	for i := range off {
		off[i] = math.Abs(off[i] - middle)
	}
	return normal * median(off)
}

func median(values []float64) float64 {
	return sortedMedian(slices.Sorted(slices.Values(values)))
}

func sortedMedian(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// text is the trend in units of what grows.
func (t Trend) text(amount func(float64) string) string {
	hi := "more"
	if !math.IsInf(t.Hi, 1) {
		hi = amount(t.Hi)
	}
	return fmt.Sprintf("%s to %s in %v, %s/s [%s, %s] by %d samples", amount(t.From), amount(t.To),
		t.Over.Round(10*time.Millisecond), amount(t.Slope), amount(t.Lo), hi, t.Samples)
}
