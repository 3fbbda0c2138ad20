package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbench/internal/ptree"
)

// ErrNoReads is wrapped by the error of a [LargestRead] during which nothing was
// read by a call that it knows.
var ErrNoReads = errors.New("no read was seen")

// LargestRead watches the process pid and its descendants while during runs, and
// returns the most bytes that one of their threads got by one read, readv, recvfrom
// or recvmsg, or by one receive of an io_uring into a provided buffer. Other reads
// of io_uring are not told apart from writes, and so not counted. Threads that are
// made meanwhile are not watched. The error is during's, wraps [ErrNoReads], or says
// why nothing can be watched.
//
// These are the tracepoints raw_syscalls:sys_exit and io_uring:io_uring_complete.
// The samples of each thread go to a buffer that is full after some hundred; what
// comes later is lost, so during has to be short.
func LargestRead(pid int, during func() error) (bytes int, err error) {
	w := &watch{}
	defer w.close()
	exits, err := tracepointID("raw_syscalls", "sys_exit")
	if err != nil {
		return 0, err
	}
	kinds := map[uint64]func([]byte) int{exits: readBySystemCall}
	// A kernel without io_uring lacks the tracepoint, and then it has no such reads.
	if completions, err := tracepointID("io_uring", "io_uring_complete"); err == nil {
		kinds[completions] = readByRing
	}
	if err := w.open(pid, kinds); err != nil {
		return 0, err
	}
	if err := during(); err != nil {
		return 0, err
	}
	for _, s := range w.streams {
		bytes = max(bytes, s.largest())
	}
	if bytes == 0 {
		return 0, fmt.Errorf("process %d: %w", pid, ErrNoReads)
	}
	return bytes, nil
}

// What a sample of a tracepoint begins with, and its fields, at the offsets that
// the files named format in tracefs give.
const (
	exitID      = 8  // of sys_exit: the number of the system call, 8 bytes
	exitResult  = 16 // 8 bytes
	exitSize    = 24
	ringResult  = 32 // of io_uring_complete: 4 bytes
	ringFlags   = 36 // 4 bytes
	ringSize    = 40
	ringABuffer = 1 // flag: it used a provided buffer
)

func readBySystemCall(raw []byte) int {
	if len(raw) < exitSize {
		return 0
	}
	switch binary.NativeEndian.Uint64(raw[exitID:]) {
	case unix.SYS_READ, unix.SYS_READV, unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		return int(int64(binary.NativeEndian.Uint64(raw[exitResult:])))
	}
	return 0
}

func readByRing(raw []byte) int {
	if len(raw) < ringSize || binary.NativeEndian.Uint32(raw[ringFlags:])&ringABuffer == 0 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(raw[ringResult:])))
}

// watch is a set of streams of samples, one for each thread and tracepoint.
type watch struct{ streams []*stream }

// open attaches to every thread, anew if threads came or went meanwhile.
func (w *watch) open(pid int, kinds map[uint64]func([]byte) int) error {
	for range attempts {
		before, err := treeThreads(pid)
		if err != nil {
			return err
		}
		err = w.attach(before, kinds)
		if err == nil {
			var after []int
			if after, err = treeThreads(pid); err == nil && slices.Equal(before, after) {
				return nil
			}
		}
		w.close()
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, ptree.ErrGone) {
			return err
		}
	}
	return fmt.Errorf("watch the reads of process %d: its threads come and go too fast to attach to all of them, or it has ended", pid)
}

func (w *watch) attach(tids []int, kinds map[uint64]func([]byte) int) error {
	for _, tid := range tids {
		for id, read := range kinds {
			s, err := openStream(tid, id)
			if err != nil {
				return fmt.Errorf("watch the reads of thread %d: %w%s", tid, err, hint(err))
			}
			s.read = read
			w.streams = append(w.streams, s)
		}
	}
	return nil
}

func (w *watch) close() {
	for _, s := range w.streams {
		_ = unix.Munmap(s.memory)
		_ = unix.Close(s.fd) // nothing is written through it
	}
	w.streams = nil
}

// streamPages is the size of a stream's buffer, a power of two.
const streamPages = 16

// stream is one tracepoint on one thread.
type stream struct {
	fd     int
	memory []byte // a page about the buffer, and the buffer
	page   int
	read   func(sample []byte) int
}

func openStream(tid int, id uint64) (*stream, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: id,
		Sample: 1, Sample_type: unix.PERF_SAMPLE_RAW, // every one, with its fields
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	page := unix.Getpagesize()
	memory, err := unix.Mmap(fd, 0, (1+streamPages)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &stream{fd: fd, memory: memory, page: page}, nil
}

// sampleHeader is what comes before the fields of a sample: the record's type, its
// flags and its size, and the size of the fields.
const sampleHeader = 12

// largest goes through the samples. Since the buffer does not wrap round, as
// nothing is taken from it, its end is where the kernel writes next.
func (s *stream) largest() int {
	about := (*unix.PerfEventMmapPage)(unsafe.Pointer(&s.memory[0]))
	data := s.memory[s.page:]
	data = data[:min(atomic.LoadUint64(&about.Data_head), uint64(len(data)))]
	most := 0
	for len(data) >= 8 {
		kind := binary.NativeEndian.Uint32(data)
		size := int(binary.NativeEndian.Uint16(data[6:]))
		if size < 8 || size > len(data) {
			break
		}
		if kind == unix.PERF_RECORD_SAMPLE && size > sampleHeader {
			most = max(most, s.read(data[sampleHeader:size]))
		}
		data = data[size:]
	}
	return most
}
