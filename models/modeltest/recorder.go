package modeltest

import (
	"fmt"
	"runtime"
	"sync"

	"netbench/models"
)

// recorder is a T that notes what a rule says instead of failing a test.
type recorder struct {
	mu       sync.Mutex
	failures []string
	logs     []string
	stopped  bool
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	if len(r.failures) == 0 {
		r.failures = append(r.failures, "failed without a word")
	}
	r.stopped = true
	r.mu.Unlock()
	runtime.Goexit()
}

// replay says to t what r was told.
func (r *recorder) replay(t T) {
	t.Helper()
	for _, l := range r.logs {
		t.Logf("%s", l)
	}
	for _, f := range r.failures {
		t.Errorf("%s", f)
	}
	if r.stopped {
		t.FailNow()
	}
}

// recorded calls f on a goroutine of its own, which FailNow may end.
func recorded(f func(T)) *recorder {
	rec := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(rec)
	}()
	<-done
	return rec
}

// record judges and tells what was said.
func (r rule) record(factory models.Factory, s setting) *recorder {
	return recorded(func(t T) { r.judge(t, factory, s) })
}
