package zerocopy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxCall is the most that one system call transfers, whatever it is asked for:
// MAX_RW_COUNT of the kernel with pages of up to 64 KiB.
const maxCall = 1<<31 - 1<<16

// errNothing says that a system call took nothing and gave no reason.
var errNothing = errors.New("the kernel took nothing")

// pump gives bytes to a socket by system calls of one's own, and goes on until the
// socket has all.
type pump struct {
	raw            syscall.RawConn
	calls, partial uint64
	waits          atomic.Uint64 // also looked at by tests while a pump works
}

// push calls write until it has taken n bytes: it is told the descriptor, how many
// were taken so far, and how many to give at most, and returns how many were taken. A
// full queue (EAGAIN) is waited out by the runtime's poller, until the write deadline.
// The connection is never made blocking, as File or Fd would.
func (p *pump) push(n int64, write func(fd int, done int64, most int) (int, error)) (sent int64, err error) {
	var fault error
	err = p.raw.Write(func(fd uintptr) bool {
		for sent < n {
			most := int(min(n-sent, maxCall))
			took, e := write(int(fd), sent, most)
			p.calls++
			switch {
			case e == unix.EINTR:
			case e == unix.EAGAIN:
				p.waits.Add(1)
				return false
			case e != nil:
				fault = e
				return true
			case took == 0:
				fault = errNothing
				return true
			default:
				if took < most {
					p.partial++
				}
				sent += int64(took)
			}
		}
		return true
	})
	if fault != nil {
		err = fault
	}
	return sent, err
}

// pumped is what senders that pump have in common: all but Send.
type pumped struct {
	pump   pump
	kind   Kind
	report Report
}

func newPumped(conn *net.TCPConn, kind Kind, path string) (*pumped, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("%s: the connection: %w", kind, err)
	}
	return &pumped{pump: pump{raw: raw}, kind: kind, report: Report{Way: string(kind), Path: path}}, nil
}

// begin counts a Send, and gives access to the file's descriptor.
func (p *pumped) begin(f *os.File, offset, n int64) (source syscall.RawConn, err error) {
	if err := check(offset, n); err != nil {
		return nil, err
	}
	p.report.Sends++
	if source, err = f.SyscallConn(); err != nil {
		return nil, failed(p.Way(), f, offset, n, 0, err)
	}
	return source, nil
}

func (p *pumped) Way() Way      { return Way{Kind: p.kind} }
func (p *pumped) Settle() error { return nil }
func (p *pumped) Close() error  { return nil }

func (p *pumped) Report() Report {
	r := p.report
	r.Calls, r.Partial, r.Waits = p.pump.calls, p.pump.partial, p.pump.waits.Load()
	return r
}
