//go:build linux

package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartReturnsWhatTheChildSaidWhenReady(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{
		Role: "worker", Spec: map[string]int{"answer": 42}, GoMaxProcs: 3, Env: []string{"PROC_TEST_VALUE=seven"},
	})
	var info workerInfo
	require.NoError(t, json.Unmarshal(c.Info(), &info))
	assert.JSONEq(t, `{"answer": 42}`, string(info.Spec))
	assert.Equal(t, c.PID(), info.PID)
	assert.Equal(t, os.Getpid(), info.ParentPID)
	assert.Equal(t, 3, info.GoMaxProcs)
	assert.Equal(t, "seven", info.Env)
	assert.NoError(t, c.Err(), "a running child has no error")
}

func TestStopEndsTheChildInOrder(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "worker"})
	require.NoError(t, c.Stop(t.Context()))
	select {
	case <-c.Done():
	default:
		t.Fatal("Stop returned before the child was done")
	}
	assert.NoError(t, c.Err())
	assert.ErrorIs(t, syscall.Kill(c.PID(), 0), syscall.ESRCH, "the child is reaped")
	assert.NoError(t, c.Stop(t.Context()), "Stop may be repeated")
	assert.NoError(t, c.Kill(), "Kill after the end is no error")
	var exit *ExitError
	require.ErrorAs(t, c.Call(t.Context(), "echo", 1, nil), &exit)
	assert.True(t, exit.State.Success())
}

func TestStopKillsAChildThatDoesNotStop(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "spinner"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := c.Stop(ctx)
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "did not stop")
	assert.Equal(t, "signal: killed", exit.State.String())
}

func TestCallReturnsResultsAndErrors(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "worker"})
	ctx := t.Context()

	var got map[string]string
	require.NoError(t, c.Call(ctx, "echo", map[string]string{"a": "line\nbreak"}, &got))
	assert.Equal(t, map[string]string{"a": "line\nbreak"}, got)

	for op, want := range map[string]string{
		"fail":        "told to fail",
		"unencodable": "encode the result",
		"missing":     "unknown operation (known: babble, die,",
	} {
		err := c.Call(ctx, op, nil, nil)
		var failed *CallError
		require.ErrorAs(t, err, &failed, op)
		assert.Equal(t, op, failed.Op)
		assert.ErrorContains(t, err, want)
	}
	var number int
	assert.ErrorContains(t, c.Call(ctx, "echo", "text", &number), "decode the result")
	assert.ErrorContains(t, c.Call(ctx, "echo", func() {}, nil), "encode the argument")
	assert.NoError(t, c.Call(ctx, "echo", 1, nil), "the child survived all of it")
}

func TestCallCarriesLargeMessages(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "worker"})
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	var got string
	require.NoError(t, c.Call(t.Context(), "echo", large, &got))
	assert.True(t, got == large, "1 MiB came back changed")

	err := c.Call(t.Context(), "large", maxMessage+1, nil)
	assert.ErrorContains(t, err, "at most", "a reply beyond the limit is an error of the call alone")
	require.NoError(t, c.Call(t.Context(), "echo", 1, nil))
}

func TestCallsRunAtTheSameTime(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "worker"})
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	held := make([]error, 20)
	for i := range held {
		calls.Go(func() { held[i] = c.Call(ctx, "hold", nil, nil) })
	}
	running := func() (n int) {
		assert.NoError(t, c.Call(t.Context(), "held", nil, &n))
		return n
	}
	require.Eventually(t, func() bool { return running() == len(held) }, time.Minute, time.Millisecond)

	// Others overtake them, each with its own answer.
	for i := range 50 {
		calls.Go(func() {
			for j := range 20 {
				var got [2]int
				assert.NoError(t, c.Call(t.Context(), "echo", [2]int{i, j}, &got))
				assert.Equal(t, [2]int{i, j}, got)
			}
		})
	}
	cancel()
	calls.Wait()
	for _, err := range held {
		assert.ErrorIs(t, err, context.Canceled)
	}
	assert.Eventually(t, func() bool { return running() == 0 }, time.Minute, time.Millisecond,
		"the child learns that its callers gave up")
}

