package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/ptree"
	"netbench/results"
)

// alive tells which of these processes have not ended.
func alive(pids []int) (left []int) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			left = append(left, pid)
		}
	}
	return left
}

func TestPreforkDrainsOnSIGTERMToAllItsProcesses(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "serve", "-model", "prefork-goroutine", "-listeners", "2", "-service", "echo+wait=300ms", "-drain", "30s")
	cmd.Env = append(os.Environ(), asNetbench+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	addr, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "tcp://"), " ")
	family, err := ptree.Processes(cmd.Process.Pid)
	require.NoError(t, err)
	require.Len(t, family, 3, "a supervisor and two workers")

	conns := make([]net.Conn, 20)
	for i := range conns {
		conns[i], err = net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conns[i].Close()
		require.NoError(t, conns[i].SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conns[i], "hello")
		require.NoError(t, err)
	}
	for _, pid := range family { // as a service manager does
		require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	}
	for _, nc := range conns {
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	}
	require.True(t, lines.Scan())
	assert.Contains(t, lines.Text(), "served 20 connections, 100 bytes in, 100 bytes out; 0 refused, 0 idle, 0 failed")
	assert.Equal(t, results.ExitGood, exitCode(t, cmd.Wait()))
	assert.Empty(t, alive(family))
}
