package link

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadConfigurationsAreToldByField(t *testing.T) {
	for _, c := range []struct {
		want   string
		config Config
	}{
		{"link: MTU is 67, want 68 to 65535 bytes, or 0 for 1500", Config{MTU: 67}},
		{"link: MTU is 65536,", Config{MTU: 65536}},
		{"link: AToB.Delay is -1ns, want 0 to 1m0s", Config{AToB: Shape{Delay: -1}}},
		{"link: BToA.Delay is 1m0.000000001s, want 0 to 1m0s", Config{BToA: Shape{Delay: time.Minute + 1}}},
		{"link: AToB.Rate is -1, want 1 to 1000000000000 bits/s, or 0 for unlimited", Config{AToB: Shape{Rate: -1}}},
		{"link: BToA.Rate is 1000000000001,", Config{BToA: Shape{Rate: 1e12 + 1}}},
		{"link: AToB.QueuePackets is -1, want 1 to 1048576, or 0 for no bound by packets", Config{AToB: Shape{QueuePackets: -1}}},
		{"link: AToB.QueueBytes is 268435457, want 1 to 268435456, or 0 for no bound by bytes", Config{AToB: Shape{QueueBytes: 256<<20 + 1}}},
		{"link: AToB.Loss is 1.5, want 0 to 1", Config{AToB: Shape{Loss: 1.5}}},
		{"link: BToA.Loss is -0.1, want 0 to 1", Config{BToA: Shape{Loss: -0.1}}},
		{"link: AToB.Loss is NaN, want 0 to 1", Config{AToB: Shape{Loss: math.NaN()}}},
	} {
		_, err := c.config.validate()
		assert.ErrorContains(t, err, c.want)
	}
}

func TestTheZeroConfigurationHasDefaults(t *testing.T) {
	c, err := Config{}.validate()
	require.NoError(t, err)
	assert.Equal(t, DefaultMTU, c.MTU)
	assert.Equal(t, DefaultQueue, c.AToB.QueuePackets)
	c, err = Both(Shape{QueueBytes: 5000}).validate()
	require.NoError(t, err)
	assert.Zero(t, c.BToA.QueuePackets, "one bound does not imply the other")
}
