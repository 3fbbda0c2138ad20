package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/results"
)

// draining is a server whose Shutdown is what a test says.
type draining struct {
	models.Server
	shutdown func(context.Context) error
	closed   chan struct{}
}

func (d draining) Shutdown(ctx context.Context) error {
	defer close(d.closed)
	return d.shutdown(ctx)
}

func (d draining) Serve() error {
	<-d.closed
	return models.ErrServerClosed
}

func (d draining) Stats() models.Stats { return models.Stats{} }

func TestServeSaysWhyItCouldNotDrain(t *testing.T) {
	const drain = 20 * time.Millisecond
	late := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		shutdown func(context.Context) error
		exit     int
		want     string
	}{
		"drained":         {func(context.Context) error { return nil }, results.ExitGood, ""},
		"out of time":     {late, results.ExitFailed, "connections were cut that had not drained within 20ms"},
		"a worker died":   {func(context.Context) error { return errors.New("worker 1 was killed") }, results.ExitFailed, "drain: worker 1 was killed"},
		"another's limit": {func(context.Context) error { return fmt.Errorf("worker 1 did not stop: %w", context.DeadlineExceeded) }, results.ExitFailed, "drain: worker 1 did not stop: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			patience := time.Minute
			if name == "out of time" {
				patience = drain
			}
			interrupted, interrupt := context.WithCancel(t.Context())
			interrupt()
			var out bytes.Buffer
			exit, err := serveUntil(interrupted, draining{shutdown: c.shutdown, closed: make(chan struct{})}, patience, Streams{Out: &out})
			assert.Equal(t, c.exit, exit)
			assert.Contains(t, out.String(), "served 0 connections")
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, c.want)
			}
		})
	}
}

func TestAServerThatIsInterruptedWhileItStartsIsNoBadInput(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	args := []string{"serve", "-addr", taken.Addr().String()}
	exit, _, stderr := netbench(t, interrupted, args...)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "interrupted while it started: ")
	assert.Contains(t, stderr, "address already in use")

	exit, _, _ = netbench(t, t.Context(), args...)
	assert.Equal(t, results.ExitBadInput, exit, "nobody interrupted it")
	exit, _, stderr = netbench(t, interrupted, "serve")
	assert.Equal(t, results.ExitGood, exit, "one that could start is drained: %s", stderr)
}
