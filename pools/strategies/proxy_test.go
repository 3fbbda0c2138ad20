package strategies_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/testenv/faults"
)

// way is the way to a server, which can stand still, and lead to another server.
type way struct{ *faults.Stream }

// newWay leads to a target until t ends.
func newWay(t testing.TB, target string) way {
	t.Helper()
	s, err := faults.New(context.Background(), target)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return way{s}
}

// stall lets nothing pass for a while.
func (w way) stall(ctx context.Context, d time.Duration) error {
	w.Stall()
	defer w.Heal()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
