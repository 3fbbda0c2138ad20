package files_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fiemap is struct fiemap of linux/fiemap.h, with room for some extents.
type fiemap struct {
	start, length uint64
	flags         uint32
	mapped        uint32
	count, _      uint32
	extents       [64]struct {
		logical, physical, length uint64
		_                         [2]uint64
		flags                     uint32
		_                         [3]uint32
	}
}

const (
	fsIocFiemap          = 0xc020660b
	fiemapExtentDelalloc = 4 // there is no place on the disk for it yet
)

// pending tells how many bytes of a file have no place on the disk yet, and how many
// have one. It does not make the kernel look for one.
func pending(path string) (waiting, placed uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	m := fiemap{length: ^uint64(0)}
	m.count = uint32(len(m.extents))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsIocFiemap, uintptr(unsafe.Pointer(&m)))
	runtime.KeepAlive(&m)
	if errno != 0 {
		return 0, 0, errno
	}
	for _, e := range m.extents[:m.mapped] {
		if e.flags&fiemapExtentDelalloc != 0 {
			waiting += e.length
		} else {
			placed += e.length
		}
	}
	return waiting, placed, nil
}

// Most file systems look for a place when a file is flushed, or some seconds later. By
// that one can tell.
func TestAnUploadIsOnTheDiskWhenItIsAnswered(t *testing.T) {
	s := serve(t, place{})
	const size = 1 << 20
	other := filepath.Join(s.dir, "other")
	require.NoError(t, os.WriteFile(other, []byte(noise(size)), 0o600))
	waiting, _, err := pending(other)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || err == nil && waiting == 0 {
		t.Skip("this file system does not tell what is flushed:", err)
	}
	require.NoError(t, err)
	reply, body := s.upload("/upload", "a", noise(size))
	require.Equal(t, http.StatusCreated, reply.StatusCode, body)
	waiting, placed, err := pending(filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	assert.Zero(t, waiting)
	assert.EqualValues(t, size, placed)
}