func TestCallReturnsAtOnceWhenTheChildDies(t *testing.T) {
	for _, c := range []struct {
		op    string
		arg   any
		state string
		text  string
	}{
		{"panic", nil, "exit status 2", "panic: told to panic"},
		{"exit", 17, "exit status 17", ""},
		{"die", nil, "signal: terminated", ""},
		{"hang up", nil, "signal: killed", "closed its control channel"},
		{"babble", nil, "signal: killed", "not a control message"},
	} {
		t.Run(c.op, func(t *testing.T) {
			leaveNothing(t)
			child := start(t, Options{Role: "worker"})
			waiting := make(chan error, 1)
			go func() { waiting <- child.Call(context.WithoutCancel(t.Context()), "hold", nil, nil) }()
			require.Eventually(t, func() bool {
				var n int
				return child.Call(t.Context(), "held", nil, &n) == nil && n == 1
			}, time.Minute, time.Millisecond)

			err := child.Call(t.Context(), c.op, c.arg, nil)
			if c.op == "die" && err == nil { // its answer may overtake the signal
				<-child.Done()
				err = child.Err()
			}
			for _, err := range []error{err, <-waiting, child.Err()} {
				var exit *ExitError
				require.ErrorAs(t, err, &exit)
				assert.Equal(t, c.state, exit.State.String())
				assert.Equal(t, child.PID(), exit.PID)
				assert.Equal(t, "worker", exit.Role)
				assert.ErrorContains(t, err, c.text)
				assert.NotContains(t, err.Error(), "\n", "an error is one line")
			}
			assert.Error(t, child.Stop(t.Context()))
		})
	}
}

func TestExitErrorHoldsTheLastOutputAndTheFault(t *testing.T) {
	leaveNothing(t)
	var log bytes.Buffer
	child := start(t, Options{Role: "worker", Log: &log})
	require.NoError(t, child.Call(t.Context(), "noise", nil, nil))
	err := child.Call(t.Context(), "panic", nil, nil)
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	assert.LessOrEqual(t, len(exit.Stderr), tailSize)
	assert.NotContains(t, exit.Stderr, "panic: told", "the message alone is longer than the tail")
	assert.Contains(t, exit.Stderr, "goroutine ", "the end of the report is there")
	assert.True(t, strings.HasPrefix(exit.Fault, "panic: told to panic!!!"), exit.Fault)
	assert.Contains(t, log.String(), "line 0\n", "the log got everything")
	assert.Contains(t, log.String(), "line 9999\n")
}

func TestStartReportsAChildThatEndsBeforeItIsReady(t *testing.T) {
	for _, c := range []struct {
		o     Options
		state string
		text  string
	}{
		{Options{Role: "early", Spec: 9}, "exit status 9", "no disk"},
		{Options{Role: "early", Spec: 0}, "exit status 0", "no disk"},
		{Options{Role: "refuse"}, "exit status 1", `role "refuse": this role refuses`},
	} {
		t.Run(fmt.Sprint(c.o.Role, c.o.Spec), func(t *testing.T) {
			leaveNothing(t)
			c.o.StartTimeout = time.Minute
			_, err := Start(t.Context(), c.o)
			var exit *ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, c.state, exit.State.String())
			assert.ErrorContains(t, err, c.text)
		})
	}
}

func TestStartGivesUpOnAChildThatIsNeverReady(t *testing.T) {
	leaveNothing(t)
	said := make(heard, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-said
		cancel(nil)
	}()
	_, err := Start(ctx, Options{Role: "silent", StartTimeout: time.Minute, Log: said})
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "waiting for a licence")

	_, err = Start(t.Context(), Options{Role: "silent", StartTimeout: 2 * time.Second})
	assert.ErrorIs(t, err, ErrNotReady)
	assert.ErrorContains(t, err, "not ready within 2s")
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, "signal: killed", exit.State.String())
	assert.ErrorIs(t, syscall.Kill(exit.PID, 0), syscall.ESRCH, "no process is left")
}

// heard is a log that tells when something was written to it.
type heard chan struct{}

