package files_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
	"netbench/zerocopy/files"
)

func TestAFullDiskIsAnsweredWith507AndLeavesRoom(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		needs.Skip(t, needs.Tmpfs, err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	s := serve(t, place{Config: files.Config{Dir: dir}})
	reply, body := s.upload("/upload", "fits", noise(512<<10))
	require.Equal(t, http.StatusCreated, reply.StatusCode, body)
	for range 3 { // what failed once is no longer in the way
		reply, body = s.upload("/upload", "large", noise(700<<10))
		assertRefused(t, http.StatusInsufficientStorage, "the disk is full", reply, body)
		assert.Empty(t, hidden(t, dir))
	}
	// A replacement needs room beside the old file, which stays if there is none.
	reply, body = s.upload("/upload", "fits", noise(600<<10))
	assertRefused(t, http.StatusInsufficientStorage, "the disk is full", reply, body)
	_, body = s.do(http.MethodGet, "/fits", nil)
	assert.True(t, body == noise(512<<10), "the old file is whole")
	reply, body = s.upload("/upload", "small", noise(400<<10))
	assert.Equal(t, http.StatusCreated, reply.StatusCode, body)
	assert.EqualValues(t, 4, s.service.Stats().Failed)
}

// Opening a pipe waits for somebody who writes to it, if one lets it.
func TestAPipeInTheDirectoryIsNoFile(t *testing.T) {
	s := serve(t, place{})
	require.NoError(t, unix.Mkfifo(filepath.Join(s.dir, "pipe"), 0o600))
	reply, body := s.do(http.MethodGet, "/pipe", nil)
	assertRefused(t, http.StatusNotFound, "no such file", reply, body)
	_, body = s.do(http.MethodGet, "/list", nil)
	assert.Contains(t, body, `"files":[]`)
}

func TestWithoutADescriptorItSaysToTryAgain(t *testing.T) {
	s := serve(t, place{})
	s.put("a", "hello")
	_, body := s.do(http.MethodGet, "/a", nil) // the connection is there from here on
	require.Equal(t, "hello", body)
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	lower := unix.Rlimit{Cur: uint64(len(open) + 20), Max: before.Max}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &lower))
	defer func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			require.ErrorIs(t, err, unix.EMFILE)
			break
		}
		held = append(held, f)
	}
	for _, path := range []string{"/a", "/list"} {
		reply, body := s.do(http.MethodGet, path, nil)
		assertRefused(t, http.StatusServiceUnavailable, "try again later", reply, body)
	}
	reply, body := s.upload("/upload", "b", "x")
	assertRefused(t, http.StatusServiceUnavailable, "try again later", reply, body)
}
