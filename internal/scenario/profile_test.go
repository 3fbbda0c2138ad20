package scenario_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAServerThatWritesAProfileIsNotMeasured(t *testing.T) {
	s := echo()
	s.Server.CPUProfile = filepath.Join(t.TempDir(), "cpu.pprof")
	_, _, err := s.Start(t.Context())
	assert.ErrorContains(t, err, "its server would write a CPU profile while it is measured")
	assert.NoFileExists(t, s.Server.CPUProfile)
}
