package zerocopy

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
	"netbench/testenv/link"
)

func TestAConnectionTakesOneZeroCopySender(t *testing.T) {
	closesAll(t)
	near, _ := pair(t)
	sender(t, near, Way{KindZeroCopy, 4096})
	_, err := NewSender(near, Way{KindZeroCopy, 4096})
	require.ErrorContains(t, err, "SO_ZEROCOPY")
	for _, bad := range [][2]int{{0, 1}, {1, 0}, {-1, 1}, {1, MaxBuffer + 1}, {1 << 20, 1}} {
		_, err := NewZeroCopyConn(near, bad[0], bad[1])
		assert.Error(t, err)
	}
}

func TestAClosedZeroCopyConnRefusesEverything(t *testing.T) {
	closesAll(t)
	near, _ := pair(t)
	z, err := NewZeroCopyConn(near, 2, 100)
	require.NoError(t, err)
	m, err := z.Take()
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, z.Close(), "again")
	z.Drop(m)
	_, err = z.Take()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = z.Send(m, 1)
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, z.Settle(), net.ErrClosed)
}

// What the kernel still reads when the buffers are unmapped arrives as it was.
func TestBuffersThatAreFreedBeforeTheirCompletionArriveWhole(t *testing.T) {
	closesAll(t)
	z, m, far := large(t)
	n := len(m.Bytes)
	want := make([]byte, n)
	_, _ = io.ReadFull(Material(6), want)
	copy(m.Bytes, want)
	_, err := z.Send(m, n)
	require.NoError(t, err)
	require.Positive(t, z.ledger.underWay(), "all is complete already, though nothing was read")
	require.NoError(t, z.Close())
	// The memory is given to somebody else now.
	other, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(other)) }()
	for i := range other {
		other[i] = 0xdb
	}
	got := make([]byte, n)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	same(t, want, got)
}

func TestNothingIsSentOfAnEmptyMessage(t *testing.T) {
	closesAll(t)
	near, _ := pair(t)
	z, err := NewZeroCopyConn(near, 1, 100)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	for range 3 {
		m, err := z.Take()
		require.NoError(t, err)
		_, err = z.Send(m, 0)
		require.NoError(t, err)
	}
	m, err := z.Take()
	require.NoError(t, err)
	_, err = z.Send(m, 101)
	require.Error(t, err, "more than the buffer")
	z.Drop(m)
	z.Drop(m) // does nothing
	assert.Len(t, z.free, 1)
	assert.Zero(t, z.Counts())
}

// controlMessage is what recvmsg returns with a notice.
func controlMessage(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func TestNoticesComeFromSocketsOfBothFamilies(t *testing.T) {
	near, _ := pair(t)
	z, err := NewZeroCopyConn(near, 4, 100)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	for range 4 {
		m, err := z.Take()
		require.NoError(t, err)
		z.took(m, 100, 100) // as if it had been sent
		z.giveUp(m)
	}
	address := make([]byte, unix.SizeofSockaddrInet4) // of the offender: nobody
	var control []byte
	control = append(control, controlMessage(unix.SOL_IP, unix.IP_RECVERR, append(notice(completion{1, 2, true}), address...))...)
	control = append(control, controlMessage(unix.SOL_SOCKET, unix.SO_TIMESTAMPING, make([]byte, 48))...)
	control = append(control, controlMessage(unix.SOL_IPV6, unix.IPV6_RECVERR, notice(completion{3, 3, false}))...)
	n, err := z.enter(control)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Len(t, z.free, 3)
	n, err = z.enter(controlMessage(unix.SOL_IPV6, unix.IPV6_RECVERR, notice(completion{0, 0, true})))
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, ZeroCopyCounts{Sent: 4, Completed: 4, Copied: 3, Notices: 3, OutOfOrder: 2}, z.Counts())
	_, err = z.enter(controlMessage(unix.SOL_IP, unix.IP_RECVERR, notice(completion{0, 0, false})))
	assert.Error(t, err, "complete twice")
	_, err = z.enter(controlMessage(unix.SOL_IP, unix.IP_RECVERR, make([]byte, 16))[:unix.CmsgLen(0)])
	assert.Error(t, err, "a control message that was cut")
}

// unreadable is a connection that the runtime does not let be read for so many times.
type unreadable struct {
	times int
	then  error
}

func (u *unreadable) Control(f func(uintptr)) error    { return nil }
func (u *unreadable) Write(f func(uintptr) bool) error { return nil }

func (u *unreadable) Read(f func(uintptr) bool) error {
	if u.times != 0 {
		u.times--
		return &net.OpError{Op: "raw-read", Err: errors.New("not pollable")}
	}
	return u.then
}

func TestSettleWaitsUntilTheRuntimeLetsTheConnectionBeRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		raw    *unreadable
		within time.Duration
		fails  bool
	}{
		{"at once", &unreadable{}, 0, false},
		{"after some events", &unreadable{times: 5}, 10 * time.Millisecond, false},
		{"closed", &unreadable{then: net.ErrClosed}, 0, false},
		{"too late to read", &unreadable{then: os.ErrDeadlineExceeded}, 0, false},
		{"never", &unreadable{times: -1}, 2 * readableLimit, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := &ZeroCopyConn{raw: c.raw}
				begun := time.Now()
				err := z.readable()
				assert.Equal(t, c.fails, err != nil, "%v", err)
				assert.LessOrEqual(t, time.Since(begun), c.within)
			})
		})
	}
}

