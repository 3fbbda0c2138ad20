package load

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAContenderMayHaveConnectionsOfItsOwn(t *testing.T) {
	f := &fakes{}
	plan, many := f.contender("plan", 1000, nil), f.contender("many", 1000, nil)
	many.Conns, many.Silent = 7, 4
	c, err := Interleave(t.Context(), short(1), plan, many)
	require.NoError(t, err)
	require.Empty(t, c.Rounds[0].Invalid)
	assert.Equal(t, short(1).Plan.Conns, c.Rounds[0].Samples[0].Conns)
	assert.Zero(t, c.Rounds[0].Samples[0].Silent)
	assert.Equal(t, 7, c.Rounds[0].Samples[1].Conns)
	assert.Equal(t, 4, c.Rounds[0].Samples[1].Silent)
}
