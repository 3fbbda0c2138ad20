package services_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// unowned is the shared memory that PostgreSQL makes and nobody uses: segments of
// System V that no process has attached, and files that none has mapped.
func unowned(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	table, err := os.ReadFile("/proc/sysvipc/shm")
	require.NoError(t, err)
	for _, line := range strings.Split(string(table), "\n")[1:] {
		// key shmid perms size cpid lpid nattch ...
		if f := strings.Fields(line); len(f) > 6 && f[6] == "0" {
			found["segment "+f[1]] = true
		}
	}
	files, err := filepath.Glob("/dev/shm/PostgreSQL.*")
	require.NoError(t, err)
	if len(files) == 0 {
		return found
	}
	var mapped strings.Builder
	processes, err := filepath.Glob("/proc/[0-9]*/maps")
	require.NoError(t, err)
	for _, maps := range processes {
		text, _ := os.ReadFile(maps) // it may have ended
		mapped.Write(text)
	}
	for _, file := range files {
		if !strings.Contains(mapped.String(), file) {
			found[file] = true
		}
	}
	return found
}

func TestGivingUpWhileInitdbWorksLeavesNoSharedMemory(t *testing.T) {
	leaveNothing(t)
	began := time.Now()
	p := servicetest.Postgres(t, postgresWithin(services.PostgresOptions{}))
	took := time.Since(began)
	if p.Info().Rung != services.LocalBinary {
		t.Skip("there is no local PostgreSQL whose initdb could be interrupted")
	}
	before := unowned(t)
	const moments = 4
	for moment := range moments {
		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(moment+1)/(moments+1))
		q, err := services.StartPostgres(ctx, postgresWithin(services.PostgresOptions{}))
		cancel()
		if err == nil { // it was faster this time
			require.NoError(t, q.Stop(t.Context()))
		}
	}
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		for name := range unowned(t) {
			assert.Contains(c, before, name, "shared memory was left")
		}
	}, 10*time.Second, 10*time.Millisecond)
}
