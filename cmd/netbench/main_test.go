package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/results"
)

// asNetbench makes this test binary be netbench.
const asNetbench = "NETBENCH_TEST_AS_NETBENCH"

func TestMain(m *testing.M) {
	if os.Getenv(asNetbench) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// start runs netbench as a process and returns its input and its messages.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, in io.WriteCloser, messages *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asNetbench+"=1")
	in, err = cmd.StdinPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { stuck.Stop() })
	return cmd, in, bufio.NewScanner(stderr)
}

// await reads messages until one contains text.
func await(t *testing.T, messages *bufio.Scanner, text string) {
	t.Helper()
	for messages.Scan() {
		if strings.Contains(messages.Text(), text) {
			return
		}
	}
	require.Fail(t, "the program ended before it said "+text)
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	require.True(t, errors.As(err, &exit), "%v", err)
	return exit.ExitCode()
}

func TestExitCodeIsThatOfTheCommand(t *testing.T) {
	cmd, in, messages := start(t, "no-such-command")
	in.Close()
	await(t, messages, "unknown command")
	assert.Equal(t, results.ExitBadInput, exitCode(t, cmd.Wait()))

	cmd, in, messages = start(t, "help")
	in.Close()
	assert.False(t, messages.Scan())
	assert.Equal(t, results.ExitGood, exitCode(t, cmd.Wait()))
}

func TestInterruptedRecordKeepsAPartialRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted alone on Windows")
	}
	dir := t.TempDir()
	cmd, in, messages := start(t, "record", "-dir", dir)
	_, err := io.WriteString(in, "pkg: bt\nBenchmarkA-2 \t 100\t 12.00 ns/op\n")
	require.NoError(t, err)
	await(t, messages, "A-2  time/op 12.0ns")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	await(t, messages, "interrupted")
	in.Close() // as go test does, which gets the same signal
	assert.Equal(t, results.ExitUndecided, exitCode(t, cmd.Wait()))

	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	run, err := results.Read(files[0])
	require.NoError(t, err)
	assert.Equal(t, "interrupted", run.Reason)
	assert.Len(t, run.Results, 1)
}

func TestSecondInterruptEndsTheProgramAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted alone on Windows")
	}
	dir := t.TempDir()
	cmd, in, messages := start(t, "record", "-dir", dir)
	defer in.Close()
	_, err := io.WriteString(in, "BenchmarkA-2 \t 100\t 12.00 ns/op\n")
	require.NoError(t, err)
	await(t, messages, "A-2  time/op")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	await(t, messages, "interrupted") // and waits for its input to end
	// The first one is dealt with at its own pace, so the next may still count as
	// part of it.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for running := true; running; {
		select {
		case <-again.C:
			cmd.Process.Signal(os.Interrupt)
		case err := <-ended:
			assert.Equal(t, -1, exitCode(t, err), "ended by the signal")
			running = false
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	assert.Empty(t, files, "nothing calls itself whole")
}
