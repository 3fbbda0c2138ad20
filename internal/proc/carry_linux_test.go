package proc

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// porter carries a role in a child process of its own: this binary, with nothing of
// this process's environment.
var porter = Role{Name: "porter", Carry: func(c Cargo) error {
	var name string
	if err := json.Unmarshal(c.Spec, &name); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env = []string{name}, c.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, c.Out, os.Stderr
	return cmd.Run()
}}

func init() { testRoles = append(testRoles, porter) }

func TestACarriedRoleIsCalledAsAChildIs(t *testing.T) {
	c, err := Start(t.Context(), Options{
		Role: "worker", Spec: 42, Env: []string{"PROC_TEST_VALUE=told"}, GoMaxProcs: 3,
		Carrier: &Carrier{Role: "porter", Spec: "carried"},
	})
	require.NoError(t, err)
	var info workerInfo
	require.NoError(t, json.Unmarshal(c.Info(), &info))
	assert.Equal(t, "42", string(info.Spec))
	assert.NotEqual(t, c.PID(), info.PID, "the porter and what it carries are two processes")
	assert.Equal(t, os.Getpid(), info.ParentPID, "as the parent says itself")
	assert.Equal(t, 3, info.GoMaxProcs)
	assert.Equal(t, "told", info.Env)
	var back string
	require.NoError(t, c.Call(t.Context(), "echo", "there and back", &back))
	assert.Equal(t, "there and back", back)
	require.NoError(t, c.Stop(t.Context()))
	assert.ErrorIs(t, unix.Kill(info.PID, 0), unix.ESRCH)
}

// What it prints goes to the log, as it shares standard output with the channel.
func TestWhatACarriedRolePrintsDoesNotGetIntoTheChannel(t *testing.T) {
	_, err := Start(t.Context(), Options{Role: "early", Spec: 7, Carrier: &Carrier{Role: "porter", Spec: "x"}})
	var ended *ExitError
	require.ErrorAs(t, err, &ended)
	assert.Contains(t, ended.Stderr, "no disk")
	assert.Contains(t, ended.Stderr, "exit status 7")
}

func TestACarrierThatIsKilledIsAskedFirst(t *testing.T) {
	c, err := Start(t.Context(), Options{Role: "worker", Carrier: &Carrier{Role: "porter", Spec: "x"}})
	require.NoError(t, err)
	require.NoError(t, c.Kill())
	var ended *ExitError
	require.ErrorAs(t, c.Err(), &ended)
	assert.Contains(t, ended.State.String(), unix.SIGTERM.String())
}

func TestStartRefusesACarrierThatCannotBe(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"unknown":     {Options{Role: "worker", Carrier: &Carrier{Role: "nobody"}}, `role "nobody" was not given`},
		"a program":   {Options{Role: "worker", Program: "/bin/true", Carrier: &Carrier{Role: "porter"}}, "both a carrier and a program"},
		"unencodable": {Options{Role: "worker", Carrier: &Carrier{Role: "porter", Spec: func() {}}}, "encode the carrier's specification"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := Start(ctx, tc.o)
			require.ErrorContains(t, err, tc.want)
			assert.False(t, errors.Is(err, context.DeadlineExceeded))
		})
	}
}
