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
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
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
	return startIn(t, "", nil, exe, args...)
}

// startIn is start in a directory, with further variables.
func startIn(t *testing.T, dir string, env []string, exe string, args ...string) (cmd *exec.Cmd, in io.WriteCloser, messages *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), exe, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), asNetbench+"=1"), env...)
	var err error
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

// Who presses the keys again while a gate removes its worktree gets it removed.
func TestFurtherSignalsDoNotKeepAGateFromRemovingWhatItMade(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted alone on Windows")
	}
	if _, err := exec.LookPath("git"); err != nil {
		needs.Skip(t, needs.Git, err)
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			dir, temporary := t.TempDir(), t.TempDir()
			for name, text := range map[string]string{
				"go.mod":               "module m\n\ngo 1.26\n",
				"cmd/netbench/main.go": "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n",
			} {
				path := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "a"}} {
				git := exec.Command("git", args...)
				git.Dir = dir
				out, err := git.CombinedOutput()
				require.NoError(t, err, string(out))
			}
			// An empty cache, so that all there is has to be compiled.
			cmd, in, messages := startIn(t, dir, []string{"TMPDIR=" + temporary, "GOCACHE=" + t.TempDir()}, exe, "gate", "-base", "HEAD")
			in.Close()
			await(t, messages, "building base")
			require.Eventually(t, func() bool {
				found, _ := filepath.Glob(filepath.Join(temporary, "*", "go-build*"))
				return len(found) > 0
			}, 30*time.Second, time.Millisecond)
			ended := make(chan error, 1)
			go func() {
				for messages.Scan() {
				}
				ended <- cmd.Wait()
			}()
			again := time.NewTicker(5 * time.Millisecond)
			defer again.Stop()
			for running := true; running; {
				_ = cmd.Process.Signal(signal) // it may have ended meanwhile
				select {
				case <-again.C:
				case err := <-ended:
					// What comes when all is removed may end it before it can.
					assert.Contains(t, []int{results.ExitUndecided, -1}, exitCode(t, err))
					running = false
				}
			}
			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			assert.Empty(t, left)
			trees := exec.Command("git", "worktree", "list")
			trees.Dir = dir
			out, err := trees.CombinedOutput()
			require.NoError(t, err)
			assert.Equal(t, 1, strings.Count(string(out), "\n"), "no worktree is left: %s", out)
		})
	}
}
