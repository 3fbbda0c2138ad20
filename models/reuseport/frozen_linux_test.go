package reuseport

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// watched is a context that tells when somebody begins to wait for it.
type watched struct {
	context.Context
	once  sync.Once
	begun chan struct{}
}

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.begun) })
	return w.Context.Done()
}

// A worker that is frozen answers nobody. Whoever asks it may be patient; whoever
// ends the server need not be.
func TestAQuestionToAFrozenWorkerDoesNotHoldUpTheEnd(t *testing.T) {
	questions := map[string]func(context.Context, *place) error{
		"snapshot": func(ctx context.Context, p *place) error { _, err := p.ask(ctx); return err },
		"runtime":  func(ctx context.Context, p *place) error { _, err := p.runtime(ctx); return err },
	}
	ends := map[string]func(context.Context, *supervisor) error{
		"Shutdown": func(ctx context.Context, s *supervisor) error { return s.Shutdown(ctx) },
		"Close":    func(_ context.Context, s *supervisor) error { return s.Close() },
	}
	want := map[string]error{"Shutdown": context.DeadlineExceeded}
	const long = 20 * time.Second
	for question, ask := range questions {
		for name, end := range ends {
			t.Run(question+"/"+name, func(t *testing.T) {
				f := start(t, PreforkOptions{}, models.Config{Listeners: 2})
				pids := f.pids()
				require.NoError(t, f.places[1].current().Freeze())
				limit, cancel := context.WithTimeout(context.Background(), long)
				defer cancel()
				ctx := &watched{Context: limit, begun: make(chan struct{})}
				answered := make(chan error, 1)
				go func() { answered <- ask(ctx, f.places[1]) }()
				<-ctx.begun

				began := time.Now()
				soon, enough := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer enough()
				assert.ErrorIs(t, end(soon, f.supervisor), want[name])
				assert.Less(t, time.Since(began), long/2, "it waited for the answer")
				for _, pid := range pids {
					assert.True(t, gone(pid), "process %d is left", pid)
				}
				assert.NoError(t, <-answered, "the worker has ended, which is no fault of the question")
			})
		}
	}
}
