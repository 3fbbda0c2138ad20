package buffers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/load"
	"netbench/models"
	"netbench/models/reactor"
)

func TestEveryScenarioRunsAndItsServerSaysWhatItIs(t *testing.T) {
	names := map[string]bool{}
	for _, s := range buffers.Scenarios() {
		require.False(t, names[s.Name], "%s is there twice", s.Name)
		names[s.Name] = true
		if !strings.HasSuffix(s.Name, "size=64") && !strings.HasSuffix(s.Name, "pipeline=16") {
			continue // the same servers again
		}
		t.Run(s.Name, func(t *testing.T) {
			s.Server.StartTimeout = time.Minute // on a machine that has other work
			server, plan, err := s.Start(t.Context())
			require.NoError(t, err)
			defer func() { assert.NoError(t, server.Stop(context.Background())) }()
			plan.Conns = 4
			conns, err := load.Dial(t.Context(), plan)
			require.NoError(t, err)
			defer conns.Close()
			run(t, conns, 40) // few, as there are servers that stall
			stats, err := server.Stats(t.Context())
			require.NoError(t, err)
			moved := int64(stats.Server.BytesIn + stats.Server.BytesOut)
			assert.GreaterOrEqual(t, moved, 40*s.Bytes)
			assert.Zero(t, moved%s.Bytes, "%d bytes are no multiple of what a request is said to move", moved)
			if own := buffers.Models()[s.Server.Model]; own != nil {
				assert.Equal(t, s.Server.Model, server.Info().Stats.Model)
			} else {
				assert.Contains(t, reactor.Models(), s.Server.Model, "a name of the model whose loops own their buffers")
			}
		})
	}
	assert.NotEmpty(t, names)
}

func TestScenariosOfSmallWritesAreWhatTheirNamesSay(t *testing.T) {
	seen := map[models.Toggle]int{}
	for _, s := range buffers.Scenarios() {
		if strings.HasPrefix(s.Name, "Small/") {
			want := models.On
			if strings.Contains(s.Name, "/nagle=on/") {
				want = models.Off
			}
			assert.Equal(t, want, s.Server.Config.NoDelay, s.Name)
			assert.Contains(t, s.Name, "/way="+strings.TrimPrefix(s.Server.Model, "small-")+"/")
			seen[want]++
		}
	}
	assert.GreaterOrEqual(t, seen[models.On], 2)
	assert.GreaterOrEqual(t, seen[models.Off], 2)
}

func TestWritersDifferInTheirBufferOnly(t *testing.T) {
	for _, whole := range []bool{false, true} {
		all := buffers.Writers(whole)
		require.Len(t, all, 7)
		for i, f := range all {
			assert.EqualValues(t, 1_400_000, f.Order.Bytes, "14,000 bytes, 100 times")
			assert.Equal(t, 14_000, f.Order.Flush)
			if i > 0 {
				assert.Greater(t, f.Order.Buffer, all[i-1].Order.Buffer)
			}
			other := f.Order
			other.Buffer = all[0].Order.Buffer
			assert.Equal(t, all[0].Order, other)
		}
	}
}