// Notices arrive while the send queue is full, so events of nothing but an error are
// seen; nevertheless the answer of the peer can be read each time.
func TestAConnectionIsReadBetweenZeroCopySends(t *testing.T) {
	closesAll(t)
	const n = 300_000
	f, _ := file(t, n)
	near, far := pair(t)
	narrow(t, near, far)
	s := sender(t, near, Way{KindZeroCopy, 64 << 10})
	answered := make(chan error, 1)
	const rounds = 200
	go func() {
		buffer := make([]byte, n)
		for range rounds {
			if _, err := io.ReadFull(far, buffer); err != nil {
				answered <- err
				return
			}
			if _, err := far.Write([]byte{1}); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	var one [1]byte
	for range rounds {
		_, err := s.Send(f, 0, n)
		require.NoError(t, err)
		require.NoError(t, s.Settle())
		_, err = io.ReadFull(near, one[:])
		require.NoError(t, err)
	}
	require.NoError(t, <-answered)
	assert.Zero(t, s.(*zeroCopySender).conn.ledger.underWay())
}

func TestLoopbackCopiesAndTheReportSaysSo(t *testing.T) {
	closesAll(t)
	near, far := pair(t)
	counts := exchange(t, near, far, 1000, patience)
	assert.Equal(t, counts.Sent, counts.Completed)
	assert.Equal(t, counts.Completed, counts.Copied, "the kernel is said to copy whatever stays on the machine: %+v", counts)
}

// host is an end of a link: a network namespace, whose limits can be changed without
// those of this machine.
func host(t *testing.T) *link.End {
	t.Helper()
	l, err := link.New(t.Context(), link.Config{})
	if err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l.A()
}

// at is a connection over the loopback device of a host.
func at(t *testing.T, e *link.End) (sender, receiver *net.TCPConn) {
	t.Helper()
	l, err := e.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return join(t, l, func() (net.Conn, error) { return e.Dial(t.Context(), "tcp", l.Addr().String()) })
}

const optmem = "/proc/sys/net/core/optmem_max"

// limit sets net.core.optmem_max of a host in bytes: what its sockets may take for
// notices, each of which takes some 600.
func limit(t *testing.T, e *link.End, text string) {
	t.Helper()
	before, err := os.ReadFile(optmem)
	require.NoError(t, err)
	if err := e.Do(func() error { return os.WriteFile(optmem, []byte(text), 0o644) }); err != nil {
		needs.Skip(t, needs.Netns, err) // it is of the namespace since Linux 6.8
	}
	after, err := os.ReadFile(optmem)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the limit of this machine was changed")
}

// With room for one notice, the second send is refused while the first is under way:
// nobody reads. Each send asks for more than the kernel lets two sends share a notice
// for (512 KiB).
func TestSendsWaitWhenTheKernelHasNoNoticesLeft(t *testing.T) {
	closesAll(t)
	e := host(t)
	near, far := at(t, e)
	limit(t, e, "1024")
	const size, count = 1 << 20, 4
	z, err := NewZeroCopyConn(near, 2, size)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	want := make([]byte, count*size)
	_, _ = io.ReadFull(Material(8), want)
	done := make(chan error, 1)
	go func() {
		for i := range count {
			m, err := z.Take()
			if err == nil {
				copy(m.Bytes, want[i*size:])
				_, err = z.Send(m, size)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- z.Settle()
	}()
	require.Eventually(t, func() bool { return z.noBuffers.Load() > 0 }, patience, pollEvery, "no send was refused")
	got := make([]byte, len(want))
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	same(t, want, got)
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "a sender that was refused never goes on")
	}
	counts := z.Counts()
	assert.Positive(t, counts.NoBuffers)
	assert.Equal(t, counts.Sent, counts.Completed)
}

func TestALimitThatAllowsNoNoticeAtAllIsAnError(t *testing.T) {
	closesAll(t)
	e := host(t)
	near, _ := at(t, e)
	limit(t, e, "100")
	z, err := NewZeroCopyConn(near, 1, 1000)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	m, err := z.Take()
	require.NoError(t, err)
	sent, err := z.Send(m, 1000)
	assert.Zero(t, sent)
	require.ErrorIs(t, err, unix.ENOBUFS, "it neither waits for ever nor sends in another way")
	assert.Contains(t, err.Error(), "optmem_max")
	assert.Zero(t, z.Counts().Sent)
}

// Nobody reads the error queue between these sends, so the kernel merges its notices,
// and each send is counted once all the same.
func TestNoticesThatTheKernelMergedCountEachSend(t *testing.T) {
	closesAll(t)
	near, far := pair(t)
	const size, count = 100, 8
	z, err := NewZeroCopyConn(near, count, size)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	want := make([]byte, count*size)
	_, _ = io.ReadFull(Material(9), want)
	for i := range count {
		m, err := z.Take()
		require.NoError(t, err)
		copy(m.Bytes, want[i*size:])
		sent, err := z.Send(m, size)
		require.NoError(t, err)
		require.Equal(t, size, sent)
	}
	require.Zero(t, z.Counts().Notices, "notices were read though no buffer was missing")
	got := make([]byte, len(want))
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	same(t, want, got)
	require.NoError(t, settled(z))
	counts := z.Counts()
	assert.Equal(t, uint64(count), counts.Sent)
	assert.Equal(t, uint64(count), counts.Completed)
	assert.Less(t, counts.Notices, counts.Sent, "the kernel merged nothing")
}
