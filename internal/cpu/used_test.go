package cpu

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsedGrowsWithWorkAndNeverBeyondTheCPUsThereAre(t *testing.T) {
	before, began := Used(), time.Now()
	require.Positive(t, before)
	for n := 0; Used()-before < 20*time.Millisecond; n++ {
		require.Less(t, time.Since(began), time.Minute, "a busy loop uses no CPU time")
	}
	cpus, err := Initial()
	if err != nil {
		t.Skip(err)
	}
	assert.LessOrEqual(t, Used()-before, time.Duration(len(cpus)+1)*time.Since(began))
}