func (h heard) Write(p []byte) (int, error) {
	select {
	case h <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	leaveNothing(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		o    Options
		text string
	}{
		"unknown role":          {t.Context(), Options{Role: "nobody"}, `role "nobody" was not given to proc.Main (known: worker,`},
		"spec that is no JSON":  {t.Context(), Options{Role: "worker", Spec: func() {}}, "encode its specification"},
		"negative GOMAXPROCS":   {t.Context(), Options{Role: "worker", GoMaxProcs: -1}, "GoMaxProcs is -1"},
		"CPU that is not there": {t.Context(), Options{Role: "worker", CPUs: []int{8000}}, "pin to CPUs 8000"},
		"CPU beyond any kernel": {t.Context(), Options{Role: "worker", CPUs: []int{1 << 20}}, "CPU 1048576"},
		"negative CPU":          {t.Context(), Options{Role: "worker", CPUs: []int{-1}}, "CPU -1"},
		"ended context":         {cancelled, Options{Role: "worker"}, "context canceled"},
	} {
		_, err := Start(c.ctx, c.o)
		assert.ErrorContains(t, err, c.text, name)
	}
}

func TestStartWithoutMainSaysWhatToDo(t *testing.T) {
	was := roles.Swap(nil)
	defer roles.Store(was)
	_, err := Start(t.Context(), Options{Role: "worker"})
	assert.ErrorContains(t, err, "call proc.Main")
}

func TestMainRefusesRolesThatCannotBeTold(t *testing.T) {
	was := roles.Swap(nil)
	defer roles.Store(was)
	run := worker
	assert.PanicsWithValue(t, "proc.Main: a role needs a name and a Run or a Carry function", func() { Main(Role{Name: "x"}) })
	assert.PanicsWithValue(t, "proc.Main: a role needs a name and a Run or a Carry function", func() { Main(Role{Run: run}) })
	assert.PanicsWithValue(t, "proc.Main: two roles are called x", func() { Main(Role{Name: "x", Run: run}, Role{Name: "x", Run: run}) })
	Main(Role{Name: "x", Run: run})
	assert.PanicsWithValue(t, "proc.Main: called twice; pass all roles to one call", func() { Main(Role{Name: "x", Run: run}) })
}

func TestBothSidesRefuseAForeignProtocol(t *testing.T) {
	leaveNothing(t)
	_, err := Start(t.Context(), Options{Role: "worker", StartTimeout: time.Minute,
		Env: []string{envFirstLine + `={"kind":"hello","body":{"protocol":9,"min_protocol":8,"pid":1,"role":"worker"}}`}})
	assert.ErrorContains(t, err, "the parent speaks version 1 (understands 1 and later), the child version 9 (understands 8 and later)")

	_, err = Start(t.Context(), Options{Role: "worker", StartTimeout: time.Minute, Env: []string{envFirstLine + `={"kind":"reply"}`}})
	assert.ErrorContains(t, err, `it began with "reply", not with a hello`)

	now := hello{Protocol: 4, Min: 2, Role: "r"}
	for _, c := range []struct {
		child hello
		ok    bool
	}{
		{hello{Protocol: 4, Min: 2, Role: "r"}, true},
		{hello{Protocol: 2, Min: 1, Role: "r"}, true},
		{hello{Protocol: 9, Min: 4, Role: "r"}, true},
		{hello{Protocol: 1, Min: 1, Role: "r"}, false},
		{hello{Protocol: 9, Min: 5, Role: "r"}, false},
		{hello{Protocol: 4, Min: 2, Role: "other"}, false},
	} {
		assert.Equal(t, c.ok, agree(now, c.child) == nil, "%+v", c.child)
	}
}

// TestChildRefusesAForeignParent plays the parent, with a hello of another
// version.
func TestChildRefusesAForeignParent(t *testing.T) {
	for name, c := range map[string]struct{ role, first, text string }{
		"version":   {"worker", `{"kind":"hello","body":{"protocol":9,"min_protocol":8,"role":"worker"}}`, "the parent speaks version 9"},
		"no hello":  {"worker", `{"kind":"start"}`, "not with a hello"},
		"no parent": {"worker", "", "the parent went away"},
		"role":      {"unheard-of", "", `role "unheard-of" was not given to proc.Main (none is)`},
	} {
		t.Run(name, func(t *testing.T) {
			leaveNothing(t)
			childIn, to, err := os.Pipe()
			require.NoError(t, err)
			defer to.Close()
			from, childOut, err := os.Pipe()
			require.NoError(t, err)
			defer from.Close()
			var said bytes.Buffer
			cmd := exec.Command(os.Args[0])
			cmd.Stderr = &said
			cmd.Env = append(os.Environ(), envRole+"="+c.role)
			require.NoError(t, passPipes(cmd, childIn, childOut, true))
			require.NoError(t, cmd.Start())
			require.NoError(t, childIn.Close())
			require.NoError(t, childOut.Close())
			if c.first == "" {
				require.NoError(t, to.Close())
			} else {
				_, err = fmt.Fprintln(to, c.first)
				require.NoError(t, err)
			}
			assert.Error(t, cmd.Wait())
			assert.Contains(t, said.String(), c.text)
		})
	}
}

func TestChildRoleInAPlainEnvironmentIsRefused(t *testing.T) {
	leaveNothing(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=worker")
	out, err := cmd.CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), envRole+" is for child processes only")
}
