package leak

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func targets(t *testing.T) map[string]int {
	t.Helper()
	open, err := descriptors()
	require.NoError(t, err)
	return countTargets(open)
}

func TestDescriptorsAreNamedByWhatTheyLeadTo(t *testing.T) {
	before := targets(t)
	dir := t.TempDir()
	for _, name := range []string{"part-1.dat", "part-20.dat", "gone-3"} {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		defer f.Close()
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "gone-3")))
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for range 3 {
		out, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer out.Close()
		in, err := l.Accept()
		require.NoError(t, err)
		defer in.Close()
	}
	ul, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer ul.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()

	after := targets(t)
	addr := l.Addr().String()
	for target, want := range map[string]int{
		"file " + dir + "/part-#.dat": 2,
		"file " + dir + "/gone-#":     1,
		"pipe":                        2,
		"tcp listener at " + addr:     1,
		"tcp to " + addr:              3,
		"tcp accepted at " + addr:     3,
		"unix socket " + dir + "/s":   1,
		"udp socket without a peer":   1,
	} {
		assert.Equal(t, want, after[target]-before[target], "%s in %v", target, after)
	}
}

func TestTargetsLoseOnlyWhatTellsEqualOnesApart(t *testing.T) {
	for to, want := range map[string]string{
		"pipe:[123]":             "pipe",
		"socket:[9]":             "socket",
		"anon_inode:[eventpoll]": "anon_inode:[eventpoll]",
		"anon_inode:inotify":     "anon_inode:inotify",
		"/v1/log-2026-01-02.txt": "file /v1/log-#-#-#.txt",
		"/tmp/x (deleted)":       "file /tmp/x",
		"/tmp/odd:[name]":        "file /tmp/odd:[name]",
		"net:[4026531840]":       "net",
	} {
		assert.Equal(t, want, targetOf(to), to)
	}
}

func TestWatchFindsDescriptorsThatWereLeftOpen(t *testing.T) {
	var r recorder
	d := Watch(&r, often)
	var open []*os.File
	for range 10 {
		in, out, err := os.Pipe()
		require.NoError(t, err)
		open = append(open, in, out)
	}
	require.Eventually(t, func() bool { return d.Samples() > 20 }, waitFor, poll)
	r.end()
	for _, f := range open {
		require.NoError(t, f.Close())
	}
	require.Len(t, r.errors, 1)
	assert.Contains(t, r.errors[0], "descriptor leak: pipe, pipe:[")
	assert.Contains(t, r.errors[0], "20 left behind")
}
