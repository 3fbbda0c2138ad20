package reuseport

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/testenv"
)

func TestDistributionsAreJudgedByTheirFormulas(t *testing.T) {
	for _, c := range []struct {
		d                           Distribution
		max, min, variation, square float64
	}{
		{Distribution{10, 10}, 1, 1, 0, 0},
		{Distribution{15, 5}, 1.5, 0.5, 0.5, 5},              // (25+25)/10
		{Distribution{0, 0, 0, 40}, 4, 0, math.Sqrt(3), 120}, // (3*100+900)/10
		{Distribution{7}, 1, 1, 0, 0},
	} {
		assert.InDelta(t, c.max, c.d.MaxOverMean(), 1e-12, "%v", c.d)
		assert.InDelta(t, c.min, c.d.MinOverMean(), 1e-12, "%v", c.d)
		assert.InDelta(t, c.variation, c.d.Variation(), 1e-12, "%v", c.d)
		assert.InDelta(t, c.square, c.d.ChiSquare(), 1e-12, "%v", c.d)
	}
	assert.True(t, math.IsNaN(Distribution{0, 0}.MaxOverMean()))
}

func TestMeasureTellsWhereConnectionsLanded(t *testing.T) {
	if !supported {
		t.Skip("this platform does not spread connections over listeners")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, model := range spreadModels() {
		d, err := Measure(ctx, testenv.ServerSpec{Model: model, Service: "echo", Config: models.Config{Listeners: 4}}, 1000)
		require.NoError(t, err, model)
		require.Len(t, d, 4, model)
		assert.EqualValues(t, 250, d.Mean(), model)
		// The kernel's hash is as good as chance, which exceeds this once in ten
		// million times.
		assert.Less(t, d.ChiSquare(), 35.0, "%s: %v", model, d)
	}
	_, err := Measure(ctx, testenv.ServerSpec{Model: "single", Service: "echo"}, 1)
	require.ErrorContains(t, err, "tell its listeners apart")
}
