//go:build ci

package services_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
)

// It takes as long as initdb is given to end by itself, eight seconds.
func TestLongGivingUpWhilePostgresStartsLeavesNothing(t *testing.T) {
	leaveNothing(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	dir := programs(t, map[string]string{"initdb": "sleep 300 & sleep 300", "postgres": "exit 0"})
	_, err := services.StartPostgres(ctx, services.PostgresOptions{Binaries: dir})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
