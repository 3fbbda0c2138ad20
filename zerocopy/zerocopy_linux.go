package zerocopy

import (
	"io"
	"net"
	"os"
)

// zeroCopyMemory is what the buffers of a sender have together, in bytes: twice the
// 4 MiB to which Linux lets a send queue grow by default (net.ipv4.tcp_wmem), so that
// one half can be filled while the other is on its way.
const zeroCopyMemory = 8 << 20

// zeroCopySender reads to buffers and sends them by MSG_ZEROCOPY.
type zeroCopySender struct {
	conn   *ZeroCopyConn
	way    Way
	report Report
}

func newZeroCopySender(conn *net.TCPConn, way Way) (*zeroCopySender, error) {
	buffers := min(max(zeroCopyMemory/way.Buffer, 2), 1024)
	z, err := NewZeroCopyConn(conn, buffers, way.Buffer)
	if err != nil {
		return nil, err
	}
	return &zeroCopySender{conn: z, way: way, report: Report{Way: way.String(), Path: PathZeroCopy}}, nil
}

func (s *zeroCopySender) Way() Way { return s.way }

func (s *zeroCopySender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	if err := check(offset, n); err != nil {
		return 0, err
	}
	s.report.Sends++
	for sent < n {
		took, err := s.sendPart(f, offset+sent, n-sent)
		sent += int64(took)
		s.report.Bytes += int64(took)
		if err != nil {
			return sent, failed(s.way, f, offset, n, sent, err)
		}
	}
	return sent, nil
}

// sendPart sends at most a buffer, and at least one byte unless there is an error.
func (s *zeroCopySender) sendPart(f *os.File, offset, n int64) (sent int, err error) {
	m, err := s.conn.Take()
	if err != nil {
		return 0, err
	}
	part := m.Bytes[:min(int64(len(m.Bytes)), n)]
	got, err := f.ReadAt(part, offset)
	if got == 0 {
		s.conn.Drop(m)
		if err == io.EOF {
			err = ErrShrank
		}
		return 0, err
	}
	return s.conn.Send(m, got) // an error of the read will come again
}

func (s *zeroCopySender) Settle() error { return s.conn.Settle() }

func (s *zeroCopySender) Report() Report {
	r := s.report
	r.Calls, r.Partial, r.Waits = s.conn.calls, s.conn.partial, s.conn.waits.Load()
	counts := s.conn.Counts()
	r.ZeroCopy = &counts
	return r
}

func (s *zeroCopySender) Close() error { return s.conn.Close() }
