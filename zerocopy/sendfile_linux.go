package zerocopy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// sendfileSender calls sendfile(2). The offset is passed along, so the file's own
// position does not move and the file may be shared.
type sendfileSender struct{ *pumped }

func (s *sendfileSender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	source, err := s.begin(f, offset, n)
	if err != nil {
		return 0, err
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
