package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/results"
)

// An upload that is under way when the program is asked to end is stored and
// answered.
func TestFilesFinishesAnUploadAfterSIGTERM(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, "files", "-dir", dir, "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asNetbench+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	addr, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "http://"), "/")

	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	const form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n"
	const half = len(form) - 12 // in the middle of the file
	_, err = io.WriteString(nc, "POST /upload HTTP/1.1\r\nHost: "+addr+"\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: "+
		strconv.Itoa(len(form))+"\r\n\r\n"+form[:half])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		there, err := os.ReadDir(dir)
		return err == nil && len(there) == 1
	}, 30*time.Second, time.Millisecond, "it has begun to store")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { // it listens no more
		other, err := net.Dial("tcp", addr)
		if err == nil {
			other.Close()
		}
		return err != nil
	}, 30*time.Second, 5*time.Millisecond)
	_, err = io.WriteString(nc, form[half:])
	require.NoError(t, err)
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusCreated, reply.StatusCode)
	require.True(t, lines.Scan())
	assert.Contains(t, lines.Text(), "stored 1 files, gave out 0")
	assert.Equal(t, results.ExitGood, exitCode(t, cmd.Wait()))
	stored, err := os.ReadFile(filepath.Join(dir, "a.txt"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(stored))
}
