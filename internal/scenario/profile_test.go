package scenario_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/profiles"
	"netbench/internal/scenario"
)

func TestAnInterruptEndsProfilingBeforeTheTrace(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	traced, ended, watched := false, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			if begun, _ := filepath.Glob(filepath.Join(dir, "cpu*")); len(begun) > 0 {
				cancel()
			}
			if begun, _ := filepath.Glob(filepath.Join(dir, "trace*")); len(begun) > 0 {
				traced = true
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	_, err := echo().Profile(ctx, scenario.Profiling{
		Dir: dir, Kinds: []profiles.Kind{profiles.CPU, profiles.Trace}, For: time.Hour, Trace: time.Minute,
	})
	close(ended)
	<-watched
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, traced, "no trace was asked for")
	left, err := filepath.Glob(filepath.Join(dir, "trace*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAServerThatWritesAProfileIsNotMeasured(t *testing.T) {
	s := echo()
	s.Server.CPUProfile = filepath.Join(t.TempDir(), "cpu.pprof")
	_, _, err := s.Start(t.Context())
	assert.ErrorContains(t, err, "its server would write a CPU profile while it is measured")
	assert.NoFileExists(t, s.Server.CPUProfile)
}
