//go:build ci

package memory_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models/goroutine"
	"netbench/models/memory"
	"netbench/models/reactor"
	"netbench/testenv"
)

// TestScaleMemoryOfIdleConnections holds the models to what an idle connection may
// cost at the counts that matter.
func TestScaleMemoryOfIdleConnections(t *testing.T) {
	for _, c := range []struct {
		model string
		most  float64 // bytes
	}{
		{goroutine.NameLean, 4.5 * 1024},
		{reactor.Name, 256},
	} {
		t.Run(c.model, func(t *testing.T) {
			r, err := memory.Measure(t.Context(), memory.Subject{
				Name: c.model, Server: testenv.ServerSpec{Model: c.model, Service: "echo"},
			}, memory.Options{Repetitions: 2})
			require.NoError(t, err)
			t.Logf("%s: %.0f bytes of user memory for each of 5,000 to 15,000 idle connections", c.model, r.User.PerConn)
			assert.LessOrEqual(t, r.User.PerConn, c.most)
		})
	}
}
