package memory

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// points makes points of (connections, bytes), a list for each repetition.
func points(repetitions ...[][2]float64) []Point {
	var all []Point
	for i, list := range repetitions {
		for _, p := range list {
			all = append(all, Point{Repetition: i + 1, Conns: int(p[0]), Tree: Tree{Anonymous: uint64(p[1])}})
		}
	}
	return all
}

func user(p Point) float64 { return float64(p.User()) }

func TestSlopeIgnoresWhatAServerCostsWithoutConnections(t *testing.T) {
	s := slopeOf(points(
		[][2]float64{{1000, 5_000_000}, {2000, 7_000_000}, {3000, 9_000_000}},
		[][2]float64{{1000, 9_000_000}, {2000, 11_000_000}, {3000, 13_000_000}},
	), user)
	assert.InDelta(t, 2000, s.PerConn, 1e-6)
	assert.InDelta(t, 0, s.Residual, 1e-6)
	require.NotNil(t, s.Lo)
	assert.InDelta(t, 2000, *s.Lo, 1e-6)
	assert.InDelta(t, 2000, *s.Hi, 1e-6)
	assert.Len(t, s.ByRepetition, 2)
}

func TestSlopeOfSeveralRepetitionsHasTheIntervalOfTheirMean(t *testing.T) {
	s := slopeOf(points(
		[][2]float64{{0, 0}, {10, 90}},
		[][2]float64{{0, 0}, {10, 100}},
		[][2]float64{{0, 0}, {10, 110}},
	), user)
	assert.InDelta(t, 10, s.PerConn, 1e-9)
	// sd 1, n 3: half the interval is t(0.975, 2) / sqrt 3 = 4.3027 / 1.7321.
	assert.InDelta(t, 10-2.4841, *s.Lo, 1e-3)
	assert.InDelta(t, 10+2.4841, *s.Hi, 1e-3)
	assert.Equal(t, "10 ± 2", s.String())
}

func TestSlopeOfOneRepetitionHasTheIntervalOfItsResiduals(t *testing.T) {
	// Residuals 10, -20, 10 about a line of slope 3, Σ(x-x̄)² = 200: the standard
	// error is √(600/200), and t(0.975, 1) = 12.706.
	s := slopeOf(points([][2]float64{{0, 110}, {10, 110}, {20, 170}}), user)
	assert.InDelta(t, 3, s.PerConn, 1e-9)
	assert.InDelta(t, 14.142, s.Residual, 1e-3)
	require.NotNil(t, s.Lo)
	assert.InDelta(t, 3-22.008, *s.Lo, 1e-2)
	assert.InDelta(t, 3+22.008, *s.Hi, 1e-2)
}

func TestSlopeOfTwoPointsHasNoInterval(t *testing.T) {
	s := slopeOf(points([][2]float64{{0, 0}, {10, 90}}), user)
	assert.InDelta(t, 9, s.PerConn, 1e-9)
	assert.Nil(t, s.Lo)
	assert.Nil(t, s.Hi)
	assert.Equal(t, "9", s.String())
}

func TestHalfASlopeIsHalfInAll(t *testing.T) {
	s := slopeOf(points([][2]float64{{0, 0}, {10, 90}}, [][2]float64{{0, 0}, {10, 110}}), user)
	h := s.times(0.5)
	assert.InDelta(t, s.PerConn/2, h.PerConn, 1e-9)
	assert.InDelta(t, *s.Hi/2, *h.Hi, 1e-9)
	assert.Equal(t, []float64{4.5, 5.5}, h.ByRepetition)
}

func TestSwappedMemoryIsUserMemory(t *testing.T) {
	assert.EqualValues(t, 12, Tree{Anonymous: 7, Swap: 5, RSS: 100}.User())
}
