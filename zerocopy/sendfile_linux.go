package zerocopy

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// sendfileSender calls sendfile(2). The offset is passed along, so the file's own
// position does not move and the file may be shared.
type sendfileSender struct {
	pump   pump
	report Report
}

func newSendfileSender(conn *net.TCPConn) (*sendfileSender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("sendfile: the connection: %w", err)
	}
	s := &sendfileSender{report: Report{Way: string(KindSendfile), Path: PathSendfile}}
	s.pump.raw = raw
	return s, nil
}

func (s *sendfileSender) Way() Way { return Way{Kind: KindSendfile} }

func (s *sendfileSender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	if err := check(offset, n); err != nil {
		return 0, err
	}
	s.report.Sends++
	source, err := f.SyscallConn()
	if err != nil {
		return 0, failed(s.Way(), f, offset, n, 0, err)
	}
	var fault error
	err = source.Control(func(in uintptr) {
		at := offset // the kernel moves it on
		sent, fault = s.pump.push(n, func(out int, _ int64, most int) (int, error) {
			return unix.Sendfile(out, int(in), &at, most)
		})
	})
	if err == nil {
		err = fault
	}
	s.report.Bytes += sent
	if errors.Is(err, errNothing) { // so it says that the file has ended
		err = ErrShrank
	}
	if err != nil {
		return sent, failed(s.Way(), f, offset, n, sent, err)
	}
	return sent, nil
}

func (s *sendfileSender) Settle() error { return nil }

func (s *sendfileSender) Report() Report {
	r := s.report
	s.pump.fill(&r)
	return r
}

func (s *sendfileSender) Close() error { return nil }
