package cases_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/gcprofile/leak"
	"netbench/gcprofile/leak/cases"
	"netbench/internal/proc"
)

func TestMain(m *testing.M) {
	proc.Main(watched)
	goleak.VerifyTestMain(m)
}

// spec is a case to run under load and under watch.
type spec struct {
	Case    string
	Cured   bool
	Size    cases.Size
	Load    cases.Load
	For     time.Duration // of the load
	Found   bool          // the load ends when the leak is found
	Samples int           // and it ends after so many samples, if this is not 0
	Options leak.Options
}

// outcome is what came of it.
type outcome struct {
	Found  []string      // kind and where, at any time, in order
	Right  bool          // what the case says is among them
	After  time.Duration // from the start of the load to that
	Done   int           // requests
	Held   bool          // it was still found in the end
	Report string
	Short  string // why trends could not be judged, if so
}

// watched runs a case in a process of its own: most leaks last as long as it.
var watched = proc.Role{Name: "leak-case", Run: func(ctx context.Context, ch *proc.Channel, _ json.RawMessage) error {
	ch.Handle("run", func(ctx context.Context, arg json.RawMessage) (any, error) {
		var s spec
		if err := json.Unmarshal(arg, &s); err != nil {
			return nil, err
		}
		return run(ctx, s)
	})
	if err := ch.Ready(nil); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}}

// run is what a child does.
func run(ctx context.Context, s spec) (outcome, error) {
	var o outcome
	c, err := cases.Named(s.Case)
	if err != nil {
		return o, err
	}
	d, err := leak.Start(s.Options)
	if err != nil {
		return o, err
	}
	defer d.Stop()
	build := c.Leaking
	if s.Cured {
		build = c.Cured
	}
	component, err := build(s.Size)
	if err != nil {
		return o, err
	}
	loaded, stop := context.WithTimeout(ctx, s.For)
	defer stop()
	began := time.Now()
	driven := make(chan error, 1)
	go func() {
		done, err := cases.Drive(loaded, component, s.Load)
		o.Done = done
		driven <- err
	}()
	seen := map[string]bool{}
	note := func(found []leak.Finding) {
		o.Held = false
		for _, f := range found {
			if key := string(f.Kind) + ": " + f.Where; !seen[key] {
				seen[key] = true
				o.Found = append(o.Found, key)
			}
			if f.Kind == c.Kind && strings.Contains(f.Where, c.Where) {
				if !o.Right {
					o.Right, o.After = true, time.Since(began)
				}
				o.Held = true
			}
		}
	}
	look := time.NewTicker(s.Options.Interval)
	defer look.Stop()
	for running := true; running; {
		select {
		case err = <-driven:
			running = false
		case <-look.C:
			note(d.Findings())
			if o.Right && s.Found || s.Samples > 0 && d.Samples() >= s.Samples {
				stop()
			}
		}
	}
	d.EndLoad()
	if err = errors.Join(err, component.Close()); err != nil {
		return o, fmt.Errorf("%s: %w", s.Case, err)
	}
	r := d.Stop()
	note(r.Findings)
	o.Report, o.Short = r.String(), r.Undecided
	return o, nil
}

// inProcess runs a case in a process of its own.
func inProcess(t testing.TB, s spec) (o outcome, err error) {
	child, err := proc.Start(t.Context(), proc.Options{Role: watched.Name, StartTimeout: time.Minute, Log: testLog{t}})
	if err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), s.For+time.Minute)
	defer cancel()
	err = child.Call(ctx, "run", s, &o)
	return o, errors.Join(err, child.Kill())
}

// inProcesses runs cases in processes of their own, some at a time. Each waits most of
// its time, so there may be more than there are CPUs.
func inProcesses(t testing.TB, atOnce int, all []spec, done func(i int, o outcome, err error)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(atOnce, len(all)) {
		wg.Go(func() {
			for i := range next {
				o, err := inProcess(t, all[i])
				done(i, o, err)
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
}

// testLog is the log of a child.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("child: %s", p)
	return len(p), nil
}
