package zerocopy

import (
	"io"
	"net"
	"os"
)

// copySender leaves the work to io.Copy.
//
// io.Copy asks the reader for WriteTo and the writer for ReadFrom, and the latter of
// a TCP connection uses sendfile if what it reads from is a file, or a limited reader
// of one. A struct that has only the methods Read and Write hides both, as does many
// a wrapper that was written for something else.
type copySender struct {
	conn   *net.TCPConn
	way    Way
	report Report
}

func newCopySender(conn *net.TCPConn, way Way) *copySender {
	path := PathSendfile
	if way.Kind == KindCopyHidden {
		path = PathReadWrite
	}
	return &copySender{conn: conn, way: way, report: Report{Way: way.String(), Path: path}}
}

// watchedFile is a file that counts its reads. What sendfile needs of a file it has
// from the embedded one, so reads come only from a library that does without.
type watchedFile struct {
	*os.File
	reads int
}

func (w *watchedFile) Read(p []byte) (int, error) {
	w.reads++
	return w.File.Read(p)
}

func (s *copySender) Way() Way { return s.way }

func (s *copySender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	if err := check(offset, n); err != nil {
		return 0, err
	}
	s.report.Sends++
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, failed(s.way, f, offset, n, 0, err)
	}
	if s.way.Kind == KindCopyHidden {
		sent, err = io.Copy(struct{ io.Writer }{s.conn}, io.LimitReader(struct{ io.Reader }{f}, n))
	} else {
		watched := &watchedFile{File: f}
		// A limited reader has no WriteTo, so that it is the connection's ReadFrom
		// which gets it.
		sent, err = io.Copy(s.conn, io.LimitReader(watched, n))
		if watched.reads > 0 {
			s.report.FellBack++
		}
	}
	s.report.Bytes += sent
	if err == nil && sent < n {
		err = ErrShrank
	}
	if err != nil {
		return sent, failed(s.way, f, offset, n, sent, err)
	}
	return sent, nil
}

func (s *copySender) Settle() error  { return nil }
func (s *copySender) Report() Report { return s.report }
func (s *copySender) Close() error   { return nil }
