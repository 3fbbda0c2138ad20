package zerocopy

import (
	"io"
	"net"
	"os"
)

// bufferSender reads to a buffer and writes from it. The buffer is the connection's
// own and lives as long as the sender.
type bufferSender struct {
	conn   *net.TCPConn
	buffer []byte
	report Report
}

func newBufferSender(conn *net.TCPConn, way Way) *bufferSender {
	return &bufferSender{conn: conn, buffer: make([]byte, way.Buffer), report: Report{Way: way.String(), Path: PathReadWrite}}
}

func (s *bufferSender) Way() Way { return Way{KindBuffer, len(s.buffer)} }

func (s *bufferSender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	if err := check(offset, n); err != nil {
		return 0, err
	}
	s.report.Sends++
	for sent < n {
		part := s.buffer[:min(int64(len(s.buffer)), n-sent)]
		got, err := f.ReadAt(part, offset+sent)
		if got > 0 {
			took, werr := s.conn.Write(part[:got])
			sent += int64(took)
			s.report.Bytes += int64(took)
			if werr != nil {
				return sent, failed(s.Way(), f, offset, n, sent, werr)
			}
		}
		if got == len(part) {
			continue // an error, if any, will come again
		}
		if err == io.EOF {
			err = ErrShrank
		}
		return sent, failed(s.Way(), f, offset, n, sent, err)
	}
	return sent, nil
}

func (s *bufferSender) Settle() error  { return nil }
func (s *bufferSender) Report() Report { return s.report }
func (s *bufferSender) Close() error   { return nil }
